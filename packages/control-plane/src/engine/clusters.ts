import type { AttemptOutcome } from '@majorana/core';
import { isHeld } from '@majorana/core';
import type { AgentSync, ClusterState } from '@majorana/protocol';
import { LEASE_TTL_MS_DEFAULT, SESSION_TTL_MS } from '@majorana/protocol';
import type { ClusterRecord, TaskRecord } from '@majorana/store';
import type { AgentState } from './agent-state.ts';
import type { EngineState } from './state.ts';

/** What is decided of clusters: which of two agents acts, who is given leases, what a drain ends. */

type Session = NonNullable<AgentSync['session']>;

export const newCluster = (name: string, nowMs: number): ClusterRecord => ({
  name,
  state: 'active',
  sinceMs: nowMs,
  endsAtMs: null,
  sessionId: null,
  leaseTtlMs: LEASE_TTL_MS_DEFAULT,
  dataPricePerGb: 0,
});

/**
 * Whether an agent acts for its cluster; one of another session may once the one that does has been
 * silent for as long as it takes to know of itself that it no longer does. This engine cannot know
 * who spoke before it was loaded.
 */
export function claimSession(
  state: EngineState,
  name: string,
  session: Session,
  nowMs: number,
): 'acts' | 'standby' {
  const cluster = state.clusters.get(name) ?? newCluster(name, nowMs);
  if (cluster.state === 'removed') return 'standby';
  const holder = cluster.sessionId;
  const seenMs = state.sessionSeenMs.get(name) ?? state.loadedAtMs;
  const isOver = nowMs - seenMs > SESSION_TTL_MS;
  if (holder !== null && holder !== session.id && !isOver) return 'standby';
  if (session.phase === 'release') {
    if (holder === session.id) state.putCluster({ ...cluster, sessionId: null });
    return 'standby';
  }
  // It acts on what it saw before another did: it has to claim anew, and look anew.
  if (session.phase === 'act' && holder !== session.id) return 'standby';
  state.sessionSeenMs.set(name, nowMs);
  if (holder !== session.id) state.putCluster({ ...cluster, sessionId: session.id });
  return 'acts';
}

export const takesLeases = (state: EngineState, agentId: string): boolean =>
  (state.clusters.get(agentId)?.state ?? 'active') === 'active';

/** Sets what the administrator wants; `graceMs`: of a drain. */
export function setClusterState(
  state: EngineState,
  cluster: ClusterRecord,
  to: ClusterState,
  time: { readonly nowMs: number; readonly graceMs?: number },
): void {
  const { nowMs, graceMs = 0 } = time;
  const isSame = cluster.state === to && to !== 'draining';
  if (isSame) return;
  state.putCluster({
    ...cluster,
    state: to,
    sinceMs: cluster.state === to ? cluster.sinceMs : nowMs,
    endsAtMs: to === 'draining' ? nowMs + graceMs : null,
    sessionId: to === 'removed' ? null : cluster.sessionId,
  });
  state.agentsToWake.add(cluster.name);
}

export const heldTasksOf = (state: EngineState, agentId: string): TaskRecord[] =>
  [...state.tasks.values()].filter((task) => task.agentId === agentId && isHeld(task.state));

/** Whether a draining cluster has to give a held task back now: what does not run yet, at once. */
export function isToDrain(state: EngineState, task: TaskRecord, nowMs: number): boolean {
  const cluster = state.clusters.get(task.agentId ?? '');
  if (cluster?.state !== 'draining') return false;
  return task.state !== 'running' || nowMs >= (cluster.endsAtMs ?? 0);
}

/** Keys of what an agent has to give back now. Asked in each exchange, so it costs nothing else. */
export function tasksToDrain(state: EngineState, agent: AgentState, nowMs: number): string[] {
  if (state.clusters.get(agent.agentId)?.state !== 'draining') return [];
  return [...agent.leased].filter((key) => isToDrain(state, state.tasks.get(key)!, nowMs));
}

/** How an attempt ended that its agent was told to end by a drain; it is not counted against it. */
export function endedByDrain(state: EngineState, task: TaskRecord): AttemptOutcome | undefined {
  if (task.agentId === null || state.clusters.get(task.agentId)?.state !== 'draining')
    return undefined;
  return { kind: 'preempted', reason: `cluster ${task.agentId} is being drained` };
}

/** A drain whose grace is over has something new to say to its agent. */
export function wakeDrained(state: EngineState, nowMs: number): void {
  for (const { name, state: is, endsAtMs } of state.clusters.values()) {
    const agent = state.agents.get(name);
    if (
      is === 'draining' &&
      nowMs >= (endsAtMs ?? 0) &&
      agent !== undefined &&
      agent.leased.size > 0
    )
      state.agentsToWake.add(name);
  }
}
