import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  addResources,
  countIndexes,
  decideRetry,
  DEFAULT_RESOURCES,
  DEFAULT_RETRY,
  fillPlaceholders,
  findShortages,
  findUnknownPlaceholders,
  indexAt,
  isTerminal,
  nextNodeFaults,
  parseArray,
  positionOf,
  subtractResources,
  TASK_STATES,
  transition,
} from './index.ts';
import type { RetryDecision, TaskEvent } from './index.ts';

const outcome = { kind: 'exit_code', exitCode: 3, reason: 'exit code 3' } as const;

test('a million-element range is three numbers', () => {
  const parsed = parseArray('0-999999');
  expect(parsed).toEqual({
    ok: true,
    ranges: [{ from: 0, to: 999_999, step: 1 }],
    parallelMax: undefined,
  });
});

test('%K limits how many tasks run at once', () => {
  expect(parseArray('1,3,10-20:4%8')).toMatchObject({
    parallelMax: 8,
    ranges: [
      { from: 1, to: 1 },
      { from: 3, to: 3 },
      { from: 10, to: 18, step: 4 },
    ],
  });
});

test.each([
  ['5-2', 0, 'ends'],
  ['1,x', 2, 'not a number'],
  ['0-9,5', 4, 'ascend'],
  ['0-9:0', 0, 'step'],
  ['0-1000000', 0, '1000001 tasks'],
  ['0-9%', 3, '%'],
])('%s is refused at position %i, saying "%s"', (text, position, why) => {
  expect(parseArray(text)).toMatchObject({
    ok: false,
    position,
    why: expect.stringContaining(why),
  });
});

test('position and index of an array are each other’s inverse', () => {
  const part = fc.record({
    gap: fc.integer({ min: 1, max: 50 }),
    count: fc.integer({ min: 1, max: 40 }),
    step: fc.integer({ min: 1, max: 9 }),
  });
  fc.assert(
    fc.property(fc.array(part, { minLength: 1, maxLength: 8 }), (parts) => {
      let next = 0;
      const ranges = parts.map(({ gap, count, step }) => {
        const from = next + gap;
        const to = from + (count - 1) * step;
        next = to;
        return { from, to, step };
      });
      for (let position = 0; position < countIndexes(ranges); position += 1) {
        if (positionOf(ranges, indexAt(ranges, position)!) !== position) return false;
      }
      return indexAt(ranges, countIndexes(ranges)) === undefined;
    }),
  );
});

test('a terminal state is left only by a retry', () => {
  const events: TaskEvent[] = [
    { kind: 'dependencies_met' },
    { kind: 'leased', agentId: 'a' },
    { kind: 'starting' },
    { kind: 'running' },
    { kind: 'ended', outcome, next: 'failed' },
    { kind: 'cancel', reason: 'test' },
  ];
  for (const state of TASK_STATES.filter(isTerminal)) {
    for (const event of events) expect(transition(state, event)).toMatchObject({ ok: false });
    expect(transition(state, { kind: 'retry', reason: 'test' })).toMatchObject({
      ok: true,
      to: 'queued',
    });
  }
});

test('lost and reclaimed attempts are requeued and cost no retry', () => {
  for (const kind of ['lost', 'reclaimed', 'preempted'] as const) {
    const decision = decideRetry(
      DEFAULT_RETRY,
      { kind, reason: kind },
      { retryCount: 0, memoryBytes: 1, isCancelling: false },
    );
    expect(decision).toMatchObject({ next: 'queued', isCounted: false });
  }
});

const broke = (faultyNode: string) => ({ kind: 'lost', reason: 'it broke', faultyNode }) as const;
const MINUTE = 60_000;

/** What follows when attempts break on these nodes, one after the other, each after so long. */
function breakOn(nodes: readonly string[], ranMs = MINUTE): RetryDecision[] {
  let faultyNodes: readonly string[] = [];
  return nodes.map((node) => {
    faultyNodes = nextNodeFaults(faultyNodes, broke(node), ranMs);
    const task = { retryCount: 0, memoryBytes: 1, isCancelling: false, faultyNodes };
    return decideRetry(DEFAULT_RETRY, broke(node), task);
  });
}

test('a task that breaks three nodes goes to no fourth', () => {
  const decisions = breakOn(['a', 'b', 'c']);
  expect(decisions.map(({ next }) => next)).toEqual(['queued', 'queued', 'failed']);
  expect(decisions[2]!.reason).toBe(
    'given up, since 3 attempts in a row broke on their nodes (a, b, c): it broke',
  );
});

