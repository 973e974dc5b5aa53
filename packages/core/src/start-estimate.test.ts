import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { LineJob } from './start-estimate.ts';
import { estimateStart, formatStartEstimate, roughly } from './start-estimate.ts';

const job = (over: Partial<LineJob> = {}): LineJob => ({
  queue: 'default',
  weight: 1,
  share: 0.01,
  heldCount: 100,
  isWaiting: true,
  aheadCount: 0,
  meanHeldMs: 10_000,
  meanStartMs: 0,
  ...over,
});

test('a thousand tasks behind a hundred places of ten seconds wait a hundred seconds', () => {
  const own = job({ aheadCount: 999 });
  expect(estimateStart([own], own)).toEqual({
    waitMs: expect.closeTo(100_000),
    aheadCount: 999,
    startsPerSecond: expect.closeTo(10),
  });
});

test('nothing is said while nothing runs, or before anything has ended', () => {
  const { meanHeldMs: _known, ...unknown } = job();
  expect(estimateStart([unknown], unknown)).toBeUndefined();
  const idle = job({ heldCount: 0 });
  expect(estimateStart([idle], idle)).toBeUndefined();
});

test('another queue of the same weight that waits too halves the rate', () => {
  const own = job({ heldCount: 50, aheadCount: 499 });
  const other = job({ queue: 'other', heldCount: 50 });
  expect(estimateStart([own, other], own)?.waitMs).toBeCloseTo(100_000);
  const idle = { ...other, isWaiting: false };
  expect(estimateStart([own, idle], own)?.waitMs).toBeCloseTo(50_000);
});

test('a queue that has less than its share gets all that is freed until it has it', () => {
  const own = job({ heldCount: 0, aheadCount: 49 });
  const other = job({ queue: 'other' });
  expect(estimateStart([own, other], own)?.waitMs).toBeCloseTo(5000);
});

test('a queue of next to no weight runs one task after the other', () => {
  const other = job({ queue: 'other', heldCount: 99 });
  const own = job({ weight: 0.001, heldCount: 1, aheadCount: 4 });
  expect(estimateStart([own, other], own)?.waitMs).toBeCloseTo(50_000);
  const first = job({ weight: 0.001, heldCount: 0 });
  expect(estimateStart([first, other], first)!.waitMs).toBeLessThan(1000);
});

test('nothing is said of a task much larger than what runs: what ends makes no room for it', () => {
  const small = job({ heldCount: 100 });
  const large = job({ heldCount: 0, share: 0.08 });
  expect(estimateStart([small, large], large)).toBeUndefined();
  expect(estimateStart([small, large], small)).toBeDefined();
  const running = { ...large, heldCount: 5 };
  expect(estimateStart([small, running], running)).toBeDefined();
});

test('a queue that has more than its share waits until it has come down to it', () => {
  const own = job({ heldCount: 100, aheadCount: 49 });
  const other = job({ queue: 'other', heldCount: 0 });
  expect(estimateStart([own, other], own)?.waitMs).toBeCloseTo(20_000);
});

test('longer tasks that go first count for as much longer', () => {
  const own = job({ heldCount: 0, meanHeldMs: 10_000 });
  const first = job({ aheadCount: 100, meanHeldMs: 10_000 });
  const longer = job({ aheadCount: 100, heldCount: 0, meanHeldMs: 100_000 });
  const { waitMs: short } = estimateStart([own, first], own)!;
  const { waitMs: long } = estimateStart([own, job(), longer], own)!;
  expect(long / short).toBeGreaterThan(5);
});

test('more that goes first never means sooner, for any line', () => {
  const anyJob = fc.record({
    queue: fc.constantFrom('a', 'b', 'c'),
    share: fc.double({ min: 1e-5, max: 1, noNaN: true }),
    heldCount: fc.integer({ min: 0, max: 1000 }),
    isWaiting: fc.boolean(),
    aheadCount: fc.integer({ min: 0, max: 100_000 }),
    meanHeldMs: fc.integer({ min: 1, max: 10_000_000 }),
  });
  const weights = { a: 1, b: 2, c: 5 };
  fc.assert(
    fc.property(
      fc.array(anyJob, { minLength: 1, maxLength: 8 }),
      fc.integer({ min: 1, max: 1000 }),
      (drawn, more) => {
        const jobs = drawn.map((one) => ({ ...one, weight: weights[one.queue as 'a'] }));
        const own = jobs[0]!;
        const before = estimateStart(jobs, own);
        if (before === undefined) return;
        expect(before.waitMs).toBeGreaterThan(0);
        expect(Number.isFinite(before.waitMs)).toBe(true);
        const later = { ...own, aheadCount: own.aheadCount + more };
        const after = estimateStart([later, ...jobs.slice(1)], later)!;
        expect(after.waitMs).toBeGreaterThanOrEqual(before.waitMs);
      },
    ),
  );
});

test('it says what it goes by, as exactly as an estimate is', () => {
  const estimate = { waitMs: 240_000, aheadCount: 1200, startsPerSecond: 5 };
  expect(formatStartEstimate(estimate)).toBe('about 4 min: 1,200 tasks go first, 5 a second start');
  const slow = { waitMs: 7_200_000, aheadCount: 1, startsPerSecond: 2 / 7200 };
  expect(formatStartEstimate(slow)).toBe('about 2 h: 1 task goes first, 1 an hour start');
  expect(roughly(89_000)).toBe('89 s');
  expect(roughly(3 * 86_400_000)).toBe('3 days');
});
