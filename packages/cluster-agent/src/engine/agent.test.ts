import { DEFAULT_RESOURCES } from '@majorana/core';
import type {
  AgentOrders,
  AgentSync,
  AttemptEvent,
  EndedEvent,
  Lease,
  LogRequest,
} from '@majorana/protocol';
import { agentSyncSchema } from '@majorana/protocol';
import { expect, test } from 'vitest';
import { Agent } from './agent.ts';
import type { AgentClock, AttemptHost, AttemptStanding } from './ports.ts';
import { HeldBackError, LeaseRefusedError } from './ports.ts';
import { AgentSession } from './session.ts';
import { Reports } from './test-reports.ts';

const SECOND = 1000;
const MINUTE = 60 * SECOND;

/** Lets everything that waits for no timer of the clock run. */
const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

class TestClock implements AgentClock {
  #nowMs = 1_000_000;
  #timers: { atMs: number; callback: () => void }[] = [];

  nowMs(): number {
    return this.#nowMs;
  }

  after(delayMs: number, callback: () => void): () => void {
    const timer = { atMs: this.#nowMs + delayMs, callback };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer);
    };
  }

  async advance(ms: number): Promise<void> {
    const endMs = this.#nowMs + ms;
    await settle();
    for (;;) {
      const due = this.#timers.toSorted((a, b) => a.atMs - b.atMs)[0];
      if (due === undefined || due.atMs > endMs) break;
      this.#timers = this.#timers.filter((other) => other !== due);
      this.#nowMs = due.atMs;
      due.callback();
      await settle();
    }
    this.#nowMs = endMs;
  }
}

interface Kept {
  readonly lease: Lease;
  standing: AttemptStanding;
}

type Method = Exclude<keyof AttemptHost, 'onChange'>;

const endOf = (attemptId: string, kind: 'succeeded' | 'cancelled' = 'succeeded'): EndedEvent => ({
  kind: 'ended',
  attemptId,
  atMs: 2_000_000,
  startedAtMs: 1_500_000,
  outcome: { kind, exitCode: 0, reason: 'exit code 0' },
  peakMemoryBytes: 1,
  cpuTimeMs: 1,
  artifacts: [],
});

/** What outlives an agent: attempts in memory, and programs that end when the test says so. */
class TestHost implements AttemptHost {
  readonly kept = new Map<string, Kept>();
  readonly calls: string[] = [];
  readonly runs = new Map<string, number>();
  /** Answers an error for a call that is to be refused. */
  refuse: (method: Method, attemptId: string) => Error | undefined = () => undefined;
  /** Awaited before and after the effect of each call. */
  gate: (method: Method, when: 'before' | 'after') => Promise<void> = async () => undefined;
  isInstant = false;
  collectPatienceMs = 10 * MINUTE;
  /** A start is told when the test says so. */
  tellsLate = false;
  collectsOpen = 0;
  collectsOpenMax = 0;
  #notify: (attemptId: string) => void = () => undefined;

  async #call<T>(method: Method, attemptId: string, effect: () => T): Promise<T> {
    await this.gate(method, 'before');
    this.calls.push(`${method} ${attemptId}`);
    const refusal = this.refuse(method, attemptId);
    if (refusal !== undefined) throw refusal;
    const result = effect();
    await this.gate(method, 'after');
    return result;
  }

  list(): Promise<{ attemptId: string; lease: Lease }[]> {
    return this.#call('list', '', () =>
      [...this.kept].map(([attemptId, { lease }]) => ({ attemptId, lease })),
    );
  }

  inspect(attemptId: string): Promise<AttemptStanding> {
    return this.#call('inspect', attemptId, () => this.standing(attemptId));
  }

  standing(attemptId: string): AttemptStanding {
    return this.kept.get(attemptId)?.standing ?? { kind: 'absent' };
  }

  accept(lease: Lease): Promise<void> {
    return this.#call('accept', lease.attemptId, () => {
      if (this.kept.has(lease.attemptId)) return;
      this.kept.set(lease.attemptId, { lease, standing: { kind: 'accepted' } });
    });
  }

  start(attemptId: string): Promise<void> {
    return this.#call('start', attemptId, () => {
      const kept = this.kept.get(attemptId)!;
      if (kept.standing.kind !== 'accepted' || kept.standing.mayBegin === true) return;
      this.runs.set(attemptId, (this.runs.get(attemptId) ?? 0) + 1);
      kept.standing = this.tellsLate
        ? { kind: 'accepted', mayBegin: true }
        : { kind: 'running', startedAtMs: 1_500_000 };
      if (this.isInstant) this.exit(attemptId, false);
    });
  }

  exit(attemptId: string, isNoticed = true, kind: 'succeeded' | 'cancelled' = 'succeeded'): void {
    this.kept.get(attemptId)!.standing = { kind: 'exited', event: endOf(attemptId, kind) };
    if (isNoticed) this.#notify(attemptId);
  }

  lose(attemptId: string): void {
    this.kept.get(attemptId)!.standing = { kind: 'gone', reason: 'the machine was rebooted' };
  }

  end(attemptId: string): Promise<void> {
    return this.#call('end', attemptId, () => {
      const standing = this.standing(attemptId);
      const mayRun = standing.kind === 'accepted' && standing.mayBegin === true;
      if (mayRun || standing.kind === 'running') this.exit(attemptId, true, 'cancelled');
    });
  }

  async collect(attemptId: string): Promise<EndedEvent> {
    this.collectsOpen += 1;
    this.collectsOpenMax = Math.max(this.collectsOpen, this.collectsOpenMax);
    try {
      return await this.#call('collect', attemptId, () => {
        const kept = this.kept.get(attemptId)!;
        if (kept.standing.kind === 'collected') return kept.standing.event;
        if (kept.standing.kind !== 'exited') throw new Error(`collect in ${kept.standing.kind}`);
        const event = kept.standing.event!;
        kept.standing = { kind: 'collected', event };
        return event;
      });
    } finally {
      this.collectsOpen -= 1;
    }
  }

  conclude(event: EndedEvent): Promise<void> {
    return this.#call('conclude', event.attemptId, () => {
      const kept = this.kept.get(event.attemptId);
      if (kept === undefined) return;
      if (kept.standing.kind === 'running') throw new Error('it runs');
      kept.standing = { kind: 'collected', event };
    });
  }

  readLog(request: LogRequest): Promise<Uint8Array> {
    return this.#call('readLog', request.attemptId, () =>
      Buffer.from('0123456789').subarray(request.offset, request.offset + request.bytesMax),
    );
  }

  forget(attemptId: string): Promise<void> {
    return this.#call('forget', attemptId, () => void this.kept.delete(attemptId));
  }

  onChange(callback: (attemptId: string) => void): void {
    this.#notify = callback;
  }
}

