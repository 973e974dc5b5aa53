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
import { Agent } from './agent.ts';
import type { AgentClock, AttemptHost, AttemptStanding } from './ports.ts';
import { AgentSession } from './session.ts';
import { Reports } from './test-reports.ts';

export const SECOND = 1000;
export const MINUTE = 60 * SECOND;

/** Lets everything that waits for no timer of the clock run. */
export const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

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

export type Method = Exclude<keyof AttemptHost, 'onChange'>;

export const endOf = (
  attemptId: string,
  kind: 'succeeded' | 'cancelled' = 'succeeded',
): EndedEvent => ({
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
export class TestHost implements AttemptHost {
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
export class TestServer {
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

export interface World {
  readonly clock: TestClock;
  readonly host: TestHost;
  readonly server: TestServer;
  readonly log: string[];
}

type Parts = Partial<Omit<World, 'host'> & { readonly host: AttemptHost }>;

export const makeWorld = (): World => ({
  clock: new TestClock(),
  host: new TestHost(),
  server: new TestServer(),
  log: [],
});

export function makeAgent(world: World, over: Parts = {}): Agent {
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

export async function startWorld(): Promise<World> {
  const world = makeWorld();
  await makeAgent(world).start();
  return world;
}

export const ID = 'job_1.0.1';

/** Of a cluster, whose agent stops acting when it has been cut off for 18 s. */
export async function startInSession(): Promise<World> {
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
