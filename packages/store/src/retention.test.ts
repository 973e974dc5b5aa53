import { ZERO_COUNTS } from '@majorana/core';
import type { JobSpecInput } from '@majorana/protocol';
import { jobSpecSchema, storedJobSpecSchema } from '@majorana/protocol';
import { TestPostgres } from '@majorana/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { JobRecord, TaskRecord } from './engine-store.ts';
import { writeParameterSet } from './parameter-sets.ts';
import { PostgresStore } from './postgres-store.ts';
import { Reads } from './reads.ts';
import { Retention } from './retention.ts';

let postgres: TestPostgres;
let store: PostgresStore;
beforeAll(async () => {
  postgres = await TestPostgres.start();
  store = new PostgresStore(postgres.url);
  await store.load(10);
});
afterAll(async () => {
  await store[Symbol.asyncDispose]();
  await postgres[Symbol.asyncDispose]();
});

const NOTHING = {
  jobs: [],
  tasks: [],
  attempts: [],
  transitions: [],
  artifacts: [],
  queues: [],
  clusters: [],
};
const object = (digit: string): string => digit.repeat(64);

const job = (jobId: number, endedAtMs: number | null, spec: Partial<JobSpecInput> = {}) =>
  ({
    jobId,
    spec: storedJobSpecSchema.parse({ ...jobSpecSchema.parse({ argv: ['x'], ...spec }) }),
    taskCount: 1,
    rowCount: 1,
    nextPosition: 1,
    untouchedState: 'queued',
    counts: { ...ZERO_COUNTS, succeeded: 1 },
    submittedAtMs: 0,
    untouchedSinceMs: 0,
    outputBytes: 0,
    endedAtMs,
  }) satisfies JobRecord;

const task = (jobId: number) =>
  ({
    jobId,
    position: 0,
    state: 'succeeded',
    attemptNumber: 1,
    retryCount: 0,
    memoryBytes: 1,
    notBeforeMs: 0,
    sinceMs: 0,
    agentId: 'a',
    reason: '',
    exitCode: 0,
    isCancelling: false,
  }) satisfies TaskRecord;

const artifact = (jobId: number, name: string) => ({
  jobId,
  position: 0,
  attemptNumber: 1,
  role: 'output' as const,
  path: 'out',
  object: name,
  sizeBytes: 1,
});

async function used(retention: Retention): Promise<string[]> {
  const all: string[] = [];
  for await (const part of retention.usedObjects()) all.push(...part);
  return all.toSorted();
}

test('what ended long ago goes with its objects, unless an open job still needs it', async () => {
  await store.commit({
    ...NOTHING,
    jobs: [
      job(1, 1000),
      job(2, 1000),
      job(3, null, { after: [{ jobId: 2, on: 'ok' }] }),
      job(4, 9000, { inputs: [{ path: 'in', object: object('d') }] }),
    ],
    tasks: [1, 2, 3, 4].map(task),
    artifacts: [artifact(1, object('a')), artifact(2, object('b'))],
  });
  const retention = new Retention(store.pool);
  expect(await retention.expiredJobs(5000, 10)).toEqual([1]);
  await retention.removeJob(1);
  await retention.removeJob(3);
  const reads = new Reads(store.pool);
  expect(await reads.job(1)).toBeUndefined();
  expect(await reads.job(3)).toBeDefined();
  expect(await used(retention)).toEqual([object('b'), object('d')]);
});

test('a parameter set that no job uses goes after a time; objects named in one stay', async () => {
  const records = (async function* () {
    yield JSON.stringify({ file: object('e') });
  })();
  const describe = () => ({ recordCount: 1, fieldNames: ['file'] });
  const { parameterSetId } = await writeParameterSet(store.pool, records, describe);
  const retention = new Retention(store.pool);
  await retention.removeUnusedParameterSets(Date.now() - 60_000);
  expect(await used(retention)).toContain(object('e'));
  await retention.removeUnusedParameterSets(Date.now() + 60_000);
  expect(await used(retention)).not.toContain(object('e'));
  await expect(store.loadFields(parameterSetId, 0)).rejects.toThrow('has no 0');
});
