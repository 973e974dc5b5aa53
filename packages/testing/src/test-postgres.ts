import type { ChildProcess } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { preparePostgres } from '@majorana/embedded-postgres';
import pg from 'pg';
import { until } from './until.ts';

async function answers(url: string): Promise<boolean> {
  const client = new pg.Client({ connectionString: url });
  client.on('error', () => undefined);
  const isUp = await client.connect().then(
    () => true,
    () => false,
  );
  await client.end().catch(() => undefined);
  return isUp;
}

/** A real PostgreSQL in a folder of its own, for one test file. */
export class TestPostgres implements AsyncDisposable {
  readonly url: string;
  readonly #folder: string;
  readonly #start: () => ChildProcess;
  #process: ChildProcess;

  private constructor(
    folder: string,
    server: { readonly url: string; readonly start: () => ChildProcess },
  ) {
    this.#folder = folder;
    this.url = server.url;
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
    await until('PostgreSQL to accept connections', () => answers(this.url));
  }

  /** For what a test wants to see on record, whatever the API says of it. */
  async query<T>(text: string, values: readonly unknown[] = []): Promise<T[]> {
    const client = new pg.Client({ connectionString: this.url });
    await client.connect();
    try {
      return (await client.query(text, [...values])).rows as T[];
    } finally {
      await client.end();
    }
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