/** The other end: repeats each order until the syncs show that it has been heard. */
class TestServer {
  readonly #reports = new Reports();
  held: ReadonlySet<string> = new Set();
  readonly syncs: AgentSync[] = [];
  readonly events: AttemptEvent[] = [];
  readonly leases = new Map<string, Lease>();
  readonly confirmed = new Set<string>();
  /** Confirmed once and held no more: the real server gives the task to a new attempt. */
  readonly lost = new Set<string>();
  readonly ending = new Set<string>();
  readonly ended = new Map<string, EndedEvent>();
  readonly logRequests = new Map<string, LogRequest>();
  readonly logs = new Map<string, string>();
  isDown = false;
  openCount = 0;
  #wake: () => void = () => undefined;

  exchange = async (sync: AgentSync, signal: AbortSignal): Promise<AgentOrders> => {
    if (this.isDown) throw new Error('connection refused');
    this.openCount += 1;
    try {
      this.syncs.push(agentSyncSchema.parse(sync));
      this.#hear(sync);
      if (!this.#hasOrders() && sync.waitMs > 0) {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
          signal.addEventListener('abort', () => resolve());
        });
      }
      return this.#orders();
    } finally {
      this.openCount -= 1;
    }
  };

  #hear(sync: AgentSync): void {
    for (const event of sync.events) {
      this.events.push(event);
      if (event.kind === 'ended') this.ended.set(event.attemptId, event);
    }
    for (const chunk of sync.logChunks) {
      this.logs.set(chunk.requestId, Buffer.from(chunk.dataBase64, 'base64').toString());
      this.logRequests.delete(chunk.requestId);
    }
    this.held = this.#reports.take(sync);
    const { held } = this;
    for (const attemptId of this.confirmed) {
      if (!held.has(attemptId) && !this.ended.has(attemptId)) this.lost.add(attemptId);
    }
    for (const attemptId of held) {
      this.leases.delete(attemptId);
      this.confirmed.add(attemptId);
    }
  }

  #orders(): AgentOrders {
    const { held } = this;
    return {
      leases: [...this.leases.values()],
      endAttemptIds: [...this.ending].filter((id) => held.has(id) && !this.ended.has(id)),
      forgetAttemptIds: [...this.ended.keys()].filter((id) => held.has(id)),
      wantsHeldAttemptIds: false,
      logRequests: [...this.logRequests.values()],
    };
  }

  #hasOrders(): boolean {
    const { leases, endAttemptIds, forgetAttemptIds, logRequests } = this.#orders();
    return [leases, endAttemptIds, forgetAttemptIds, logRequests].some((list) => list.length > 0);
  }

  lease(attemptId: string): void {
    this.leases.set(attemptId, {
      attemptId,
      jobName: 'test',
      argv: ['true'],
      env: {},
      inputs: [],
      outputs: [],
      resources: DEFAULT_RESOURCES,
      timeLimitMs: 0,
      graceMs: 0,
      taskCount: 1,
    });
    this.wake();
  }

  wake(): void {
    this.#wake();
  }

  kinds(attemptId: string): string[] {
    return this.events.filter((event) => event.attemptId === attemptId).map(({ kind }) => kind);
  }
}

interface World {
  readonly clock: TestClock;
  readonly host: TestHost;
  readonly server: TestServer;
  readonly log: string[];
}

type Parts = Partial<Omit<World, 'host'> & { readonly host: AttemptHost }>;

const makeWorld = (): World => ({
  clock: new TestClock(),
  host: new TestHost(),
  server: new TestServer(),
  log: [],
});

function makeAgent(world: World, over: Parts = {}): Agent {
  const { clock, host, server, log } = { ...world, ...over };
  return new Agent({
    agentId: 'agent',
    capacity: DEFAULT_RESOURCES,
    host,
    exchange: server.exchange,
    clock,
    log: (message) => log.push(message),
  });
}

async function startWorld(): Promise<World> {
  const world = makeWorld();
  await makeAgent(world).start();
  return world;
}

const ID = 'job_1.0.1';

/** Of a cluster, whose agent stops acting when it has been cut off for 18 s. */
async function startInSession(): Promise<World> {
  const world = makeWorld();
  const { clock, host, server } = world;
  const common = { agentId: 'agent', exchange: server.exchange, clock, log: () => undefined };
  const session = new AgentSession({ ...common, id: 'the-session' });
  const claimed = session.claim();
  await clock.advance(10);
  server.wake();
  await claimed;
  const sweepMs = 60 * MINUTE;
  await new Agent({ ...common, capacity: DEFAULT_RESOURCES, host, session, sweepMs }).start();
  return world;
}

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
