import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { readFile, rm, writeFile } from 'node:fs/promises';
import type { Server } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { freePort, preparePostgres } from '@majorana/embedded-postgres';
import type { PartRecord } from './parts-file.ts';
import { endOrphans, writeParts } from './parts-file.ts';
import { identify } from './process-identity.ts';
import { claimFolder } from './supervisor-claim.ts';

const RESTART_DELAY_MS = 200;
const STOP_DEADLINE_MS = 10_000;
const READY_DEADLINE_MS = 60_000;
const AGENT_DEADLINE_MS = 10_000;
/** A server that ends so often before it was ready once will not do better. */
const START_ATTEMPTS_MAX = 5;
/** The server's own code for a database it is too old for: starting again would not help. */
const EXIT_DATABASE_TOO_NEW = 57;

export interface SupervisorOptions {
  /** The address the API listens on; loopback when absent. */
  readonly host?: string | undefined;
  readonly port?: number | undefined;
  /** How long ended jobs are kept; the server's own default when absent. */
  readonly keepDays?: number | undefined;
  /** How the local agent holds tasks to their memory; its own default when absent. */
  readonly memoryLimits?: string | undefined;
  /** What the local agent hands out; what is absent it finds out. */
  readonly capacity: {
    readonly cores?: string | undefined;
    readonly memoryBytes?: number | undefined;
    readonly gpus?: number | undefined;
    readonly scratchBytes?: number | undefined;
    readonly countable: Readonly<Record<string, number>>;
  };
}

interface Part {
  readonly name: string;
  readonly start: () => ChildProcess;
  readonly stopSignal: NodeJS.Signals;
  startCount: number;
  process?: ChildProcess;
  record?: PartRecord;
}

function capacityArguments(capacity: SupervisorOptions['capacity']): string[] {
  const { cores, memoryBytes, gpus, scratchBytes, countable } = capacity;
  const pairs = {
    '--cores': cores,
    '--memory': memoryBytes,
    '--gpus': gpus,
    '--scratch': scratchBytes,
  };
  return [
    ...Object.entries(pairs).flatMap(([name, value]) =>
      value === undefined ? [] : [name, String(value)],
    ),
    ...Object.entries(countable).flatMap(([name, count]) => ['--resource', `${name}=${count}`]),
  ];
}

/** As the parts on this machine reach it. */
function localUrl(host: string, port: number): string {
  const isEvery = host === '0.0.0.0' || host === '::';
  if (isEvery) return `http://127.0.0.1:${port}`;
  return `http://${host.includes(':') ? `[${host}]` : host}:${port}`;
}

/** Starts database, server and agent, and starts again whichever dies. Tasks are nobody's children. */
export class Supervisor {
  readonly data: string;
  url = '';
  /** Parts of an earlier supervisor that was killed, ended before the start. */
  orphans: readonly string[] = [];
  #claim: Server | undefined;
  #parts: Part[] = [];
  #isStopping = false;
  #onFatal: (message: string) => void = () => undefined;
  readonly fatal = new Promise<string>((resolve) => (this.#onFatal = resolve));

  constructor(data: string) {
    this.data = data;
  }

  async start(options: SupervisorOptions): Promise<void> {
    this.#claim = await claimFolder(this.data);
    this.orphans = await endOrphans(this.data);
    const external = process.env['MAJORANA_DATABASE_URL'];
    const postgres = external === undefined ? await preparePostgres(this.data) : undefined;
    const port = options.port ?? (await freePort());
    const { host = '127.0.0.1' } = options;
    this.url = localUrl(host, port);
    const environment = { ...process.env, MAJORANA_DATABASE_URL: external ?? postgres!.url };
    if (postgres !== undefined)
      this.#add({ name: 'postgres', start: postgres.start, stopSignal: 'SIGINT', startCount: 0 });
    const name = `local-${os.hostname()}`;
    const server = ['--data', this.data, '--host', host, '--port', String(port)];
    server.push('--local-agent', name);
    if (options.keepDays !== undefined) server.push('--keep-days', String(options.keepDays));
    this.#addNode('server', '@majorana/control-plane/main', server, environment);
    await this.#untilReady();
    const agent = ['--data', this.data, '--url', this.url, '--name', name];
    agent.push('--token-file', path.join(this.data, 'agent-token'));
    agent.push(...capacityArguments(options.capacity));
    if (options.memoryLimits !== undefined) agent.push('--memory-limits', options.memoryLimits);
    this.#addNode('agent', '@majorana/cluster-agent/main', agent, environment);
    await this.#untilAgent();
    const state = { supervisor: identify(process.pid), url: this.url };
    await writeFile(path.join(this.data, 'running.json'), JSON.stringify(state), { mode: 0o600 });
  }

  #addNode(name: string, entry: string, args: string[], env: NodeJS.ProcessEnv): void {
    const file = fileURLToPath(import.meta.resolve(entry));
    const start = (): ChildProcess =>
      spawn(process.execPath, ['--disable-warning=ExperimentalWarning', file, ...args], {
        detached: true,
        stdio: ['ignore', 'pipe', 'pipe'],
        env,
      });
    this.#add({ name, start, stopSignal: 'SIGTERM', startCount: 0 });
  }

  #add(part: Part): void {
    this.#parts.push(part);
    this.#spawn(part);
  }

