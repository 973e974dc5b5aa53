import { Agent } from '@majorana/cluster-agent/engine/agent';
import type { AgentClock, AttemptHost, Exchange } from '@majorana/cluster-agent/engine/ports';
import { AgentSession } from '@majorana/cluster-agent/engine/session';
import { AgentGateway } from '@majorana/control-plane/api/agent-gateway';
import { Engine } from '@majorana/control-plane/engine/engine';
import { NO_RESOURCES } from '@majorana/core';
import type { AgentOrders } from '@majorana/protocol';
import { agentSyncSchema } from '@majorana/protocol';
import { MemoryDatabase } from '@majorana/store/memory-store';
import { expect, test } from 'vitest';
import { Random } from './random.ts';
import { VirtualTime } from './virtual-time.ts';

const SECOND = 1000;
const MINUTE = 60 * SECOND;

const none = async (): Promise<never> => {
  throw new Error('nothing is leased here');
};
const emptyHost: AttemptHost = {
  list: async () => [],
  inspect: none,
  accept: none,
  start: none,
  end: none,
  collect: none,
  conclude: none,
  readLog: none,
  forget: none,
  onChange: () => undefined,
};

/** Engine and gateway, as one process: it is killed, and another loads what the first wrote. */
class Server {
  readonly #database = new MemoryDatabase();
  readonly #clock: AgentClock;
  #parts: { readonly engine: Engine; readonly gateway: AgentGateway } | undefined;

  constructor(clock: AgentClock) {
    this.#clock = clock;
  }

  async start(): Promise<void> {
    const engine = new Engine(this.#database.connect(), this.#clock);
    await engine.start();
    this.#parts = { engine, gateway: new AgentGateway(engine, this.#clock) };
  }

  kill(): void {
    this.#parts?.engine.stop();
    this.#parts = undefined;
  }

  exchange(sync: unknown): Promise<AgentOrders> {
    if (this.#parts === undefined) return Promise.reject(new Error('nobody answers'));
    return this.#parts.gateway.exchange(agentSyncSchema.parse(sync));
  }
}

/** Messages take up to 6 s each way, a tenth never arrives, and an agent may be cut off for minutes. */
function network(
  time: VirtualTime,
  random: Random,
  server: Server,
  isCut: () => boolean,
): Exchange {
  const delayMs = (): number => (random.chance(0.1) ? Infinity : random.int(0, 6000));
  const after = (ms: number, act: () => void): void => {
    if (ms < Infinity && !isCut()) time.schedule(ms, act);
  };
  return (sync) =>
    new Promise((resolve, reject) => {
      const sent = structuredClone(sync);
      after(delayMs(), () => {
        server.exchange(sent).then(
          (orders) => after(delayMs(), () => resolve(orders)),
          (error: Error) => after(delayMs(), () => reject(error)),
        );
      });
    });
}

class Process {
  readonly #time: VirtualTime;
  readonly #exchange: Exchange;
  readonly #name: string;
  #count = 0;
  #session: AgentSession | undefined;
  #agent: Agent | undefined;
  cutUntilMs = 0;

  constructor(name: string, time: VirtualTime, random: Random, server: Server) {
    this.#name = name;
    this.#time = time;
    this.#exchange = network(time, random, server, () => time.nowMs < this.cutUntilMs);
  }

  get mayAct(): boolean {
    return this.#session?.mayAct() ?? false;
  }
  get isReady(): boolean {
    return this.#agent !== undefined && this.mayAct;
  }

  async start(clock: AgentClock): Promise<void> {
    const common = { agentId: 'lab', exchange: this.#exchange, clock, log: () => undefined };
    const id = `${this.#name}-session-${(this.#count += 1)}`;
    const session = new AgentSession({ ...common, id });
    this.#session = session;
    this.#agent = undefined;
    if (!(await session.claim()) || this.#session !== session) return;
    const onFenced = (): void => void (this.#session === session && this.start(clock));
    const options = { ...common, capacity: NO_RESOURCES, host: emptyHost, session, onFenced };
    const agent = new Agent(options);
    await agent.start();
    this.#agent = agent;
  }

  /** An orderly end, and a start anew. */
  async restart(clock: AgentClock): Promise<void> {
    const [session, agent] = [this.#session, this.#agent];
    this.#session = undefined;
    await (agent === undefined ? session?.release() : agent.stop());
    this.#time.schedule(3 * SECOND, () => void this.start(clock));
  }
}

async function live(seed: number): Promise<{ readonly overlaps: number; readonly idleMs: number }> {
  const time = new VirtualTime();
  const random = new Random(`sessions ${seed}`);
  const clock: AgentClock = {
    nowMs: () => time.nowMs,
    after: (delayMs, callback) => time.schedule(delayMs, callback),
  };
  const server = new Server(clock);
  await server.start();
  const processes = ['a', 'b', 'c'].map(
    (name) => new Process(name, time, random.stream(name), server),
  );
  for (const process of processes) void process.start(clock);
  const faults = random.stream('faults');
  for (let atMs = 30 * SECOND; atMs < 30 * MINUTE; atMs += faults.int(1, 90 * SECOND)) {
    const process = faults.pick(processes);
    const kind = faults.int(0, 3);
    const forMs = faults.int(0, 2 * MINUTE);
    time.schedule(atMs, () => {
      if (kind === 0) void process.restart(clock);
      else if (kind < 3) process.cutUntilMs = Math.max(process.cutUntilMs, time.nowMs + forMs);
      else {
        server.kill();
        time.schedule(5 * SECOND, () => void server.start());
      }
    });
  }
  let overlaps = 0;
  await time.run(30 * MINUTE, () => {
    if (processes.filter(({ mayAct }) => mayAct).length > 1) overlaps += 1;
    return false;
  });
  // Faults are over: one takes its turn.
  for (const process of processes) process.cutUntilMs = 0;
  const endedMs = time.nowMs;
  await time.run(endedMs + 10 * MINUTE, () => processes.some(({ isReady }) => isReady));
  return { overlaps, idleMs: time.nowMs - endedMs };
}

test('of three agents of one name never two may act, and one does in the end, for 50 seeds', async () => {
  for (let seed = 1; seed <= 50; seed += 1) {
    const { overlaps, idleMs } = await live(seed);
    expect({ seed, overlaps }).toEqual({ seed, overlaps: 0 });
    expect(idleMs).toBeLessThan(10 * MINUTE);
  }
});
