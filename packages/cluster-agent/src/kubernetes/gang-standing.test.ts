import type { OutcomeKind } from '@majorana/core';
import type { EndedEvent } from '@majorana/protocol';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { AttemptStanding } from '../engine/ports.ts';
import type { GangState } from './gang-standing.ts';
import { CAUSE_WAIT_MS, findFallen, outcomeOfGang, standingOfGang } from './gang-standing.ts';

const NOW_MS = 1_000_000;
const STARTED_MS = 900_000;

const eventOf = (kind: OutcomeKind, reason: string): EndedEvent => ({
  kind: 'ended',
  attemptId: 'job_1.0.1',
  atMs: NOW_MS,
  startedAtMs: STARTED_MS,
  outcome: { kind, reason },
  peakMemoryBytes: 0,
  cpuTimeMs: 0,
  artifacts: [],
});

const ABSENT: AttemptStanding = { kind: 'absent' };
const ACCEPTED: AttemptStanding = { kind: 'accepted' };
const RUNNING: AttemptStanding = { kind: 'running', startedAtMs: STARTED_MS };
const EXITED: AttemptStanding = { kind: 'exited' };
const COLLECTED: AttemptStanding = { kind: 'collected', event: eventOf('exit_code', 'told') };
const GONE: AttemptStanding = { kind: 'gone', reason: 'its pod was deleted, and not by us' };

const FRESH: GangState = { nodes: 3, isFound: false, isOrdered: false };
const FALLEN: GangState = {
  ...FRESH,
  fallen: { nodeRank: 2, event: eventOf('out_of_memory', 'out of memory') },
};
const headEnded = (kind: OutcomeKind, edit: Partial<GangState> = {}): GangState => ({
  ...FRESH,
  head: { event: eventOf(kind, `the head: ${kind}`), seenAtMs: NOW_MS },
  ...edit,
});
const at = (gang: GangState, standings: readonly AttemptStanding[], afterMs = 0): AttemptStanding =>
  standingOfGang(gang, standings, NOW_MS + afterMs);

describe('a start is whole', () => {
  test('a gang runs when each of its pods does, and not before', () => {
    expect(at(FRESH, [RUNNING, RUNNING, RUNNING])).toEqual(RUNNING);
    expect(at(FRESH, [RUNNING, RUNNING, ACCEPTED])).toMatchObject(ACCEPTED);
    expect(at(FRESH, [ACCEPTED, RUNNING, RUNNING])).toEqual(ACCEPTED);
  });

  test('its program may have begun as soon as the head’s pod is made', () => {
    const made: AttemptStanding = { kind: 'accepted', mayBegin: true };
    expect(at(FRESH, [RUNNING, RUNNING, made])).toEqual(made);
    expect(at(FRESH, [made, ACCEPTED, ACCEPTED])).toEqual(made);
    expect(at(FRESH, [ACCEPTED, made, RUNNING])).toEqual(ACCEPTED);
  });

  test('a program that ended before the last pod was seen to run has ended', () => {
    expect(at(headEnded('succeeded'), [EXITED, ACCEPTED, RUNNING])).toEqual(EXITED);
  });

  test('a gang of a lease is made; one that was found and lacks a pod is lost, and says which', () => {
    expect(at(FRESH, [ABSENT, ABSENT, ABSENT])).toEqual(ABSENT);
    const found = { ...FRESH, isFound: true };
    expect(findFallen(found, [RUNNING, ABSENT])).toEqual({ nodeRank: 2, standing: ABSENT });
    expect(findFallen(FRESH, [RUNNING, ABSENT])).toBeUndefined();
    expect(at(found, [ABSENT, RUNNING, RUNNING])).toEqual({
      kind: 'gone',
      reason: 'node 0 of its 3: its pod was not made, or deleted',
    });
    expect(at(found, [RUNNING, RUNNING, RUNNING])).toEqual(RUNNING);
  });
});

describe('a worker that ends first', () => {
  test.each([EXITED, COLLECTED, GONE])('is found by its rank when it has %j', (standing) => {
    expect(findFallen(FRESH, [RUNNING, standing])).toEqual({ nodeRank: 2, standing });
    expect(findFallen(FRESH, [standing, standing])).toEqual({ nodeRank: 1, standing });
  });

  test('is the first for good, and none falls once a user has ended the gang', () => {
    expect(findFallen(FALLEN, [EXITED, EXITED])).toBeUndefined();
    expect(findFallen({ ...FRESH, isOrdered: true }, [EXITED, GONE])).toBeUndefined();
    expect(findFallen(FRESH, [RUNNING, ACCEPTED])).toBeUndefined();
  });

  test('has the head ended: with its grace when it may have begun, at once when it cannot', () => {
    const made: AttemptStanding = { kind: 'accepted', mayBegin: true };
    expect(at(FALLEN, [RUNNING, RUNNING, EXITED])).toEqual({ ...RUNNING, isBroken: true });
    expect(at(FALLEN, [made, RUNNING, EXITED])).toEqual({ ...made, isBroken: true });
    expect(at(FALLEN, [GONE, RUNNING, EXITED])).toEqual(EXITED);
    expect(at(FALLEN, [ACCEPTED, RUNNING, EXITED])).toEqual(EXITED);
    expect(at(FALLEN, [ABSENT, ABSENT, EXITED])).toEqual(EXITED);
  });

  test('gives the gang its own kind and reason, also where the head has none', () => {
    const outcome = { kind: 'out_of_memory', reason: 'node 2 of its 3: out of memory' };
    expect(outcomeOfGang(FALLEN, { kind: 'exit_code', exitCode: 255, reason: 'x' })).toEqual(
      outcome,
    );
    expect(outcomeOfGang(FALLEN, undefined)).toEqual(outcome);
  });

  test('changes nothing of a program that succeeded', () => {
    const success = { kind: 'succeeded', exitCode: 0, reason: 'exit code 0' } as const;
    expect(outcomeOfGang(FALLEN, success)).toEqual(success);
  });
});

