import type { AttemptOutcome } from '@majorana/core';
import type { EndedEvent } from '@majorana/protocol';
import type { AttemptStanding } from '../engine/ports.ts';

/**
 * How long a head's failure waits for that of a worker: what killed the worker made the head fail,
 * and the kubelet may tell of the head first. It tells of an end within 2 s.
 */
export const CAUSE_WAIT_MS = 4000;

/** What is known of one gang beside where its pods stand. */
export interface GangState {
  readonly nodes: number;
  /** Found in the cluster: what is missing of it was not made, or is gone. */
  readonly isFound: boolean;
  /** A user has ended it: whatever falls from then on is no reason. */
  readonly isOrdered: boolean;
  /** The first worker that ended before the head, and how. */
  readonly fallen?: Fallen | undefined;
  readonly head?: HeadEnd | undefined;
}

export interface Fallen {
  readonly nodeRank: number;
  readonly event: EndedEvent;
}

export interface HeadEnd {
  readonly event: EndedEvent;
  readonly seenAtMs: number;
}

const isOver = ({ kind }: AttemptStanding): boolean => kind === 'exited' || kind === 'collected';

/** The worker whose end the gang's will be, of those that have ended; the head has not been seen to. */
export function findFallen(
  { isOrdered, fallen, isFound }: GangState,
  workers: readonly AttemptStanding[],
): { readonly nodeRank: number; readonly standing: AttemptStanding } | undefined {
  if (isOrdered || fallen !== undefined) return undefined;
  const at = workers.findIndex(
    (standing) =>
      isOver(standing) || standing.kind === 'gone' || (isFound && standing.kind === 'absent'),
  );
  return at < 0 ? undefined : { nodeRank: at + 1, standing: workers[at]! };
}

/** Whether a worker's end may still be told that explains the head's. */
export const waitsForCause = ({ head, isOrdered, fallen }: GangState, nowMs: number): boolean =>
  // One that never started did not fail for a worker's sake.
  head?.event.startedAtMs !== undefined &&
  head.event.outcome.kind !== 'succeeded' &&
  !isOrdered &&
  fallen === undefined &&
  nowMs - head.seenAtMs < CAUSE_WAIT_MS;

/** Where a gang stands, of where its pods do, the head first. */
export function standingOfGang(
  gang: GangState,
  [head, ...workers]: readonly AttemptStanding[],
  nowMs: number,
): AttemptStanding {
  if (isOver(head!)) {
    if (!waitsForCause(gang, nowMs)) return { kind: 'exited' };
    return { kind: 'running', startedAtMs: gang.head!.event.startedAtMs! };
  }
  const mayBegin =
    head!.kind === 'running' || (head!.kind === 'accepted' && head!.mayBegin === true);
  if (gang.fallen !== undefined)
    return mayBegin ? { ...head!, isBroken: true } : { kind: 'exited' };
  if (head!.kind === 'gone') return head!;
  const all = [head!, ...workers];
  if (all.some(({ kind }) => kind === 'absent'))
    return gang.isFound ? { kind: 'gone', reason: reasonOf(0, gang, NO_POD) } : { kind: 'absent' };
  if (all.every(({ kind }) => kind === 'running')) return head!;
  // Its runners meet by themselves: the program may run before the last pod is seen to.
  return { kind: 'accepted', ...(mayBegin && { mayBegin }) };
}

/** Of a pod that is missing in a gang that was found. */
export const NO_POD = 'its pod was not made, or deleted';

const reasonOf = (nodeRank: number, { nodes }: GangState, reason: string): string =>
  `node ${nodeRank} of its ${nodes}: ${reason}`;

/** A worker that fell is the reason of whatever the head then did, but of its success. */
export function outcomeOfGang(
  gang: GangState,
  head: AttemptOutcome | undefined,
): AttemptOutcome | undefined {
  const { fallen } = gang;
  if (fallen === undefined || head?.kind === 'succeeded') return head;
  const { outcome } = fallen.event;
  return { ...outcome, reason: reasonOf(fallen.nodeRank, gang, outcome.reason) };
}
