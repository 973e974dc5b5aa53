import type { DispatchWindow } from '@majorana/core';
import { isStuck, shapeRoom } from '@majorana/core';

/** Of the shapes that started last so many are known to have. */
const WELL_MAX = 1000;

/** A task and the node of each of its pods. */
export interface Placed {
  readonly shapeKey: string;
  readonly nodeNames: readonly string[];
  readonly image: string;
  /** Of these nodes, those without the image. */
  readonly pulling: readonly string[];
  /** When the first of its pods was made; until then what it waits for is the API server. */
  madeAtMs: number;
  /** The cluster does not let its pod be: none is on its way. */
  isRefused: boolean;
}

/** What has a place and is not yet seen running: how many pods there are, and of which shape. */
export class StartingPods {
  readonly #byAttempt = new Map<string, Placed>();
  readonly #wellAtMs = new Map<string, number>();

  get(attemptId: string): Placed | undefined {
    return this.#byAttempt.get(attemptId);
  }

  set(attemptId: string, placed: Placed): void {
    this.#byAttempt.set(attemptId, placed);
  }

  delete(attemptId: string): void {
    this.#byAttempt.delete(attemptId);
  }

  values(): Iterable<Placed> {
    return this.#byAttempt.values();
  }

  /** Those that the window counts. */
  count(nowMs: number): number {
    let count = 0;
    for (const { nodeNames, madeAtMs, isRefused } of this.#byAttempt.values())
      if (!isRefused && !isStuck(madeAtMs, nowMs)) count += nodeNames.length;
    return count;
  }

  /** Pods that are stuck, and who of them waits longest; of one shape, or of all. */
  stuck(
    nowMs: number,
    shapeKey?: string,
  ): { readonly podCount: number; readonly first: string } | undefined {
    let podCount = 0;
    let first: string | undefined;
    for (const [attemptId, placed] of this.#byAttempt) {
      if (placed.isRefused || !isStuck(placed.madeAtMs, nowMs)) continue;
      if (shapeKey !== undefined && placed.shapeKey !== shapeKey) continue;
      podCount += placed.nodeNames.length;
      first ??= attemptId;
    }
    return first === undefined ? undefined : { podCount, first };
  }

  /** One of the shape started. */
  fareWell(shapeKey: string, nowMs: number): void {
    // The latest stands last.
    this.#wellAtMs.delete(shapeKey);
    this.#wellAtMs.set(shapeKey, nowMs);
    if (this.#wellAtMs.size <= WELL_MAX) return;
    const [oldest = ''] = this.#wellAtMs.keys();
    this.#wellAtMs.delete(oldest);
  }

  wellAtMs(shapeKey: string): number {
    return this.#wellAtMs.get(shapeKey) ?? -Infinity;
  }

  /** For how many more pods of a shape there is room beside those of others. */
  rooms(window: DispatchWindow, nowMs: number): (shapeKey: string) => number {
    const podCounts = new Map<string, number>();
    for (const { shapeKey, nodeNames, isRefused } of this.#byAttempt.values())
      if (!isRefused) podCounts.set(shapeKey, (podCounts.get(shapeKey) ?? 0) + nodeNames.length);
    return (shapeKey) => {
      const podCount = podCounts.get(shapeKey) ?? 0;
      return shapeRoom(window, { podCount, wellAtMs: this.wellAtMs(shapeKey) }, nowMs);
    };
  }
}
