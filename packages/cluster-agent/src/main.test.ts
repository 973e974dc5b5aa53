import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { json } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { DEFAULT_RESOURCES } from '@majorana/core';
import type { AgentOrders, AgentSync, AttemptEvent, Lease } from '@majorana/protocol';
import { agentSyncSchema } from '@majorana/protocol';
import { afterEach, expect, test } from 'vitest';
import { Reports } from './engine/test-reports.ts';

const data = mkdtempSync(path.join(os.tmpdir(), 'agent-main-test-'));
writeFileSync(path.join(data, 'token'), 'secret\n');
const children: ChildProcess[] = [];
const syncs: AgentSync[] = [];
const events: AttemptEvent[] = [];
const leases = new Map<string, Lease>();
let reports = new Reports();
let held: string[] = [];

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const sync = agentSyncSchema.parse(await json(request));
  if (request.headers.authorization !== 'Bearer secret') throw new Error('a wrong token');
  syncs.push(sync);
  events.push(...sync.events);
  // A new agent names all that it holds.
  if (sync.heldAttemptIds !== undefined) reports = new Reports();
  held = [...reports.take(sync)];
  for (const attemptId of held) leases.delete(attemptId);
  const ended = new Set(events.filter(({ kind }) => kind === 'ended').map((one) => one.attemptId));
  const forgetAttemptIds = held.filter((id) => ended.has(id));
  while (sync.waitMs > 0 && leases.size === 0 && forgetAttemptIds.length === 0) {
    if (response.closed) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  const orders: AgentOrders = {
    leases: [...leases.values()],
    endAttemptIds: [],
    forgetAttemptIds,
    wantsHeldAttemptIds: false,
    logRequests: [],
  };
  response.end(JSON.stringify(orders));
}

const server = createServer((request, response) => {
  answer(request, response).catch((error: unknown) => response.writeHead(500).end(String(error)));
});

afterEach(() => {
  for (const child of children) child.kill('SIGKILL');
  server.close();
  server.closeAllConnections();
  rmSync(data, { recursive: true, force: true });
});

async function startAgent(): Promise<ChildProcess> {
  const main = fileURLToPath(new URL('main.ts', import.meta.url));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const args = [main, '--data', data, '--url', url, '--cores', '1.5', '--resource', 'license=2'];
  const child = spawn(process.execPath, args, { stdio: 'inherit' });
  children.push(child);
  return child;
}

async function until(what: string, probe: () => boolean): Promise<void> {
  const deadline = Date.now() + 30_000;
  while (!probe()) {
    if (Date.now() > deadline) throw new Error(`waited in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

test('the process tells its capacity, goes on after kill -9, and ends at TERM without its task', async () => {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const first = await startAgent();
  const attemptId = 'job_1.0.1';
  leases.set(attemptId, {
    attemptId,
    jobName: 'test',
    argv: ['sh', '-c', 'while [ ! -e go ]; do sleep 0.02; done; exit 7'],
    env: {},
    inputs: [],
    outputs: [],
    resources: DEFAULT_RESOURCES,
    timeLimitMs: 0,
    graceMs: 100,
    taskCount: 1,
  });
  const isRunning = (): boolean => events.some(({ kind }) => kind === 'running');
  await until('the program', isRunning);
  expect(syncs[0]?.capacity).toMatchObject({ cpuMillis: 1500, countable: { license: 2 } });
  first.kill('SIGKILL');
  await once(first, 'exit');
  events.length = 0;
  const second = await startAgent();
  await until('the program again', isRunning);
  second.kill('SIGTERM');
  expect(await once(second, 'exit')).toEqual([0, null]);
  expect(events.some(({ kind }) => kind === 'ended')).toBe(false);
  const third = await startAgent();
  writeFileSync(path.join(data, 'agent', 'attempts', attemptId, 'work', 'go'), '');
  await until('the end', () => events.some(({ kind }) => kind === 'ended'));
  expect(events.at(-1)).toMatchObject({ outcome: { kind: 'exit_code', exitCode: 7 } });
  await until('the attempt to be forgotten', () => syncs.length > 0 && held.length === 0);
  third.kill('SIGTERM');
  expect(await once(third, 'exit')).toEqual([0, null]);
});
