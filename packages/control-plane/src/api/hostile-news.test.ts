import { randomBytes } from 'node:crypto';
import { DEFAULT_RESOURCES, PATH_BYTES_MAX, REASON_BYTES_MAX, utf8Bytes } from '@majorana/core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { hashToken } from './auth.ts';
import type { Answer } from './test-server.ts';
import { TestServer } from './test-server.ts';

/** A pod's last word is a program's to write, and all agents' news is written in one transaction. */

const AGENT = 'a1';
const TOKEN = 'mjr_a1';
/** What no compression makes small enough for an index of PostgreSQL, which holds 2,704 bytes. */
const noise = (length: number): string => randomBytes(length).toString('base64').slice(0, length);

let server: TestServer;
beforeAll(async () => {
  server = await TestServer.start();
  const access = { user: AGENT, role: 'agent', project: null } as const;
  await server.parts.access.add(hashToken(TOKEN), access);
});
afterAll(() => server[Symbol.asyncDispose]());

async function lease(): Promise<string> {
  const { body } = await server.call('POST', '/jobs', { argv: ['true'], retry: { limit: 0 } });
  const attemptId = `${(body as { id: string }).id}.0.1`;
  const { leases } = await server.sync({});
  expect(leases.map((one) => one.attemptId)).toContain(attemptId);
  return attemptId;
}

const say = (attemptId: string, edit: object): Promise<Answer> => {
  const outcome = { kind: 'exit_code', exitCode: 1, reason: 'exit code 1' };
  const base = { kind: 'ended', attemptId, atMs: 1, outcome, peakMemoryBytes: 0, cpuTimeMs: 0 };
  const events = [{ ...base, artifacts: [], ...edit }];
  const rest = { capacity: DEFAULT_RESOURCES, heldAttemptIds: [attemptId], waitMs: 0 };
  return server.call('POST', '/agents/sync', { agentId: AGENT, ...rest, events }, TOKEN);
};

const taskOf = async (attemptId: string): Promise<{ state: string; reason: string }> => {
  const { body } = await server.call('GET', `/tasks/${attemptId.replace(/\.1$/, '')}`);
  return (body as { task: { state: string; reason: string } }).task;
};

test('a reason as long as it may be is taken, and kept as far as an index holds it', async () => {
  const attemptId = await lease();
  const reason = noise(4096);
  const outcome = { kind: 'start_error', reason };
  expect((await say(attemptId, { outcome })).status).toBe(200);
  const task = await taskOf(attemptId);
  expect(task.state).toBe('failed');
  expect(reason.startsWith(task.reason)).toBe(true);
  expect(utf8Bytes(task.reason)).toBe(REASON_BYTES_MAX);
});

test('the longest path of an output is kept', async () => {
  const attemptId = await lease();
  const path = noise(PATH_BYTES_MAX);
  const artifacts = [{ role: 'output', path, object: 'a'.repeat(64), sizeBytes: 1 }];
  expect((await say(attemptId, { artifacts })).status).toBe(200);
  expect((await taskOf(attemptId)).state).toBe('failed');
});

test.each([
  ['a NUL in a reason', { outcome: { kind: 'start_error', reason: 'a\0b' } }],
  [
    'a NUL in a path',
    { artifacts: [{ role: 'output', path: 'a\0b', object: 'a'.repeat(64), sizeBytes: 1 }] },
  ],
  [
    'a path that no index holds',
    {
      artifacts: [
        { role: 'output', path: noise(PATH_BYTES_MAX + 1), object: 'a'.repeat(64), sizeBytes: 1 },
      ],
    },
  ],
  [
    'a path that is no longer than 4,096 letters, of three bytes each',
    {
      artifacts: [
        { role: 'output', path: '字'.repeat(4096), object: 'a'.repeat(64), sizeBytes: 1 },
      ],
    },
  ],
  ['a time that no calendar has', { atMs: Number.MAX_SAFE_INTEGER }],
])('%s is refused, and others’ news is taken', async (_what, edit) => {
  const [bad, good] = [await lease(), await lease()];
  expect(await say(bad, edit)).toMatchObject({ status: 422, body: { title: 'invalid_input' } });
  expect((await say(good, {})).status).toBe(200);
  expect((await taskOf(good)).state).toBe('failed');
  expect((await say(bad, {})).status).toBe(200);
});

const HALF = '\ud800';
test.each([
  ['argv.0', { argv: [HALF] }],
  ['argv.1', { argv: ['a', 'b\0c'] }],
  ['name', { argv: ['a'], name: HALF }],
  ['env.A', { argv: ['a'], env: { A: HALF } }],
  ['labels', { argv: ['a'], labels: { [HALF]: 'a' } }],
  ['idempotencyKey', { argv: ['a'], idempotencyKey: HALF }],
  [
    'array.records.0.x',
    { argv: ['{x}'], array: { kind: 'records', records: [{ x: `${HALF}${HALF}` }] } },
  ],
])('text that no database keeps is refused where it stands: %s', async (where, spec) => {
  expect(await server.call('POST', '/jobs', spec)).toMatchObject({
    status: 422,
    body: { title: 'invalid_input', issues: [{ where }] },
  });
  expect(server.engine.isReady).toBe(true);
});

test('every other text is kept as it came', async () => {
  const text = 'a\\u0000 \\ud800 😀 \u0001';
  const { body } = await server.call('POST', '/jobs', { argv: ['a'], labels: { text } });
  const job = await server.call('GET', `/jobs/${(body as { id: string }).id}`);
  expect(job.body).toMatchObject({ labels: { text } });
});

test('a record of a parameter set is held to the same', async () => {
  for (const line of ['{"x":"\\ud800"}', '{"x":"\\u0000"}'])
    expect(await server.call('POST', '/parameter-sets', `${line}\n`)).toMatchObject({
      status: 422,
      body: { title: 'bad_record' },
    });
  const whole = await server.call('POST', '/parameter-sets', '{"x":"\\ud83d\\ude00"}\n');
  expect(whole.status).toBe(201);
});
