import { expect, test } from 'vitest';
import { chaos } from './chaos.ts';

const TASKS = 2000;

test.each([1, 2, 3])(
  'seed %i: 2,000 tasks run exactly once while every part is killed again and again',
  async (seed) => {
    const report = await chaos(seed, TASKS);
    const wrong = report.runsPerTask.flatMap((count, index) =>
      count === 1 ? [] : [[index, count]],
    );
    expect(wrong, `seed ${seed}: [task, runs]`).toEqual([]);
    expect(report.counts).toMatchObject({ succeeded: TASKS * 0.9, failed: TASKS * 0.1 });
    expect(Object.values(report.kills).reduce((sum, count) => sum + count, 0)).toBeGreaterThan(2);
  },
  300_000,
);
