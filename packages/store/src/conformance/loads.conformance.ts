import type { TaskState } from '@majorana/core';
import { ZERO_COUNTS } from '@majorana/core';
import { describe, expect, test } from 'vitest';
import type { StoreGround } from './ground.ts';
import {
  QUEUED_MAX,
  NOW_MS,
  change,
  makeJob,
  makeTask,
  makeAttempt,
  makeTransition,
  ascending,
  byJobAndPosition,
} from './records.ts';

export function describeLoads(ground: StoreGround): void {
  describe('load', () => {
    test('brings open jobs, their held tasks and attempts, and no others', async () => {
      const open = await ground.addRows(['succeeded', 'leased', 'starting', 'running', 'queued']);
      const ended = await ground.addRows(['failed', 'succeeded']);
      await ground.store.commit(
        change({
          attempts: [
            ...[1, 2, 3].map((position) => makeAttempt(open.job.jobId, position)),
            makeAttempt(open.job.jobId, 0, { endedAtMs: NOW_MS, outcome: 'succeeded' }),
            makeAttempt(ended.job.jobId, 0, { endedAtMs: NOW_MS, outcome: 'exit_code' }),
          ],
        }),
      );
      const hot = await ground.store.load(QUEUED_MAX);
      expect(hot.jobs).toEqual([open.job]);
      expect([...hot.tasks].toSorted(byJobAndPosition)).toEqual(open.tasks.slice(1));
      expect(hot.attempts.map(({ position }) => position).toSorted(ascending)).toEqual([1, 2, 3]);
    });

    test('of a held task only the last attempt comes', async () => {
      const { job, tasks } = await ground.addRows(['running']);
      await ground.store.commit(
        change({
          tasks: [{ ...tasks[0]!, attemptNumber: 2 }],
          attempts: [
            makeAttempt(job.jobId, 0, { endedAtMs: NOW_MS, outcome: 'lost' }),
            makeAttempt(job.jobId, 0, { attemptNumber: 2 }),
          ],
        }),
      );
      const hot = await ground.store.load(QUEUED_MAX);
      expect(hot.attempts.map(({ attemptNumber }) => attemptNumber)).toEqual([2]);
    });

    test('all held tasks come, of queued ones at most so many of each job, the readiest', async () => {
      const states: TaskState[] = ['queued', 'running', 'queued', 'running', 'queued', 'queued'];
      const first = await ground.addRows(states);
      const second = await ground.addRows(states);
      await ground.store.commit(
        change({ tasks: [makeTask(first.job.jobId, 0, 'queued', { notBeforeMs: NOW_MS })] }),
      );
      const hot = await ground.store.load(2);
      const positions = (jobId: number): number[] =>
        hot.tasks
          .filter((task) => task.jobId === jobId)
          .map(({ position }) => position)
          .toSorted(ascending);
      expect(positions(first.job.jobId)).toEqual([1, 2, 3, 4]);
      expect(positions(second.job.jobId)).toEqual([0, 1, 2, 3]);
    });

    test('ended jobs that open ones come after are brought along, once', async () => {
      const upstream = await ground.addRows(['succeeded']);
      await ground.addRows(['succeeded']);
      const after = [{ jobId: upstream.job.jobId, on: 'ok' as const }];
      const waiting = [
        makeJob(await ground.store.allocateJobId(), 1, {
          untouchedState: 'pending',
          spec: { after },
        }),
        makeJob(await ground.store.allocateJobId(), 1, {
          untouchedState: 'pending',
          spec: { after },
        }),
      ];
      await ground.store.commit(change({ jobs: waiting }));
      const hot = await ground.store.load(QUEUED_MAX);
      expect(hot.upstreamJobs).toEqual([upstream.job]);
      expect(hot.jobs).toEqual(waiting);
    });

    test('an open upstream job is among the jobs only', async () => {
      const upstream = await ground.addRows(['running']);
      const after = [{ jobId: upstream.job.jobId, on: 'any' as const }];
      await ground.addRows(['queued'], { after });
      expect((await ground.store.load(QUEUED_MAX)).upstreamJobs).toEqual([]);
    });

    test('rows at or above the next position are told, by job', async () => {
      const jobId = await ground.store.allocateJobId();
      const job = makeJob(jobId, 10, {
        nextPosition: 2,
        rowCount: 5,
        counts: { ...ZERO_COUNTS, queued: 6, running: 2, cancelled: 2 },
      });
      const tasks = [
        makeTask(jobId, 0, 'running'),
        makeTask(jobId, 1, 'running'),
        makeTask(jobId, 7, 'cancelled'),
        makeTask(jobId, 2, 'cancelled'),
        makeTask(jobId, 9, 'queued'),
      ];
      await ground.store.commit(change({ jobs: [job], tasks }));
      const { rowsAhead } = await ground.store.load(QUEUED_MAX);
      expect([...(rowsAhead.get(jobId) ?? [])].toSorted(ascending)).toEqual([2, 7, 9]);
      const ahead = await ground.store.loadRowsAhead(jobId, 3);
      expect(ahead.toSorted(ascending)).toEqual([7, 9]);
      expect(await ground.store.loadRowsAhead(jobId, 10)).toEqual([]);
    });

    test('the last sequence is that of the highest transition of all', async () => {
      const first = await ground.addRows(['queued']);
      const second = await ground.addRows(['queued']);
      await ground.store.commit(
        change({
          transitions: [
            makeTransition(1, second.job.jobId),
            makeTransition(2, first.job.jobId),
            makeTransition(3, first.job.jobId),
          ],
        }),
      );
      expect((await ground.store.load(QUEUED_MAX)).lastSequence).toBe(3);
    });

    test('two processes are never both writers', async () => {
      const { job } = await ground.addRows(['queued']);
      const other = ground.database.connect();
      const loading = other.load(QUEUED_MAX);
      const write = (): Promise<void> => ground.store.commit(change({ jobs: [job] }));
      const first = await Promise.race([
        loading.then(() => 'loaded' as const),
        write().then(
          () => 'wrote' as const,
          () => 'refused' as const,
        ),
      ]);
      // Either the second waits for the end of the first, or the first is fenced from then on.
      if (first !== 'wrote') {
        await loading;
        await expect(write()).rejects.toThrow();
      }
      await ground.database.disconnect(ground.store);
      await loading;
      await other.commit(change({ jobs: [{ ...job, untouchedSinceMs: NOW_MS + 1 }] }));
      expect((await other.loadJob(job.jobId))?.untouchedSinceMs).toBe(NOW_MS + 1);
    });

    test('a process may load again, and writes on', async () => {
      const { job } = await ground.addRows(['queued']);
      await ground.store.load(QUEUED_MAX);
      await ground.store.load(QUEUED_MAX);
      await ground.store.commit(change({ jobs: [job] }));
      expect((await ground.store.load(QUEUED_MAX)).jobs).toEqual([job]);
    });
  });
}
