import { isHeld, roughly } from '@majorana/core';
import { LEASE_TTL_MS_MIN, SESSION_TTL_MS } from '@majorana/protocol';
import type { TaskRecord } from '@majorana/store';
import type { AgentState } from './agent-state.ts';
import { heldTasksOf, isToDrain, takesLeases } from './clusters.ts';
import type { EngineState } from './state.ts';

/**
 * What follows from an agent that is not heard: it is given nothing new within seconds, and what it
 * has is kept for it as long as its lease time, in which its pods go on and their ends are told
 * later. The silence of one that has not spoken to this engine is counted from the engine's start.
 */

/** Two long polls of a machine's agent; a cluster's has stopped beginning and ending pods by then. */
const SILENT_AFTER_MS = SESSION_TTL_MS;

const heardAtMs = (state: EngineState, agentId: string): number =>
  state.agents.get(agentId)?.lastSeenMs ?? state.loadedAtMs;

export const isSilent = (state: EngineState, agentId: string, nowMs: number): boolean =>
  nowMs - heardAtMs(state, agentId) > SILENT_AFTER_MS;

/** Those that are heard and may be given more: what there is to share. */
export const openAgents = (state: EngineState, nowMs: number): AgentState[] =>
  [...state.agents.values()].filter(
    ({ agentId }) => !isSilent(state, agentId, nowMs) && takesLeases(state, agentId),
  );

/** A machine that is gone takes its tasks with it, and its agent is started anew within seconds. */
const leaseTtlMsOf = (state: EngineState, agentId: string): number =>
  state.clusters.get(agentId)?.leaseTtlMs ?? LEASE_TTL_MS_MIN;

/** Nothing is leased to it any more, and nobody waits for it. */
export const isGone = (state: EngineState, agentId: string, nowMs: number): boolean =>
  nowMs - heardAtMs(state, agentId) > leaseTtlMsOf(state, agentId);

/**
 * Until when a held task is kept for its agent, if that stays silent. A lease that it has not
 * confirmed has likely never reached it, and what a user cancelled or a drain takes back nobody
 * waits for.
 */
export function leaseEndsAtMs(state: EngineState, task: TaskRecord, nowMs: number): number {
  const agentId = task.agentId ?? '';
  const isKept = task.state !== 'leased' && !task.isCancelling && !isToDrain(state, task, nowMs);
  return heardAtMs(state, agentId) + (isKept ? leaseTtlMsOf(state, agentId) : LEASE_TTL_MS_MIN);
}

/** The tasks whose agents have been silent for longer than they are kept. */
export const forsakenTasks = (state: EngineState, nowMs: number): TaskRecord[] =>
  [...state.tasks.values()].filter(
    (task) =>
      isHeld(task.state) &&
      task.agentId !== null &&
      isSilent(state, task.agentId, nowMs) &&
      nowMs > leaseEndsAtMs(state, task, nowMs),
  );

/** "silent for 12 min" */
export function silenceWords(state: EngineState, agentId: string, nowMs: number): string {
  const time = roughly(nowMs - heardAtMs(state, agentId));
  return state.agents.has(agentId)
    ? `silent for ${time}`
    : `silent since this control plane started, ${time} ago`;
}

export const keptWords = (endsAtMs: number, nowMs: number): string =>
  endsAtMs > nowMs ? `kept for ${roughly(endsAtMs - nowMs)} more` : 'over';

export interface Silence {
  /** "silent for 12 min; its leases are kept for 78 min more" */
  readonly sentence: string;
  /** Until when the last of what it holds is kept for it; null: it holds nothing. */
  readonly leasesEndAtMs: number | null;
}

/** Undefined: the agent is heard. */
export function silenceOf(state: EngineState, agentId: string, nowMs: number): Silence | undefined {
  if (!isSilent(state, agentId, nowMs)) return undefined;
  const ends = heldTasksOf(state, agentId).map((task) => leaseEndsAtMs(state, task, nowMs));
  const words = silenceWords(state, agentId, nowMs);
  if (ends.length === 0) return { sentence: words, leasesEndAtMs: null };
  const leasesEndAtMs = ends.reduce((latest, end) => Math.max(latest, end));
  const kept = keptWords(leasesEndAtMs, nowMs);
  return { sentence: `${words}; its leases are ${kept}`, leasesEndAtMs };
}
