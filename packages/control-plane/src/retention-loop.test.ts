import { utimes } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { pino } from 'pino';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { TestServer } from './api/test-server.ts';
import { RetentionLoop } from './retention-loop.ts';

const DAY_MS = 24 * 3_600_000;
let server: TestServer;
beforeAll(async () => {
  server = await TestServer.start();
});
afterAll(() => server[Symbol.asyncDispose]());

async function putOld(text: string): Promise<string> {
  const { object } = await server.objects.putStream(Readable.from([Buffer.from(text)]));
  const longAgo = new Date(Date.now() - 10 * DAY_MS);
  await utimes(server.objects.pathOf(object), longAgo, longAgo);
  return object;
}

/** One task whose output is the object; answers with the job's id. */
async function runOne(object: string): Promise<string> {
  const { body } = await server.call('POST', '/jobs', { argv: ['true'], outputs: ['out'] });
  const { leases } = await server.sync({});
  const { attemptId } = leases[0]!;
  const artifacts = [{ role: 'output' as const, path: 'out', object, sizeBytes: 1 }];
  const outcome = { kind: 'succeeded' as const, exitCode: 0, reason: 'exit code 0' };
  const end = { kind: 'ended' as const, attemptId, atMs: 1, outcome, artifacts };
  await server.sync({ events: [{ ...end, peakMemoryBytes: 0, cpuTimeMs: 0 }] });
  return (body as { id: string }).id;
}

test('jobs go after their time with the objects that only they name; young and used ones stay', async () => {
  const [kept, dropped, stray] = [
    await putOld('kept'),
    await putOld('dropped'),
    await putOld('no'),
  ];
  const young = (await server.objects.putStream(Readable.from([Buffer.from('young')]))).object;
  const old = await runOne(dropped);
  const current = await runOne(kept);
  await server.store.pool.query('update job set ended_at_ms = $2 where job_id = $1', [
    Number(old.slice(4)),
    Date.now() - 31 * DAY_MS,
  ]);
  const log = pino({ level: 'silent' });
  const { retention, objects, uploads } = server.parts;
  const loop = new RetentionLoop({ retention, objects, uploads, keepDays: 30, log });
  expect(await loop.round(Date.now())).toEqual({ jobs: 1, objects: 2 });
  const has = (object: string): Promise<boolean> => server.objects.has(object);
  expect(await Promise.all([kept, dropped, stray, young].map(has))).toEqual([
    true,
    false,
    false,
    true,
  ]);
  expect((await server.call('GET', `/jobs/${old}`)).status).toBe(404);
  expect((await server.call('GET', `/jobs/${current}`)).status).toBe(200);
  expect(await loop.round(Date.now())).toEqual({ jobs: 0, objects: 0 });
});
