import type { Demand } from './demand.ts';

interface Failure {
  readonly demand: Demand;
  readonly endsAtMs: number;
}

/** Smallest failures kept; one that is not kept costs a search, never a wrong answer. */
const FAILURES_MAX = 64;

const isAtLeast = (large: Demand, small: Demand): boolean => {
  if (large.columns.length !== small.columns.length) return false;
  for (let at = 0; at < large.amounts.length; at += 1)
    if (large.amounts[at]! < small.amounts[at]!) return false;
  return true;
};

/**
 * Within a round room only shrinks: what asks for at least as much as something that found no
 * node, on the same nodes and for at least as long, finds none either. Without this each of
 * 100,000 waiting tasks would search a full cluster.
 */
export class FailureFrontier {
  #failures: Failure[] = [];
  /** The first two amounts of each: compared alone they turn most away, without following a link. */
  readonly #first = new Float64Array(FAILURES_MAX);
  readonly #second = new Float64Array(FAILURES_MAX);

  covers(demand: Demand, endsAtMs: number): boolean {
    const count = this.#failures.length;
    if (count === 0) return false;
    const first = demand.amounts[0]!;
    const second = demand.amounts[1]!;
    for (let at = 0; at < count; at += 1) {
      if (first < this.#first[at]! || second < this.#second[at]!) continue;
      const failure = this.#failures[at]!;
      if (endsAtMs >= failure.endsAtMs && isAtLeast(demand, failure.demand)) return true;
    }
    return false;
  }

  /** The same for one pod that asks for cores and memory alone. */
  coversPlain(cpuMillis: number, memoryBytes: number, endsAtMs: number): boolean {
    for (let at = 0; at < this.#failures.length; at += 1) {
      if (cpuMillis < this.#first[at]! || memoryBytes < this.#second[at]!) continue;
      const { demand, endsAtMs: failedEndsAtMs } = this.#failures[at]!;
      const isAlike = demand.amounts.length === 3 && demand.amounts[2]! <= 1;
      if (isAlike && endsAtMs >= failedEndsAtMs) return true;
    }
    return false;
  }

  add(demand: Demand, endsAtMs: number): void {
    const kept = this.#failures.filter(
      (old) => !(old.endsAtMs >= endsAtMs && isAtLeast(old.demand, demand)),
    );
    if (kept.length < FAILURES_MAX) kept.push({ demand, endsAtMs });
    this.#failures = kept;
    kept.forEach((failure, at) => {
      this.#first[at] = failure.demand.amounts[0]!;
      this.#second[at] = failure.demand.amounts[1]!;
    });
  }
}
