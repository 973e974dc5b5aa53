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

  covers(demand: Demand, endsAtMs: number): boolean {
    for (let at = 0; at < this.#failures.length; at += 1) {
      const failure = this.#failures[at]!;
      if (endsAtMs >= failure.endsAtMs && isAtLeast(demand, failure.demand)) return true;
    }
    return false;
  }

  add(demand: Demand, endsAtMs: number): void {
    this.#failures = this.#failures.filter(
      (old) => !(old.endsAtMs >= endsAtMs && isAtLeast(old.demand, demand)),
    );
    if (this.#failures.length < FAILURES_MAX) this.#failures.push({ demand, endsAtMs });
  }
}
