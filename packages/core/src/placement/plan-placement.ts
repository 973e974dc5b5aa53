import type { Asked } from './asked.ts';
import { isAged, readAsked } from './asked.ts';
import { CPU, MEMORY } from './demand.ts';
import type { Explanation } from './explain.ts';
import { explainGroup } from './explain.ts';
import { NodeSearch } from './find-node.ts';
import { findGangNodes } from './gang.ts';
import type { NodeIndex } from './node-index.ts';
import { orderGroups } from './order.ts';
import type { Gang, PlacementGroup } from './placement-group.ts';
import { reserveNode } from './reserve.ts';
import type { PlacementRules, Request } from './round.ts';
import { Round } from './round.ts';

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

export interface PlacementPlan {
  readonly assignments: readonly Assignment[];
  readonly left: readonly LeftGroup[];
}

/** Each looks at every node, a quarter of a millisecond for 3,000: a round gives these, no more. */
const EXPLAINED_MAX = 16;

/** Places the tasks of a round one group after the other. */
class Planner {
  readonly round: Round;
  readonly assignments: Assignment[] = [];
  readonly #search: NodeSearch;
  readonly #counts: Int32Array;
  readonly #touched: number[] = [];

  constructor(index: NodeIndex, rules: PlacementRules) {
    this.round = new Round(index, rules);
    this.#search = new NodeSearch(this.round);
    this.#counts = new Int32Array(index.size);
  }

  /** How many of the group found no node. Most groups are plain, and told no without a search. */
  placeAt(group: PlacementGroup, asked: Asked, at: number): number {
    if (asked.isPlain[at] === 0) return this.#place(this.round.request(group));
    const { cpuMillis, memoryBytes, endsAtMs } = asked;
    const refused = this.round.plainFrontier;
    if (refused.coversPlain(cpuMillis[at]!, memoryBytes[at]!, endsAtMs[at]!)) return group.count;
    return this.#place(this.round.plainRequest(group, asked, at));
  }

  #place(request: Request): number {
    const { group } = request;
    const { gang } = group;
    const left = gang === undefined ? this.#placeTasks(request) : this.#placeGangs(request, gang);
    this.#flush(group);
    if (left > 0 && gang === undefined) this.#reserve(request);
    return left;
  }

  #placeTasks(request: Request): number {
    for (let left = request.group.count; left > 0; left -= 1) {
      const slot = this.#search.find(request);
      if (slot < 0) return left;
      this.#take(slot, request, 1);
    }
    return 0;
  }

  #placeGangs(request: Request, gang: Gang): number {
    for (let left = request.group.count; left > 0; left -= 1) {
      const rooms = findGangNodes(this.round, request, gang);
      if (rooms === undefined) return left;
      for (const { slot, count } of rooms) this.#take(slot, request, count);
    }
    return 0;
  }

  #take(slot: number, request: Request, count: number): void {
    this.round.take(slot, request, count);
    if (this.#counts[slot] === 0) this.#touched.push(slot);
    this.#counts[slot]! += count;
  }

  /** A group has one assignment for each node. */
  #flush({ key }: PlacementGroup): void {
    for (const slot of this.#touched) {
      const nodeName = this.round.index.nodeAt(slot).name;
      this.assignments.push({ groupKey: key, nodeName, count: this.#counts[slot]! });
      this.#counts[slot] = 0;
    }
    this.#touched.length = 0;
  }

  #reserve(request: Request): void {
    if (!isAged(request.group, this.round.rules.nowMs)) return;
    if (request.image !== undefined && request.image.pullsLeft <= 0) return;
    reserveNode(this.round, request);
  }
}

const largestOf = (index: NodeIndex, column: number): number =>
  index.slots.reduce((most, slot) => Math.max(most, index.allocatable[column]![slot]!), 1);

/**
 * Which node each waiting task goes to, within what nodes have free; the index is not changed.
 * The cost grows with tasks placed and groups that wait, not with groups times nodes: see
 * docs/decisions/0008-placement.md.
 */
export function planPlacement(
  index: NodeIndex,
  groups: readonly PlacementGroup[],
  rules: PlacementRules,
): PlacementPlan {
  const planner = new Planner(index, rules);
  const largest = { cpuMillis: largestOf(index, CPU), memoryBytes: largestOf(index, MEMORY) };
  const left: LeftGroup[] = [];
  const asked = readAsked(groups, rules.nowMs);
  for (const at of orderGroups(groups, asked, largest, rules.nowMs)) {
    const count = planner.placeAt(groups[at]!, asked, at);
    if (count > 0) left.push({ group: groups[at]!, count, explanation: undefined });
  }
  left
    .slice(0, EXPLAINED_MAX)
    .forEach(
      (one, at) => (left[at] = { ...one, explanation: explainGroup(planner.round, one.group) }),
    );
  return { assignments: planner.assignments, left };
}

/** Why a task of this group finds no node on the cluster as the index shows it. */
export const explainLeft = (
  index: NodeIndex,
  group: PlacementGroup,
  rules: PlacementRules,
): Explanation => explainGroup(new Round(index, rules), group);
