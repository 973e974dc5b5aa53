import type { TaskState } from '@majorana/core';
import { ZERO_COUNTS } from '@majorana/core';
import { describe, expect, test } from 'vitest';
import type { AttemptRecord, JobRecord } from '../engine-store.ts';
import type { StoreGround } from './ground.ts';
import {
  QUEUED_MAX,
  NOW_MS,
  change,
  makeJob,
  makeTask,
  makeAttempt,
  makeTransition,
  makeArtifact,
} from './records.ts';

export function describeCommits(ground: StoreGround): void {
  describe('commit', () => {
    test('every field of every record comes back as it was written', async () => {
      const jobId = await ground.store.allocateJobId();
      const job = makeJob(jobId, 3, {
        rowCount: 1,
        nextPosition: 1,
        counts: { ...ZERO_COUNTS, queued: 2, running: 1 },
        spec: {
          name: 'quotes " \' and \\ and line\nbreaks, π',
          labels: { lab: 'a' },
          idempotencyKey: 'k1',
        },
      });
      const task = makeTask(jobId, 0, 'running', { isCancelling: true, notBeforeMs: NOW_MS });
      const attempt = makeAttempt(jobId, 0, {
        startedAtMs: NOW_MS + 3,
        waitedFor: 'cpuMillis',
      });
      const transition = makeTransition(1, jobId);
      const queue = { name: 'night', weight: 2.5, parallelMax: 7, isPaused: true };
      const cluster = {
        name: 'lab',
        state: 'draining',
        sinceMs: NOW_MS,
        endsAtMs: NOW_MS + 1,
        sessionId: 's1',
        leaseTtlMs: 60_000,
        dataPricePerGb: 0.09,
      } as const;
      await ground.store.commit(
        change({
          jobs: [job],
          tasks: [task],
          attempts: [attempt],
          transitions: [transition],
          queues: [queue],
          clusters: [cluster],
        }),
      );
      expect(await ground.store.load(QUEUED_MAX)).toEqual({
        jobs: [job],
        tasks: [task],
        attempts: [attempt],
        upstreamJobs: [],
        rowsAhead: new Map(),
        queues: [queue],
        clusters: [cluster],
        lastSequence: 1,
      });
      expect(await ground.store.loadJob(jobId)).toEqual(job);
      expect(await ground.database.readTransitions(jobId)).toEqual([transition]);
    });

    test('a known record is replaced, its spec stays', async () => {
      const { job, tasks } = await ground.addRows(['leased', 'queued']);
      const attempt = makeAttempt(job.jobId, 0);
      await ground.store.commit(change({ attempts: [attempt] }));
      const later: JobRecord = {
        ...job,
        counts: { ...ZERO_COUNTS, succeeded: 1, queued: 1 },
        untouchedState: 'cancelled',
        untouchedSinceMs: NOW_MS + 7,
        outputBytes: 2 ** 40,
      };
      const ended = makeTask(job.jobId, 0, 'succeeded', { exitCode: 0, sinceMs: NOW_MS + 9 });
      const endedAttempt: AttemptRecord = {
        ...attempt,
        startedAtMs: NOW_MS + 2,
        endedAtMs: NOW_MS + 9,
        outcome: 'succeeded',
        exitCode: 0,
        signal: null,
        reason: 'exit code 0',
        peakMemoryBytes: 2 ** 40,
        cpuTimeMs: 2 ** 40,
      };
      await ground.store.commit(
        change({ jobs: [later], tasks: [ended], attempts: [endedAttempt] }),
      );
      expect(await ground.store.loadJob(job.jobId)).toEqual(later);
      expect(await ground.database.readTasks(job.jobId)).toEqual([ended, tasks[1]]);
      expect(await ground.database.readAttempts(job.jobId)).toEqual([endedAttempt]);
    });

    test('one bad record leaves nothing of the change behind, and the store goes on', async () => {
      const { job, tasks } = await ground.addRows(['queued']);
      const bad = { ...tasks[0]!, state: 'sleeping' as TaskState };
      const next = await ground.store.allocateJobId();
      await expect(
        ground.store.commit(
          change({
            jobs: [makeJob(next, 1)],
            transitions: [makeTransition(1, job.jobId)],
            tasks: [bad],
          }),
        ),
      ).rejects.toThrow();
      const hot = await ground.store.load(QUEUED_MAX);
      expect(hot.jobs.map(({ jobId }) => jobId)).toEqual([job.jobId]);
      expect(hot.tasks).toEqual(tasks);
      expect(hot.lastSequence).toBe(0);
      await ground.store.commit(change({ jobs: [makeJob(next, 1)] }));
      expect((await ground.store.loadJob(next))?.taskCount).toBe(1);
    });

    test('the same change written twice is as written once', async () => {
      const jobId = await ground.store.allocateJobId();
      const same = change({
        jobs: [makeJob(jobId, 1, { spec: { idempotencyKey: 'again' } })],
        tasks: [makeTask(jobId, 0, 'leased')],
        attempts: [makeAttempt(jobId, 0)],
        transitions: [makeTransition(1, jobId)],
        artifacts: [makeArtifact(jobId, 0)],
        queues: [{ name: 'q', weight: 1, isPaused: false }],
        clusters: [
          {
            name: 'lab',
            state: 'active',
            sinceMs: NOW_MS,
            endsAtMs: null,
            sessionId: null,
            leaseTtlMs: 5_400_000,
            dataPricePerGb: 0.09,
          },
        ],
      });
      await ground.store.commit(same);
      const before = await ground.store.load(QUEUED_MAX);
      await ground.store.commit(same);
      expect(await ground.store.load(QUEUED_MAX)).toEqual(before);
      expect(await ground.database.readTransitions(jobId)).toHaveLength(1);
      expect(await ground.database.readArtifacts(jobId)).toHaveLength(1);
    });

    test('a task of no known job is refused', async () => {
      await expect(
        ground.store.commit(change({ tasks: [makeTask(4711, 0, 'queued')] })),
      ).rejects.toThrow();
    });

    test('records handed in or out may be changed afterwards without effect', async () => {
      const jobId = await ground.store.allocateJobId();
      const counts = { ...ZERO_COUNTS, queued: 1 };
      const job = makeJob(jobId, 1, { counts });
      await ground.store.commit(change({ jobs: [job] }));
      counts.queued = 99;
      const first = await ground.store.loadJob(jobId);
      expect(first?.counts.queued).toBe(1);
    });

    test('long texts and large numbers are kept', async () => {
      const jobId = await ground.store.allocateJobId();
      const argv = ['x'.repeat(100_000), ...Array.from({ length: 9000 }, (_, n) => `arg ${n}`)];
      const job = makeJob(jobId, 1_000_000, { spec: { argv } });
      const task = makeTask(jobId, 999_999, 'leased', {
        reason: 'r'.repeat(4096),
        memoryBytes: Number.MAX_SAFE_INTEGER,
      });
      await ground.store.commit(change({ jobs: [job], tasks: [task] }));
      expect(await ground.store.loadJob(jobId)).toEqual(job);
      expect(await ground.database.readTasks(jobId)).toEqual([task]);
    });

    test('ten thousand tasks go in one change', async () => {
      const { tasks } = await ground.addRows(
        Array.from({ length: 10_000 }, () => 'leased' as const),
      );
      expect((await ground.store.load(QUEUED_MAX)).tasks).toHaveLength(tasks.length);
    });
  });

  describe('idempotency keys', () => {
    test('a job is found by its key within its project only', async () => {
      await ground.database.addProject('other');
      const jobId = await ground.store.allocateJobId();
      await ground.store.commit(
        change({ jobs: [makeJob(jobId, 1, { spec: { idempotencyKey: 'k' } })] }),
      );
      expect(await ground.store.findJobByKey('default', 'k')).toBe(jobId);
      expect(await ground.store.findJobByKey('other', 'k')).toBeUndefined();
      expect(await ground.store.findJobByKey('default', 'K')).toBeUndefined();
    });

    test('a second job with the key is refused, in another project it is not', async () => {
      await ground.database.addProject('other');
      const [first, second, third] = [
        await ground.store.allocateJobId(),
        await ground.store.allocateJobId(),
        await ground.store.allocateJobId(),
      ];
      const withKey = (jobId: number, project: string): JobRecord =>
        makeJob(jobId, 1, { spec: { idempotencyKey: 'k', project } });
      await ground.store.commit(change({ jobs: [withKey(first, 'default')] }));
      await expect(
        ground.store.commit(change({ jobs: [withKey(second, 'default')] })),
      ).rejects.toThrow();
      // After a refused write the engine always loads again.
      await ground.store.load(QUEUED_MAX);
      expect(await ground.store.loadJob(second)).toBeUndefined();
      await ground.store.commit(change({ jobs: [withKey(third, 'other')] }));
      expect(await ground.store.findJobByKey('other', 'k')).toBe(third);
    });

    test('jobs without a key do not meet', async () => {
      const jobs = [
        makeJob(await ground.store.allocateJobId(), 1),
        makeJob(await ground.store.allocateJobId(), 1),
      ];
      await ground.store.commit(change({ jobs }));
      expect((await ground.store.load(QUEUED_MAX)).jobs).toHaveLength(2);
    });
  });
}
