import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { FreeAgent, WaitingGroup } from './dispatch.ts';
import { aheadPerSlot, isAheadFair, planAhead } from './dispatch-ahead.ts';
import { CHEAPER_PATIENCE_MS, planDispatch, RESERVE_AFTER_MS } from './dispatch.ts';
import { DEFAULT_RESOURCES, dominantShare } from './resources.ts';

const NOW = 10 * RESERVE_AFTER_MS;
const cores = (count: number) => ({
  ...DEFAULT_RESOURCES,
  cpuMillis: count * 1000,
  memoryBytes: count * 1e9,
});

const group = (edit: Partial<WaitingGroup>): WaitingGroup => ({
  jobId: 1,
  queue: 'default',
  priority: 0,
  remainingMs: 0,
  submittedAtMs: 0,
  waitingSinceMs: NOW,
  resources: cores(1),
  count: 1,
  aheadPerSlot: 0,
  coreHours: 1,
  dataBytes: 0,
  ...edit,
});

const agent = (free: number, edit: Partial<FreeAgent> = {}): FreeAgent => ({
  agentId: 'a',
  capacity: cores(free),
  free: cores(free),
  slots: 1000,
  corePricePerHour: Infinity,
  dataPricePerGb: 0,
  ...edit,
});

const granted = (plan: ReturnType<typeof planDispatch>): Record<number, number> => {
  const counts: Record<number, number> = {};
  for (const { jobId, count } of plan.grants) counts[jobId] = (counts[jobId] ?? 0) + count;
  return counts;
};

test('no agent is ever given more than it has, and no queue more than its slots', () => {
  const groups = fc.array(
    fc.record({
      priority: fc.integer({ min: 0, max: 3 }),
      queue: fc.constantFrom('q1', 'q2', 'q3'),
      cores: fc.integer({ min: 1, max: 8 }),
      count: fc.integer({ min: 1, max: 60 }),
    }),
    { maxLength: 20 },
  );
  const agents = fc.array(fc.integer({ min: 0, max: 64 }), { maxLength: 5 });
  fc.assert(
    fc.property(groups, agents, fc.integer({ min: 0, max: 40 }), (list, sizes, slots) => {
      const free = sizes.map((size, number) => agent(size, { agentId: `a${number}` }));
      const waiting = list.map((one, jobId) =>
        group({ ...one, jobId, resources: cores(one.cores) }),
      );
      const shares = [{ name: 'q1', weight: 2, held: cores(0), slots }];
      const { grants } = planDispatch(waiting, free, shares, NOW);
      const used = new Map<string, number>();
      let ofQueue = 0;
      for (const { jobId, agentId, resources, count } of grants) {
        used.set(agentId, (used.get(agentId) ?? 0) + resources.cpuMillis * count);
        if (waiting[jobId]!.queue === 'q1') ofQueue += count;
      }
      return ofQueue <= slots && free.every((a) => (used.get(a.agentId) ?? 0) <= a.free.cpuMillis);
    }),
  );
});

test('higher priority goes first, then the earlier submission', () => {
  const plan = planDispatch(
    [
      group({ jobId: 1, submittedAtMs: 5 }),
      group({ jobId: 2, submittedAtMs: 1 }),
      group({ jobId: 3, submittedAtMs: 9, priority: 1 }),
    ],
    [agent(2)],
    [],
    NOW,
  );
  expect(granted(plan)).toEqual({ 2: 1, 3: 1 });
  expect([...plan.refusals]).toEqual([[1, 'no_room']]);
});

test.each([
  { cores: 24, weight: 1, expected: 12 },
  { cores: 24, weight: 0.001, expected: 23 },
  { cores: 7, weight: 1000, expected: 1 },
])('also of few cores each queue gets no more than its share: %o', (given) => {
  const waiting = ['b', 'a'].map((queue, jobId) => group({ jobId, queue, count: 99 }));
  const shares = [
    { name: 'a', weight: 1, held: cores(0), slots: Infinity },
    { name: 'b', weight: given.weight, held: cores(0), slots: Infinity },
  ];
  const { 1: a = 0 } = granted(planDispatch(waiting, [agent(given.cores)], shares, NOW));
  expect(a).toBe(given.expected);
});

test('queues share by weight when all have waiting work', () => {
  const waiting = ['a', 'b'].map((queue, jobId) => group({ jobId, queue, count: 10_000 }));
  const shares = [
    { name: 'a', weight: 3, held: cores(0), slots: Infinity },
    { name: 'b', weight: 1, held: cores(0), slots: Infinity },
  ];
  const { 0: a = 0, 1: b = 0 } = granted(planDispatch(waiting, [agent(800)], shares, NOW));
  expect(a + b).toBe(800);
  expect(a / b).toBeGreaterThan(2.8);
  expect(a / b).toBeLessThan(3.2);
});

