import type { TaskState } from '@majorana/core';
import { ZERO_COUNTS } from '@majorana/core';
import { storedJobSpecSchema } from '@majorana/protocol';
import type { JobRecord, TaskRecord, TransitionRecord } from '@majorana/store';
import { expect, test } from 'vitest';
import { checkJob, checkRetryCount, checkTask, followTransitions } from './invariants.ts';

const job: JobRecord = {
  jobId: 1,
  spec: storedJobSpecSchema.parse({
    argv: ['x'],
    array: { kind: 'range', ranges: [{ from: 0, to: 2, step: 1 }] },
    retry: { limit: 1 },
  }),
  taskCount: 3,
  rowCount: 1,
  nextPosition: 1,
  untouchedState: 'queued',
  counts: { ...ZERO_COUNTS, queued: 2, running: 1 },
  submittedAtMs: 0,
  untouchedSinceMs: 0,
  outputBytes: 0,
  endedAtMs: null,
};
const task: TaskRecord = {
  jobId: 1,
  position: 0,
  state: 'running',
  attemptNumber: 2,
  retryCount: 1,
  memoryBytes: job.spec.resources.memoryBytes,
  notBeforeMs: 0,
  sinceMs: 0,
  agentId: 'a',
  reason: '',
  exitCode: null,
  isCancelling: false,
};
const step = (
  sequence: number,
  fromState: TaskState,
  toState: TaskState,
  attemptNumber: number,
): TransitionRecord => ({
  sequence,
  jobId: 1,
  position: 0,
  atMs: 0,
  fromState,
  toState,
  attemptNumber,
  reason: '',
});

test('a sound task and a sound job pass', () => {
  expect(checkTask(job, task, [2])).toBeUndefined();
  expect(checkJob(job, { ...ZERO_COUNTS, running: 1 })).toBeUndefined();
});

test.each([
  ['a held task without an open attempt', task, [], 'invariant 1'],
  ['a held task with an earlier attempt open', task, [1, 2], 'invariant 1'],
  ['a queued task with an open attempt', { ...task, state: 'queued' as const }, [2], 'invariant 2'],
  ['more retries than attempts', { ...task, attemptNumber: 0, retryCount: 1 }, [0], 'invariant 5'],
  ['more retries than allowed', { ...task, attemptNumber: 3, retryCount: 2 }, [3], 'retries of 1'],
  ['a task held by nobody', { ...task, agentId: null }, [2], 'no agent'],
])('%s is found', (_name, record, open, wrong) => {
  expect(checkTask(job, record, open)).toContain(wrong);
});

test('a chain of transitions is followed to where it ends', () => {
  const chain = [
    step(1, 'queued', 'leased', 1),
    step(2, 'leased', 'running', 1),
    step(3, 'running', 'queued', 1),
    step(4, 'queued', 'leased', 2),
  ];
  expect(followTransitions({ state: 'queued', attemptNumber: 0 }, chain, false)).toEqual({
    after: { state: 'leased', attemptNumber: 2 },
  });
});

test.each([
  ['a gap', [step(1, 'running', 'succeeded', 0)], 'begins in running'],
  ['an illegal step', [step(1, 'queued', 'running', 0)], 'not legal'],
  ['an attempt skipped', [step(1, 'queued', 'leased', 2)], 'invariant 3'],
  ['an attempt used again', [step(1, 'queued', 'leased', 0)], 'invariant 3'],
])('%s in a chain is found', (_name, chain, wrong) => {
  const { wrong: found } = followTransitions({ state: 'queued', attemptNumber: 0 }, chain, false);
  expect(found).toContain(wrong);
});

test('an end is left only where a user asked for a retry', () => {
  const chain = [step(1, 'failed', 'queued', 1)];
  const before = { state: 'failed', attemptNumber: 1 } as const;
  expect(followTransitions(before, chain, false).wrong).toContain('invariant 4');
  expect(followTransitions(before, chain, true).wrong).toBeUndefined();
});

test('a requeue that is counted as a retry is found', () => {
  const before = { ...task, retryCount: 0 };
  const lost = { outcome: 'lost' } as const;
  const failed = { outcome: 'exit_code' } as const;
  const attempt = { jobId: 1, position: 0, attemptNumber: 1, agentId: 'a' };
  const full = {
    ...attempt,
    queuedAtMs: 0,
    leasedAtMs: 0,
    waitedFor: '',
    startedAtMs: 0,
    endedAtMs: 0,
    exitCode: null,
    signal: null,
    reason: '',
    peakMemoryBytes: 0,
    cpuTimeMs: 0,
  };
  expect(checkRetryCount(before, task, [{ ...full, ...lost }], false)).toContain('invariant 5');
  expect(checkRetryCount(before, task, [{ ...full, ...failed }], false)).toBeUndefined();
});

test.each([
  ['counts that tasks do not bear out', { counts: { ...ZERO_COUNTS, queued: 3 } }, 'counts say'],
  ['a rowCount that rows do not bear out', { rowCount: 2 }, 'rowCount'],
  ['an end before that of its tasks', { endedAtMs: 5 }, 'ended'],
])('%s are found', (_name, edit, wrong) => {
  expect(checkJob({ ...job, ...edit }, { ...ZERO_COUNTS, running: 1 })).toContain(wrong);
});