  #record(part: Part, pid: number | undefined): void {
    const identity = pid === undefined ? undefined : identify(pid);
    if (identity === undefined) delete part.record;
    else part.record = { name: part.name, process: identity, stopSignal: part.stopSignal };
    writeParts(
      this.data,
      this.#parts.flatMap(({ record }) => record ?? []),
    );
  }

  #spawn(part: Part): void {
    const child = part.start();
    part.process = child;
    part.startCount += 1;
    this.#record(part, child.pid);
    const log = createWriteStream(path.join(this.data, `${part.name}.log`), {
      flags: 'a',
      mode: 0o600,
    });
    child.stdout?.pipe(log, { end: false });
    child.stderr?.pipe(log, { end: false });
    child.on('error', (error) => this.#onFatal(`${part.name} cannot be started: ${error.message}`));
    child.on('close', (code) => {
      log.end();
      if (this.#isStopping) return;
      if (code === EXIT_DATABASE_TOO_NEW) {
        this.#onFatal('the database is newer than this program: use a newer majorana');
        return;
      }
      setTimeout(() => {
        if (!this.#isStopping) this.#spawn(part);
      }, RESTART_DELAY_MS);
    });
  }

  async #untilReady(): Promise<void> {
    const deadlineMs = Date.now() + READY_DEADLINE_MS;
    const isHopeless = (): boolean =>
      this.#parts.some(({ startCount }) => startCount > START_ATTEMPTS_MAX);
    while (Date.now() < deadlineMs && !isHopeless()) {
      const response = await fetch(`${this.url}/readyz`).catch(() => undefined);
      if (response?.ok) return;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    const ends = this.#parts.map(async ({ name }) => {
      const log = await readFile(path.join(this.data, `${name}.log`), 'utf8').catch(() => '');
      return `${name}.log: ${log.slice(-800).trim()}`;
    });
    throw new Error(
      `the server does not get ready; the ends of the logs:\n${(await Promise.all(ends)).join('\n')}`,
    );
  }

  /** Who submits right after the start is told at once what can never fit. Without it, it goes too. */
  async #untilAgent(): Promise<void> {
    const token = (await readFile(path.join(this.data, 'token'), 'utf8')).trim();
    const headers = { authorization: `Bearer ${token}` };
    const deadlineMs = Date.now() + AGENT_DEADLINE_MS;
    while (Date.now() < deadlineMs) {
      const response = await fetch(`${this.url}/api/v1/agents`, { headers }).catch(() => undefined);
      // It was taken back: nobody can ask here, and the start is none the worse.
      if (response?.status === 401) return;
      const page = (await response?.json().catch(() => undefined)) as
        | { agents?: unknown[] }
        | undefined;
      if ((page?.agents?.length ?? 0) > 0) return;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  /** Agent first, so that its last news is taken in; the database last. Running tasks go on. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    for (const part of this.#parts.toReversed()) {
      const child = part.process;
      if (child === undefined || child.exitCode !== null || child.signalCode !== null) continue;
      const closed = new Promise((resolve) => child.once('exit', resolve));
      child.kill(part.stopSignal);
      const timer = setTimeout(() => child.kill('SIGKILL'), STOP_DEADLINE_MS);
      await closed;
      clearTimeout(timer);
    }
    if (this.#parts.length > 0) {
      writeParts(this.data, []);
      await rm(path.join(this.data, 'running.json'), { force: true });
    }
    this.#claim?.close();
  }
}
