/** The latest requests say how the server is now; with so many a burst of one second is covered. */
const KEPT = 1000;

/** How the API server answers: how fast, and what it refused. */
export class ApiStats {
  readonly #latenciesMs: number[] = [];
  readonly #refusals = new Map<number, number>();
  #requestCount = 0;

  /** Runs a request; one without an answer is refused with status 0. */
  async measure<T extends { readonly status: number }>(request: () => Promise<T>): Promise<T> {
    const begunMs = performance.now();
    try {
      const answer = await request();
      if (answer.status >= 400) this.#refused(answer.status);
      return answer;
    } catch (error) {
      this.#refused(0);
      throw error;
    } finally {
      this.#latenciesMs[this.#requestCount % KEPT] = performance.now() - begunMs;
      this.#requestCount += 1;
    }
  }

  summary(): {
    readonly latencyMsP50: number;
    readonly latencyMsP95: number;
    readonly requestCount: number;
    readonly refusals: Record<string, number>;
  } {
    const sorted = this.#latenciesMs.toSorted((a, b) => a - b);
    const at = (part: number): number => Math.round(sorted[Math.floor(sorted.length * part)] ?? 0);
    return {
      latencyMsP50: at(0.5),
      latencyMsP95: at(0.95),
      requestCount: this.#requestCount,
      refusals: Object.fromEntries(this.#refusals),
    };
  }

  #refused(status: number): void {
    this.#refusals.set(status, (this.#refusals.get(status) ?? 0) + 1);
  }
}