test('a small task uses what a large one cannot, until the large one has waited too long', () => {
  const large = group({ jobId: 1, resources: cores(8) });
  const small = group({ jobId: 2, submittedAtMs: 1, count: 3 });
  const busy = agent(3, { capacity: cores(8) });
  expect(granted(planDispatch([large, small], [busy], [], NOW))).toEqual({ 2: 3 });
  const old = { ...large, waitingSinceMs: NOW - RESERVE_AFTER_MS - 1 };
  expect(granted(planDispatch([old, small], [busy], [], NOW))).toEqual({});
});

test('without an agent, and in a paused queue, the refusal says so', () => {
  expect([...planDispatch([group({})], [], [], NOW).refusals]).toEqual([[1, 'no_agent']]);
  const paused = [{ name: 'default', weight: 1, held: cores(0), slots: 0 }];
  expect([...planDispatch([group({})], [agent(4)], paused, NOW).refusals]).toEqual([
    [1, 'queue_limit'],
  ]);
});

test('short tasks are leased ahead of room, as many as end within a fifth of a second', () => {
  expect([undefined, 60_000, 2000, 50, 1].map(aheadPerSlot)).toEqual([0, 0, 1, 4, 16]);
  const waiting = [group({ count: 100, aheadPerSlot: 4 })];
  const plan = planDispatch(waiting, [agent(2)], [], NOW);
  expect(granted(plan)).toEqual({ 1: 2 });
  expect(planAhead(plan, [agent(2)], [], NOW)).toMatchObject([{ jobId: 1, count: 8 }]);
});

test('nothing is leased ahead while a longer task waits, nor beyond the limit of a queue', () => {
  const short = group({ count: 100, aheadPerSlot: 4 });
  const long = group({ jobId: 2, priority: -1 });
  const mixed = planDispatch([short, long], [agent(2)], [], NOW);
  expect(planAhead(mixed, [agent(2)], [], NOW)).toEqual([]);
  const shares = [{ name: 'default', weight: 1, held: cores(0), slots: 5 }];
  const limited = planDispatch([short], [agent(2)], shares, NOW);
  expect(planAhead(limited, [agent(2)], shares, NOW)).toMatchObject([{ count: 3 }]);
});

test('what never fits an agent is not leased to it ahead either', () => {
  const large = group({ count: 9, aheadPerSlot: 16, resources: cores(8) });
  const plan = planDispatch([large], [agent(4)], [], NOW);
  expect(planAhead(plan, [agent(4)], [], NOW)).toEqual([]);
});

test('with several agents the last tasks wait for whoever is free first', () => {
  const rest = [group({ count: 3, aheadPerSlot: 1 })];
  expect(isAheadFair(rest, 4, 2)).toBe(false);
  expect(isAheadFair(rest, 2, 2)).toBe(true);
  expect(isAheadFair(rest, 4, 1)).toBe(true);
});

/** One of two clusters: for how many of the shape it has room now, and soon. */
const cluster = (corePricePerHour: number, now: number, soon = 0): FreeAgent =>
  agent(1000, {
    agentId: `at ${corePricePerHour}`,
    corePricePerHour,
    offers: new Map([['s', now]]),
    soon: new Map([['s', soon]]),
  });

const byAgent = (plan: ReturnType<typeof planDispatch>): Record<string, number> => {
  const counts: Record<string, number> = {};
  for (const { agentId, count } of plan.grants) counts[agentId] = (counts[agentId] ?? 0) + count;
  return counts;
};

test('a dearer cluster is given only what the cheaper one takes neither now nor soon', () => {
  const waiting = [group({ shapeKey: 's', count: 10 })];
  const plan = planDispatch(waiting, [cluster(1, 3, 5), cluster(2, 100)], [], NOW);
  expect(byAgent(plan)).toEqual({ 'at 1': 3, 'at 2': 2 });
  expect(plan.rest).toMatchObject([{ count: 5 }]);
  expect([...plan.refusals]).toEqual([[1, 'cheaper_soon']]);
});

test('what one job waits for at a cheaper cluster is not kept for the next job too', () => {
  const waiting = [1, 2].map((jobId) => group({ jobId, shapeKey: 's', count: 5 }));
  const plan = planDispatch(waiting, [cluster(1, 0, 5), cluster(2, 100)], [], NOW);
  expect(granted(plan)).toEqual({ 2: 5 });
  expect([...plan.refusals]).toEqual([[1, 'cheaper_soon']]);
});

test('a task waits for a cheaper cluster for a time, and no longer', () => {
  const waitingSinceMs = NOW - CHEAPER_PATIENCE_MS;
  const waiting = [group({ shapeKey: 's', count: 10, waitingSinceMs })];
  const plan = planDispatch(waiting, [cluster(1, 3, 50), cluster(2, 100)], [], NOW);
  expect(byAgent(plan)).toEqual({ 'at 1': 3, 'at 2': 7 });
});

