import type { AgentClock } from '../engine/ports.ts';
import type { HeldPod } from './held-pod.ts';
import type { Pod } from './objects.ts';
import type { OwnPods } from './own-pods.ts';
import type { PodStanding, StartLimits } from './pod-standing.ts';
import { standingOf } from './pod-standing.ts';

const MINUTE = 60_000;
export const START_LIMITS: StartLimits = {
  pullPatienceMs: 10 * MINUTE,
  // Of a 17 GB image the pull took 30 minutes on a fresh node.
  startPatienceMs: 60 * MINUTE,
};
/** A start that takes longer is looked into, so often; each look is a request to the API server. */
const LOOK_MS = 10_000;
export const NOT_CREATED = 'its pod has not been created yet';

export interface PodStartOptions {
  readonly pods: OwnPods;
  readonly clock: AgentClock;
  readonly limits?: StartLimits | undefined;
  readonly log: (message: string, details: object) => void;
}

/** Where pods stand, by what the kubelet says of starts that take their time. */
export class PodStart {
  readonly #options: PodStartOptions;

  constructor(options: PodStartOptions) {
    this.#options = options;
  }

  standingOf({ word }: HeldPod, pod: Pod): PodStanding {
    const { clock, limits = START_LIMITS } = this.#options;
    return standingOf(pod, clock.nowMs(), limits, word?.word);
  }

  lookIfSlow(held: HeldPod, pod: Pod): void {
    const { clock, log } = this.#options;
    const nowMs = clock.nowMs();
    const lastMs = held.word?.atMs ?? Date.parse(pod.metadata.creationTimestamp ?? '');
    if (!(nowMs - lastMs >= LOOK_MS)) return;
    held.word = { word: held.word?.word, atMs: nowMs };
    this.#look(held, pod).catch((error: unknown) =>
      log('the events of a slow start cannot be read', { error: String(error) }),
    );
  }

  async #look(held: HeldPod, pod: Pod): Promise<void> {
    const word = await this.#options.pods.readStartWord(pod);
    held.word = { word, atMs: this.#options.clock.nowMs() };
  }

  /** What a start waits for, for a person. */
  async describe(held: HeldPod): Promise<string> {
    const { pod, heldBack } = held;
    if (pod === undefined)
      return heldBack === undefined ? NOT_CREATED : `${NOT_CREATED}: ${heldBack}`;
    await this.#look(held, pod).catch(() => undefined);
    const standing = this.standingOf(held, held.pod ?? pod);
    if (standing.kind !== 'starting') return '';
    const waitedMs = this.#options.clock.nowMs() - Date.parse(pod.metadata.creationTimestamp ?? '');
    return `${standing.doing}, on node ${pod.spec.nodeName} for ${Math.round(waitedMs / 1000)} s`;
  }
}
