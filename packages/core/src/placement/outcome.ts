import type { Explanation } from './explain.ts';
import type { NodeIndex } from './node-index.ts';
import type { PlacementGroup } from './placement-group.ts';

export interface Assignment {
  readonly groupKey: string;
  readonly nodeName: string;
  /** Tasks; of a gang, ranks. */
  readonly count: number;
}

export interface LeftGroup {
  readonly group: PlacementGroup;
  /** How many tasks or gangs found no node. */
  readonly count: number;
  /** Of the first groups; `explainLeft` answers for any other. */
  readonly explanation: Explanation | undefined;
}

/**
 * What became of the groups, as numbers, until all are placed. The lists are in the order of
 * placement, but made in that of memory, as each group is touched.
 */
export class Outcome {
  readonly #groups: readonly PlacementGroup[];
  readonly #slots: number[] = [];
  readonly #counts: number[] = [];
  /** Where a group's assignments begin and end in these. */
  readonly #from: Uint32Array;
  readonly #end: Uint32Array;
  readonly #leftCounts: Float64Array;
  readonly #leftPlaces: Uint32Array;
  #leftLength = 0;

  constructor(groups: readonly PlacementGroup[]) {
    const { length } = groups;
    this.#groups = groups;
    this.#from = new Uint32Array(length);
    this.#end = new Uint32Array(length);
    this.#leftCounts = new Float64Array(length);
    this.#leftPlaces = new Uint32Array(length);
  }

  assign(slot: number, count: number): void {
    this.#slots.push(slot);
    this.#counts.push(count);
  }

  /** The group at this position has had its turn: what was assigned in it is its own. */
  close(at: number, begun: number, leftCount: number): void {
    this.#from[at] = begun;
    this.#end[at] = this.#slots.length;
    if (leftCount === 0) return;
    this.#leftCounts[at] = leftCount;
    this.#leftPlaces[at] = this.#leftLength;
    this.#leftLength += 1;
  }

  get assignmentCount(): number {
    return this.#slots.length;
  }

  /** The keys are those of the groups, which then need not be fetched again. */
  assignments(index: NodeIndex, keys: readonly string[]): Assignment[] {
    const list: Assignment[] = [];
    list.length = this.#slots.length;
    for (let at = 0; at < keys.length; at += 1)
      for (let one = this.#from[at]!; one < this.#end[at]!; one += 1)
        list[one] = {
          groupKey: keys[at]!,
          nodeName: index.nodeAt(this.#slots[one]!).name,
          count: this.#counts[one]!,
        };
    return list;
  }

  left(): LeftGroup[] {
    const list: LeftGroup[] = [];
    list.length = this.#leftLength;
    for (let at = 0; at < this.#groups.length; at += 1) {
      const count = this.#leftCounts[at]!;
      if (count === 0) continue;
      list[this.#leftPlaces[at]!] = { group: this.#groups[at]!, count, explanation: undefined };
    }
    return list;
  }
}
