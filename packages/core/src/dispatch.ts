import type { Resources } from './resources.ts';
import { fits, subtractResources } from './resources.ts';

/** A group of waiting tasks of one job with one shape: an array is planned as one thing. */
export interface WaitingGroup {
  readonly jobId: number;
  readonly priority: number;
  readonly submittedAtMs: number;
  readonly resources: Resources;
  /** How many may be leased now: what waits, less what the job's parallel limit holds back. */
  readonly count: number;
}

export interface FreeAgent {
  readonly agentId: string;
  readonly free: Resources;
  /** Leases this agent may still take in this round. */
  readonly slots: number;
}

export interface DispatchGrant {
  readonly jobId: number;
  readonly agentId: string;
  readonly resources: Resources;
}

/** Higher priority first, then the earlier submission. */
export const orderGroups = (groups: readonly WaitingGroup[]): WaitingGroup[] =>
  groups.toSorted(
    (a, b) => b.priority - a.priority || a.submittedAtMs - b.submittedAtMs || a.jobId - b.jobId,
  );

/**
 * Which jobs get how many leases on which agent, each within what the agent has free. Cost is
 * groups x agents + grants, never tasks. A group that does not fit is passed over, so a small job
 * fills what a large one cannot use.
 */
export function planDispatch(
  groups: readonly WaitingGroup[],
  agents: readonly FreeAgent[],
): DispatchGrant[] {
  const grants: DispatchGrant[] = [];
  const rest = agents.map((agent) => ({ ...agent }));
  for (const group of orderGroups(groups)) {
    let open = group.count;
    for (const agent of rest) {
      while (open > 0 && agent.slots > 0 && fits(group.resources, agent.free)) {
        grants.push({ jobId: group.jobId, agentId: agent.agentId, resources: group.resources });
        agent.free = subtractResources(agent.free, group.resources);
        agent.slots -= 1;
        open -= 1;
      }
    }
  }
  return grants;
}
