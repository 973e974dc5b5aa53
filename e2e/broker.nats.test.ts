import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { Client } from '@majorana/client';
import { freePort } from '@majorana/embedded-postgres';
import type { TestNats } from '@majorana/test-servers';
import { startNats } from '@majorana/test-servers';
import { Relay, TestPostgres, until } from '@majorana/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { natsKey } from './nats-key.ts';

const TASKS = 200;
/** In which both sides must agree again after a cut. */
const AGREED_MS_MAX = 10_000;
const AGENT = 'berlin.example.org';

const file = (name: string): string => fileURLToPath(new URL(`../${name}`, import.meta.url));
const data = mkdtempSync(path.join(os.tmpdir(), 'majorana-nats-e2e-'));
const processes: ChildProcess[] = [];
let postgres: TestPostgres;
let nats: TestNats;
let relay: Relay;
let agentLog = '';

function start(main: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): ChildProcess {
  const child = spawn(process.execPath, [file(main), ...args], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  processes.push(child);
  return child;
}

async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exit = once(child, 'exit');
  child.kill(signal);
  await exit;
}

const key = (name: string, ...whose: string[]): Promise<object> =>
  natsKey(path.join(data, name), ...whose);

interface Server {
  readonly url: string;
  readonly process: ChildProcess;
}

async function startServer(): Promise<Server> {
  const port = await freePort();
  const child = start(
    'packages/control-plane/src/main.ts',
    ['--data', data, '--port', String(port)],
    {
      MAJORANA_DATABASE_URL: postgres.url,
      MAJORANA_NATS_URL: nats.url,
      MAJORANA_NATS_CREDENTIALS_FILE: path.join(data, 'control-plane.nk'),
      MAJORANA_NATS_CA_FILE: nats.caPath!,
    },
  );
  return { url: `http://127.0.0.1:${port}`, process: child };
}

const isActive = async ({ url }: Server): Promise<boolean> =>
  (await fetch(`${url}/readyz`).catch(() => undefined))?.status === 200;

const clientOf = ({ url }: Server): Client =>
  new Client(url, readFileSync(path.join(data, 'token'), 'utf8').trim());

beforeAll(async () => {
  postgres = await TestPostgres.start();
  const users = [
    await key('control-plane.nk', '--control-plane'),
    await key('agent.nk', '--agent', AGENT),
  ];
  nats = await startNats({ tls: true, accounts: { MAJORANA: { users } } });
  relay = await Relay.start(nats.url);
});
afterAll(async () => {
  for (const child of processes.toReversed()) await end(child, 'SIGKILL');
  await relay[Symbol.asyncDispose]();
  await nats[Symbol.asyncDispose]();
  await postgres[Symbol.asyncDispose]();
  rmSync(data, { recursive: true, force: true, maxRetries: 5 });
});

function startAgent(): void {
  const room = ['--cores', '8', '--memory', String(2 ** 34)];
  const where = ['--nats-url', `tls://127.0.0.1:${relay.port}`, '--nats-ca', nats.caPath!];
  const who = ['--name', AGENT, '--nats-credentials', path.join(data, 'agent.nk')];
  const args = ['--data', data, ...room, ...where, ...who];
  const child = start('packages/cluster-agent/src/main.ts', args);
  child.stderr!.setEncoding('utf8').on('data', (text: string) => (agentLog += text));
}

test('200 tasks over NATS, which is killed, as is a control plane, and the agent is cut off', async () => {
  const first = await startServer();
  await until('the first to be active', () => isActive(first));
  const standby = await startServer();
  startAgent();
  let client = clientOf(first);
  await until('the agent to be known', async () => {
    const { agents } = await client.agents();
    return agents.some(({ id }) => id === AGENT);
  });

  const record = path.join(data, 'ran');
  const program = `sleep 0.3; echo "$MAJORANA_TASK_INDEX" >> ${record}`;
  const { id } = await client.submit({
    argv: ['sh', '-c', program],
    array: { kind: 'range', ranges: [{ from: 0, to: TASKS - 1, step: 1 }] },
  });
  const ran = (): string[] => {
    try {
      return readFileSync(record, 'utf8').trim().split('\n');
    } catch {
      return [];
    }
  };
  const succeeded = async (): Promise<number> => (await client.job(id)).counts.succeeded;

  await until('20 to be done', async () => (await succeeded()) >= 20);
  await nats.kill();
  const atKill = ran().length;
  await until('tasks to go on without NATS', () => ran().length >= atKill + 8);
  await nats.restart();
  await until('both to agree', async () => (await succeeded()) >= ran().length - 8, AGREED_MS_MAX);

  await end(first.process, 'SIGKILL');
  await until('the standby to take over', () => isActive(standby));
  client = clientOf(standby);
  const atTakeover = ran().length;
  await until('the agent to find it', async () => (await succeeded()) > atTakeover, AGREED_MS_MAX);

  agentLog = '';
  relay.cut();
  await until('the agent to be cut off', () => agentLog.includes('no answer'));
  const atCut = await succeeded();
  await until('tasks to go on', () => ran().length >= Math.min(TASKS, atCut + 8));
  relay.mend();
  await until('both to agree', async () => (await succeeded()) > atCut, AGREED_MS_MAX);

  await until('all to be done', async () => (await succeeded()) === TASKS);
  expect((await client.job(id)).counts).toMatchObject({ succeeded: TASKS, failed: 0 });
  const indices = ran().map(Number);
  expect(indices.toSorted((a, b) => a - b)).toEqual(Array.from({ length: TASKS }, (_, at) => at));
  const attempts = await client.agents();
  expect(attempts.agents.map(({ id: agentId }) => agentId)).toEqual([AGENT]);
});
