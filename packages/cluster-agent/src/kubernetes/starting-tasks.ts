/** Longer than the API server and a kubelet need: what starts later than that waits for its image. */
const PULL_IN_WINDOW_MS = 30_000;

/** A task and the node of each of its pods. */
interface Placed {
  readonly nodeNames: readonly string[];
  readonly image: string;
  /** Of these nodes, those without the image. */
  readonly pulling: readonly string[];
  readonly sinceMs: number;
  /** The cluster does not let its pod be: none is on its way. */
  isRefused: boolean;
}

/** Placed, and not yet seen running. */
export class StartingTasks {
  readonly #byAttempt = new Map<string, Placed>();

  add(attemptId: string, placed: Omit<Placed, 'isRefused'>): void {
    this.#byAttempt.set(attemptId, { ...placed, isRefused: false });
  }

  /** How many pods it has, if it was starting. */
  remove(attemptId: string): number {
    const placed = this.#byAttempt.get(attemptId);
    this.#byAttempt.delete(attemptId);
    return placed?.nodeNames.length ?? 0;
  }

  setRefused(attemptId: string, isRefused: boolean): void {
    const placed = this.#byAttempt.get(attemptId);
    if (placed !== undefined) placed.isRefused = isRefused;
  }

  isRefused(attemptId: string): boolean {
    return this.#byAttempt.get(attemptId)?.isRefused === true;
  }

  get podCount(): number {
    return this.#count(() => true);
  }

  /**
   * Those that the dispatch window counts. A pod that waits for a long pull costs the cluster nothing:
   * counted, 32 of one slow image would keep all others from an idle cluster until it is there. How
   * many wait for pulls is bounded by the nodes that may pull an image, and their room.
   */
  countInWindow(nowMs: number): number {
    return this.#count(
      ({ pulling, sinceMs }) => pulling.length === 0 || nowMs - sinceMs <= PULL_IN_WINDOW_MS,
    );
  }

  #count(isCounted: (placed: Placed) => boolean): number {
    let count = 0;
    for (const placed of this.#byAttempt.values())
      if (!placed.isRefused && isCounted(placed)) count += placed.nodeNames.length;
    return count;
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