test('one bad node is no poison, until it has broken ten times', () => {
  const decisions = breakOn(Array.from({ length: 10 }, () => 'a')).map(({ next }) => next);
  expect(decisions).toEqual([...Array.from({ length: 9 }, () => 'queued'), 'failed']);
});

test('nodes that break after hours are nobody’s poison', () => {
  const decisions = breakOn(['a', 'b', 'c', 'd', 'e'], 90 * MINUTE);
  expect(decisions.every(({ next }) => next === 'queued')).toBe(true);
});

test('only a row of broken nodes counts: a reclaim leaves it as it is, a failure ends it', () => {
  const reclaimed = { kind: 'reclaimed', reason: 'spot' } as const;
  expect(nextNodeFaults(['a', 'b'], reclaimed, MINUTE)).toEqual(['a', 'b']);
  expect(nextNodeFaults(['a', 'b'], reclaimed, 90 * MINUTE)).toEqual([]);
  expect(nextNodeFaults(['a', 'b'], outcome, MINUTE)).toEqual([]);
});

test('retries double their wait and end at the limit', () => {
  const policy = { ...DEFAULT_RETRY, limit: 2, backoffMs: 100 };
  const task = (retryCount: number) => ({ retryCount, memoryBytes: 1, isCancelling: false });
  expect(decideRetry(policy, outcome, task(0))).toMatchObject({
    next: 'queued',
    delayMs: 100,
    isCounted: true,
  });
  expect(decideRetry(policy, outcome, task(1))).toMatchObject({ next: 'queued', delayMs: 200 });
  expect(decideRetry(policy, outcome, task(2))).toMatchObject({ next: 'failed' });
});

test('after out-of-memory the next attempt gets more, up to the bound', () => {
  const policy = { ...DEFAULT_RETRY, limit: 5, memoryBytesMax: 300 };
  const oom = { kind: 'out_of_memory', reason: 'out of memory' } as const;
  const task = { retryCount: 0, isCancelling: false };
  expect(decideRetry(policy, oom, { ...task, memoryBytes: 100 }).memoryBytes).toBe(200);
  expect(decideRetry(policy, oom, { ...task, memoryBytes: 200 }).memoryBytes).toBe(300);
});

test('only the exit codes of the policy are retried', () => {
  const policy = { ...DEFAULT_RETRY, limit: 5, exitCodes: [75] };
  const task = { retryCount: 0, memoryBytes: 1, isCancelling: false };
  expect(decideRetry(policy, outcome, task).next).toBe('failed');
  expect(decideRetry(policy, { ...outcome, exitCode: 75 }, task).next).toBe('queued');
  const crash = { kind: 'signal', signal: 11, reason: 'SIGSEGV' } as const;
  expect(decideRetry({ ...policy, signals: [7] }, crash, task).next).toBe('failed');
  expect(decideRetry({ ...policy, signals: [7, 11] }, crash, task).next).toBe('queued');
});

test('a cancelled task is not retried, whatever its attempt ended with', () => {
  const task = { retryCount: 0, memoryBytes: 1, isCancelling: true };
  const policy = { ...DEFAULT_RETRY, limit: 5 };
  expect(decideRetry(policy, outcome, task).next).toBe('cancelled');
  expect(decideRetry(policy, { kind: 'lost', reason: 'silent' }, task).next).toBe('cancelled');
  expect(decideRetry(policy, { kind: 'succeeded', reason: '' }, task).next).toBe('succeeded');
});

test('unknown placeholders are named with their position, doubled braces are text', () => {
  const [error] = findUnknownPlaceholders('--t {temprature} {{x}}', new Set(['temperature']));
  expect(error).toMatchObject({ name: 'temprature', position: 4 });
  expect(fillPlaceholders('{a}{{b}}{a}', { a: '1' })).toBe('1{b}1');
});

test('what is subtracted and added again is what was there', () => {
  const licence = { ...DEFAULT_RESOURCES, countable: { licence: 1 } };
  const all = { ...DEFAULT_RESOURCES, cpuMillis: 4000, countable: { licence: 3 } };
  expect(addResources(subtractResources(all, licence), licence)).toEqual(all);
  expect(findShortages({ ...licence, countable: { licence: 4 } }, all)).toEqual([
    { resource: 'licence', requested: 4, available: 3 },
  ]);
});
