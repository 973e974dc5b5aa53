import type { ChildProcess } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { createConnection } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { preparePostgres } from '@majorana/embedded-postgres';
import { until } from './until.ts';

const accepts = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = createConnection({ host: '127.0.0.1', port });
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
    socket.once('connect', () => socket.end());
  });

/** A real PostgreSQL in a folder of its own, for one test file. */
export class TestPostgres implements AsyncDisposable {
  readonly url: string;
  readonly #folder: string;
  readonly #start: () => ChildProcess;
  readonly #port: number;
  #process: ChildProcess;

  private constructor(
    folder: string,
    server: { readonly url: string; readonly port: number; readonly start: () => ChildProcess },
  ) {
    this.#folder = folder;
    this.url = server.url;
    this.#port = server.port;
    this.#start = server.start;
    this.#process = server.start();
  }

  static async start(): Promise<TestPostgres> {
    const folder = await mkdtemp(path.join(os.tmpdir(), 'majorana-postgres-'));
    const postgres = new TestPostgres(folder, await preparePostgres(folder));
    await postgres.#ready();
    return postgres;
  }

  async #ready(): Promise<void> {
    this.#process.stderr?.resume();
    await until('PostgreSQL to accept connections', () => accepts(this.#port));
  }

  /** As a crash would: no shutdown, no checkpoint. */
  async kill(): Promise<void> {
    const closed = new Promise((resolve) => this.#process.once('exit', resolve));
    this.#process.kill('SIGKILL');
    await closed;
  }

  async restart(): Promise<void> {
    this.#process = this.#start();
    await this.#ready();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise((resolve) => this.#process.once('exit', resolve));
    if (this.#process.exitCode === null && this.#process.signalCode === null) {
      this.#process.kill('SIGINT');
      await closed;
    }
    await rm(this.#folder, { recursive: true, force: true, maxRetries: 5 });
  }
}
