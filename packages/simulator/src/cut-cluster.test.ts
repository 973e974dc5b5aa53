import { Agent } from '@majorana/cluster-agent/engine/agent';
import { AgentSession } from '@majorana/cluster-agent/engine/session';
import type { Resources } from '@majorana/core';
import type { AgentOrders, AgentSync } from '@majorana/protocol';
import { jobSpecSchema, storedJobSpecSchema } from '@majorana/protocol';
import { MemoryDatabase } from '@majorana/store/memory-store';
import { expect, test } from 'vitest';
import { Faults, NO_FAULTS } from './faults.ts';
import { Life } from './life.ts';
import { Machine } from './machine.ts';
import { Oracle } from './oracle.ts';
import { Random } from './random.ts';
import { ServerProcess } from './server-process.ts';
import { SimulatedHost } from './simulated-host.ts';
import { Trace } from './trace.ts';
import { VirtualTime } from './virtual-time.ts';
import type { World } from './world.ts';

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const TASKS = 16;
const CAPACITY: Resources = {
  cpuMillis: TASKS * 1000,
  memoryBytes: 2 ** 40,
  scratchBytes: 2 ** 40,
  shmBytes: 0,
  gpuCount: 0,
  countable: {},
};
const PROGRAMS = {
  durationMsMin: MINUTE,
  durationMsMax: 150 * MINUTE,
  flakyPercent: 0,
  brokenPercent: 0,
  isSound: true,
};

function makeWorld(seed: number): World {
  const time = new VirtualTime();
  const database = new MemoryDatabase();
  const trace = new Trace(() => time);
  const oracle = new Oracle(database, trace, () => time);
  const faults = new Faults(NO_FAULTS);
  return { time, database, trace, oracle, faults, random: new Random(`cut ${seed}`) };
}

/** A cluster's agent over pods that outlive it, on a line that can be cut. */
class CutCluster {
  readonly machine: Machine;
  readonly #world: World;
  readonly #server: ServerProcess;
  #breakLine = (): void => undefined;
  #isCut = false;
  /** Exchanges that named all that is held. */
  fullListCount = 0;

  constructor(world: World, server: ServerProcess) {
    this.#world = world;
    this.#server = server;
    this.machine = new Machine(world, 'lab', CAPACITY, PROGRAMS);
    world.oracle.addAgent('lab', CAPACITY);
  }

  async start(): Promise<void> {
    const { time, faults, random } = this.#world;
    const life = new Life(time, faults.drawClock(random));
    const clock = {
      nowMs: () => life.nowMs(),
      after: (delayMs: number, act: () => void) => life.after(delayMs, act),
    };
    const exchange = (sync: AgentSync): Promise<AgentOrders> => this.#exchange(sync);
    const common = { agentId: 'lab', exchange, clock, log: () => undefined };
    const session = new AgentSession({ ...common, id: 'the-only-session' });
    await session.claim();
    const caller = { name: 'lab', life, crash: () => undefined };
    const host = new SimulatedHost(this.machine, this.#world, caller);
    await new Agent({ ...common, capacity: CAPACITY, host, session, sweepMs: 10_000 }).start();
  }

  async #exchange(sync: AgentSync): Promise<AgentOrders> {
    if (this.#isCut) throw new Error('connection refused');
    if (sync.session?.phase === 'act' && sync.heldAttemptIds !== undefined) this.fullListCount += 1;
    const broken = Promise.withResolvers<never>();
    this.#breakLine = () => broken.reject(new Error('connection reset'));
    return Promise.race([this.#server.sync(structuredClone(sync)), broken.promise]);
  }

  cut(): void {
    this.#isCut = true;
    this.#breakLine();
  }

  mend(): void {
    this.#isCut = false;
  }
}

interface Scene {
  readonly world: World;
  readonly cluster: CutCluster;
  readonly run: (forMs: number) => Promise<void>;
}

/** All tasks run on the cluster, and it is cut off at some moment. */
async function begin(seed: number): Promise<Scene> {
  const world = makeWorld(seed);
  const { time, database, oracle, random } = world;
  const server = new ServerProcess(world);
  const cluster = new CutCluster(world, server);
  const run = (forMs: number): Promise<void> =>
    time.run(time.nowMs + forMs, () => oracle.violation !== undefined);
  server.boot();
  await run(SECOND);
  void cluster.start();
  await run(SECOND);
  const array = { kind: 'range' as const, ranges: [{ from: 0, to: TASKS - 1, step: 1 }] };
  const spec = jobSpecSchema.parse({ argv: ['work', '{index}', '-'], array });
  void server.submit(storedJobSpecSchema.parse({ ...spec, after: [] }));
  await run(SECOND * random.int(5, 600));
  expect(oracle.violation).toBeUndefined();
  expect(database.openJobIds.size).toBe(1);
  cluster.cut();
  return { world, cluster, run };
}

const rowsOf = ({ database }: World) => [...database.rowsOf(1).tasks.values()];

/** Those whose program runs no more. */
const endedOn = ({ machine }: CutCluster): number[] =>
  Array.from({ length: TASKS }, (_, position) => position).filter(
    (position) => machine.inspect(`job_1.${position}.1`).kind !== 'running',
  );

test('a cut of up to 85 minutes changes nothing, and 10 s later both sides agree without a list, for 12 seeds', async () => {
  for (let seed = 1; seed <= 12; seed += 1) {
    const { world, cluster, run } = await begin(seed);
    await run(world.random.int(20, 85 * 60) * SECOND);
    const ended = endedOn(cluster);
    cluster.mend();
    await run(10 * SECOND);
    const unknown = rowsOf(world).filter(
      ({ position, state }) => ended.includes(position) && state !== 'succeeded',
    );
    expect({ seed, unknown }).toEqual({ seed, unknown: [] });
    expect(cluster.fullListCount).toBe(1);
    await run(150 * MINUTE);
    const ends = rowsOf(world).map(({ state, attemptNumber }) => `${state} ${attemptNumber}`);
    expect({ seed, ends: new Set(ends) }).toEqual({ seed, ends: new Set(['succeeded 1']) });
    expect(world.oracle.violation).toBeUndefined();
  }
});

test('a cluster that is cut for longer loses its tasks, ends them when it returns, and runs them anew, for 6 seeds', async () => {
  for (let seed = 1; seed <= 6; seed += 1) {
    const { world, cluster, run } = await begin(seed);
    const openCount = rowsOf(world).filter(({ state }) => state === 'running').length;
    await run(world.random.int(91, 140) * MINUTE);
    const lost = rowsOf(world).filter(({ state }) => state === 'queued');
    expect({ seed, count: lost.length }).toEqual({ seed, count: openCount });
    cluster.mend();
    await run(10 * SECOND);
    for (const { position } of lost)
      expect(cluster.machine.inspect(`job_1.${position}.1`).kind).toBe('absent');
    await run(150 * MINUTE);
    expect(rowsOf(world).every(({ state }) => state === 'succeeded')).toBe(true);
    expect(rowsOf(world).every(({ retryCount }) => retryCount === 0)).toBe(true);
    expect(world.oracle.violation).toBeUndefined();
  }
});
