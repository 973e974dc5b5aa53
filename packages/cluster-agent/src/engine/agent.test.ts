import type { AgentOrders } from '@majorana/protocol';
import { expect, test } from 'vitest';
import { HeldBackError, LeaseRefusedError } from './ports.ts';
import type { Method } from './test-world.ts';
import {
  SECOND,
  MINUTE,
  settle,
  endOf,
  TestServer,
  makeWorld,
  makeAgent,
  startWorld,
  ID,
  startInSession,
} from './test-world.ts';

test('an attempt is accepted, run, collected, told and forgotten', async () => {
  const { clock, host, server } = await startWorld();
  server.lease(ID);
  await clock.advance(10);
  expect(server.events.at(-1)).toMatchObject({ kind: 'running', atMs: 1_500_000 });
  host.exit(ID);
  await clock.advance(10);
  expect(server.ended.get(ID)).toEqual(endOf(ID));
  expect(host.kept.size).toBe(0);
  expect(server.syncs.at(-1)).toMatchObject({ events: [] });
  expect(server.held.size).toBe(0);
});

test('of a task that ends at once only the latest is told', async () => {
  const { clock, host, server } = await startWorld();
  host.isInstant = true;
  server.lease(ID);
  await clock.advance(10);
  expect(server.kinds(ID).at(-1)).toBe('ended');
  expect(server.kinds(ID)).not.toContain('running');
});

test('an end whose notice was lost is found by the sweep', async () => {
  const { clock, host, server } = await startWorld();
  server.lease(ID);
  await clock.advance(10);
  host.exit(ID, false);
  await clock.advance(SECOND);
  expect(server.ended.has(ID)).toBe(true);
});

test('news cuts a quiet long poll short, and one exchange is open at most', async () => {
  const { clock, host, server } = await startWorld();
  server.lease(ID);
  await clock.advance(10);
  expect(server.openCount).toBe(1);
  const count = server.syncs.length;
  host.exit(ID);
  await settle();
  expect(server.syncs.length).toBeGreaterThan(count);
  expect(server.openCount).toBe(1);
});

test('the answer of an exchange that was given up starts nothing', async () => {
  const world = makeWorld();
  const { clock, host, server } = world;
  const mortal = new TestServer();
  const late: ((orders: AgentOrders) => void)[] = [];
  let isLate = false;
  mortal.exchange = (sync, signal) =>
    isLate && sync.waitMs > 0
      ? new Promise((resolve) => late.push(resolve))
      : server.exchange(sync, signal);
  await makeAgent(world, { server: mortal }).start();
  server.lease(ID);
  await clock.advance(10);
  const { lease } = host.kept.get(ID)!;
  isLate = true;
  host.exit(ID);
  await clock.advance(10);
  expect(late.length).toBeGreaterThan(0);
  host.isInstant = true;
  await clock.advance(2 * MINUTE);
  late[0]!({
    leases: [lease],
    endAttemptIds: [],
    forgetAttemptIds: [],
    wantsHeldAttemptIds: false,
    logRequests: [],
  });
  await clock.advance(10);
  expect(host.kept.has(ID)).toBe(false);
});

test('an end that comes while earlier news is on its way is told next', async () => {
  const world = makeWorld();
  const { clock, host, server } = world;
  const slow = new TestServer();
  slow.exchange = async (sync, signal) => {
    const orders = await server.exchange(sync, signal);
    if (sync.events.length > 0) await new Promise<void>((resolve) => clock.after(50, resolve));
    return orders;
  };
  await makeAgent(world, { server: slow }).start();
  server.lease(ID);
  await clock.advance(60);
  expect(server.kinds(ID).at(-1)).toBe('running');
  host.exit(ID);
  await clock.advance(200);
  expect(server.ended.has(ID)).toBe(true);
});

test('news without an answer is said again until it is answered', async () => {
  const { clock, host, server } = await startWorld();
  server.lease(ID);
  await clock.advance(10);
  server.isDown = true;
  host.exit(ID);
  await clock.advance(MINUTE);
  expect(server.ended.has(ID)).toBe(false);
  server.isDown = false;
  await clock.advance(3 * SECOND);
  expect(server.ended.has(ID)).toBe(true);
  expect(host.kept.size).toBe(0);
});

test('a server that repeats an order at once does not spin the loop', async () => {
  const { clock, host, server } = await startWorld();
  server.lease(ID);
  await clock.advance(10);
  host.refuse = (method) => (method === 'end' ? new Error('not yet') : undefined);
  server.ending.add(ID);
  server.wake();
  const count = server.syncs.length;
  await clock.advance(10 * SECOND);
  expect(server.syncs.length - count).toBeLessThan(60);
});

