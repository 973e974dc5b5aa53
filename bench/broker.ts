import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import type { Exchange } from '@majorana/broker';
import { apiFetch, httpExchange, tokenIn } from '@majorana/broker';
import type { NatsSettings, NatsUser } from '@majorana/broker/nats';
import {
  connectNats,
  createAgentUser,
  createControlPlaneUser,
  NatsExchange,
} from '@majorana/broker/nats';
import { DEFAULT_RESOURCES, IdDigest } from '@majorana/core';
import { FolderObjects } from '@majorana/objects';
import type { AgentSync } from '@majorana/protocol';
import { startNats } from '@majorana/test-servers';
import { TestPostgres, until } from '@majorana/testing';
import { pino } from 'pino';
import { hashToken } from '../packages/control-plane/src/api/auth.ts';
import { ControlPlane } from '../packages/control-plane/src/control-plane.ts';
import type { Figure } from './figure.ts';

const AGENTS = Array.from({ length: 32 }, (_, at) => `agent-${at}`);
const ALONE = AGENTS.slice(0, 1);
const RUN_MS = 3000;
const HELD = 24_000;
const TASK_EVENT_BYTES = 600;

interface Rate {
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

/** Each of these does it over and over, one after the other, for a while. */
async function rate(actors: readonly (() => Promise<unknown>)[]): Promise<Rate> {
  const times: number[] = [];
  const until = performance.now() + RUN_MS;
  const act = async (actor: () => Promise<unknown>): Promise<void> => {
    while (performance.now() < until) {
      const begun = performance.now();
      await actor();
      times.push(performance.now() - begun);
    }
  };
  await Promise.all(actors.map(act));
  const sorted = times.toSorted((a, b) => a - b);
  const at = (share: number): number => sorted[Math.floor(sorted.length * share)]!;
  return { perSecond: sorted.length / (RUN_MS / 1000), p50Ms: at(0.5), p99Ms: at(0.99) };
}

const quiet = (agentId: string): AgentSync => ({
  agentId,
  capacity: DEFAULT_RESOURCES,
  held: { addedAttemptIds: [], digest: new IdDigest().toString() },
  events: [],
  logChunks: [],
  waitMs: 0,
});

const naming = (agentId: string): AgentSync => {
  const { held: _held, ...rest } = quiet(agentId);
  const heldAttemptIds = Array.from({ length: HELD }, (_, at) => `job_42.${at}.1`);
  return { ...rest, heldAttemptIds };
};

const say = ({ p50Ms, p99Ms }: Rate): string => `${p50Ms.toFixed(2)} / ${p99Ms.toFixed(2)} ms`;
const perSecond = (one: Rate): string => `${Math.round(one.perSecond)} / s`;

/** One control plane on one database, reached both ways at the same time. */
class Bench implements AsyncDisposable {
  readonly #parts = new AsyncDisposableStack();
  readonly #settings = new Map<string, NatsSettings>();
  readonly #http = new Map<string, Exchange>();

  static async start(): Promise<Bench> {
    const bench = new Bench();
    const postgres = bench.#parts.use(await TestPostgres.start());
    const folder = await mkdtemp(path.join(os.tmpdir(), 'majorana-bench-'));
    bench.#parts.defer(() => rm(folder, { recursive: true }));
    await bench.#startNats(folder);
    const controlPlane = new ControlPlane({
      databaseUrl: postgres.url,
      objects: new FolderObjects(path.join(folder, 'objects')),
      uploads: path.join(folder, 'uploads'),
      keepDays: 30,
      nats: bench.#settings.get('control plane'),
      log: pino({ level: 'silent' }),
    });
    const app = await controlPlane.server();
    await app.listen({ host: '127.0.0.1', port: 0 });
    bench.#parts.defer(async () => void (await controlPlane.stop()));
    await controlPlane.start(async () => undefined);
    const { port } = app.server.address() as AddressInfo;
    for (const user of AGENTS) {
      await controlPlane.access.add(hashToken(user), { user, role: 'agent', project: null });
      const tokenFile = path.join(folder, `${user}.token`);
      await writeFile(tokenFile, user);
      const api = apiFetch(`http://127.0.0.1:${port}`, tokenIn(tokenFile));
      bench.#http.set(user, httpExchange(api));
    }
    return bench;
  }

