import type { TaskState } from '@majorana/core';
import { ZERO_COUNTS } from '@majorana/core';
import { describe, expect, test } from 'vitest';
import type { JobRecord } from '../engine-store.ts';
import type { StoreGround } from './ground.ts';
import { QUEUED_MAX, NOW_MS, change, makeJob, makeTask, move, ascending } from './records.ts';

export function describeMoves(ground: StoreGround): void {
  describe('moveTasks', () => {
    test('moves rows, writes their transitions and the counts, and opens an ended job', async () => {
      const { job } = await ground.addRows(['failed', 'succeeded', 'failed']);
      const result = await ground.store.moveTasks(move(job.jobId, { lastSequence: 40 }));
      const counts = { ...ZERO_COUNTS, queued: 2, succeeded: 1 };
      expect(result).toMatchObject({ job: { ...job, counts, endedAtMs: null }, movedCount: 2 });
      expect(await ground.store.loadJob(job.jobId)).toEqual(result.job);
      const [first, second, third] = await ground.database.readTasks(job.jobId);
      expect(second).toMatchObject({ state: 'succeeded', sinceMs: NOW_MS });
      for (const task of [first, third]) {
        expect(task).toMatchObject({
          state: 'queued',
          attemptNumber: 1,
          retryCount: 0,
          notBeforeMs: 0,
          agentId: null,
          isCancelling: false,
          reason: 'retried by a user',
          sinceMs: NOW_MS + 5000,
        });
      }
      const transition = {
        jobId: job.jobId,
        atMs: NOW_MS + 5000,
        fromState: 'failed',
        toState: 'queued',
        attemptNumber: 1,
        reason: 'retried by a user',
      };
      expect(await ground.database.readTransitions(job.jobId)).toEqual([
        { ...transition, sequence: 41, position: 0 },
        { ...transition, sequence: 42, position: 2 },
      ]);
      expect((await ground.store.load(QUEUED_MAX)).lastSequence).toBe(42);
    });

    test('retries are counted anew and memory stays', async () => {
      const { job, tasks } = await ground.addRows(['failed']);
      const grown = { ...tasks[0]!, retryCount: 3, attemptNumber: 4, memoryBytes: 2 ** 33 };
      await ground.store.commit(change({ tasks: [grown] }));
      await ground.store.moveTasks(move(job.jobId, {}));
      expect((await ground.database.readTasks(job.jobId))[0]).toMatchObject({
        retryCount: 0,
        attemptNumber: 4,
        memoryBytes: 2 ** 33,
      });
    });

    test('several states move at once, each counted from its own', async () => {
      const { job } = await ground.addRows(['failed', 'cancelled', 'succeeded', 'queued']);
      const { job: moved, movedCount } = await ground.store.moveTasks(
        move(job.jobId, { from: ['failed', 'cancelled'] }),
      );
      expect(movedCount).toBe(2);
      expect(moved.counts).toEqual({ ...ZERO_COUNTS, queued: 3, succeeded: 1 });
      const froms = (await ground.database.readTransitions(job.jobId)).map((one) => one.fromState);
      expect(froms).toEqual(['failed', 'cancelled']);
    });

    test.each([
      ['an exit code', { exitCode: 75 }, [1, 4]],
      ['a reason', { reason: 'exit code 9' }, [2]],
      ['both', { exitCode: 75, reason: 'exit code 9' }, []],
      ['one position', { position: 3 }, [3]],
      ['a limit, the lowest positions first', { limit: 2 }, [0, 1]],
      ['a limit within a filter', { exitCode: 75, limit: 1 }, [1]],
      ['a first position', { fromPosition: 2, limit: 2 }, [2, 3]],
    ] as const)('moves only what %s allows', async (_name, filter, expected) => {
      const { job, tasks } = await ground.addRows(
        Array.from({ length: 5 }, () => 'failed' as const),
      );
      const codes = [3, 75, 9, 3, 75];
      await ground.store.commit(
        change({
          // Written backwards: the order of rows must not decide.
          tasks: tasks
            .map((task, number) => ({
              ...task,
              exitCode: codes[number]!,
              reason: `exit code ${codes[number]}`,
            }))
            .toReversed(),
        }),
      );
      const { movedCount, lastPosition } = await ground.store.moveTasks(move(job.jobId, filter));
      expect(lastPosition).toBe(expected.at(-1) ?? -1);
      const moved = (await ground.database.readTasks(job.jobId)).filter(
        (task) => task.state === 'queued',
      );
      expect(moved.map(({ position }) => position)).toEqual(expected);
      expect(movedCount).toBe(expected.length);
    });

    test('what matches nothing moves nothing and writes no sequence', async () => {
      const { job } = await ground.addRows(['succeeded', 'queued']);
      expect(await ground.store.moveTasks(move(job.jobId, {}))).toEqual({
        job,
        movedCount: 0,
        lastPosition: -1,
      });
      expect(await ground.database.readTransitions(job.jobId)).toEqual([]);
    });

    test('queued rows are cancelled, and an open job stays open', async () => {
      const { job } = await ground.addRows(['queued', 'running', 'queued']);
      const result = await ground.store.moveTasks(
        move(job.jobId, { from: ['queued'], to: 'cancelled', because: 'cancelled by a user' }),
      );
      expect(result.movedCount).toBe(2);
      expect(result.job).toEqual({
        ...job,
        counts: { ...ZERO_COUNTS, cancelled: 2, running: 1 },
      });
      expect((await ground.database.readTasks(job.jobId)).map((task) => task.state)).toEqual([
        'cancelled',
        'running',
        'cancelled',
      ]);
    });

    test('a cancel forgets no retries', async () => {
      const { job, tasks } = await ground.addRows(['queued']);
      await ground.store.commit(
        change({ tasks: [{ ...tasks[0]!, retryCount: 2, attemptNumber: 3 }] }),
      );
      await ground.store.moveTasks(move(job.jobId, { from: ['queued'], to: 'cancelled' }));
      expect((await ground.database.readTasks(job.jobId))[0]).toMatchObject({
        state: 'cancelled',
        retryCount: 2,
        attemptNumber: 3,
      });
    });

    test('tasks without a row are left alone', async () => {
      const jobId = await ground.store.allocateJobId();
      const job = makeJob(jobId, 100, {
        rowCount: 1,
        nextPosition: 1,
        counts: { ...ZERO_COUNTS, queued: 99, failed: 1 },
      });
      await ground.store.commit(change({ jobs: [job], tasks: [makeTask(jobId, 0, 'failed')] }));
      const { job: moved } = await ground.store.moveTasks(
        move(jobId, { from: ['failed', 'queued'] }),
      );
      expect(moved).toMatchObject({
        rowCount: 1,
        nextPosition: 1,
        counts: { queued: 100, failed: 0 },
      });
    });

    test('rows of other jobs are left alone', async () => {
      const { job } = await ground.addRows(['failed']);
      const other = await ground.addRows(['failed']);
      await ground.store.moveTasks(move(job.jobId, {}));
      expect(await ground.database.readTasks(other.job.jobId)).toEqual(other.tasks);
      expect(await ground.store.loadJob(other.job.jobId)).toEqual(other.job);
    });

    test('a job that is not there is refused', async () => {
      await expect(ground.store.moveTasks(move(4711, {}))).rejects.toThrow();
    });
  });

  describe('moveElements', () => {
    const addWaiting = async (
      upstreamJobId: number,
      taskCount: number,
      on: 'ok' | 'any',
    ): Promise<JobRecord> => {
      const job = makeJob(await ground.store.allocateJobId(), taskCount, {
        untouchedState: 'pending',
        spec: { after: [{ jobId: upstreamJobId, on, each: true }] },
      });
      await ground.store.commit(change({ jobs: [job] }));
      return job;
    };
    const upstreamStates: TaskState[] = [
      'succeeded',
      'failed',
      'running',
      'cancelled',
      'queued',
      'succeeded',
    ];

    test.each([
      ['ok', { 0: 'queued', 1: 'cancelled', 3: 'cancelled', 5: 'queued' }],
      ['any', { 0: 'queued', 1: 'queued', 3: 'queued', 5: 'queued' }],
    ] as const)(
      'on "%s", rows are made where the upstream task has ended',
      async (on, expected) => {
        const upstream = await ground.addRows(upstreamStates);
        const job = await addWaiting(upstream.job.jobId, 6, on);
        const elements = {
          jobId: job.jobId,
          upstreamJobId: upstream.job.jobId,
          on,
          nowMs: NOW_MS + 100,
          lastSequence: 7,
        };
        const result = await ground.store.moveElements(elements);
        const tasks = await ground.database.readTasks(job.jobId);
        expect(Object.fromEntries(tasks.map((task) => [task.position, task.state]))).toEqual(
          expected,
        );
        const queued = Object.values(expected).filter((state) => state === 'queued').length;
        expect(result).toMatchObject({
          job: {
            ...job,
            rowCount: 4,
            counts: { ...ZERO_COUNTS, pending: 2, queued, cancelled: 4 - queued },
          },
          movedCount: 4,
        });
        expect(await ground.store.loadJob(job.jobId)).toEqual(result.job);
        expect(tasks[0]).toMatchObject({
          attemptNumber: 0,
          retryCount: 0,
          memoryBytes: job.spec.resources.memoryBytes,
          sinceMs: NOW_MS + 100,
          agentId: null,
          exitCode: null,
          isCancelling: false,
        });
        const transitions = await ground.database.readTransitions(job.jobId);
        expect(transitions.map((one) => one.sequence)).toEqual([8, 9, 10, 11]);
        expect(transitions.map((one) => one.position)).toEqual([0, 1, 3, 5]);
        expect(new Set(transitions.map((one) => one.fromState))).toEqual(new Set(['pending']));
        expect((await ground.store.load(QUEUED_MAX)).lastSequence).toBe(11);
      },
    );

    test('where a row exists nothing changes, so a second call makes only what is new', async () => {
      const upstream = await ground.addRows(upstreamStates);
      const job = await addWaiting(upstream.job.jobId, 6, 'ok');
      const elements = {
        jobId: job.jobId,
        upstreamJobId: upstream.job.jobId,
        on: 'ok' as const,
        nowMs: NOW_MS,
        lastSequence: 0,
      };
      const first = await ground.store.moveElements(elements);
      expect(await ground.store.moveElements({ ...elements, lastSequence: 4 })).toMatchObject({
        job: first.job,
        movedCount: 0,
      });
      await ground.store.commit(change({ tasks: [makeTask(upstream.job.jobId, 2, 'succeeded')] }));
      const third = await ground.store.moveElements({ ...elements, lastSequence: 4 });
      expect(third.movedCount).toBe(1);
      expect(third.job).toMatchObject({ rowCount: 5, counts: { pending: 1, queued: 3 } });
      const transitions = await ground.database.readTransitions(job.jobId);
      expect(transitions.map((one) => one.sequence)).toEqual([1, 2, 3, 4, 5]);
    });

    test('its rows come back with the hot set', async () => {
      const upstream = await ground.addRows(['succeeded', 'running', 'succeeded']);
      const job = await addWaiting(upstream.job.jobId, 3, 'ok');
      await ground.store.moveElements({
        jobId: job.jobId,
        upstreamJobId: upstream.job.jobId,
        on: 'ok',
        nowMs: NOW_MS,
        lastSequence: 0,
      });
      const hot = await ground.store.load(QUEUED_MAX);
      const mine = hot.tasks.filter((task) => task.jobId === job.jobId);
      expect(mine.map(({ position }) => position).toSorted(ascending)).toEqual([0, 2]);
      expect([...(hot.rowsAhead.get(job.jobId) ?? [])].toSorted(ascending)).toEqual([0, 2]);
    });
  });
}
