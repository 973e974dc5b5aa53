import { ZERO_COUNTS } from '@majorana/core';
import { storedJobSpecSchema } from '@majorana/protocol';
import { expect, test } from 'vitest';
import type { StoreUnderTest } from './conformance/ground.ts';
import { describeEngineStore } from './conformance/engine-store.conformance.ts';
import type { Change, TransitionRecord } from './engine-store.ts';
import { ConstraintError, FencedError, MemoryDatabase } from './memory-store.ts';

function makeDatabase(): Promise<StoreUnderTest> {
  const database = new MemoryDatabase();
  return Promise.resolve({
    connect: () => database.connect(),
    disconnect: () => Promise.resolve(),
    addProject: () => Promise.resolve(),
    addParameterSet: (records) => Promise.resolve(database.addParameterSet(records)),
    readTasks: (jobId) =>
      Promise.resolve(
        [...database.rowsOf(jobId).tasks.values()].toSorted((a, b) => a.position - b.position),
      ),
    readAttempts: (jobId) => Promise.resolve([...database.rowsOf(jobId).attempts.values()]),
    readArtifacts: (jobId) => Promise.resolve([...database.rowsOf(jobId).artifacts.values()]),
    readTransitions: (jobId) => Promise.resolve([...database.rowsOf(jobId).transitions]),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  });
}

describeEngineStore('the store in memory', makeDatabase);

const empty: Change = {
  jobs: [],
  tasks: [],
  attempts: [],
  transitions: [],
  artifacts: [],
  queues: [],
  clusters: [],
};
const job = {
  jobId: 1,
  spec: storedJobSpecSchema.parse({
    argv: ['true'],
    array: { kind: 'range', ranges: [{ from: 0, to: 0, step: 1 }] },
  }),
  taskCount: 1,
  rowCount: 0,
  nextPosition: 0,
  untouchedState: 'queued',
  counts: { ...ZERO_COUNTS, queued: 1 },
  submittedAtMs: 0,
  untouchedSinceMs: 0,
  outputBytes: 0,
  endedAtMs: null,
} as const;
const transition: TransitionRecord = {
  sequence: 1,
  jobId: 1,
  position: 0,
  atMs: 5,
  fromState: 'queued',
  toState: 'leased',
  attemptNumber: 1,
  reason: '',
};

test('a sequence is given to one transition only', async () => {
  const store = new MemoryDatabase().connect();
  await store.load(1);
  await store.commit({ ...empty, jobs: [job], transitions: [transition] });
  const other = { ...transition, atMs: 6 };
  await expect(store.commit({ ...empty, transitions: [other] })).rejects.toThrow(ConstraintError);
});

test('a fraction in an integer is refused', async () => {
  const store = new MemoryDatabase().connect();
  await store.load(1);
  const crooked = { ...transition, atMs: 5.5 };
  await expect(store.commit({ ...empty, jobs: [job], transitions: [crooked] })).rejects.toThrow(
    ConstraintError,
  );
});

test('what was loaded cannot be changed', async () => {
  const store = new MemoryDatabase().connect();
  await store.load(1);
  await store.commit({ ...empty, jobs: [job] });
  const loaded = await store.loadJob(1);
  expect(Object.isFrozen(loaded) && Object.isFrozen(loaded?.counts)).toBe(true);
  expect(Object.isFrozen(loaded?.spec.argv)).toBe(true);
});

test('the writes of a handle that another has replaced are refused', async () => {
  const database = new MemoryDatabase();
  const [old, young] = [database.connect(), database.connect()];
  await old.load(1);
  await young.load(1);
  await expect(old.commit(empty)).rejects.toThrow(FencedError);
  await young.commit(empty);
});