test('a cancel while inputs are laid in ends the attempt before its program starts', async () => {
  const { clock, host, server } = await startWorld();
  let open = (): void => undefined;
  host.gate = (method, when) =>
    method === 'accept' && when === 'before'
      ? new Promise((resolve) => (open = resolve))
      : Promise.resolve();
  server.lease(ID);
  await clock.advance(10);
  server.ending.add(ID);
  server.wake();
  await clock.advance(10);
  open();
  await clock.advance(10);
  expect(server.ended.get(ID)?.outcome.kind).toBe('cancelled');
  expect(host.calls).not.toContain(`start ${ID}`);
});

test('a cancel that meets the start ends the program', async () => {
  const { clock, host, server } = await startWorld();
  let open = (): void => undefined;
  host.gate = (method, when) =>
    method === 'start' && when === 'after'
      ? new Promise((resolve) => (open = resolve))
      : Promise.resolve();
  server.lease(ID);
  await clock.advance(10);
  server.ending.add(ID);
  server.wake();
  await clock.advance(10);
  open();
  await clock.advance(10);
  expect(host.calls).toContain(`end ${ID}`);
  expect(server.ended.get(ID)?.outcome.kind).toBe('cancelled');
});

test('a cancel before a start is told ends the program, whose results are collected', async () => {
  const { clock, host, server } = await startWorld();
  host.tellsLate = true;
  server.lease(ID);
  await clock.advance(10);
  server.ending.add(ID);
  server.wake();
  await clock.advance(10);
  expect(server.ended.get(ID)).toEqual(endOf(ID, 'cancelled'));
  expect(host.calls).toContain(`collect ${ID}`);
  expect(host.calls).not.toContain(`conclude ${ID}`);
});

test('a refused lease ends with the reason; a full disk is waited for', async () => {
  const { clock, host, server } = await startWorld();
  const other = 'job_2.0.1';
  let isFull = true;
  host.refuse = (method, attemptId) => {
    if (method !== 'accept') return undefined;
    if (attemptId === ID) return new LeaseRefusedError('object 12ab is nowhere');
    return isFull ? new Error('no space left on device') : undefined;
  };
  server.lease(ID);
  server.lease(other);
  await clock.advance(10);
  expect(server.ended.get(ID)?.outcome).toEqual({
    kind: 'start_error',
    reason: 'could not start: object 12ab is nowhere',
  });
  expect(server.ended.has(other)).toBe(false);
  isFull = false;
  await clock.advance(3 * SECOND);
  expect(host.standing(other).kind).toBe('running');
});

test('a disk that stays full ends the attempt as one that could not start', async () => {
  const { clock, host, server } = await startWorld();
  host.refuse = (method) =>
    method === 'accept' ? new Error('no space left on device') : undefined;
  server.lease(ID);
  await clock.advance(9 * MINUTE);
  expect(server.ended.has(ID)).toBe(false);
  await clock.advance(2 * MINUTE);
  expect(server.ended.get(ID)?.outcome).toEqual({
    kind: 'start_error',
    reason: 'could not start: no space left on device',
  });
});

test('what is held back is tried for half a minute, and then its lease goes back, uncounted', async () => {
  const { clock, host, server } = await startWorld();
  const isHeldBack = (method: Method): Error | undefined =>
    method === 'start' ? new HeldBackError('exceeded quota: two') : undefined;
  host.refuse = isHeldBack;
  server.lease(ID);
  await clock.advance(30 * SECOND);
  expect(server.ended.has(ID)).toBe(false);
  await clock.advance(2 * SECOND);
  expect(server.ended.get(ID)?.outcome).toEqual({
    kind: 'lost',
    reason: 'could not start here: exceeded quota: two',
  });
  const later = 'job_1.0.2';
  server.lease(later);
  await clock.advance(10 * SECOND);
  host.refuse = () => undefined;
  await clock.advance(10 * SECOND);
  expect(host.standing(later).kind).toBe('running');
});

test('results that a store refuses are tried for ten minutes and never told as a success', async () => {
  const { clock, host, server } = await startWorld();
  host.refuse = (method) => (method === 'collect' ? new Error('store is full') : undefined);
  server.lease(ID);
  await clock.advance(10);
  host.exit(ID);
  await clock.advance(9 * MINUTE);
  expect(server.ended.has(ID)).toBe(false);
  await clock.advance(2 * MINUTE);
  expect(server.ended.get(ID)).toMatchObject({
    startedAtMs: 1_500_000,
    outcome: {
      kind: 'exit_code',
      exitCode: 0,
      reason: 'exit code 0; its results could not be stored: store is full',
    },
  });
});

test('a host whose results are safe is waited for as long as it says', async () => {
  const { clock, host, server } = await startWorld();
  host.collectPatienceMs = 120 * MINUTE;
  host.refuse = (method) => (method === 'collect' ? new Error('nobody answers') : undefined);
  server.lease(ID);
  await clock.advance(10);
  host.exit(ID);
  await clock.advance(60 * MINUTE);
  expect(server.ended.has(ID)).toBe(false);
  host.refuse = () => undefined;
  await clock.advance(MINUTE);
  expect(server.ended.get(ID)?.outcome.kind).toBe('succeeded');
});

