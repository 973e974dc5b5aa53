import type { DispatchWindow } from '@majorana/core';
import { isStuck, shapeRoom } from '@majorana/core';

/** Of the shapes that started last so many are known to have. */
const WELL_MAX = 1000;

/** A task and the node of each of its pods. */
interface Placed {
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

/** Placed, and not yet seen running: how many pods there are, and of which shape. */
export class StartingTasks {
  readonly #byAttempt = new Map<string, Placed>();
  readonly #wellAtMs = new Map<string, number>();

  add(attemptId: string, placed: Omit<Placed, 'isRefused' | 'madeAtMs'>): void {
    this.#byAttempt.set(attemptId, { ...placed, madeAtMs: Infinity, isRefused: false });
  }

  has(attemptId: string): boolean {
    return this.#byAttempt.has(attemptId);
  }

  /** How many pods it has, if it was starting. */
  remove(attemptId: string): number {
    const placed = this.#byAttempt.get(attemptId);
    this.#byAttempt.delete(attemptId);
    return placed?.nodeNames.length ?? 0;
  }

  /** A pod of it is there. */
  setMade(attemptId: string, nowMs: number): void {
    const placed = this.#byAttempt.get(attemptId);
    if (placed === undefined) return;
    placed.isRefused = false;
    placed.madeAtMs = Math.min(placed.madeAtMs, nowMs);
  }

  setRefused(attemptId: string): void {
    const placed = this.#byAttempt.get(attemptId);
    if (placed !== undefined) placed.isRefused = true;
  }

  isRefused(attemptId: string): boolean {
    return this.#byAttempt.get(attemptId)?.isRefused === true;
  }

  get podCount(): number {
    return this.#count(() => true);
  }

  /** Those that the dispatch window counts: what is stuck costs the API server nothing. */
  countInWindow(nowMs: number): number {
    return this.#count(({ madeAtMs }) => !isStuck(madeAtMs, nowMs));
  }

  #count(isCounted: (placed: Placed) => boolean): number {
    let count = 0;
    for (const placed of this.#byAttempt.values())
      if (!placed.isRefused && isCounted(placed)) count += placed.nodeNames.length;
    return count;
  }

  /** Pods that are stuck, and the task of them that waits longest; of one shape, or of all. */
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

  /** For how many more pods of a shape there is room, as far as the shape goes. */
  rooms(window: DispatchWindow, nowMs: number): (shapeKey: string) => number {
    const podCounts = new Map<string, number>();
    for (const { shapeKey, nodeNames, isRefused } of this.#byAttempt.values())
      if (!isRefused) podCounts.set(shapeKey, (podCounts.get(shapeKey) ?? 0) + nodeNames.length);
    return (shapeKey) => {
      const podCount = podCounts.get(shapeKey) ?? 0;
      return shapeRoom(window, { podCount, wellAtMs: this.wellAtMs(shapeKey) }, nowMs);
    };
  }

  /** The nodes that pull each image now. */
  pulls(): ReadonlyMap<string, ReadonlySet<string>> {
    const nodesByImage = new Map<string, Set<string>>();
    for (const { image, pulling } of this.#byAttempt.values()) {
      const nodes = nodesByImage.get(image) ?? new Set();
      nodesByImage.set(image, nodes);
      for (const nodeName of pulling) nodes.add(nodeName);
    }
    return nodesByImage;
  }
}
