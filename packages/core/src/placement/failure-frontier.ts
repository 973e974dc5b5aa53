import type { Demand } from './demand.ts';

interface Failure {
  readonly demand: Demand;
  readonly endsAtMs: number;
}

/** Smallest failures kept; one that is not kept costs a search, never a wrong answer. */
const FAILURES_MAX = 64;

/** Every demand begins with cores, memory and pods. */
const COMMON_COLUMNS = 3;

const isAtLeast = (large: Demand, small: Demand): boolean => {
  const isComparable =
    small.columns.length === COMMON_COLUMNS ||
    (small.columns.length === large.columns.length &&
      small.columns.every((column, at) => column === large.columns[at]));
  if (!isComparable) return false;
  for (let at = 0; at < small.amounts.length; at += 1)
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
  /** The cores and memory of each: compared alone they turn most away, without following a link. */
  #cpuMillis: number[] = [];
  #memoryBytes: number[] = [];

  covers(demand: Demand, endsAtMs: number): boolean {
    const { amounts } = demand;
    const [cpuMillis, memoryBytes] = [amounts[0]!, amounts[1]!];
    for (let at = 0; at < this.#failures.length; at += 1) {
      if (cpuMillis < this.#cpuMillis[at]! || memoryBytes < this.#memoryBytes[at]!) continue;
      const failure = this.#failures[at]!;
      if (endsAtMs >= failure.endsAtMs && isAtLeast(demand, failure.demand)) return true;
    }
    return false;
  }

  /** The same for any demand that begins with so much, of which more is not known. */
  coversPlain(cpuMillis: number, memoryBytes: number, endsAtMs: number): boolean {
    for (let at = 0; at < this.#failures.length; at += 1) {
      if (cpuMillis < this.#cpuMillis[at]! || memoryBytes < this.#memoryBytes[at]!) continue;
      const { demand, endsAtMs: failedEndsAtMs } = this.#failures[at]!;
      const isAlike = demand.amounts.length === COMMON_COLUMNS && demand.amounts[2]! <= 1;
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
    this.#cpuMillis = kept.map((failure) => failure.demand.amounts[0]!);
    this.#memoryBytes = kept.map((failure) => failure.demand.amounts[1]!);
  }
}