test('clusters of one price wait for each other in nothing, nor for a dearer one', () => {
  const waiting = [group({ shapeKey: 's', count: 10 })];
  const equal = [cluster(1, 0, 50), { ...cluster(1, 4, 50), agentId: 'other' }];
  expect(byAgent(planDispatch(waiting, equal, [], NOW))).toEqual({ other: 4 });
  const plan = planDispatch(waiting, [cluster(1, 10), cluster(2, 0, 50)], [], NOW);
  expect(byAgent(plan)).toEqual({ 'at 1': 10 });
});

test('a cheaper cluster that has been given its leases of this round keeps what it offers beyond', () => {
  const waiting = [group({ shapeKey: 's', count: 10 })];
  const cheap = { ...cluster(1, 8), slots: 2 };
  const plan = planDispatch(waiting, [cheap, cluster(2, 100)], [], NOW);
  expect(byAgent(plan)).toEqual({ 'at 1': 2, 'at 2': 2 });
});

test('over any offers no agent is given more than it offers, and a dearer one never what a cheaper one takes', () => {
  const amount = fc.integer({ min: 0, max: 12 });
  const clusters = fc.array(fc.tuple(amount, amount), { minLength: 1, maxLength: 4 });
  fc.assert(
    fc.property(clusters, fc.array(amount, { maxLength: 4 }), (offered, counts) => {
      const agents = offered.map(([now, soon], price) => cluster(price, now, soon));
      const waiting = counts
        .filter((count) => count > 0)
        .map((count, jobId) => group({ jobId, shapeKey: 's', count }));
      const given = byAgent(planDispatch(waiting, agents, [], NOW));
      let left = waiting.reduce((sum, { count }) => sum + count, 0);
      for (const [price, [now, soon]] of offered.entries()) {
        const mine = Math.min(now, left);
        expect(given[`at ${price}`] ?? 0).toBe(mine);
        left = Math.max(0, left - mine - soon);
      }
    }),
  );
});

test('what waits for one cluster by name keeps nothing of another from the rest', () => {
  const bound = group({ jobId: 1, shapeKey: 's', count: 5, agentId: 'at 2' });
  const free = group({ jobId: 2, shapeKey: 's', count: 5 });
  const plan = planDispatch([bound, free], [cluster(1, 0, 5), cluster(2, 0, 0)], [], NOW);
  expect([...plan.refusals]).toEqual([
    [1, 'no_room'],
    [2, 'no_room'],
  ]);
  const late = planDispatch([bound, free], [cluster(1, 0, 5), cluster(2, 6)], [], NOW);
  expect(granted(late)).toEqual({ 1: 5 });
  expect([...late.refusals]).toEqual([[2, 'cheaper_soon']]);
});

test('a dearer cluster waits for the answer of a cheaper one, until that has had its time', () => {
  const waiting = [group({ shapeKey: 's', count: 3, waitingSinceMs: 0 })];
  const silent = { ...cluster(1, 0), offers: new Map<string, number>() };
  expect(byAgent(planDispatch(waiting, [silent, cluster(2, 9)], [], NOW))).toEqual({});
  const givenUp = { ...silent, unanswered: new Set(['s']) };
  expect(byAgent(planDispatch(waiting, [givenUp, cluster(2, 9)], [], NOW))).toEqual({ 'at 2': 3 });
  const bound = [{ ...waiting[0]!, agentId: 'at 2' }];
  expect(byAgent(planDispatch(bound, [silent, cluster(2, 9)], [], NOW))).toEqual({ 'at 2': 3 });
});

test("of unlike clusters a queue's share is of all they have, whichever of them it holds", () => {
  const [small, large] = [agent(10, { agentId: 'small' }), agent(90, { agentId: 'large' })];
  const waiting = ['a', 'b'].map((queue, jobId) => group({ jobId, queue, count: 100 }));
  // All of a small cluster is a tenth: the other queue goes first until it holds as much.
  const shares = [
    { name: 'a', weight: 1, held: cores(10), slots: Infinity },
    { name: 'b', weight: 1, held: cores(0), slots: Infinity },
  ];
  const full = { ...small, free: cores(0) };
  const { 0: a = 0, 1: b = 0 } = granted(planDispatch(waiting, [full, large], shares, NOW));
  expect(a + b).toBe(90);
  expect(Math.abs(a + 10 - b)).toBeLessThanOrEqual(16);
});

test('devices with a name count in a share as GPUs do', () => {
  const total = { ...cores(100), countable: { 'amd.com/gpu': 4 } };
  expect(dominantShare({ ...cores(2), countable: { 'amd.com/gpu': 3 } }, total)).toBe(0.75);
  expect(dominantShare({ ...cores(2), countable: { unknown: 3 } }, total)).toBe(0.02);
});
