import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { Client } from '@majorana/client';
import { freePort } from '@majorana/embedded-postgres';
import { TestPostgres, until } from '@majorana/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';

const main = fileURLToPath(new URL('../packages/control-plane/src/main.ts', import.meta.url));

/** One server of several on the same database. */
class Server {
  readonly data = mkdtempSync(path.join(os.tmpdir(), 'majorana-standby-'));
  readonly url: string;
  readonly process: ChildProcess;

  constructor(databaseUrl: string, port: number) {
    this.url = `http://127.0.0.1:${port}`;
    this.process = spawn(process.execPath, [main, '--data', this.data, '--port', String(port)], {
      env: { ...process.env, MAJORANA_DATABASE_URL: databaseUrl },
      stdio: 'ignore',
    });
  }

  async status(): Promise<number> {
    const response = await fetch(`${this.url}/readyz`).catch(() => undefined);
    return response?.status ?? 0;
  }

  client(): Client {
    const token = readFileSync(path.join(this.data, 'token'), 'utf8').trim();
    return new Client(this.url, token);
  }

  async end(signal: NodeJS.Signals): Promise<void> {
    if (this.process.exitCode === null && this.process.signalCode === null) {
      const exit = once(this.process, 'exit');
      this.process.kill(signal);
      await exit;
    }
    rmSync(this.data, { recursive: true, force: true });
  }
}

let postgres: TestPostgres;
const servers: Server[] = [];
beforeAll(async () => {
  postgres = await TestPostgres.start();
});
afterAll(async () => {
  for (const server of servers) await server.end('SIGKILL');
  await postgres[Symbol.asyncDispose]();
});

async function start(): Promise<Server> {
  const server = new Server(postgres.url, await freePort());
  servers.push(server);
  return server;
}

test('a second server waits as standby, and takes over when the first is killed', async () => {
  const first = await start();
  await until('the first to be the engine', async () => (await first.status()) === 200);
  const { id } = await first.client().submit({ argv: ['true'], name: 'acknowledged' });
  const second = await start();
  await until('the second to answer as standby', async () => (await second.status()) === 503);
  await first.end('SIGKILL');
  await until('the second to take over', async () => (await second.status()) === 200);
  expect((await second.client().job(id)).name).toBe('acknowledged');
  await second.end('SIGTERM');
});

test('a standby that is stopped ends at once, and without error', async () => {
  const first = await start();
  await until('the first to be the engine', async () => (await first.status()) === 200);
  const standby = await start();
  await until('the standby to answer', async () => (await standby.status()) === 503);
  await standby.end('SIGTERM');
  expect(standby.process.exitCode).toBe(0);
  expect(await first.status()).toBe(200);
});
