import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { FolderObjects } from '@majorana/objects';
import type { AgentOrders, AgentSync } from '@majorana/protocol';
import { TestPostgres } from '@majorana/testing';
import { pino } from 'pino';
import { ControlPlane } from '../control-plane.ts';
import type { Api } from './context.ts';
import { hashToken } from './auth.ts';

export interface Answer {
  readonly status: number;
  // Tests look into answers of any shape.
  readonly body: never;
}

/** The whole server over a real PostgreSQL, in the test's process; agents are played by the test. */
export class TestServer implements AsyncDisposable {
  readonly token = 'mjr_test';
  readonly app: Api;
  readonly postgres: TestPostgres;
  readonly objects: FolderObjects;
  /** Where pieces of objects lie. */
  get uploads(): string {
    return path.join(this.#folder, 'uploads');
  }
  readonly #folder: string;
  readonly parts: ControlPlane;

  private constructor(postgres: TestPostgres, folder: string, parts: ControlPlane, app: Api) {
    this.postgres = postgres;
    this.objects = parts.objects as FolderObjects;
    this.#folder = folder;
    this.parts = parts;
    this.app = app;
  }

  static async start(): Promise<TestServer> {
    const postgres = await TestPostgres.start();
    const data = await mkdtemp(path.join(os.tmpdir(), 'majorana-server-'));
    const log = pino({ level: 'silent' });
    const objects = new FolderObjects(path.join(data, 'objects'));
    const uploads = path.join(data, 'uploads');
    const options = { databaseUrl: postgres.url, objects, uploads, keepDays: 30, log };
    const parts = new ControlPlane(options);
    const server = new TestServer(postgres, data, parts, await parts.server());
    const access = { user: 'test', role: 'admin', project: null } as const;
    await parts.start(async () => void (await parts.access.add(hashToken(server.token), access)));
    return server;
  }

  get engine(): ControlPlane['engine'] {
    return this.parts.engine;
  }
  get retention(): ControlPlane['retention'] {
    return this.parts.retention;
  }
  get store(): ControlPlane['store'] {
    return this.parts.store;
  }
  get workflows(): ControlPlane['workflows'] {
    return this.parts.workflows;
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
    return this.parts.gateway.exchange({
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
    await this.parts.stop();
    await this.postgres[Symbol.asyncDispose]();
    await rm(this.#folder, { recursive: true, force: true });
  }
}
