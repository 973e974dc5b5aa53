import { Asked } from './asked.ts';
import { CPU, MEMORY, timesDemand } from './demand.ts';
import type { Explanation } from './explain.ts';
import { explainGroup } from './explain.ts';
import { NodeSearch } from './find-node.ts';
import type { Room } from './gang.ts';
import { GangSearch } from './gang.ts';
import type { NodeIndex } from './node-index.ts';
import { orderGroups } from './order.ts';
import type { Assignment, LeftGroup } from './outcome.ts';
import { Outcome } from './outcome.ts';
import type { Gang, PlacementGroup } from './placement-group.ts';
import { Reservations } from './reserve.ts';
import type { PlacementRules, Request } from './round.ts';
import { Round } from './round.ts';

export interface PlacementPlan {
  readonly assignments: readonly Assignment[];
  readonly left: readonly LeftGroup[];
}

/** Each looks at every node, a quarter of a millisecond for 3,000: a round gives these, no more. */
const EXPLAINED_MAX = 16;

/** Places the tasks of a round one group after the other. */
class Planner {
  readonly round: Round;
  readonly #outcome: Outcome;
  readonly #search: NodeSearch;
  readonly #gangSearch: GangSearch;
  readonly #reservations: Reservations;
  readonly #counts: Int32Array;
  readonly #touched: number[] = [];

  constructor(round: Round, outcome: Outcome) {
    this.round = round;
    this.#outcome = outcome;
    this.#search = new NodeSearch(round);
    this.#gangSearch = new GangSearch(round);
    this.#reservations = new Reservations(round);
    this.#counts = new Int32Array(round.index.size);
  }

  /** How many of the group found no node. Most are told no without being looked at. */
  placeAt(asked: Asked, place: number): number {
    const { round } = this;
    const count = asked.countAt(place);
    const refusing = asked.isPlainAt(place) ? round.plain : round.everywhere;
    const [cpuMillis, memoryBytes] = [asked.cpuMillisAt(place), asked.memoryBytesAt(place)];
    const mayKeep = asked.isAgedAt(place) && this.#reservations.mayTry;
    if (!mayKeep && refusing.isPlainRefused(cpuMillis, memoryBytes, asked.endsAtMsAt(place)))
      return count;
    if (!mayKeep && !round.mayFitAt(asked, place)) return count;
    const request = round.requestAt(asked, place);
    const { gang } = request;
    const left =
      gang === undefined
        ? this.#placeTasks(request, count)
        : this.#placeGangs(request, gang, count);
    this.#flush();
    if (left > 0 && gang === undefined && mayKeep) this.#reservations.reserve(request);
    return left;
  }

  #placeTasks(request: Request, count: number): number {
    for (let left = count; left > 0; left -= 1) {
      const slot = this.#search.find(request);
      if (slot < 0) return left;
      this.#take(slot, request, 1);
    }
    return 0;
  }

  #placeGangs(request: Request, gang: Gang, gangCount: number): number {
    for (let left = gangCount; left > 0; left -= 1) {
      const rooms = this.#findGang(request, gang);
      if (rooms === undefined) return left;
      const [last, ...full] = rooms.toReversed();
      for (const { slot, count } of full) this.#take(slot, request, count);
      this.#take(this.#tightest(request, gang, last!), request, last!.count);
    }
    return 0;
  }

  /** The ranks that fill no node go as one task would: not where the next gang has room. */
  #tightest(request: Request, { ranksPerNodeMax, topologyKey }: Gang, last: Room): number {
    if (ranksPerNodeMax !== undefined || topologyKey !== undefined) return last.slot;
    const slot = this.#search.find({ ...request, demand: timesDemand(request.demand, last.count) });
    return slot < 0 ? last.slot : slot;
  }

  /** All ranks on one node, as one large task, if any node has the room; else on several. */
  #findGang(request: Request, gang: Gang): readonly Room[] | undefined {
    const { size, ranksPerNodeMax = size, topologyKey } = gang;
    if (topologyKey !== undefined || ranksPerNodeMax < size)
      return this.#gangSearch.find(request, gang);
    const slot = this.#search.find({ ...request, demand: timesDemand(request.demand, size) });
    return slot < 0 ? this.#gangSearch.find(request, gang) : [{ slot, count: size }];
  }

  #take(slot: number, request: Request, count: number): void {
    this.round.take(slot, request, count);
    if (this.#counts[slot] === 0) this.#touched.push(slot);
    this.#counts[slot]! += count;
  }

  /** A group has one assignment for each node. */
  #flush(): void {
    for (const slot of this.#touched) {
      this.#outcome.assign(slot, this.#counts[slot]!);
      this.#counts[slot] = 0;
    }
    // Most groups touch one node or none: to cut a list that is short costs more than all of this.
    while (this.#touched.length > 0) this.#touched.pop();
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
  const round = new Round(index, rules);
  const largest = { cpuMillis: largestOf(index, CPU), memoryBytes: largestOf(index, MEMORY) };
  const asked = new Asked(round, groups);
  const order = orderGroups(asked, largest);
  asked.arrange(order);
  const outcome = new Outcome(groups);
  const planner = new Planner(round, outcome);
  for (let place = 0; place < order.length; place += 1) {
    const begun = outcome.assignmentCount;
    const leftCount = planner.placeAt(asked, place);
    outcome.close(order[place]!, begun, leftCount);
  }
  const left = outcome.left();
  for (let at = 0; at < Math.min(EXPLAINED_MAX, left.length); at += 1)
    left[at] = { ...left[at]!, explanation: explainGroup(round, left[at]!.group) };
  return { assignments: outcome.assignments(index, asked.keys), left };
}

/** Answers why a task finds no node on the cluster as the index shows it now, for one or for many. */
export function explainer(
  index: NodeIndex,
  rules: PlacementRules,
): (group: PlacementGroup) => Explanation {
  let round: Round | undefined;
  return (group) => explainGroup((round ??= new Round(index, rules)), group);
}

/** The same for a single group. */
export const explainLeft = (
  index: NodeIndex,
  group: PlacementGroup,
  rules: PlacementRules,
): Explanation => explainer(index, rules)(group);
