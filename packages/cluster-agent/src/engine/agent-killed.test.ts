import { expect, test } from 'vitest';
import type { AttemptHost } from './ports.ts';
import type { TestHost, World } from './test-world.ts';
import { SECOND, MINUTE, TestServer, makeWorld, makeAgent, ID } from './test-world.ts';

/** One agent that is killed at its `killAt`-th await on the host; then its successor. */
async function runWithKill(killAt: number): Promise<{ world: World; wasKilled: boolean }> {
  const world = makeWorld();
  const { clock, host, server } = world;
  let awaits = 0;
  let isKilled = false;
  const never = new Promise<never>(() => undefined);
  const mortal = new TestServer();
  mortal.exchange = (sync, signal) => (isKilled ? never : server.exchange(sync, signal));
  host.gate = async () => {
    awaits += 1;
    isKilled ||= awaits === killAt;
    if (isKilled) await never;
  };
  void makeAgent(world, { server: mortal }).start();
  await clock.advance(10);
  server.lease(ID);
  await clock.advance(10);
  if (host.kept.has(ID) && host.standing(ID).kind === 'running') host.exit(ID);
  await clock.advance(2 * SECOND);
  const wasKilled = isKilled;
  isKilled = true;
  host.gate = () => Promise.resolve();
  host.isInstant = true;
  const started = makeAgent(world).start();
  await clock.advance(MINUTE);
  await started;
  return { world, wasKilled };
}

test('killed at any await on the host, before or after its effect, an attempt runs once and its end is told', async () => {
  const lostAt: number[] = [];
  let killAt = 0;
  for (let wasKilled = true; wasKilled;) {
    killAt += 1;
    const result = await runWithKill(killAt);
    const { host, server } = result.world;
    wasKilled = result.wasKilled;
    const what = `kill at await ${killAt}`;
    const starts = host.calls.filter((call) => call === `start ${ID}`).length;
    expect(host.kept.size, what).toBe(0);
    if (server.lost.has(ID)) {
      lostAt.push(killAt);
      expect(starts, what).toBe(0);
    } else {
      expect(server.ended.get(ID)?.outcome.kind, what).toBe('succeeded');
      expect(host.runs.get(ID), what).toBe(1);
    }
  }
  expect(killAt).toBeGreaterThan(12);
  // Only before the host has kept the lease may an attempt vanish, and then it has not run.
  expect(lostAt).toHaveLength(1);
});

/** A small generator, so that a seed is the whole story of a run. */
function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

/** A host through which a killed agent reaches nothing any more. */
function mortalHost(host: TestHost, gate: () => Promise<void>): AttemptHost {
  const through = async <T>(call: () => Promise<T>): Promise<T> => {
    await gate();
    const result = await call();
    await gate();
    return result;
  };
  return {
    list: () => through(() => host.list()),
    inspect: (attemptId) => through(() => host.inspect(attemptId)),
    accept: (lease) => through(() => host.accept(lease)),
    start: (attemptId) => through(() => host.start(attemptId)),
    end: (attemptId) => through(() => host.end(attemptId)),
    collect: (attemptId) => through(() => host.collect(attemptId)),
    conclude: (event) => through(() => host.conclude(event)),
    readLog: (request) => through(() => host.readLog(request)),
    forget: (attemptId) => through(() => host.forget(attemptId)),
    onChange: (callback) => host.onChange(callback),
  };
}

const TASKS = 6;
const taskOf = (attemptId: string): number => Number(attemptId.split('.')[1]);

/** Some minutes in which calls are refused, notices lost, the server is away and agents are killed. */
async function runWithFaults(seed: number): Promise<World> {
  const random = randomOf(seed);
  const world = makeWorld();
  const { clock, host, server } = world;
  const never = new Promise<never>(() => undefined);
  let incarnation = 0;
  const startIncarnation = (): void => {
    const own = (incarnation += 1);
    const isDead = (): boolean => own !== incarnation;
    const mortal = new TestServer();
    mortal.exchange = async (sync, signal) => {
      if (isDead()) return never;
      const orders = await server.exchange(sync, signal);
      if (random() < 0.5) {
        await new Promise<void>((resolve) => clock.after(300 * random(), resolve));
      }
      if (random() < 0.1) throw new Error('the answer was lost');
      return isDead() ? never : orders;
    };
    const gate = async (): Promise<void> => {
      if (!isDead() && random() < 0.005) incarnation += 1;
      if (isDead()) await never;
    };
    void makeAgent(world, { server: mortal, host: mortalHost(host, gate) }).start();
  };
  startIncarnation();
  for (let task = 0; task < TASKS; task += 1) server.lease(`job_1.${task}.1`);
  let living = incarnation;
  for (let step = 0; step < 400; step += 1) {
    const isQuiet = step >= 300;
    host.refuse = () => (!isQuiet && random() < 0.1 ? new Error('i/o error') : undefined);
    server.isDown = !isQuiet && random() < 0.1;
    if (!isQuiet && random() < 0.02) incarnation += 1;
    if (incarnation !== living) startIncarnation();
    living = incarnation;
    for (const [attemptId, { standing }] of host.kept) {
      if (standing.kind === 'running' && random() < 0.1) host.exit(attemptId, random() < 0.5);
    }
    for (const attemptId of server.lost) {
      const next = `job_1.${taskOf(attemptId)}.${Number(attemptId.split('.')[2]) + 1}`;
      if (!server.confirmed.has(next)) server.lease(next);
    }
    server.wake();
    await clock.advance(500);
  }
  return world;
}

test('whatever is refused, lost or killed, every task ends once, for 100 seeds', async () => {
  for (let seed = 1; seed <= 100; seed += 1) {
    const { host, server } = await runWithFaults(seed);
    const what = `seed ${seed}`;
    expect(
      [...host.runs.values()].every((runs) => runs === 1),
      what,
    ).toBe(true);
    const tasks = [...server.ended.keys()].map(taskOf);
    expect(tasks, what).toHaveLength(TASKS);
    expect(new Set(tasks).size, what).toBe(TASKS);
    for (const attemptId of server.lost) expect(host.runs.has(attemptId), what).toBe(false);
    for (const attemptId of server.ended.keys()) expect(host.runs.has(attemptId), what).toBe(true);
    expect(host.kept.size, what).toBe(0);
  }
});
