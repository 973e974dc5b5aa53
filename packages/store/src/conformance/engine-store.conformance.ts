import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { EngineStore } from '../engine-store.ts';
import { describeCommits } from './commits.conformance.ts';
import type { StoreGround, StoreUnderTest } from './ground.ts';
import { describeLoads } from './loads.conformance.ts';
import { describeMoves } from './moves.conformance.ts';
import { describeReads } from './reads.conformance.ts';
import { change, makeRows, QUEUED_MAX } from './records.ts';

/** What the engine relies on in any store; each implementation runs the same tests. */
export function describeEngineStore(name: string, make: () => Promise<StoreUnderTest>): void {
  describe(name, () => {
    let database: StoreUnderTest;
    let store: EngineStore;
    const ground: StoreGround = {
      get database() {
        return database;
      },
      get store() {
        return store;
      },
      addRows: async (states, spec) => {
        const rows = makeRows(await store.allocateJobId(), states, spec);
        await store.commit(change({ jobs: [rows.job], tasks: rows.tasks }));
        return rows;
      },
    };

    beforeEach(async () => {
      database = await make();
      store = database.connect();
      await store.load(QUEUED_MAX);
    });
    afterEach(async () => {
      await database[Symbol.asyncDispose]();
    });

    test('an empty store has an empty hot set', async () => {
      expect(await ground.store.load(QUEUED_MAX)).toEqual({
        jobs: [],
        tasks: [],
        attempts: [],
        upstreamJobs: [],
        rowsAhead: new Map(),
        queues: [],
        clusters: [],
        lastSequence: 0,
      });
    });

    test('job numbers are never given twice, also over a reload', async () => {
      const first = await ground.store.allocateJobId();
      const second = await ground.store.allocateJobId();
      await ground.store.load(QUEUED_MAX);
      const third = await ground.store.allocateJobId();
      expect(new Set([first, second, third]).size).toBe(3);
      expect(Math.min(first, second, third)).toBeGreaterThan(0);
    });

    describeCommits(ground);
    describeLoads(ground);
    describeMoves(ground);
    describeReads(ground);
  });
}
