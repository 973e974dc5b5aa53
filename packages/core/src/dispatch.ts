import type { Taken } from './offered-room.ts';
import { OfferedRoom } from './offered-room.ts';
import type { Resources } from './resources.ts';
import {
  addResources,
  dominantShare,
  fits,
  NO_RESOURCES,
  subtractResources,
  timesResources,
} from './resources.ts';
import type { Prices, TaskDemand } from './task-cost.ts';
import { CostRanking, costOf } from './task-cost.ts';

/** A group of waiting tasks of one job with one shape: an array is planned as one thing. */
export interface WaitingGroup extends TaskDemand {
  readonly jobId: number;
  readonly queue: string;
  readonly priority: number;
  readonly submittedAtMs: number;
  /** Of a step of a run: how much of the run waits for it at least. */
  readonly remainingMs: number;
  /** When the first of them began to wait. */
  readonly waitingSinceMs: number;
  readonly resources: Resources;
  /** Only agents that offer room for this shape may take it; absent: only those that do not offer. */
  readonly shapeKey?: string | undefined;
  /** Shapes of one kind find room on the same nodes: what one takes is not there for the others. */
  readonly shapeKind?: string | undefined;
  /** Only this agent. */
  readonly agentId?: string | undefined;
  /** How many may be leased now: what waits, less what the job's parallel limit holds back. */
  readonly count: number;
  /** Leases beyond its room that an agent may hold for each one it has room for; 0: none. */
  readonly aheadPerSlot: number;
}

export interface FreeAgent extends Prices {
  readonly agentId: string;
  readonly capacity: Resources;
  readonly free: Resources;
  /** Leases this agent may still take in this round. */
  readonly slots: number;
  /** Of an agent that places tasks on nodes: for how many tasks of which shape it has room. */
  readonly offers?: ReadonlyMap<string, number>;
  /** What it was leased since, of which its offers do not know. */
  readonly taken?: readonly Taken[];
  /** Of one that takes leases: for how many more it has nodes, once what starts there has started. */
  readonly soon?: ReadonlyMap<string, number>;
  /** Shapes that it has been asked for too long ago: nobody waits for its offer any more. */
  readonly unanswered?: ReadonlySet<string>;
}

export interface QueueShare {
  readonly name: string;
  readonly weight: number;
  readonly held: Resources;
  /** How many more tasks the queue may hold; 0 when it is paused. */
  readonly slots: number;
}

export interface DispatchGrant {
  readonly jobId: number;
  readonly queue: string;
  readonly agentId: string;
  readonly resources: Resources;
  readonly count: number;
}

/** Why the rest of a group was not leased in a round. */
export type Refusal = 'no_agent' | 'no_room' | 'queue_limit' | 'cheaper_soon';

export interface DispatchPlan {
  readonly grants: readonly DispatchGrant[];
  /** What is left of each group. */
  readonly rest: readonly WaitingGroup[];
  readonly refusals: ReadonlyMap<number, Refusal>;
  /** When the first of those that wait for a cheaper agent will wait no longer; infinite: none does. */
  readonly patienceEndsMs: number;
}

/**
 * A task that small ones keep passing by gets an agent drained for it after this time. Five
 * minutes is the median run time of the grid trace that our users' work is closest to.
 */
export const RESERVE_AFTER_MS = 5 * 60_000;

/**
 * A task waits no longer for a cheaper agent that has nodes for it and starts others first. A
 * dispatch window in good health doubles every few seconds, from 32 to 2,000 within this time.
 */
export const CHEAPER_PATIENCE_MS = 30_000;

/**
 * Leases given to one queue before the shares are compared again, and the part of all there is that
 * they may be, beyond one: 16 tasks at once keep a round on large clusters cheap, and on 24 cores
 * they would be most of it.
 */
const GRANT_RUN_MAX = 16;
const GRANT_RUN_PART = 1 / 256;

export type PlaceInLine = Pick<
  WaitingGroup,
  'jobId' | 'priority' | 'submittedAtMs' | 'remainingMs'
>;

/** Higher priority first, then the earlier submission, then what a run's end waits for. */
export const compareGroups = (a: PlaceInLine, b: PlaceInLine): number =>
  b.priority - a.priority ||
  a.submittedAtMs - b.submittedAtMs ||
  b.remainingMs - a.remainingMs ||
  a.jobId - b.jobId;

interface OpenQueue {
  readonly weight: number;
  readonly groups: readonly WaitingGroup[];
  held: Resources;
  slots: number;
  next: number;
  /** How many of the next group are still open. */
  open: number;
}

