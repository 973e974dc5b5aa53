import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { Readable } from 'node:stream';
import { ZERO_COUNTS } from '@majorana/core';
import { FolderObjects } from '@majorana/objects';
import type { JobSpec, JobSpecInput } from '@majorana/protocol';
import { jobSpecSchema } from '@majorana/protocol';
import { MemoryDatabase } from '@majorana/store/memory-store';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { withInputBytes } from './input-size.ts';

let folder: string;
let objects: FolderObjects;
const database = new MemoryDatabase();
beforeAll(async () => {
  folder = await mkdtemp(path.join(os.tmpdir(), 'majorana-objects-'));
  objects = new FolderObjects(folder);
});
afterAll(() => rm(folder, { recursive: true }));

const sized = async (bytes: number): Promise<string> =>
  (await objects.putStream(Readable.from([Buffer.alloc(bytes)]))).object;

const ONE: JobSpec['array'] = { kind: 'range', ranges: [{ from: 0, to: 0, step: 1 }] };

function specOf(edit: Partial<JobSpecInput>, array = ONE): JobSpec {
  const spec = jobSpecSchema.parse({ argv: ['true'], container: { image: 'i' }, ...edit });
  return { ...spec, array };
}

/** Tasks of which every second one names the second object. */
async function arrayOf(recordCount: number, names: readonly string[]): Promise<JobSpec['array']> {
  const records = Array.from({ length: recordCount }, (_, at) => ({ own: names[at % 2]! }));
  const parameterSetId = database.addParameterSet(records);
  return { kind: 'parameter_set', parameterSetId, recordCount, fieldNames: ['own'] };
}

const bytesOf = async (spec: JobSpec): Promise<number | undefined> => {
  const reads = { job: async (jobId: number) => database.jobs.get(jobId) };
  return (await withInputBytes({ objects, store: database.connect(), reads }, spec)).inputBytes;
};

test('what all tasks take is summed, what records name is a mean', async () => {
  const inputs = [
    { path: 'a', object: await sized(100) },
    { path: 'b', object: await sized(300) },
    { path: 'c', object: '{own}' },
  ];
  const names = [await sized(10), await sized(30)];
  expect(await bytesOf(specOf({ inputs }, await arrayOf(2, names)))).toBe(420);
});

test('a gather of 100,000 files is judged by some of them', async () => {
  const object = await sized(7);
  const inputs = Array.from({ length: 100_000 }, (_, at) => ({ path: `${at}`, object }));
  expect(await bytesOf(specOf({ inputs }))).toBe(700_000);
});

test('outputs of ended jobs are counted, those of jobs it comes after are left for later', async () => {
  const job = (jobId: number) => ({
    jobId,
    spec: specOf({}),
    taskCount: 1,
    rowCount: 0,
    nextPosition: 0,
    untouchedState: 'succeeded' as const,
    counts: { ...ZERO_COUNTS, succeeded: 1 },
    submittedAtMs: 0,
    untouchedSinceMs: 0,
    endedAtMs: 1,
    outputBytes: jobId * 1000,
  });
  const nothing = { tasks: [], attempts: [], transitions: [], artifacts: [] };
  database.apply({ ...nothing, jobs: [job(2), job(3)], queues: [], clusters: [] });
  const inputsFromJobs = [
    { jobId: 2, path: 'two' },
    { jobId: 3, path: 'three' },
  ];
  expect(await bytesOf(specOf({ inputsFromJobs, after: [{ jobId: 3, on: 'ok' }] }))).toBe(2000);
});

test('what is not there is no size, and no refusal', async () => {
  const inputs = [{ path: 'a', object: '{own}' }];
  const array = await arrayOf(2, ['f'.repeat(64), 'no object']);
  expect(await bytesOf(specOf({ inputs }, array))).toBe(0);
});

test('a program of a machine is not measured', async () => {
  expect(await bytesOf({ ...specOf({}), container: undefined })).toBeUndefined();
});