test('while its agent might not act, nobody lost patience with a store', async () => {
  const { clock, host, server } = await startInSession();
  server.lease(ID);
  await clock.advance(10);
  let refusalCount = 0;
  host.refuse = (method) =>
    method === 'collect' && server.isDown ? new Error('nobody answers') : undefined;
  server.isDown = true;
  server.wake();
  host.exit(ID);
  await clock.advance(60 * MINUTE - 10);
  host.refuse = (method) => {
    if (method !== 'collect' || refusalCount === 2) return undefined;
    refusalCount += 1;
    return new Error('nobody answers yet');
  };
  server.isDown = false;
  await clock.advance(10 * SECOND);
  expect(refusalCount).toBe(2);
  expect(server.ended.get(ID)?.outcome.kind).toBe('succeeded');
});

test('what ended during a cut is told as soon as the agent may act again', async () => {
  const { clock, host, server } = await startInSession();
  server.lease(ID);
  await clock.advance(10);
  server.isDown = true;
  server.wake();
  await clock.advance(30 * SECOND);
  host.exit(ID);
  await clock.advance(29 * MINUTE);
  expect(host.standing(ID).kind).toBe('exited');
  server.isDown = false;
  await clock.advance(3 * SECOND);
  expect(server.ended.get(ID)?.outcome.kind).toBe('succeeded');
});

test('results are stored once the store takes them', async () => {
  const { clock, host, server } = await startWorld();
  host.refuse = (method) => (method === 'collect' ? new Error('store is full') : undefined);
  server.lease(ID);
  await clock.advance(10);
  host.exit(ID);
  await clock.advance(8 * MINUTE);
  host.refuse = () => undefined;
  await clock.advance(MINUTE);
  expect(server.ended.get(ID)?.outcome.kind).toBe('succeeded');
});

test('an attempt whose guard is gone is lost', async () => {
  const { clock, host, server } = await startWorld();
  server.lease(ID);
  await clock.advance(10);
  host.lose(ID);
  await clock.advance(SECOND);
  expect(server.ended.get(ID)?.outcome).toEqual({
    kind: 'lost',
    reason: 'the machine was rebooted',
  });
});

test('a started attempt whose folder vanishes is lost, not run again', async () => {
  const { clock, host, server } = await startWorld();
  server.lease(ID);
  await clock.advance(10);
  host.kept.delete(ID);
  await clock.advance(SECOND);
  expect(server.ended.get(ID)?.outcome.kind).toBe('lost');
  expect(host.calls.filter((call) => call === `start ${ID}`)).toHaveLength(1);
});

test('collects run eight at a time, and never twice for one attempt', async () => {
  const { clock, host, server } = await startWorld();
  const open: (() => void)[] = [];
  host.isInstant = true;
  host.gate = (method, when) =>
    method === 'collect' && when === 'before'
      ? new Promise((resolve) => open.push(resolve))
      : Promise.resolve();
  for (let task = 0; task < 20; task += 1) server.lease(`job_1.${task}.1`);
  await clock.advance(5 * SECOND);
  expect(host.collectsOpen).toBe(8);
  while (open.length > 0) {
    open.shift()!();
    await clock.advance(10);
  }
  expect(server.ended.size).toBe(20);
  expect(host.collectsOpenMax).toBe(8);
  const collects = host.calls.filter((call) => call.startsWith('collect'));
  expect(new Set(collects).size).toBe(collects.length);
});

test('a log is answered with the next sync, and a log that cannot be read as empty', async () => {
  const { clock, host, server } = await startWorld();
  server.lease(ID);
  await clock.advance(10);
  const request = { attemptId: ID, stream: 'stdout', offset: 3, bytesMax: 4 } as const;
  server.logRequests.set('a', { requestId: 'a', ...request });
  server.wake();
  await clock.advance(10);
  host.refuse = (method) => (method === 'readLog' ? new Error('gone') : undefined);
  server.logRequests.set('b', { requestId: 'b', ...request });
  server.wake();
  await clock.advance(10);
  expect([...server.logs]).toEqual([
    ['a', '3456'],
    ['b', ''],
  ]);
});

test('nothing is said before it is known what is held', async () => {
  const world = makeWorld();
  world.host.refuse = (method) => (method === 'list' ? new Error('i/o error') : undefined);
  const started = makeAgent(world).start();
  await world.clock.advance(MINUTE);
  expect(world.server.syncs).toEqual([]);
  world.host.refuse = () => undefined;
  await world.clock.advance(5 * SECOND);
  await started;
  expect(world.server.syncs).toHaveLength(1);
});

test('a stopped agent ends no task, and says nothing more', async () => {
  const world = makeWorld();
  const agent = makeAgent(world);
  await agent.start();
  world.server.lease(ID);
  await world.clock.advance(10);
  await agent.stop();
  const count = world.server.syncs.length;
  await world.clock.advance(MINUTE);
  expect(world.host.standing(ID).kind).toBe('running');
  expect(world.server.syncs).toHaveLength(count);
});
