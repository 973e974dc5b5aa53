import type { Resources } from '../resources.ts';
import type { Demand } from './demand.ts';
import { COMMON, GPU, isCommonDemand, SCRATCH } from './demand.ts';

/**
 * What a task takes beyond cores and memory. Many take the same: it is held once, and where one
 * of a kind found no node, cores and memory alone tell whether another may.
 */
export class DemandKind {
  readonly number: number;
  readonly columns: readonly number[];
  /** Of all columns but cores and memory. */
  readonly rest: readonly number[];
  /** Kinds that ask for one thing more, by its column and amount. */
  readonly more = new Map<number, Map<number, DemandKind>>();

  constructor(number: number, columns: readonly number[], rest: readonly number[]) {
    this.number = number;
    this.columns = columns;
    this.rest = rest;
  }

  demand(cpuMillis: number, memoryBytes: number): Demand {
    return { columns: this.columns, amounts: [cpuMillis, memoryBytes, ...this.rest] };
  }
}

/** The kinds that a round has met, by number; 0 is one pod of cores and memory. */
export class DemandKinds {
  readonly #columnOf: (name: string) => number;
  readonly #byPods = new Map<number, DemandKind>();
  readonly #list: DemandKind[] = [];

  constructor(columnOf: (name: string) => number) {
    this.#columnOf = columnOf;
    this.#withPods(1);
  }

  at(number: number): DemandKind {
    return this.#list[number]!;
  }

  of(resources: Resources, podCount: number): DemandKind {
    let kind = podCount === 1 ? this.#list[0]! : this.#withPods(podCount);
    if (isCommonDemand(resources)) return kind;
    kind = this.#withMore(kind, SCRATCH, resources.scratchBytes);
    kind = this.#withMore(kind, GPU, resources.gpuCount);
    const { countable } = resources;
    for (const name in countable)
      kind = this.#withMore(kind, this.#columnOf(name), countable[name]!);
    return kind;
  }

  #withPods(podCount: number): DemandKind {
    const known = this.#byPods.get(podCount);
    if (known !== undefined) return known;
    const kind = this.#add(COMMON, [podCount]);
    this.#byPods.set(podCount, kind);
    return kind;
  }

  #withMore(kind: DemandKind, column: number, amount: number): DemandKind {
    if (amount <= 0) return kind;
    let byAmount = kind.more.get(column);
    if (byAmount === undefined) kind.more.set(column, (byAmount = new Map()));
    const known = byAmount.get(amount);
    if (known !== undefined) return known;
    const more = this.#add([...kind.columns, column], [...kind.rest, amount]);
    byAmount.set(amount, more);
    return more;
  }

  #add(columns: readonly number[], rest: readonly number[]): DemandKind {
    const kind = new DemandKind(this.#list.length, columns, rest);
    this.#list.push(kind);
    return kind;
  }
}
