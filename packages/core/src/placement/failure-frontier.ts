import type { Demand } from './demand.ts';
import { isCommon } from './demand.ts';

interface Failure {
  readonly demand: Demand;
  readonly endsAtMs: number;
}

/** Smallest failures kept; one that is not kept costs a search, never a wrong answer. */
const FAILURES_MAX = 64;
const STEPS_MAX = 1024;

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
 * Failures of one pod of cores and memory for any time, as stairs: with more cores goes less
 * memory, as what is larger in both is no news. One step decides, found in six looks of 64.
 */
class Stairs {
  readonly #cpuMillis: number[] = [];
  readonly #memoryBytes: number[] = [];

  /** The first step with more cores. */
  #above(cpuMillis: number): number {
    let [low, high] = [0, this.#cpuMillis.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#cpuMillis[middle]! > cpuMillis) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  covers(cpuMillis: number, memoryBytes: number): boolean {
    const above = this.#above(cpuMillis);
    return above > 0 && this.#memoryBytes[above - 1]! <= memoryBytes;
  }

  /** What is not covered yet. */
  add(cpuMillis: number, memoryBytes: number): void {
    let from = this.#above(cpuMillis);
    let to = from;
    if (from > 0 && this.#cpuMillis[from - 1] === cpuMillis) from -= 1;
    while (to < this.#memoryBytes.length && this.#memoryBytes[to]! >= memoryBytes) to += 1;
    if (from === to && this.#cpuMillis.length >= STEPS_MAX) return;
    this.#cpuMillis.splice(from, to - from, cpuMillis);
    this.#memoryBytes.splice(from, to - from, memoryBytes);
  }
}

/**
 * The same of what would fit a node that is kept: it failed for what ends so late, or later. One
 * number of each stands beside the next, as all are looked at for each task.
 */
class TimedFailures {
  readonly #numbers = new Float64Array(3 * FAILURES_MAX);
  #length = 0;

  covers(cpuMillis: number, memoryBytes: number, endsAtMs: number): boolean {
    const numbers = this.#numbers;
    for (let at = 0; at < this.#length; at += 3)
      if (
        numbers[at]! <= cpuMillis &&
        numbers[at + 1]! <= memoryBytes &&
        numbers[at + 2]! <= endsAtMs
      )
        return true;
    return false;
  }

  /** What is not covered yet. */
  add(cpuMillis: number, memoryBytes: number, endsAtMs: number): void {
    const numbers = this.#numbers;
    let kept = 0;
    for (let at = 0; at < this.#length; at += 3) {
      const isNews =
        numbers[at]! >= cpuMillis &&
        numbers[at + 1]! >= memoryBytes &&
        numbers[at + 2]! >= endsAtMs;
      if (isNews) continue;
      numbers.copyWithin(kept, at, at + 3);
      kept += 3;
    }
    this.#length = kept;
    if (kept === numbers.length) return;
    numbers.set([cpuMillis, memoryBytes, endsAtMs], kept);
    this.#length += 3;
  }
}

/**
 * Within a round room only shrinks: what asks for at least as much as something that found no
 * node, on the same nodes and for at least as long, finds none either. Without this each of
 * 100,000 waiting tasks would search a full cluster.
 */
export class FailureFrontier {
  readonly #stairs = new Stairs();
  #timed: TimedFailures | undefined;
  readonly #isOfOneKind: boolean;
  /** Of devices, of several pods, of gangs. */
  #others: readonly Failure[] = [];

  /** Of one kind: all it is told or asked of are alike but for cores, memory and time. */
  constructor(isOfOneKind = false) {
    this.#isOfOneKind = isOfOneKind;
  }

  covers(demand: Demand, endsAtMs: number): boolean {
    const { amounts } = demand;
    if (amounts[2]! >= 1 || this.#isOfOneKind)
      if (this.coversPlain(amounts[0]!, amounts[1]!, endsAtMs)) return true;
    for (const failure of this.#others)
      if (endsAtMs >= failure.endsAtMs && isAtLeast(demand, failure.demand)) return true;
    return false;
  }

  /** The same for any demand that begins with so much, of which more is not known. */
  coversPlain(cpuMillis: number, memoryBytes: number, endsAtMs: number): boolean {
    return (
      this.#stairs.covers(cpuMillis, memoryBytes) ||
      this.#timed?.covers(cpuMillis, memoryBytes, endsAtMs) === true
    );
  }

  add(demand: Demand, endsAtMs: number): void {
    const [cpuMillis, memoryBytes, pods] = demand.amounts;
    if (this.#isOfOneKind || (isCommon(demand) && pods === 1)) {
      if (endsAtMs === -Infinity) this.#stairs.add(cpuMillis!, memoryBytes!);
      else (this.#timed ??= new TimedFailures()).add(cpuMillis!, memoryBytes!, endsAtMs);
      return;
    }
    const kept = this.#others.filter(
      (old) => !(old.endsAtMs >= endsAtMs && isAtLeast(old.demand, demand)),
    );
    if (kept.length < FAILURES_MAX) kept.push({ demand, endsAtMs });
    this.#others = kept;
  }
}
