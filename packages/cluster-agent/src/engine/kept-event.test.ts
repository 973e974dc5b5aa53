import { DEFAULT_RESOURCES } from '@majorana/core';
import type { EndedEvent } from '@majorana/protocol';
import { agentSyncSchema, runnerEndSchema } from '@majorana/protocol';
import fc from 'fast-check';
import { Readable } from 'node:stream';
import { expect, test } from 'vitest';
import { parseRunnerEnd, runnerEndedEvent } from '../runner/runner-end.ts';
import { eventBytes, keptEvent } from './kept-event.ts';

const lease = {
  attemptId: 'job_1.0.1',
  jobName: '',
  argv: [],
  env: {},
  inputs: [],
  outputs: [],
  resources: DEFAULT_RESOURCES,
  timeLimitMs: 0,
  graceMs: 0,
  taskCount: 1,
};
const endOf = (text: string, stored = ''): Promise<EndedEvent> =>
  runnerEndedEvent(parseRunnerEnd(text)!, {
    lease,
    objects: { read: async () => Readable.from([Buffer.from(stored)]) },
    isOrdered: false,
    cause: 'Evicted: '.padEnd(500, 'x'),
    nowMs: 1,
  });
const isTaken = (event: EndedEvent): boolean =>
  agentSyncSchema.safeParse({
    agentId: 'a',
    capacity: DEFAULT_RESOURCES,
    heldAttemptIds: [],
    events: [event],
    waitMs: 0,
  }).success;

/** Text as a program would choose it that wants harm. */
const text = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 5000 }),
  fc.constantFrom(
    '\0',
    '字'.repeat(4096),
    'x'.repeat(4096),
    '\u001b[2J',
    '\ud800',
    '../../etc/passwd',
  ),
);
const amount = fc.oneof(fc.nat(), fc.constantFrom(-1, 1e300, Number.MAX_SAFE_INTEGER, 0.5));
const artifact = fc.record({
  role: fc.constantFrom('output', 'stdout', 'stderr', 'input'),
  path: text,
  object: fc.constantFrom('a'.repeat(64), '../token'),
  sizeBytes: amount,
});
const exit = fc.record(
  {
    exitCode: amount,
    signal: amount,
    error: text,
    endedBy: fc.constantFrom('cancel', 'term', 'time_limit', 'memory'),
    isOutOfMemory: fc.boolean(),
    peakMemoryBytes: amount,
    cpuTimeMs: amount,
    startedAtMs: amount,
    endedAtMs: amount,
    leftoverCount: amount,
  },
  { requiredKeys: ['isOutOfMemory', 'peakMemoryBytes', 'cpuTimeMs', 'startedAtMs', 'endedAtMs'] },
);
const word = fc.record(
  {
    version: fc.constant(1),
    kind: fc.constantFrom('ended', 'not_started', 'fenced'),
    attemptId: fc.constant('job_1.0.1'),
    reason: text,
    exit: exit.map((one) => ({ leftoverCount: 0, ...one })),
    unstored: text,
    artifacts: fc.array(artifact, { maxLength: 5 }),
  },
  { requiredKeys: ['version', 'kind', 'attemptId', 'reason', 'exit'] },
);

test('whatever a program writes for its runner’s last word, the end that is told is taken', async () => {
  let readCount = 0;
  await fc.assert(
    fc.asyncProperty(word, async (one) => {
      const said = JSON.stringify(one);
      if (parseRunnerEnd(said) === undefined) return;
      readCount += 1;
      expect(isTaken(keptEvent(await endOf(said)))).toBe(true);
    }),
    { numRuns: 1000 },
  );
  expect(readCount).toBeGreaterThan(50);
});

test('what is no last word of a runner is none, whatever it is', () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.json()), (said) => {
      const isOne = ((): boolean => {
        try {
          return runnerEndSchema.safeParse(JSON.parse(said)).success;
        } catch {
          return false;
        }
      })();
      expect(parseRunnerEnd(said) !== undefined).toBe(isOne);
    }),
  );
});

const ended = (
  paths: readonly string[],
  kind: 'succeeded' | 'exit_code' = 'succeeded',
): EndedEvent => ({
  kind: 'ended',
  attemptId: 'job_1.0.1',
  atMs: 1,
  outcome: { kind, reason: 'exit code 0' },
  peakMemoryBytes: 0,
  cpuTimeMs: 0,
  artifacts: paths.map((path) => ({ role: 'output', path, object: 'a'.repeat(64), sizeBytes: 1 })),
});

test('outputs that cannot be kept make no success, and the others are kept', () => {
  const event = keptEvent(ended(['good', 'a\0b', 'a\ud800', 'x'.repeat(3000)]));
  expect(event.artifacts.map(({ path }) => path)).toEqual(['good']);
  expect(event.outcome).toEqual({
    kind: 'exit_code',
    reason: '3 outputs have names that cannot be kept: too long, or no text; exit code 0',
  });
});

test('what a terminal would obey is not in a reason', () => {
  const event = ended([]);
  const outcome = { ...event.outcome, reason: 'a\u001b[2Jb\0c\nd' };
  expect(keptEvent({ ...event, outcome }).outcome.reason).toBe('a\uFFFD[2Jb\uFFFDc\nd');
});

test('a list of results that is too long is not read to its end', async () => {
  const said = {
    version: 1,
    kind: 'ended',
    attemptId: 'job_1.0.1',
    exit: {
      exitCode: 0,
      isOutOfMemory: false,
      peakMemoryBytes: 0,
      cpuTimeMs: 0,
      startedAtMs: 0,
      endedAtMs: 0,
      leftoverCount: 0,
    },
    manifest: { object: 'a'.repeat(64), sizeBytes: 10 },
  };
  let sentCount = 0;
  function* endless(): Generator<Buffer> {
    for (;;) {
      sentCount += 1;
      yield Buffer.alloc(1024 * 1024, ' ');
    }
  }
  const context = { lease, isOrdered: false, nowMs: 1 };
  const objects = { read: async () => Readable.from(endless()) };
  const end = parseRunnerEnd(JSON.stringify(said))!;
  await expect(runnerEndedEvent(end, { ...context, objects })).rejects.toThrow('too long');
  expect(sentCount).toBeLessThan(100);
});

test('an event weighs no less than its message', () => {
  fc.assert(
    fc.property(fc.array(fc.string({ unit: 'grapheme' }), { maxLength: 20 }), (paths) => {
      const event = ended(paths);
      expect(eventBytes(event)).toBeGreaterThanOrEqual(JSON.stringify(event).length);
    }),
  );
});
