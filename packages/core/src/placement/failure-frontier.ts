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
 * Within a round room only shrinks: what asks for at least as much as something that found no
 * node, on the same nodes and for at least as long, finds none either. Without this each of
 * 100,000 waiting tasks would search a full cluster.
 */
export class FailureFrontier {
  readonly #stairs = new Stairs();
  readonly #isOfOneKind: boolean;
  /** Of devices, of several pods, of gangs; or only for what ends later than something. */
  #others: readonly Failure[] = [];

  /** Of one kind: all it is told or asked of are alike but for cores, memory and time. */
  constructor(isOfOneKind = false) {
    this.#isOfOneKind = isOfOneKind;
  }

  covers(demand: Demand, endsAtMs: number): boolean {
    const { amounts } = demand;
    if ((amounts[2]! >= 1 || this.#isOfOneKind) && this.#stairs.covers(amounts[0]!, amounts[1]!))
      return true;
    for (const failure of this.#others)
      if (endsAtMs >= failure.endsAtMs && isAtLeast(demand, failure.demand)) return true;
    return false;
  }

  /** The same for any demand that begins with so much, of which more is not known. */
  coversPlain(cpuMillis: number, memoryBytes: number, endsAtMs: number): boolean {
    if (this.#stairs.covers(cpuMillis, memoryBytes)) return true;
    for (const { demand, endsAtMs: failedEndsAtMs } of this.#others) {
      const [cpu, memory, pods] = demand.amounts;
      if (demand.amounts.length > COMMON_COLUMNS || pods! > 1) continue;
      if (endsAtMs >= failedEndsAtMs && cpuMillis >= cpu! && memoryBytes >= memory!) return true;
    }
    return false;
  }

  add(demand: Demand, endsAtMs: number): void {
    const [cpuMillis, memoryBytes, pods] = demand.amounts;
    const isAlike = this.#isOfOneKind || (isCommon(demand) && pods === 1);
    if (isAlike && endsAtMs === -Infinity) {
      this.#stairs.add(cpuMillis!, memoryBytes!);
      return;
    }
    const kept = this.#others.filter(
      (old) => !(old.endsAtMs >= endsAtMs && isAtLeast(old.demand, demand)),
    );
    if (kept.length < FAILURES_MAX) kept.push({ demand, endsAtMs });
    this.#others = kept;
  }
}
