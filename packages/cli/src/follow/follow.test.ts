import { TASK_STATES, ZERO_COUNTS } from '@majorana/core';
import type { JobView } from '@majorana/protocol';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { cellStates, drawLegend, drawPicture } from './picture.ts';
import { endLine, progressLine, RateWindow, totals } from './progress.ts';

const job = (counts: Partial<JobView['counts']>, taskCount: number): JobView => ({
  id: 'job_1',
  name: 'x',
  project: 'default',
  queue: 'default',
  priority: 0,
  labels: {},
  state: 'running',
  taskCount,
  counts: { ...ZERO_COUNTS, ...counts },
  submittedAtMs: 0,
  endedAtMs: null,
});

test('the line tells done, running, failed, rate and time left', () => {
  const now = totals([job({ succeeded: 50, failed: 10, running: 4, queued: 36 }, 100)]);
  expect(progressLine(now, 4)).toBe(
    '60/100 done, 4 running, 10 failed, 4.0 tasks/s, about 10 s left',
  );
  expect(progressLine(now, undefined)).toBe('60/100 done, 4 running, 10 failed');
  expect(progressLine(now, 0)).not.toContain('left');
});

test('the rate is that of the last 15 seconds', () => {
  const window = new RateWindow();
  expect(window.perSecond()).toBeUndefined();
  for (let second = 0; second <= 60; second += 1)
    window.add(second * 1000, second < 40 ? 0 : (second - 40) * 10);
  expect(window.perSecond()).toBeCloseTo(10);
});

test('a retry, after which fewer are done, begins the rate anew', () => {
  const window = new RateWindow();
  window.add(0, 0);
  window.add(1000, 100);
  window.add(2000, 50);
  expect(window.perSecond()).toBeUndefined();
  window.add(3000, 60);
  expect(window.perSecond()).toBeCloseTo(10);
});

test('the last line tells the rate of the whole', () => {
  const ended = { ...job({ succeeded: 20 }, 20), endedAtMs: 4000 };
  expect(endLine([ended])).toBe('20/20 done, 0 running, 0 failed, 5.0 tasks/s, in 4.0 s');
});

const runs = fc.array(
  fc.record({
    state: fc.constantFrom(...TASK_STATES),
    count: fc.integer({ min: 1, max: 100_000 }),
  }),
  { minLength: 1, maxLength: 50 },
);

test('every map becomes a picture of its size, and no failure is hidden in it', () => {
  fc.assert(
    fc.property(runs, fc.integer({ min: 1, max: 2000 }), (map, cells) => {
      const taskCount = map.reduce((sum, run) => sum + run.count, 0);
      const states = cellStates(map, cells);
      expect(states).toHaveLength(Math.min(cells, taskCount));
      const hasFailed = map.some((run) => run.state === 'failed');
      expect(states.includes('failed')).toBe(hasFailed);
    }),
  );
});

test('with room for each task a cell is a task', () => {
  fc.assert(
    fc.property(runs, (map) => {
      const small = map.map((run) => ({ ...run, count: (run.count % 5) + 1 }));
      const tasks = small.flatMap((run) => Array.from({ length: run.count }, () => run.state));
      expect(cellStates(small, 10_000)).toEqual(tasks);
    }),
  );
});

test('without colours the signs alone tell the states', () => {
  const map = [
    { state: 'succeeded', count: 3 },
    { state: 'failed', count: 1 },
    { state: 'running', count: 2 },
    { state: 'queued', count: 4 },
  ] as const;
  expect(drawPicture(map, { width: 5, height: 4, hasColour: false })).toEqual(['███x▓', '▓░░░░']);
  expect(drawLegend(map, { width: 80, hasColour: false })).toEqual([
    '░ 4 queued  ▓ 2 running  █ 3 succeeded  x 1 failed',
  ]);
  expect(drawLegend(map, { width: 24, hasColour: false })).toEqual([
    '░ 4 queued  ▓ 2 running',
    '█ 3 succeeded',
    'x 1 failed',
  ]);
  expect(drawPicture(map, { width: 5, height: 4, hasColour: true })[0]).toContain(
    '\u001B[31mx\u001B[0m',
  );
});