describe('a head that fails', () => {
  test('waits for what may have made it fail, and then has ended by itself', () => {
    const gang = headEnded('exit_code');
    const stillRuns = { kind: 'running', startedAtMs: STARTED_MS };
    expect(at(gang, [EXITED, RUNNING, RUNNING])).toEqual(stillRuns);
    expect(at(gang, [COLLECTED, RUNNING, RUNNING], CAUSE_WAIT_MS - 1)).toEqual(stillRuns);
    expect(at(gang, [COLLECTED, RUNNING, RUNNING], CAUSE_WAIT_MS)).toEqual(EXITED);
    expect(outcomeOfGang(gang, gang.head!.event.outcome)).toMatchObject({ kind: 'exit_code' });
  });

  test('did not fail for a worker’s sake when it never started', () => {
    const { startedAtMs: _, ...event } = eventOf('start_error', 'no such image');
    const gang = { ...FRESH, head: { event, seenAtMs: NOW_MS } };
    expect(at(gang, [EXITED, ACCEPTED, ACCEPTED])).toEqual(EXITED);
  });

  test('waits no longer once that is known', () => {
    expect(at(headEnded('exit_code', FALLEN), [COLLECTED, RUNNING, EXITED])).toEqual(EXITED);
  });

  test('is not waited with when it succeeded, or a user ended it', () => {
    expect(at(headEnded('succeeded'), [EXITED, RUNNING, RUNNING])).toEqual(EXITED);
    const ordered = headEnded('cancelled', { isOrdered: true });
    expect(at(ordered, [EXITED, EXITED, RUNNING])).toEqual(EXITED);
  });

  test('whose end cannot be read yet is left to whoever collects it', () => {
    expect(at(FRESH, [EXITED, RUNNING, RUNNING])).toEqual(EXITED);
  });

  test('and whose node is gone has the gang gone with it, unless a worker fell before', () => {
    expect(at(FRESH, [GONE, RUNNING, RUNNING])).toEqual(GONE);
    expect(at(FALLEN, [GONE, RUNNING, EXITED])).toEqual(EXITED);
  });
});

const standing = fc.constantFrom(ABSENT, ACCEPTED, RUNNING, EXITED, COLLECTED, GONE);
const history = fc.array(fc.tuple(standing, standing, standing), { minLength: 1, maxLength: 12 });

test('whatever its pods do, a gang ends once, after the head or for one worker', () => {
  fc.assert(
    fc.property(history, fc.boolean(), fc.nat(11), (rounds, isFound, orderedAt) => {
      let gang: GangState = { ...FRESH, isFound };
      for (const [round, standings] of rounds.entries()) {
        const nowMs = NOW_MS + round * 1000;
        if (round === orderedAt) gang = { ...gang, isOrdered: true };
        const [head, ...workers] = standings;
        const fallen = findFallen(gang, workers);
        if (fallen !== undefined) {
          expect(gang.fallen).toBeUndefined();
          const event = eventOf('lost', `node ${fallen.nodeRank}`);
          gang = { ...gang, fallen: { nodeRank: fallen.nodeRank, event } };
        }
        const hasHeadEnded = head === EXITED || head === COLLECTED;
        if (hasHeadEnded && gang.head === undefined)
          gang = { ...gang, head: { event: eventOf('exit_code', 'head'), seenAtMs: nowMs } };
        const { kind } = standingOfGang(gang, standings, nowMs);
        if (kind === 'running' && !hasHeadEnded) expect(head).toBe(RUNNING);
        if (kind === 'accepted') expect(standings).not.toContain(ABSENT);
        if (kind !== 'exited') continue;
        expect(head).not.toBe(RUNNING);
        expect(hasHeadEnded || gang.fallen !== undefined).toBe(true);
        const reason = outcomeOfGang(gang, gang.head?.event.outcome)?.reason;
        expect(reason).toMatch(
          gang.fallen === undefined ? /^head$/ : /^node \d of its 3: node \d$/,
        );
        return;
      }
    }),
  );
});
