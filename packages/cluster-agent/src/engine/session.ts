import { NO_RESOURCES } from '@majorana/core';
import type { AgentSync } from '@majorana/protocol';
import { SESSION_TTL_MS } from '@majorana/protocol';
import type { AgentClock, Exchange } from './ports.ts';

/** Clocks of two machines drift by less than 0.1 s in 20 s; the rest is for a request under way. */
const MARGIN_MS = 2000;
const CLAIM_WAIT_MS = 2000;
const ANSWER_PATIENCE_MS = 10_000;
const RETRY_MS = 1000;
const RELEASE_PATIENCE_MS = 2000;

export interface SessionOptions {
  readonly agentId: string;
  /** Random, of this one process. */
  readonly id: string;
  readonly exchange: Exchange;
  readonly clock: AgentClock;
  readonly log: (message: string, details: object) => void;
}

/**
 * The right to act for a cluster, of which two agents of one name have only one. It is granted by
 * the control plane for some seconds behind each exchange; counted from when the exchange was sent,
 * it is over here before another agent is told that it may act.
 */
export class AgentSession {
  readonly #options: SessionOptions;
  #validUntilMs = -Infinity;
  #isStopped = false;
  #breakWait: () => void = () => undefined;

  constructor(options: SessionOptions) {
    this.#options = options;
  }

  get id(): string {
    return this.#options.id;
  }

  /** By its own clock, which nobody sets. */
  nowMs(): number {
    return this.#options.clock.nowMs();
  }

  mayAct(): boolean {
    return this.#options.clock.nowMs() < this.#validUntilMs;
  }

  /** An exchange that was sent then has been answered to an agent that acts. */
  renew(sentAtMs: number): void {
    this.#validUntilMs = Math.max(this.#validUntilMs, sentAtMs + SESSION_TTL_MS - MARGIN_MS);
  }

  /** Another acts. */
  end(): void {
    this.#validUntilMs = -Infinity;
  }

  /** Resolves to true when this agent may act, to false when it was stopped before. */
  async claim(): Promise<boolean> {
    const { clock, log } = this.#options;
    let isTold = false;
    while (!this.#isStopped) {
      const sentAtMs = clock.nowMs();
      const answer = await this.#say('claim', CLAIM_WAIT_MS, ANSWER_PATIENCE_MS);
      if (answer === 'acts') {
        this.renew(sentAtMs);
        return true;
      }
      if (answer === 'standby' && !isTold) log('another agent of this name acts; standing by', {});
      isTold ||= answer === 'standby';
      if (answer === 'none' || clock.nowMs() - sentAtMs < RETRY_MS) await this.#pause(RETRY_MS);
    }
    return false;
  }

  /** Nothing is done from here on; another may act at once. */
  async release(): Promise<void> {
    this.#isStopped = true;
    this.#breakWait();
    const wasActing = this.mayAct();
    this.end();
    if (wasActing) await this.#say('release', 0, RELEASE_PATIENCE_MS);
  }

  async #say(
    phase: 'claim' | 'release',
    waitMs: number,
    patienceMs: number,
  ): Promise<'acts' | 'standby' | 'none'> {
    const { agentId, id, exchange, clock, log } = this.#options;
    const sync: AgentSync = {
      agentId,
      session: { id, phase },
      capacity: NO_RESOURCES,
      heldAttemptIds: [],
      events: [],
      logChunks: [],
      waitMs,
    };
    const abort = new AbortController();
    const givenUp = new Promise<'none'>((resolve) => {
      abort.signal.addEventListener('abort', () => resolve('none'));
    });
    const cancelTimer = clock.after(waitMs + patienceMs, () => abort.abort());
    if (phase === 'claim') this.#breakWait = () => abort.abort();
    try {
      const answered = exchange(sync, abort.signal).then(({ isStandby }) =>
        isStandby === true ? ('standby' as const) : ('acts' as const),
      );
      return await Promise.race([answered, givenUp]);
    } catch (error) {
      if (!abort.signal.aborted) log('no answer from the control plane', { error: String(error) });
      return 'none';
    } finally {
      cancelTimer();
    }
  }

  #pause(delayMs: number): Promise<void> {
    if (this.#isStopped) return Promise.resolve();
    return new Promise((resolve) => {
      const end = (): void => {
        cancelTimer();
        resolve();
      };
      const cancelTimer = this.#options.clock.after(delayMs, end);
      this.#breakWait = end;
    });
  }
}
