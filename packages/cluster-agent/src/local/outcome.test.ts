import { DEFAULT_RESOURCES } from '@majorana/core';
import type { Lease } from '@majorana/protocol';
import { expect, test } from 'vitest';
import { parseExitRecord } from './exit-record.ts';
import { endedEvent, outcomeOf } from './outcome.ts';

const lease: Lease = {
  attemptId: 'job_1.0.1',
  jobName: 'test',
  argv: ['true'],
  env: {},
  inputs: [],
  outputs: [],
  resources: DEFAULT_RESOURCES,
  timeLimitMs: 1500,
  graceMs: 0,
  taskCount: 1,
};
const record = (...lines: string[]): ReturnType<typeof parseExitRecord> =>
  parseExitRecord([...lines, 'started_at_ms=5', 'ended_at_ms=9', ''].join('\n'));

test('a child killed for memory makes its program out-of-memory, unless it still succeeds', () => {
  const outOfMemory = 'out of memory: more than its 2.0 GiB memory';
  expect(outcomeOf(record('exit_code=9', 'oom=1'), lease)).toEqual({
    kind: 'out_of_memory',
    exitCode: 9,
    reason: outOfMemory,
  });
  expect(outcomeOf(record('signal=9', 'oom=1'), lease)).toMatchObject({
    kind: 'out_of_memory',
    signal: 9,
  });
  expect(outcomeOf(record('exit_code=0', 'oom=1'), lease).kind).toBe('succeeded');
});

test('who ended a program counts before how it ended', () => {
  expect(outcomeOf(record('exit_code=0', 'ended_by=cancel'), lease).kind).toBe('cancelled');
  expect(outcomeOf(record('signal=9', 'ended_by=time_limit', 'oom=1'), lease)).toMatchObject({
    kind: 'time_limit',
    reason: 'ended at its time limit of 1.5 s',
  });
});

test('a program that never started has no start', () => {
  const event = endedEvent(record('error=exec: = not found'), lease, []);
  expect(event.startedAtMs).toBeUndefined();
  expect(event.outcome.reason).toBe('could not start: exec: = not found');
  expect(endedEvent(record('exit_code=0'), lease, [])).toMatchObject({ startedAtMs: 5, atMs: 9 });
});
