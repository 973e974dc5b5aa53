import type { AgentClock } from '../engine/ports.ts';

/** What is left of them is tried again after this, doubled up to the second. */
const RETRY_MS = 1000;
const RETRY_MS_MAX = 30_000;

export interface OrphanOptions {
  readonly clock: AgentClock;
  readonly log: (message: string, details: object) => void;
  /** By now it may be held, or be another agent's to end. */
  readonly isLeftAlone: (attemptId: string) => boolean;
  readonly remove: (attemptId: string) => Promise<void>;
}

/** Pods that nobody holds. No later event need tell of one again, so it is tried until it is gone. */
export class Orphans {
  readonly #options: OrphanOptions;
  readonly #attemptIds = new Set<string>();

  constructor(options: OrphanOptions) {
    this.#options = options;
  }

  end(attemptId: string): void {
    if (this.#attemptIds.has(attemptId)) return;
    this.#options.log('a pod that nobody holds is ended', { attemptId });
    this.#attemptIds.add(attemptId);
    this.#try(attemptId, RETRY_MS);
  }

  #try(attemptId: string, retryMs: number): void {
    const { clock, log, isLeftAlone, remove } = this.#options;
    const removed = isLeftAlone(attemptId) ? Promise.resolve() : remove(attemptId);
    removed.then(
      () => this.#attemptIds.delete(attemptId),
      (error: unknown) => {
        log('a pod that nobody holds could not be ended', { attemptId, error: String(error) });
        const nextMs = Math.min(RETRY_MS_MAX, retryMs * 2);
        clock.after(retryMs, () => this.#try(attemptId, nextMs));
      },
    );
  }
}
