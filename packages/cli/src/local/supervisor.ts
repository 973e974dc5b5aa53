import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { freePort, preparePostgres } from '@majorana/embedded-postgres';

const RESTART_DELAY_MS = 200;
const STOP_DEADLINE_MS = 10_000;
/** The server's own code for a database it is too old for: starting again would not help. */
const EXIT_DATABASE_TOO_NEW = 57;

interface Part {
  readonly name: string;
  readonly start: () => ChildProcess;
  readonly stopSignal: NodeJS.Signals;
  process: ChildProcess | undefined;
}

export class AlreadyRunningError extends Error {
  override name = 'AlreadyRunningError';
}

/** Starts database, server and agent, and starts again whichever dies. Tasks are nobody's children. */
export class Supervisor {
  readonly data: string;
  url = '';
  #parts: Part[] = [];
  #isStopping = false;
  #onFatal: (message: string) => void = () => undefined;
  readonly fatal = new Promise<string>((resolve) => (this.#onFatal = resolve));

  constructor(data: string) {
    this.data = data;
  }

  async start(options: { readonly port?: number; readonly cores?: number }): Promise<void> {
    const external = process.env['MAJORANA_DATABASE_URL'];
    const postgres = external === undefined ? await preparePostgres(this.data) : undefined;
    const port = options.port ?? (await freePort());
    this.url = `http://127.0.0.1:${port}`;
    const environment = { ...process.env, MAJORANA_DATABASE_URL: external ?? postgres!.url };
    const node = (entry: string, args: string[]) => () =>
      spawn(
        process.execPath,
        [
          '--disable-warning=ExperimentalWarning',
          fileURLToPath(import.meta.resolve(entry)),
          ...args,
        ],
        {
          detached: true,
          stdio: ['ignore', 'pipe', 'pipe'],
          env: environment,
        },
      );
    if (postgres !== undefined) {
      this.#add({
        name: 'postgres',
        start: postgres.start,
        stopSignal: 'SIGINT',
        process: undefined,
      });
    }
    const server = ['--data', this.data, '--port', String(port)];
    this.#add({
      name: 'server',
      start: node('@majorana/control-plane/main', server),
      stopSignal: 'SIGTERM',
      process: undefined,
    });
    await this.#untilReady();
    const agent = ['--data', this.data, '--url', this.url];
    if (options.cores !== undefined) agent.push('--cores', String(options.cores));
    this.#add({
      name: 'agent',
      start: node('@majorana/cluster-agent/main', agent),
      stopSignal: 'SIGTERM',
      process: undefined,
    });
    const state = { supervisorPid: process.pid, url: this.url };
    await writeFile(path.join(this.data, 'running.json'), JSON.stringify(state), { mode: 0o600 });
  }

  #add(part: Part): void {
    this.#parts.push(part);
    this.#spawn(part);
  }

  #spawn(part: Part): void {
    const child = part.start();
    part.process = child;
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
    const deadline = Date.now() + 60_000;
    while (Date.now() < deadline) {
      const response = await fetch(`${this.url}/readyz`).catch(() => undefined);
      if (response?.ok) return;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    const log = await readFile(path.join(this.data, 'server.log'), 'utf8').catch(() => '');
    throw new Error(
      `the server was not ready within 60 s; the end of its log:\n${log.slice(-1000)}`,
    );
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
    await rm(path.join(this.data, 'running.json'), { force: true });
  }
}
