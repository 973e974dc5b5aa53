import type { TaskState } from '@majorana/core';
import { describe, expect, test } from 'vitest';
import type { StoreGround } from './ground.ts';
import { TERMINAL, change, makeArtifact } from './records.ts';

export function describeReads(ground: StoreGround): void {
  describe('reads', () => {
    test('queued tasks come in the order they may start, at most so many', async () => {
      const { job, tasks } = await ground.addRows([
        'queued',
        'queued',
        'queued',
        'running',
        'queued',
      ]);
      const times = [50, 10, 50, 0, 0];
      await ground.store.commit(
        change({ tasks: tasks.map((task, n) => ({ ...task, notBeforeMs: times[n]! })) }),
      );
      const positions = async (limit: number): Promise<number[]> =>
        (await ground.store.loadQueuedTasks(job.jobId, limit)).map(({ position }) => position);
      expect(await positions(10)).toEqual([4, 1, 0, 2]);
      expect(await positions(3)).toEqual([4, 1, 0]);
    });

    test('outputs are those of the last attempts of succeeded tasks', async () => {
      const { job, tasks } = await ground.addRows(['succeeded', 'failed', 'succeeded', 'running']);
      const { jobId } = job;
      const wanted = [
        makeArtifact(jobId, 0, { attemptNumber: 2, path: 'a' }),
        makeArtifact(jobId, 0, { attemptNumber: 2, path: 'b' }),
        makeArtifact(jobId, 2),
      ];
      await ground.store.commit(
        change({
          tasks: [{ ...tasks[0]!, attemptNumber: 2 }],
          artifacts: [
            ...wanted,
            makeArtifact(jobId, 0, { attemptNumber: 1, path: 'a' }),
            makeArtifact(jobId, 0, { attemptNumber: 2, role: 'stdout', path: 'stdout' }),
            makeArtifact(jobId, 1),
            makeArtifact(jobId, 3),
          ],
        }),
      );
      const outputs = await ground.store.loadOutputs(jobId);
      expect(outputs).toHaveLength(wanted.length);
      expect(outputs).toEqual(expect.arrayContaining(wanted));
      expect(await ground.store.loadOutputs(jobId + 1)).toEqual([]);
    });

    test('an ended job is found, an unknown one is not', async () => {
      const { job } = await ground.addRows(['succeeded']);
      expect(await ground.store.loadJob(job.jobId)).toEqual(job);
      expect(await ground.store.loadJob(job.jobId + 1)).toBeUndefined();
    });

    test('the fields at a position of a parameter set come as they were given', async () => {
      const records = Array.from({ length: 2500 }, (_, n) => ({
        molecule: `C${n}`,
        note: 'π "quoted"',
      }));
      const parameterSetId = await ground.database.addParameterSet(records);
      for (const position of [0, 999, 1000, 2499]) {
        expect(await ground.store.loadFields(parameterSetId, position)).toEqual(records[position]);
      }
      await expect(ground.store.loadFields(parameterSetId, 2500)).rejects.toThrow();
    });

    test('every state of a task can be written', async () => {
      const states: TaskState[] = ['pending', 'suspended', 'starting', ...TERMINAL];
      const { job, tasks } = await ground.addRows(states);
      expect(await ground.database.readTasks(job.jobId)).toEqual(tasks);
    });
  });
}
