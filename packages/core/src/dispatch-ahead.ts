import type { DispatchPlan, FreeAgent, QueueShare, WaitingGroup } from './dispatch.ts';
import { planDispatch } from './dispatch.ts';
import { addResources, subtractResources, timesResources } from './resources.ts';

/** Leases ahead that one slot may have: with 16 a task of 10 ms is no longer kept by its messages. */
export const AHEAD_PER_SLOT_MAX = 16;
/** What waits at an agent waits at most about so long. */
const AHEAD_MS = 200;
/** Up to this run time one lease ahead is taken: it saves the 10 ms between two tasks. */
const AHEAD_RUN_MS_MAX = 5000;

/** By the mean run time of a job's tasks; unknown is none. */
export function aheadPerSlot(meanRunMs: number | undefined): number {
  if (meanRunMs === undefined || meanRunMs > AHEAD_RUN_MS_MAX) return 0;
  return Math.min(AHEAD_PER_SLOT_MAX, Math.max(1, Math.floor(AHEAD_MS / Math.max(1, meanRunMs))));
}

/**
 * A second round beyond what agents have room for, so that a short task's successor is at the agent
 * when it ends. Only while nothing but short tasks waits: anything longer would stand behind them.
 * And only while more waits than runs, so that no task waits at one agent while another is idle;
 * with a single agent there is no other.
 */
export function planAhead(
  plan: DispatchPlan,
  agents: readonly FreeAgent[],
  shares: readonly QueueShare[],
  nowMs: number,
): DispatchPlan['grants'] {
  const closed = new Set(shares.filter((one) => one.slots <= 0).map((one) => one.name));
  const rest = plan.rest.filter(
    (group) => !closed.has(group.queue) && group.shapeKey === undefined,
  );
  const perSlot = Math.min(...rest.map((group) => group.aheadPerSlot));
  if (rest.length === 0 || perSlot === 0) return [];
  const beyond = agents.map((agent) => {
    const granted = plan.grants.filter((grant) => grant.agentId === agent.agentId);
    const free = granted.reduce(
      (left, grant) => subtractResources(left, timesResources(grant.resources, grant.count)),
      addResources(agent.free, timesResources(agent.capacity, perSlot)),
    );
    const count = granted.reduce((sum, grant) => sum + grant.count, 0);
    return { ...agent, free, slots: agent.slots - count };
  });
  return planDispatch(rest, beyond, sharesAfter(plan, shares), nowMs).grants;
}

function sharesAfter(plan: DispatchPlan, shares: readonly QueueShare[]): QueueShare[] {
  return shares.map((share) => {
    const granted = plan.grants.filter((grant) => grant.queue === share.name);
    return granted.reduce(
      (left, { resources, count }) => ({
        ...left,
        held: addResources(left.held, timesResources(resources, count)),
        slots: left.slots - count,
      }),
      share,
    );
  });
}

/** More waits than runs, or there is but one agent. */
export const isAheadFair = (
  rest: readonly WaitingGroup[],
  heldCount: number,
  agentCount: number,
): boolean => agentCount === 1 || rest.reduce((sum, group) => sum + group.count, 0) > heldCount;