interface OpenAgent extends Prices {
  readonly agentId: string;
  readonly capacity: Resources;
  readonly offers?: OfferedRoom;
  readonly soon?: Map<string, number>;
  readonly unanswered?: ReadonlySet<string>;
  free: Resources;
  slots: number;
}

const openAgent = ({ offers, taken = [], soon, ...agent }: FreeAgent): OpenAgent => ({
  ...agent,
  ...(offers && { offers: new OfferedRoom(offers, soon ?? new Map(), taken) }),
  ...(soon && { soon: new Map(soon) }),
});

/** Whether an agent runs such tasks at all, whatever room it has. */
const isFor = (agent: FreeAgent | OpenAgent, group: WaitingGroup): boolean =>
  (group.agentId === undefined || group.agentId === agent.agentId) &&
  (group.shapeKey === undefined) === (agent.offers === undefined);

const offeredBy = ({ offers }: OpenAgent, group: WaitingGroup): number =>
  group.shapeKey === undefined ? Infinity : (offers?.leftFor(group) ?? 0);

/** What it will take of a group, though not in this round. */
const takesSoon = (agent: OpenAgent, group: WaitingGroup): number =>
  agent.soon === undefined
    ? 0
    : (agent.soon.get(group.shapeKey!) ?? 0) +
      (agent.slots <= 0 ? Math.max(0, offeredBy(agent, group)) : 0);

/** Who answers first must not take what one may have room for where it costs less. */
const isAwaited = ({ offers, unanswered }: OpenAgent, shapeKey: string): boolean =>
  offers?.has(shapeKey) === false && unanswered?.has(shapeKey) !== true;

/** How many of a group are left to agents where they cost less: all, while one is being asked. */
function leftToCheaper(
  group: WaitingGroup,
  agent: OpenAgent,
  ranked: readonly OpenAgent[],
  nowMs: number,
): number {
  const { shapeKey } = group;
  if (shapeKey === undefined) return 0;
  const cost = costOf(group, agent);
  const isPatient = nowMs - group.waitingSinceMs < CHEAPER_PATIENCE_MS;
  let left = 0;
  for (const one of ranked) {
    if (costOf(group, one) >= cost) break;
    if (!isFor(one, group)) continue;
    if (isAwaited(one, shapeKey)) return Infinity;
    if (isPatient) left += takesSoon(one, group);
  }
  return left;
}

/** What is left of a group will take the room that comes first: it is not there for another. */
function takeSoon(group: WaitingGroup, count: number, ranked: readonly OpenAgent[]): void {
  const { shapeKey = '' } = group;
  let left = count;
  for (const agent of ranked) {
    if (!isFor(agent, group)) continue;
    const taken = Math.min(left, agent.soon?.get(shapeKey) ?? 0);
    if (taken > 0) agent.soon!.set(shapeKey, agent.soon!.get(shapeKey)! - taken);
    left -= taken;
  }
}

function openQueues(groups: readonly WaitingGroup[], shares: readonly QueueShare[]): OpenQueue[] {
  const byName = new Map<string, WaitingGroup[]>();
  for (const group of groups) {
    const list = byName.get(group.queue);
    if (list === undefined) byName.set(group.queue, [group]);
    else list.push(group);
  }
  return [...byName].map(([name, list]) => {
    const share = shares.find((one) => one.name === name);
    const sorted = list.toSorted(compareGroups);
    return {
      weight: share?.weight ?? 1,
      groups: sorted,
      held: share?.held ?? NO_RESOURCES,
      slots: share?.slots ?? Infinity,
      next: 0,
      open: sorted[0]!.count,
    };
  });
}

function runLength(group: WaitingGroup, agent: OpenAgent, most: number): number {
  const { resources } = group;
  if (!isFor(agent, group)) return 0;
  const limit = Math.min(most, agent.slots, offeredBy(agent, group), GRANT_RUN_MAX);
  // Free room may be more than all there is: that of leases ahead.
  if (limit <= 0 || !fits(resources, agent.capacity)) return 0;
  let count = 0;
  let { free } = agent;
  while (count < limit && fits(resources, free)) {
    free = subtractResources(free, resources);
    count += 1;
  }
  return count;
}

/**
 * The agent that comes nearest to having room is drained: it takes nothing that goes later. An
 * agent that offers keeps nodes for large tasks itself.
 */
function reserve(group: WaitingGroup, agents: readonly OpenAgent[]): void {
  const able = agents
    .filter((agent) => agent.offers === undefined && isFor(agent, group))
    .filter((agent) => agent.slots > 0 && fits(group.resources, agent.capacity))
    .toSorted((a, b) => b.free.cpuMillis - a.free.cpuMillis);
  if (able[0] !== undefined) able[0].slots = 0;
}

