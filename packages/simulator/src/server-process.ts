import { Engine, NotFoundError } from '@majorana/control-plane/engine/engine';
import type { AgentOrders, AgentSync, JobSpec, QueueSettings } from '@majorana/protocol';
import { agentSyncSchema } from '@majorana/protocol';
import type { TaskState } from '@majorana/core';
import { FaultyStore, StoreOutage } from './faulty-store.ts';
import { Life } from './life.ts';
import type { Random } from './random.ts';
import type { World } from './world.ts';

const RESTART_MS_MEAN = 1000;

/** The control plane's process: the production engine, started again after each crash. */
export class ServerProcess {
  readonly #world: World;
  readonly #random: Random;
  readonly outage = new StoreOutage();
  life: Life | undefined;
  #engine: Engine | undefined;
  #bootCount = 0;
  #wakers = new Map<string, Set<() => void>>();

  constructor(world: World) {
    this.#world = world;
    this.#random = world.random.stream('server');
  }

  get isServing(): boolean {
    return this.#engine !== undefined;
  }

  boot(): void {
    const { time, trace, faults, database } = this.#world;
    this.#bootCount += 1;
    const name = `server#${this.#bootCount}`;
    const life = new Life(time, faults.drawClock(this.#random));
    this.life = life;
    trace.add('boot', 0, name);
    const crash = (why: string): void => this.crash(why);
    const caller = { name, life, crash };
    const store = new FaultyStore(database.connect(), this.#world, caller, this.outage);
    const wakers = new Map<string, Set<() => void>>();
    const engine = new Engine(
      store,
      { nowMs: () => life.nowMs(), after: (delayMs, act) => life.after(delayMs, act) },
      {
        onJobs: () => undefined,
        onAgents: (agentIds) => {
          for (const agentId of agentIds) for (const wake of wakers.get(agentId) ?? []) wake();
        },
      },
    );
    engine.start().then(
      () => {
        if (!life.isAlive) return;
        this.#engine = engine;
        this.#wakers = wakers;
        trace.add('ready', 0, name);
      },
      (error: Error) => {
        if (life.isAlive) this.crash(`could not start: ${error.message}`);
      },
    );
  }

  crash(why: string): void {
    if (this.life?.isAlive !== true) return;
    this.#world.trace.add('fault.server_crash', 0, why);
    this.#engine = undefined;
    this.life.end();
    this.#world.time.schedule(this.#random.exponential(RESTART_MS_MEAN), () => this.boot());
  }

  submit(spec: JobSpec): Promise<{ readonly jobId: number; readonly isNew: boolean }> {
    return this.#ready().submit(spec);
  }

  async cancel(jobId: number, position: number | undefined): Promise<number> {
    const { oracle } = this.#world;
    const mark = oracle.onCancelAsked(jobId, position);
    const engine = this.#ready();
    const count = await (position === undefined
      ? engine.cancelJob(jobId)
      : engine.cancelTask(jobId, position));
    if (this.#engine === engine) oracle.onCancelled(mark);
    return count;
  }

  async retry(jobId: number, states: readonly TaskState[]): Promise<number> {
    const { life } = this;
    let isOpen = true;
    this.#world.oracle.onRetryAsked(jobId, () => isOpen && life?.isAlive === true);
    try {
      return await this.#ready().retry(jobId, { states });
    } finally {
      isOpen = false;
    }
  }

  async setQueue(name: string, settings: QueueSettings): Promise<void> {
    const mark = this.#world.oracle.onQueueAsked(name);
    const engine = this.#ready();
    await engine.setQueue(name, settings);
    if (this.#engine === engine) this.#world.oracle.onQueueSet(mark, settings);
  }

  /** As the API has it: news first, then orders, held back while there are none. */
  async sync(sent: AgentSync): Promise<AgentOrders> {
    const checked = agentSyncSchema.safeParse(sent);
    if (!checked.success) {
      this.#world.oracle.fail('protocol', '', `a sync that is refused: ${checked.error.message}`);
      throw new Error('invalid sync');
    }
    const sync = checked.data;
    const engine = this.#ready();
    const forgetAttemptIds = await engine.takeNews(sync);
    let orders = await engine.ordersFor(sync.agentId);
    const size = orders.leases.length + orders.endAttemptIds.length + forgetAttemptIds.length;
    if (size === 0 && sync.waitMs > 0) {
      await this.#wait(sync.agentId, sync.waitMs);
      orders = await engine.ordersFor(sync.agentId);
    }
    return { ...orders, forgetAttemptIds, logRequests: [] };
  }

  #wait(agentId: string, waitMs: number): Promise<void> {
    const wakers = this.#wakers;
    const { life } = this;
    return new Promise((resolve) => {
      const set = wakers.get(agentId) ?? new Set();
      wakers.set(agentId, set);
      const wake = (): void => {
        set.delete(wake);
        cancel();
        resolve();
      };
      const cancel = life!.after(waitMs, wake);
      set.add(wake);
    });
  }

  #ready(): Engine {
    if (this.#engine === undefined) throw new Error('the server is not ready');
    return this.#engine;
  }
}

/** Said once and for all: asking again gets the same answer. */
export const isFinal = (error: Error): boolean => error instanceof NotFoundError;
