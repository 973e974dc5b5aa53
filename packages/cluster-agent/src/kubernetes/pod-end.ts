import type { AttemptOutcome } from '@majorana/core';
import type { EndedEvent } from '@majorana/protocol';
import { bareEnd } from '../engine/bare-end.ts';
import type { RunnerObjects } from '../runner/runner-end.ts';
import { parseRunnerEnd, runnerEndedEvent } from '../runner/runner-end.ts';
import { attemptOfMember } from './gang-member.ts';
import type { HeldPod } from './held-pod.ts';
import type { PodStanding, SilentEnd } from './pod-standing.ts';

const NOT_ITS_RUNNERS = 'its last word is not its runner’s: its program wrote over it';

export interface PodEndContext {
  readonly objects: RunnerObjects;
  readonly nowMs: number;
}

/** What the end of its pod means for an attempt: its runner's word first, then ours, then the cluster's. */
export async function readPodEnd(
  held: HeldPod,
  standing: PodStanding,
  { objects, nowMs }: PodEndContext,
): Promise<EndedEvent> {
  const { lease, isOrdered } = held;
  if (standing.kind === 'told') {
    const end = parseRunnerEnd(standing.message);
    const { cause, isOverScratch } = standing;
    const context = { lease, objects, isOrdered, isOverScratch, nowMs };
    if (end?.attemptId === attemptOfMember(lease.attemptId)) {
      const event = await runnerEndedEvent(end, {
        ...context,
        ...(cause !== undefined && { cause }),
      });
      return cause === undefined ? limited(event, held) : event;
    }
  }
  if (isOrdered)
    return silentEvent(held, { kind: 'cancelled', reason: 'cancelled by a user' }, nowMs);
  if (standing.kind === 'told')
    return silentEvent(held, { kind: 'exit_code', reason: NOT_ITS_RUNNERS }, nowMs);
  if (standing.kind !== 'silent') throw new Error(`${lease.attemptId} has not ended`);
  return silentEvent(held, outcomeOf(standing.end, held), nowMs);
}

/**
 * A TERM that nobody in the cluster stands for may be of its own program (`kill $PPID`), which sends
 * it in each attempt: such ends are counted as those of a node that breaks, or there is no last one.
 */
function limited(event: EndedEvent, { pod }: HeldPod): EndedEvent {
  const { kind, reason } = event.outcome;
  const faultyNode = pod?.spec.nodeName ?? '';
  if (kind === 'lost') return { ...event, outcome: { ...event.outcome, faultyNode } };
  if (kind !== 'reclaimed') return event;
  const told = `${reason}; the cluster does not say by whom, and its own program can be it`;
  return { ...event, outcome: { ...event.outcome, reason: told, faultyNode } };
}

/** Of a pod that the API server will never take. */
export const refusedEnd = (held: HeldPod, refusal: string, nowMs: number): EndedEvent =>
  silentEvent(held, { kind: 'start_error', reason: `could not start: ${refusal}` }, nowMs);

const outcomeOf = (
  { kind, exitCode, reason, fault }: SilentEnd,
  { pod }: HeldPod,
): AttemptOutcome => ({
  kind,
  reason,
  ...(exitCode !== undefined && { exitCode }),
  ...((fault === 'broke' || fault === 'mount') && { faultyNode: pod?.spec.nodeName ?? '' }),
});

function silentEvent({ lease, pod }: HeldPod, outcome: AttemptOutcome, nowMs: number): EndedEvent {
  const started = pod?.status?.startTime;
  const hasStarted = started !== undefined && outcome.kind !== 'start_error';
  return {
    ...bareEnd(lease.attemptId, outcome, nowMs),
    ...(hasStarted && { startedAtMs: Date.parse(started) }),
  };
}
