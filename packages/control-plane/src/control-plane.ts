import type { NatsSettings } from '@majorana/broker/nats';
import { NatsService } from '@majorana/broker/nats';
import type { ObjectStore } from '@majorana/objects';
import {
  AccessStore,
  Datasets,
  Lineage,
  PostgresStore,
  readSecret,
  Reads,
  Retention,
} from '@majorana/store';
import type { FastifyBaseLogger } from 'fastify';
import { AgentGateway } from './api/agent-gateway.ts';
import type { Api, ApiContext } from './api/context.ts';
import { GangRoll } from './api/gang-roll.ts';
import { RunnerLinks } from './api/runner-links.ts';
import { RunnerTokens } from './api/runner-tokens.ts';
import { buildServer } from './api/server.ts';
import { Uploads } from './api/uploads.ts';
import type { EngineClock } from './engine/engine.ts';
import { Engine } from './engine/engine.ts';
import { EngineEvents } from './events.ts';
import { Metrics } from './metrics.ts';
import { RetentionLoop } from './retention-loop.ts';
import type { Workflows } from './workflow/index.ts';
import { makeWorkflows } from './workflow/index.ts';

const clock: EngineClock = {
  nowMs: () => Date.now(),
  after: (delayMs, callback) => {
    const timer = setTimeout(callback, delayMs);
    return () => clearTimeout(timer);
  },
};

export interface ControlPlaneOptions {
  readonly databaseUrl: string;
  readonly objects: ObjectStore;
  /** A folder of this server's, for objects that come in pieces. */
  readonly uploads: string;
  /** How long ended jobs are kept. */
  readonly keepDays: number;
  /** Agents are served over this broker too. */
  readonly nats?: NatsSettings | undefined;
  readonly log: FastifyBaseLogger;
}

/** The one place where the control plane's parts are put together; a process or a test runs it. */
export class ControlPlane {
  readonly store: PostgresStore;
  readonly engine: Engine;
  readonly gateway: AgentGateway;
  readonly links = new RunnerLinks(clock);
  readonly gangs = new GangRoll(clock);
  readonly runnerTokens: RunnerTokens;
  readonly access: AccessStore;
  readonly objects: ObjectStore;
  readonly uploads: Uploads;
  readonly retention: Retention;
  readonly workflows: Workflows;
  readonly #options: ControlPlaneOptions;
  readonly #events: EngineEvents;
  readonly #metrics = new Metrics();
  readonly #retentionLoop: RetentionLoop;
  #app: Api | undefined;
  #nats: NatsService | undefined;
  #isServing = false;
  #isStopping = false;

  constructor(options: ControlPlaneOptions) {
    const { databaseUrl, objects, keepDays, log } = options;
    this.#options = options;
    this.#events = new EngineEvents(log, this.#metrics);
    this.store = new PostgresStore(databaseUrl);
    this.engine = new Engine(this.store, clock, this.#events);
    this.runnerTokens = new RunnerTokens(() => readSecret(this.store.pool, 'runner'));
    this.gateway = new AgentGateway(this.engine, clock, this.runnerTokens);
    this.#events.tellRunners = (change) => this.links.onCommit(change);
    this.#events.wakeAgents = (agentIds) => this.gateway.wake(agentIds);
    this.#metrics.observe(this.engine);
    this.access = new AccessStore(this.store.pool);
    this.objects = objects;
    this.uploads = new Uploads(options.uploads, objects);
    this.retention = new Retention(this.store.pool);
    this.#retentionLoop = new RetentionLoop({
      retention: this.retention,
      objects,
      uploads: this.uploads,
      keepDays,
      log,
    });
    this.workflows = makeWorkflows({
      engine: this.engine,
      events: this.#events,
      reads: new Reads(this.store.pool),
      store: this.store,
      objects: this.objects,
      pool: this.store.pool,
      clock,
      log,
    });
  }

  /** What the HTTP server works with. */
  get context(): ApiContext {
    const {
      engine,
      gateway,
      links,
      gangs,
      runnerTokens,
      store,
      access,
      objects,
      uploads,
      workflows,
    } = this;
    return {
      isReady: () => this.#isServing && engine.isReady,
      engine,
      gateway,
      clusters: gateway,
      links,
      gangs,
      runnerTokens,
      events: this.#events,
      store,
      reads: new Reads(store.pool),
      access,
      objects,
      uploads,
      pool: store.pool,
      workflows,
      datasets: new Datasets(store.pool),
      lineage: new Lineage(store.pool),
    };
  }

  /** The HTTP server, not yet listening; it answers 503 until this is the one engine. */
  async server(): Promise<Api> {
    this.#app ??= await buildServer(this.context, this.#metrics, this.#options.log);
    return this.#app;
  }

  /** Waits, as a standby if need be, until this is the one engine; false when it was stopped first. */
  async start(prepare: () => Promise<void>): Promise<boolean> {
    await this.engine.start().catch((error: Error) => {
      if (!this.#isStopping) throw error;
    });
    if (this.#isStopping) return false;
    await prepare();
    await this.workflows.loop.start();
    this.#isServing = true;
    this.#retentionLoop.start();
    const { nats, log } = this.#options;
    if (nats !== undefined)
      this.#nats = new NatsService(nats, (sync) => this.gateway.exchange(sync), log);
    return true;
  }

  /** Ends no task. Answers whether this was a standby, which waits for the lock without end. */
  async stop(): Promise<{ readonly wasStandby: boolean }> {
    const wasStandby = !this.engine.isReady;
    this.#isStopping = true;
    this.#retentionLoop.stop();
    this.workflows.loop.stop();
    this.engine.stop();
    this.gateway.stop();
    this.links.stop();
    this.gangs.stop();
    await this.#nats?.[Symbol.asyncDispose]();
    await this.#app?.close();
    if (!wasStandby) await this.store[Symbol.asyncDispose]();
    return { wasStandby };
  }
}
