import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import type { AgentOrders, AgentSync } from '@majorana/protocol';
import { FolderObjects } from '@majorana/objects';
import { AccessStore, PostgresStore, Reads, Retention } from '@majorana/store';
import { TestPostgres } from '@majorana/testing';
import { pino } from 'pino';
import type { EngineClock } from '../engine/engine.ts';
import { Engine } from '../engine/engine.ts';
import { EngineEvents } from '../events.ts';
import { Metrics } from '../metrics.ts';
import type { Workflows } from '../workflow/index.ts';
import { makeWorkflows } from '../workflow/index.ts';
import { AgentGateway } from './agent-gateway.ts';
import { hashToken } from './auth.ts';
import type { Api } from './context.ts';
import { buildServer } from './server.ts';

const clock: EngineClock = {
  nowMs: () => Date.now(),
  after: (delayMs, callback) => {
    const timer = setTimeout(callback, delayMs);
    return () => clearTimeout(timer);
  },
};

export interface Answer {
  readonly status: number;
  // Tests look into answers of any shape.
  readonly body: never;
}

/** The whole server over a real PostgreSQL, in the test's process; agents are played by the test. */
export class TestServer implements AsyncDisposable {
  readonly token = 'mjr_test';
  readonly app: Api;
  readonly engine: Engine;
  readonly objects: FolderObjects;
  readonly retention: Retention;
  readonly postgres: TestPostgres;
  readonly store: PostgresStore;
  readonly workflows: Workflows;
  readonly #folder: string;
  readonly #gateway: AgentGateway;

  private constructor(parts: {
    app: Api;
    engine: Engine;
    objects: FolderObjects;
    postgres: TestPostgres;
    store: PostgresStore;
    folder: string;
    gateway: AgentGateway;
    workflows: Workflows;
  }) {
    this.app = parts.app;
    this.engine = parts.engine;
    this.objects = parts.objects;
    this.postgres = parts.postgres;
    this.store = parts.store;
    this.workflows = parts.workflows;
    this.retention = new Retention(parts.store.pool);
    this.#folder = parts.folder;
    this.#gateway = parts.gateway;
  }

  static async start(): Promise<TestServer> {
    const postgres = await TestPostgres.start();
    const folder = await mkdtemp(path.join(os.tmpdir(), 'majorana-server-'));
    const log = pino({ level: 'silent' });
    const store = new PostgresStore(postgres.url);
    const metrics = new Metrics();
    const events = new EngineEvents(log, metrics);
    const engine = new Engine(store, clock, events);
    const gateway = new AgentGateway(engine, clock);
    events.wakeAgents = (agentIds) => gateway.wake(agentIds);
    metrics.observe(engine);
    const { pool } = store;
    const objects = new FolderObjects(path.join(folder, 'objects'));
    const reads = new Reads(pool);
    const access = new AccessStore(pool);
    const workflows = makeWorkflows({ engine, events, reads, objects, pool, log });
    const isReady = (): boolean => engine.isReady;
    const context = {
      isReady,
      engine,
      gateway,
      events,
      store,
      reads,
      access,
      objects,
      pool,
      workflows,
    };
    const app = await buildServer(context, metrics, log);
    await engine.start();
    await workflows.loop.start();
    const server = new TestServer({
      app,
      engine,
      objects,
      postgres,
      store,
      folder,
      gateway,
      workflows,
    });
    await access.add(hashToken(server.token), { user: 'test', role: 'admin', project: null });
    return server;
  }

  async call(
    method: 'GET' | 'POST' | 'PUT' | 'DELETE',
    url: string,
    body?: object | string,
    token = this.token,
  ): Promise<Answer> {
    const response = await this.app.inject({
      method,
      url: `/api/v1${url}`,
      headers: {
        authorization: `Bearer ${token}`,
        ...(typeof body === 'string' ? { 'content-type': 'application/x-ndjson' } : {}),
      },
      ...(body === undefined ? {} : { payload: body }),
    });
    const isJson = String(response.headers['content-type']).includes('json');
    return {
      status: response.statusCode,
      body: (isJson ? response.json() : response.body) as never,
    };
  }

  /** An agent's exchange; what is not given is empty. */
  sync(edit: Partial<AgentSync>): Promise<AgentOrders> {
    return this.#gateway.exchange({
      agentId: 'a1',
      capacity: {
        cpuMillis: 4000,
        memoryBytes: 2 ** 34,
        scratchBytes: 0,
        shmBytes: 0,
        gpuCount: 0,
        countable: {},
      },
      heldAttemptIds: [],
      events: [],
      logChunks: [],
      waitMs: 0,
      ...edit,
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.workflows.loop.stop();
    this.engine.stop();
    this.#gateway.stop();
    await this.app.close();
    await this.store[Symbol.asyncDispose]();
    await this.postgres[Symbol.asyncDispose]();
    await rm(this.#folder, { recursive: true, force: true });
  }
}
