import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { FreeAgent, WaitingGroup } from './dispatch.ts';
import { CHEAPER_PATIENCE_MS, planDispatch } from './dispatch.ts';
import { DEFAULT_RESOURCES } from './resources.ts';
import { CostRanking, costOf, dataCostOf, GIGABYTE } from './task-cost.ts';

const NOW = 10 * CHEAPER_PATIENCE_MS;
const ROOM = { ...DEFAULT_RESOURCES, cpuMillis: 1e6, memoryBytes: 1e15 };

const group = (edit: Partial<WaitingGroup>): WaitingGroup => ({
  jobId: 1,
  queue: 'default',
  priority: 0,
  submittedAtMs: 0,
  remainingMs: 0,
  waitingSinceMs: NOW,
  resources: DEFAULT_RESOURCES,
  shapeKey: 's',
  count: 1,
  aheadPerSlot: 0,
  coreHours: 1,
  dataBytes: 0,
  ...edit,
});

const cluster = (agentId: string, count: number, edit: Partial<FreeAgent>): FreeAgent => ({
  agentId,
  capacity: ROOM,
  free: ROOM,
  slots: 1000,
  offers: new Map([['s', count]]),
  soon: new Map(),
  corePricePerHour: 0,
  dataPricePerGb: 0,
  ...edit,
});

const given = (groups: readonly WaitingGroup[], agents: readonly FreeAgent[], nowMs = NOW) =>
  planDispatch(groups, agents, [], nowMs).grants.map(
    ({ jobId, agentId, count }) => [jobId, agentId, count] as const,
  );

test('work goes to cheap cores, data to where it lies, and each to what is cheapest for both', () => {
  const far = cluster('far', 9, { corePricePerHour: 0.01, dataPricePerGb: 0.09 });
  const near = cluster('near', 9, { corePricePerHour: 0.05 });
  const small = group({ jobId: 1 });
  const large = group({ jobId: 2, dataBytes: 10 * GIGABYTE });
  const long = group({ jobId: 3, dataBytes: 10 * GIGABYTE, coreHours: 100 });
  expect(given([small, large, long], [near, far])).toEqual([
    [1, 'far', 1],
    [2, 'near', 1],
    [3, 'far', 1],
  ]);
  expect(costOf(large, far)).toBeCloseTo(0.91);
  expect(dataCostOf(large, far)).toBeCloseTo(0.9);
});

test('what the near cluster has no room for goes to the far one', () => {
  const near = cluster('near', 2, { corePricePerHour: 0.05 });
  const far = cluster('far', 9, { dataPricePerGb: 0.09 });
  const large = group({ count: 5, dataBytes: 10 * GIGABYTE });
  expect(given([large], [far, near])).toEqual([
    [1, 'near', 2],
    [1, 'far', 3],
  ]);
});

test('tasks wait for a near cluster that is dearer by the hour as for any cheaper one', () => {
  const near = cluster('near', 0, { corePricePerHour: 0.05, soon: new Map([['s', 5]]) });
  const far = cluster('far', 9, { dataPricePerGb: 0.09 });
  const large = group({ dataBytes: 10 * GIGABYTE });
  expect(given([large], [far, near])).toEqual([]);
  expect(given([large], [far, near], NOW + CHEAPER_PATIENCE_MS)).toEqual([[1, 'far', 1]]);
});

test('where no core has a price, data alone decides', () => {
  const far = cluster('far', 9, { corePricePerHour: Infinity, dataPricePerGb: 0.09 });
  const near = cluster('near', 9, { corePricePerHour: Infinity, free: DEFAULT_RESOURCES });
  expect(given([group({ dataBytes: 1 })], [far, near])).toEqual([[1, 'near', 1]]);
  expect(given([group({})], [far, near])).toEqual([[1, 'far', 1]]);
});

const price = fc.constantFrom(0, 0.01, 0.02, 0.05, 1);
const clusters = fc.uniqueArray(
  fc.record({
    agentId: fc.constantFrom('a', 'b', 'c', 'd', 'e'),
    count: fc.integer({ min: 0, max: 6 }),
    corePricePerHour: price,
    dataPricePerGb: price,
    freeCores: fc.integer({ min: 100, max: 104 }),
  }),
  { selector: ({ agentId }) => agentId, minLength: 1 },
);
const groups = fc.array(
  fc.record({
    count: fc.integer({ min: 1, max: 6 }),
    coreHours: fc.constantFrom(0.001, 1, 50),
    dataBytes: fc.constantFrom(0, 1e6, 1e9, 1e12),
  }),
  { minLength: 1, maxLength: 5 },
);

test('no task goes where it costs more while there is room where it costs less, nor, at one cost, where less is free', () => {
  fc.assert(
    fc.property(clusters, groups, (drawn, waiting) => {
      const agents = drawn.map(({ agentId, count, freeCores, ...prices }) =>
        cluster(agentId, count, {
          ...prices,
          free: { ...ROOM, cpuMillis: freeCores * 1000 },
        }),
      );
      const list = waiting.map((one, at) => group({ ...one, jobId: at }));
      const open = new Map<string, number>(drawn.map(({ agentId, count }) => [agentId, count]));
      for (const [jobId, agentId, count] of given(list, agents)) {
        const own = agents.find((one) => one.agentId === agentId)!;
        const cost = costOf(list[jobId]!, own);
        for (const other of agents.filter((one) => open.get(one.agentId)! > 0 && one !== own)) {
          expect(costOf(list[jobId]!, other)).toBeGreaterThanOrEqual(cost);
          if (
            costOf(list[jobId]!, other) === cost &&
            dataCostOf(list[jobId]!, other) === dataCostOf(list[jobId]!, own)
          )
            expect(other.free.cpuMillis).toBeLessThanOrEqual(own.free.cpuMillis);
        }
        open.set(agentId, open.get(agentId)! - count);
      }
    }),
  );
});

test('the plan does not depend on the order in which clusters became known', () => {
  fc.assert(
    fc.property(clusters, groups, fc.integer(), (drawn, waiting, turn) => {
      const agents = drawn.map(({ agentId, count, freeCores, ...prices }) =>
        cluster(agentId, count, { ...prices, free: { ...ROOM, cpuMillis: freeCores * 1000 } }),
      );
      const at = Math.abs(turn) % agents.length;
      const turned = [...agents.slice(at), ...agents.slice(0, at)];
      const list = waiting.map((one, jobId) => group({ ...one, jobId }));
      expect(given(list, turned)).toEqual(given(list, agents));
    }),
  );
});

test('100,000 groups of one kind are ranked once', () => {
  const ranking = new CostRanking([
    { corePricePerHour: 2, dataPricePerGb: 0 },
    { corePricePerHour: 1, dataPricePerGb: 1 },
  ]);
  const first = ranking.of({ coreHours: 1, dataBytes: 5 });
  expect(ranking.of({ coreHours: 2, dataBytes: 10 })).toBe(first);
});