/** Of a group for which its queue has room. */
function refusalOf(group: WaitingGroup, ranked: readonly OpenAgent[], nowMs: number): Refusal {
  let refusal: Refusal = 'no_agent';
  for (const agent of ranked) {
    if (!isFor(agent, group)) continue;
    const mightTake = runLength(group, agent, 1) > 0;
    const left = mightTake ? leftToCheaper(group, agent, ranked, nowMs) : 0;
    if (left > 0 && left < Infinity) return 'cheaper_soon';
    refusal = 'no_room';
  }
  return refusal;
}

/** Of those where a task costs the same, the one with more room; nothing depends on who came first. */
const compareRoom = (a: FreeAgent, b: FreeAgent): number =>
  b.free.cpuMillis - a.free.cpuMillis || (a.agentId < b.agentId ? -1 : 1);

/**
 * Which jobs get how many leases on which agent, each within what the agent has free. The queue
 * with the smallest dominant share for its weight goes next; within a queue, priority and age
 * decide. A group goes where its tasks cost least, then where there is more room; an agent is not
 * given what takes place soon where it costs less. A group that does not fit is passed over, so a small job fills what a large one cannot
 * use, until the large one has waited so long that an agent is drained for it. Cost is
 * groups x agents + grants, never tasks.
 */
export function planDispatch(
  groups: readonly WaitingGroup[],
  given: readonly FreeAgent[],
  shares: readonly QueueShare[],
  nowMs: number,
): DispatchPlan {
  const grants: DispatchGrant[] = [];
  const refusals = new Map<number, Refusal>();
  let patienceEndsMs = Infinity;
  const agents = given.toSorted(compareRoom).map(openAgent);
  const ranking = new CostRanking(agents);
  const total = given.reduce((sum, agent) => addResources(sum, agent.capacity), NO_RESOURCES);
  let queues = openQueues(groups, shares);
  const rest: WaitingGroup[] = [];
  const advance = (queue: OpenQueue): void => {
    const group = queue.groups[queue.next]!;
    if (queue.open > 0)
      rest.push(queue.open === group.count ? group : { ...group, count: queue.open });
    queue.next += 1;
    queue.open = queue.groups[queue.next]?.count ?? 0;
  };
  const refuse = (queue: OpenQueue, group: WaitingGroup): void => {
    const ranked = ranking.of(group);
    const refusal = queue.slots <= 0 ? 'queue_limit' : refusalOf(group, ranked, nowMs);
    refusals.set(group.jobId, refusal);
    if (refusal === 'cheaper_soon')
      patienceEndsMs = Math.min(patienceEndsMs, group.waitingSinceMs + CHEAPER_PATIENCE_MS);
    if (queue.slots > 0) takeSoon(group, queue.open, ranked);
    if (queue.slots > 0 && nowMs - group.waitingSinceMs > RESERVE_AFTER_MS) reserve(group, agents);
    advance(queue);
  };
  const runMax = ({ resources }: WaitingGroup): number => {
    if (queues.length === 1) return GRANT_RUN_MAX;
    return Math.max(1, Math.floor(GRANT_RUN_PART / dominantShare(resources, total)));
  };
  const shareOf = (queue: OpenQueue): number => dominantShare(queue.held, total) / queue.weight;
  while (queues.length > 0) {
    const queue = queues.reduce((best, one) => (shareOf(one) < shareOf(best) ? one : best));
    const group = queue.groups[queue.next];
    if (group === undefined) {
      queues = queues.filter((one) => one !== queue);
      continue;
    }
    const most = Math.min(queue.open, queue.slots);
    const run = Math.min(most, runMax(group));
    let count = 0;
    const ranked = ranking.of(group);
    const agent = ranked.find((one) => {
      count = runLength(group, one, run);
      if (count > 0) count = Math.min(count, most - leftToCheaper(group, one, ranked, nowMs));
      return count > 0;
    });
    if (agent === undefined) {
      refuse(queue, group);
      continue;
    }
    const taken = timesResources(group.resources, count);
    const { jobId, resources } = group;
    grants.push({ jobId, queue: group.queue, agentId: agent.agentId, resources, count });
    agent.free = subtractResources(agent.free, taken);
    agent.slots -= count;
    agent.offers?.take(group, count);
    queue.held = addResources(queue.held, taken);
    queue.slots -= count;
    queue.open -= count;
    if (queue.open === 0) advance(queue);
  }
  return { grants, rest, refusals, patienceEndsMs };
}
