import { mkdtemp, rm } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { DEFAULT_RESOURCES } from '@majorana/core';
import { hashToken } from '@majorana/control-plane/api/auth';
import { ControlPlane } from '@majorana/control-plane/control-plane';
import type { ObjectStore } from '@majorana/objects';
import { FolderObjects } from '@majorana/objects';
import type { AgentSync, EndedEvent, JobSpecInput, Lease, LogRequest } from '@majorana/protocol';
import { agentSyncSchema, jobSpecSchema } from '@majorana/protocol';
import { TestPostgres, until } from '@majorana/testing';
import { pino } from 'pino';
import type { HostBench, LeaseEdit } from '../attempt-host.conformance.ts';
import type { RunnerHostOptions } from './test-runner-host.ts';
import { TestRunnerHost } from './test-runner-host.ts';

type RunnerBenchOptions = Partial<Omit<RunnerHostOptions, 'root' | 'readLog'>>;

const TOKEN = 'mjr_test';
const AGENT_ID = 'pods';

/** The control plane over a real PostgreSQL, listening; it can be stopped and started in between. */
export class RunnerBench implements HostBench {
  readonly host: TestRunnerHost;
  readonly objects: ObjectStore;
  readonly #folder: string;
  readonly #postgres: TestPostgres;
  readonly #held = new Set<string>();
  #parts: ControlPlane | undefined;
  #port = 0;

  private constructor(folder: string, postgres: TestPostgres, options: RunnerBenchOptions) {
    this.#folder = folder;
    this.#postgres = postgres;
    this.objects = options.objects ?? new FolderObjects(path.join(folder, 'objects'));
    this.host = new TestRunnerHost({
      root: path.join(folder, 'pods'),
      url: () => this.url,
      readLog: (request) => this.readLog(request),
      ...options,
      objects: this.objects,
    });
  }

  static async open(options: RunnerBenchOptions = {}): Promise<RunnerBench> {
    const folder = await mkdtemp(path.join(os.tmpdir(), 'majorana-runner-'));
    const bench = new RunnerBench(folder, await TestPostgres.start(), options);
    await bench.startServer();
    return bench;
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  get #server(): ControlPlane {
    if (this.#parts === undefined) throw new Error('the control plane is stopped');
    return this.#parts;
  }

  async startServer(): Promise<void> {
    const parts = new ControlPlane({
      databaseUrl: this.#postgres.url,
      objects: this.objects,
      uploads: path.join(this.#folder, 'uploads'),
      keepDays: 30,
      log: pino({ level: 'silent' }),
    });
    const app = await parts.server();
    await app.listen({ host: '127.0.0.1', port: this.#port });
    this.#port = (app.server.address() as AddressInfo).port;
    const access = { user: 'test', role: 'admin', project: null } as const;
    await parts.start(async () => void (await parts.access.add(hashToken(TOKEN), access)));
    this.#parts = parts;
  }

  async stopServer(): Promise<void> {
    const parts = this.#server;
    this.#parts = undefined;
    await parts.stop();
  }

  sync(events: AgentSync['events'] = []): ReturnType<ControlPlane['gateway']['exchange']> {
    const cpuMillis = 64_000;
    return this.#server.gateway.exchange(
      agentSyncSchema.parse({
        agentId: AGENT_ID,
        capacity: { cpuMillis, memoryBytes: 2 ** 40, scratchBytes: 2 ** 50, shmBytes: 2 ** 40 },
        heldAttemptIds: [...this.#held],
        events,
        waitMs: 0,
        needsRunnerTokens: true,
      }),
    );
  }

  /** A lease as an agent gets it, of a job as a user submits it. */
  async lease(argv: readonly string[], edit: LeaseEdit & { name?: string } = {}): Promise<Lease> {
    const literal = (text: string): string => text.replaceAll('{', '{{').replaceAll('}', '}}');
    const { env = {}, outputs = [], ...rest } = edit;
    const spec = {
      graceMs: 500,
      resources: DEFAULT_RESOURCES,
      retry: { limit: 0 },
      ...rest,
      argv: argv.map(literal),
      env: Object.fromEntries(Object.entries(env).map(([name, value]) => [name, literal(value)])),
      outputs: outputs.map(literal),
    };
    await this.sync();
    const { jobId } = await this.#server.engine.submit(
      jobSpecSchema.parse(structuredClone(spec) as JobSpecInput) as never,
    );
    const lease = await until(`the lease of job_${jobId}`, async () =>
      (await this.sync()).leases.find((one) => one.attemptId.startsWith(`job_${jobId}.`)),
    );
    this.#held.add(lease.attemptId);
    await this.sync();
    return lease;
  }

  /** The agent's word that an attempt has ended. */
  async report(event: EndedEvent): Promise<void> {
    this.#held.delete(event.attemptId);
    await this.sync([event]);
  }

  cancel(lease: Lease): Promise<number> {
    return this.#server.engine.cancelJob(Number(/^job_(\d+)/.exec(lease.attemptId)![1]));
  }

  get(url: string): Promise<Response> {
    return fetch(`${this.url}/api/v1${url}`, { headers: { authorization: `Bearer ${TOKEN}` } });
  }

  async readLog(request: LogRequest): Promise<Uint8Array> {
    const { attemptId, stream, offset, bytesMax } = request;
    const query = `stream=${stream}&offset=${offset}&bytesMax=${bytesMax}`;
    const taskId = attemptId.replace(/\.\d+$/, '');
    const response = await this.get(`/tasks/${taskId}/logs?${query}`);
    return new Uint8Array(await response.arrayBuffer());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.host[Symbol.asyncDispose]();
    if (this.#parts !== undefined) await this.stopServer();
    await this.#postgres[Symbol.asyncDispose]();
    await rm(this.#folder, { recursive: true, force: true });
  }
}