  async #startNats(folder: string): Promise<void> {
    const users: Pick<NatsUser, 'nkey'>[] = [];
    const keep = async (name: string, made: { seed: string; user: Pick<NatsUser, 'nkey'> }) => {
      const credentialsFile = path.join(folder, `${name}.nk`);
      await writeFile(credentialsFile, made.seed, { mode: 0o600 });
      users.push(made.user);
      this.#settings.set(name, { url: '', credentialsFile });
    };
    await keep('control plane', createControlPlaneUser());
    for (const agentId of AGENTS) await keep(agentId, createAgentUser(agentId));
    const { seed, user } = createControlPlaneUser();
    await keep('streams', { seed, user: { nkey: user.nkey } });
    const accounts = { MAJORANA: { jetstream: 'enabled', users } };
    const nats = this.#parts.use(await startNats({ tls: true, jetStream: true, accounts }));
    for (const [name, settings] of this.#settings)
      this.#settings.set(name, { ...settings, url: nats.url, caFile: nats.caPath });
  }

  httpActors(agentIds: readonly string[], sync = quiet): (() => Promise<unknown>)[] {
    return agentIds.map((id) => {
      const said = sync(id);
      return () => this.#http.get(id)!(said, AbortSignal.timeout(60_000));
    });
  }

  async natsActors(agentIds: readonly string[], sync = quiet): Promise<(() => Promise<unknown>)[]> {
    const actors: (() => Promise<unknown>)[] = [];
    for (const id of agentIds) {
      const agent = this.#parts.use(new NatsExchange(this.#settings.get(id)!, id));
      const said = sync(id);
      const act = (): Promise<unknown> => agent.exchange(said, AbortSignal.timeout(60_000));
      await until('the control plane to serve', () => act().catch(() => undefined));
      actors.push(act);
    }
    return actors;
  }

  /** A message stored in a stream's file and acknowledged: the least that a stream would add. */
  async streamActors(count: number): Promise<(() => Promise<unknown>)[]> {
    const connection = await connectNats(this.#settings.get('streams')!, 'bench');
    this.#parts.defer(() => connection.close());
    const stream = { name: 'EVENTS', subjects: ['events.*'], storage: 'file' };
    const made = await connection.request('$JS.API.STREAM.CREATE.EVENTS', JSON.stringify(stream));
    if (made.string().includes('"error"')) throw new Error(made.string());
    const event = new Uint8Array(TASK_EVENT_BYTES);
    return Array.from({ length: count }, () => () => connection.request('events.x', event));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#parts.disposeAsync();
  }
}

export async function brokerFigures(): Promise<Figure[]> {
  await using bench = await Bench.start();
  const http = await rate(bench.httpActors(ALONE));
  const nats = await rate(await bench.natsActors(ALONE));
  const stream = await rate(await bench.streamActors(1));
  const httpMany = await rate(bench.httpActors(AGENTS));
  const natsMany = await rate(await bench.natsActors(AGENTS));
  const streamMany = await rate(await bench.streamActors(AGENTS.length));
  const httpNaming = await rate(bench.httpActors(ALONE, naming));
  const natsNaming = await rate(await bench.natsActors(ALONE, naming));
  const beside = (http: string, stream: string): string =>
    `HTTP, no TLS: ${http}; a message into a JetStream file alone: ${stream}`;
  return [
    {
      name: 'exchange over NATS with TLS, one agent, p50 / p99',
      value: say(nats),
      beside: beside(say(http), say(stream)),
    },
    {
      name: `exchanges, ${AGENTS.length} agents at once`,
      value: perSecond(natsMany),
      beside: beside(perSecond(httpMany), perSecond(streamMany)),
    },
    {
      name: `exchange that names ${HELD.toLocaleString('en')} held attempts, p50 / p99`,
      value: say(natsNaming),
      beside: `HTTP, no TLS: ${say(httpNaming)}`,
    },
  ];
}
