import type {
  ArtifactPage,
  JobDetail,
  JobView,
  QueueView,
  TaskDetail,
  TaskPage,
  TokenView,
} from '@majorana/protocol';
import { until } from '@majorana/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { TestServer } from './test-server.ts';

let server: TestServer;
beforeAll(async () => {
  server = await TestServer.start();
});
afterAll(() => server[Symbol.asyncDispose]());

const range = (to: number) => ({ kind: 'range', ranges: [{ from: 0, to, step: 1 }] });
const ended = (attemptId: string, exitCode = 0) => ({
  kind: 'ended' as const,
  attemptId,
  atMs: Date.now(),
  outcome:
    exitCode === 0
      ? { kind: 'succeeded' as const, exitCode, reason: 'exit code 0' }
      : { kind: 'exit_code' as const, exitCode, reason: `exit code ${exitCode}` },
  peakMemoryBytes: 1,
  cpuTimeMs: 1,
  artifacts: [],
});

async function submit(spec: object): Promise<string> {
  const { status, body } = await server.call('POST', '/jobs', { argv: ['true'], ...spec });
  expect(status, JSON.stringify(body)).toBe(201);
  return (body as { id: string }).id;
}

const get = async <T>(url: string): Promise<T> => {
  const { status, body } = await server.call('GET', url);
  expect(status, JSON.stringify(body)).toBe(200);
  return body;
};

const counts = async (id: string): Promise<Partial<JobView['counts']>> =>
  Object.fromEntries(
    Object.entries((await get<JobView>(`/jobs/${id}`)).counts).filter(([, count]) => count > 0),
  );

/** Plays the agent until nothing is left: every lease ends as `exitOf` says. */
async function runAll(exitOf: (attemptId: string) => number = () => 0): Promise<string[]> {
  const ran: string[] = [];
  let events: ReturnType<typeof ended>[] = [];
  for (;;) {
    const heldAttemptIds = events.map((event) => event.attemptId);
    const { leases } = await server.sync({ events, heldAttemptIds });
    if (leases.length === 0) return ran;
    ran.push(...leases.map((lease) => lease.attemptId));
    events = leases.map(({ attemptId }) => ended(attemptId, exitOf(attemptId)));
  }
}

test('an array is leased, run and counted, and its untouched tasks are listed too', async () => {
  const id = await submit({ array: range(9), parallelMax: 2 });
  const before = await get<TaskPage>(`/jobs/${id}/tasks?limit=4`);
  expect(before.tasks.map((task) => task.index)).toEqual([0, 1, 2, 3]);
  const after = await get<TaskPage>(`/jobs/${id}/tasks?limit=100&cursor=${before.next}`);
  expect(after.tasks).toHaveLength(6);
  expect(await runAll()).toHaveLength(10);
  expect(await counts(id)).toEqual({ succeeded: 10 });
  expect((await get<JobView>(`/jobs/${id}`)).state).toBe('succeeded');
});

test('records in a spec and records in a stream fill the same placeholders', async () => {
  const stream = await server.call(
    'POST',
    '/parameter-sets',
    '{"t":1,"m":"urea"}\n{"t":2,"m":"x"}',
  );
  expect(stream).toMatchObject({ status: 201, body: { recordCount: 2, fieldNames: ['t', 'm'] } });
  const { parameterSetId } = stream.body as { parameterSetId: number };
  const records = [
    { t: '1', m: 'urea' },
    { t: '2', m: 'x' },
  ];
  for (const array of [
    { kind: 'records', records },
    { kind: 'parameter_set', parameterSetId },
  ]) {
    const id = await submit({ argv: ['run', '{m}', '{t}/{index}'], array });
    const { leases } = await server.sync({});
    expect(leases.map((lease) => lease.argv)).toEqual([
      ['run', 'urea', '1/0'],
      ['run', 'x', '2/1'],
    ]);
    expect((await get<TaskDetail>(`/tasks/${id}.1`)).fields).toMatchObject({ t: '2', m: 'x' });
    await runAll();
  }
});

test('a /dev/shm beyond the memory it is a part of is refused, one that nobody asked for is not', async () => {
  const MEBIBYTE = 1024 ** 2;
  const ask = (resources: object): ReturnType<TestServer['call']> =>
    server.call('POST', '/jobs', { argv: ['a'], container: { image: 'science:1' }, resources });
  const most = { memoryBytes: 64 * MEBIBYTE, shmBytes: 256 * MEBIBYTE };
  expect(await ask(most)).toMatchObject({
    status: 422,
    body: {
      issues: [
        {
          where: 'resources.shmBytes',
          what: expect.stringMatching(/64 MiB memory .*256 MiB/) as string,
        },
      ],
    },
  });
  for (const resources of [
    { memoryBytes: 32 * MEBIBYTE },
    { memoryBytes: 256 * MEBIBYTE, shmBytes: 256 * MEBIBYTE },
  ]) {
    const { status, body } = await ask(resources);
    expect(status).toBe(201);
    await server.call('POST', `/jobs/${(body as { id: string }).id}/cancel`);
  }
});

test('a bad record is refused with its number, and nothing of its set is kept', async () => {
  for (const [lines, what] of [
    ['{"a":1}\n{"b":1}', 'record 2: the field b is not in record 1'],
    ['{"a":1}\n{', 'record 2: '],
    ['{"a":1}\n[1]', 'record 2: it is no JSON object'],
    ['{"index":1}', 'record 1: the field "index" is one that every task has'],
    ['', 'there is no record'],
  ]) {
    const { status, body } = await server.call('POST', '/parameter-sets', lines);
    expect(status).toBe(422);
    expect((body as { detail: string }).detail).toContain(what);
  }
});

test('an unknown placeholder is refused with its place, and so is what fits no agent', async () => {
  await server.sync({});
  const placeholder = await server.call('POST', '/jobs', { argv: ['a', 'x {nope}'] });
  expect(placeholder).toMatchObject({ status: 422, body: { title: 'unknown_placeholder' } });
  expect((placeholder.body as { detail: string }).detail).toContain('argv.1: {nope} at position 2');
  const large = await server.call('POST', '/jobs', {
    argv: ['a'],
    resources: { cpuMillis: 64_000 },
  });
  expect((large.body as { detail: string }).detail).toContain(
    '64 cores asked, the largest agent has 4 cores',
  );
});

test('what the schema refuses is told with its path', async () => {
  const { status, body } = await server.call('POST', '/jobs', {
    argv: ['a'],
    retry: { limit: -1 },
    colour: 'red',
  });
  expect(status).toBe(422);
  const { issues } = body as { issues: { where: string }[] };
  expect(issues.map((issue) => issue.where)).toContain('retry.limit');
});

test('a repeated key is the first job, also when both come at once', async () => {
  const keyed = { idempotencyKey: 'k1', array: range(3) };
  const [a, b] = await Promise.all([submit(keyed), submit(keyed)]);
  expect(a).toBe(b);
  await runAll();
  expect(await submit(keyed)).toBe(a);
});

test('a million tasks are one row: submitted, shown and cancelled as one', async () => {
  const id = await submit({ array: range(999_999), parallelMax: 1 });
  expect((await get<{ runs: object[] }>(`/jobs/${id}/state-map`)).runs).toEqual([
    { state: 'leased', count: 1 },
    { state: 'queued', count: 999_999 },
  ]);
  await server.sync({});
  const { body } = await server.call('POST', `/jobs/${id}/cancel`);
  expect(body).toEqual({ cancelled: 1_000_000 });
  const { leases, endAttemptIds } = await server.sync({});
  expect(endAttemptIds).toEqual(leases.map((lease) => lease.attemptId));
  const outcome = { kind: 'cancelled', reason: 'cancelled before it started' } as const;
  await server.sync({ events: [{ ...ended(endAttemptIds[0]!), outcome }] });
  expect(await counts(id)).toEqual({ cancelled: 1_000_000 });
});

test('one untouched task can be cancelled alone; the others go on around it', async () => {
  const id = await submit({ array: range(9), parallelMax: 1 });
  expect((await server.call('POST', `/tasks/${id}.3/cancel`)).body).toEqual({ cancelled: 1 });
  expect((await get<{ runs: object[] }>(`/jobs/${id}/state-map`)).runs).toEqual([
    { state: 'leased', count: 1 },
    { state: 'queued', count: 2 },
    { state: 'cancelled', count: 1 },
    { state: 'queued', count: 6 },
  ]);
  expect(await runAll()).toHaveLength(9);
  expect(await counts(id)).toEqual({ succeeded: 9, cancelled: 1 });
});

test('failures are grouped, and retried by exit code or by group alone', async () => {
  const id = await submit({ array: range(9) });
  await runAll((attemptId) =>
    attemptId.split('.')[1]! < '3' ? 9 : attemptId.includes('.5.') ? 7 : 0,
  );
  const { groups } = await get<{ groups: object[] }>(`/jobs/${id}/failures`);
  expect(groups).toEqual([
    { reason: 'exit code 9', exitCode: 9, count: 3, firstTaskId: `${id}.0` },
    { reason: 'exit code 7', exitCode: 7, count: 1, firstTaskId: `${id}.5` },
  ]);
  const seven = await server.call('POST', `/jobs/${id}/retry`, { exitCode: 7 });
  expect(seven.body).toEqual({ retried: 1 });
  expect((await runAll()).map((one) => one.split('.').slice(1).join('.'))).toEqual(['5.2']);
  const nine = await server.call('POST', `/jobs/${id}/retry`, { reason: 'exit code 9' });
  expect(nine.body).toEqual({ retried: 3 });
  await runAll();
  expect(await counts(id)).toEqual({ succeeded: 10 });
});

test('a job waits for another, and is cancelled when that one fails', async () => {
  const first = await submit({});
  const jobId = Number(first.slice(4));
  const onOk = await submit({ after: [{ jobId, on: 'ok' }] });
  const onAny = await submit({ after: [{ jobId, on: 'any' }] });
  expect((await get<TaskDetail>(`/tasks/${onOk}.0`)).explanation.sentence).toBe(
    `it waits for ${first} (0 of 1 done)`,
  );
  await runAll((attemptId) => (attemptId.startsWith(first) ? 1 : 0));
  expect(await counts(onOk)).toEqual({ cancelled: 1 });
  expect(await counts(onAny)).toEqual({ succeeded: 1 });
});

test('task by task, each waits for its own alone, also when submitted late', async () => {
  const first = await submit({ array: range(5), parallelMax: 2 });
  const after = [{ jobId: Number(first.slice(4)), on: 'ok', each: true }];
  const second = await submit({ array: range(5), after });
  const { leases } = await server.sync({});
  const events = leases.map(({ attemptId }, position) => ended(attemptId, position));
  await server.sync({ events });
  expect(await counts(second)).toMatchObject({ cancelled: 1 });
  const late = await submit({ array: range(5), after });
  await until('the rows of what ended before', async () => (await counts(late)).cancelled === 1);
  await runAll();
  for (const id of [second, late]) expect(await counts(id)).toEqual({ succeeded: 5, cancelled: 1 });
  const unequal = await server.call('POST', '/jobs', { argv: ['x'], array: range(3), after });
  expect(unequal.status).toBe(422);
});

test('a lease that is repeated, a news that comes twice and a late one change nothing', async () => {
  const id = await submit({});
  const first = await server.sync({});
  const again = await server.sync({});
  expect(again.leases).toEqual(first.leases);
  const event = ended(first.leases[0]!.attemptId);
  await server.sync({ events: [event] });
  expect((await server.sync({ events: [event] })).forgetAttemptIds).toEqual([event.attemptId]);
  expect(await counts(id)).toEqual({ succeeded: 1 });
  expect((await get<TaskDetail>(`/tasks/${id}.0`)).attempts).toHaveLength(1);
});

test('a cancel of what runs is an order until its agent has ended it', async () => {
  const id = await submit({});
  const { leases } = await server.sync({});
  const { attemptId } = leases[0]!;
  await server.sync({
    heldAttemptIds: [attemptId],
    events: [{ kind: 'running', attemptId, atMs: 5 }],
  });
  await server.call('POST', `/jobs/${id}/cancel`);
  const orders = await server.sync({ heldAttemptIds: [attemptId] });
  expect(orders.endAttemptIds).toEqual([attemptId]);
  const outcome = { kind: 'cancelled', reason: 'cancelled by a user' } as const;
  await server.sync({ heldAttemptIds: [attemptId], events: [{ ...ended(attemptId), outcome }] });
  expect(await counts(id)).toEqual({ cancelled: 1 });
});

test('a task whose inputs are gone for good fails with the reason, and holds nobody else back', async () => {
  const source = await submit({});
  await runAll();
  await server.call('PUT', '/queues/held', { isPaused: true });
  const jobId = Number(source.slice(4));
  const orphan = await submit({ queue: 'held', inputsFromJobs: [{ jobId, path: 'in' }] });
  const other = await submit({ queue: 'held' });
  await server.store.pool.query('update job set is_expired = true where job_id = $1', [jobId]);
  await server.call('PUT', '/queues/held', {});
  await runAll();
  expect(await counts(other)).toEqual({ succeeded: 1 });
  expect(await counts(orphan)).toEqual({ failed: 1 });
  expect((await get<TaskDetail>(`/tasks/${orphan}.0`)).explanation.sentence).toBe(
    `could not start: there is no ${source} to take inputs from`,
  );
});

test('a paused queue starts nothing, and a waiting task says so', async () => {
  const settings = { isPaused: true, weight: 2, parallelMax: 5 };
  const { body } = await server.call('PUT', '/queues/night', settings);
  expect(body).toMatchObject({ name: 'night', ...settings });
  const id = await submit({ queue: 'night' });
  expect(await runAll()).toEqual([]);
  expect((await get<TaskDetail>(`/tasks/${id}.0`)).explanation.sentence).toBe(
    'its queue night is paused',
  );
  const { queues } = await get<{ queues: QueueView[] }>('/queues');
  expect(queues.find((queue) => queue.name === 'night')).toMatchObject({ openJobs: 1 });
  await server.call('PUT', '/queues/night', {});
  expect(await runAll()).toHaveLength(1);
});

test('why a task waits names the resource that is short', async () => {
  const big = await submit({ array: range(1), resources: { cpuMillis: 4000 } });
  const { leases } = await server.sync({});
  const { explanation } = await get<TaskDetail>(`/tasks/${big}.1`);
  expect(explanation).toMatchObject({
    shortages: [{ resource: 'cpuMillis', requested: 4000, available: 0, agentCount: 1 }],
  });
  await server.sync({ events: leases.map(({ attemptId }) => ended(attemptId)) });
  await runAll();
});

test('the events of a job resume where the reader left them', async () => {
  const id = await submit({ array: range(1) });
  await runAll();
  const all = String((await server.call('GET', `/jobs/${id}/events`)).body);
  const ids = [...all.matchAll(/^id: (\d+)$/gm)].map((match) => Number(match[1]));
  expect(ids).toHaveLength(4);
  expect(all).toContain('event: end');
  const rest = String((await server.call('GET', `/jobs/${id}/events?after=${ids[2]}`)).body);
  expect([...rest.matchAll(/^id: (\d+)$/gm)].map((match) => Number(match[1]))).toEqual([ids[3]]);
});

test('the log of a running task comes from its agent, and of an ended one from the store', async () => {
  const id = await submit({});
  const { leases } = await server.sync({});
  const { attemptId } = leases[0]!;
  const reading = server.call('GET', `/tasks/${id}.0/logs`);
  const asked = await until('the request for the log', async () => {
    const { logRequests } = await server.sync({ heldAttemptIds: [attemptId] });
    return logRequests[0];
  });
  const answer = (requestId: string, text: string) =>
    server.sync({
      heldAttemptIds: [attemptId],
      logChunks: [{ requestId, dataBase64: Buffer.from(text).toString('base64') }],
    });
  const second =
    (await answer(asked.requestId, 'so far'),
    await until('the next', async () => {
      const { logRequests } = await server.sync({ heldAttemptIds: [attemptId] });
      return logRequests.find((one) => one.offset === 6);
    }));
  await answer(second.requestId, '');
  expect((await reading).body).toBe('so far');
  const { Readable } = await import('node:stream');
  const stored = await server.objects.putStream(Readable.from([Buffer.from('so far, all')]));
  const artifacts = [{ role: 'stdout' as const, path: 'stdout', ...stored }];
  await server.sync({ events: [{ ...ended(attemptId), artifacts }] });
  expect((await server.call('GET', `/tasks/${id}.0/logs`)).body).toBe('so far, all');
  expect((await server.call('GET', `/tasks/${id}.0/logs?offset=7&bytesMax=3`)).body).toBe(' al');
  const page = await get<ArtifactPage>(`/jobs/${id}/artifacts`);
  expect(page.artifacts).toMatchObject([{ role: 'stdout', taskId: `${id}.0` }]);
});

test('a token of a project sees and does nothing outside it', async () => {
  const open = await submit({});
  const made = await server.call('POST', '/tokens', { user: 'eve', project: 'p1', role: 'member' });
  const { token, id } = made.body as TokenView & { token: string };
  expect((await server.call('GET', `/jobs/${open}`, undefined, token)).status).toBe(404);
  expect((await server.call('POST', '/jobs', { argv: ['x'] }, token)).status).toBe(403);
  const own = await server.call('POST', '/jobs', { argv: ['x'], project: 'p1' }, token);
  expect(own.status).toBe(201);
  const { body } = await server.call('GET', '/jobs', undefined, token);
  expect((body as { jobs: JobDetail[] }).jobs.map((job) => job.project)).toEqual(['p1']);
  expect((await server.call('GET', '/tokens', undefined, token)).status).toBe(403);
  await server.call('DELETE', `/tokens/${id}`);
  expect((await server.call('GET', '/jobs', undefined, token)).status).toBe(401);
  await runAll();
});

test('when the database is killed what was acknowledged is there, and the rest is asked again', async () => {
  const before = await submit({ array: range(2) });
  await server.postgres.kill();
  const refused = await server.call('POST', '/jobs', { argv: ['true'] });
  expect(refused).toMatchObject({ status: 503, body: { title: 'unavailable' } });
  await server.postgres.restart();
  const id = await until('a submission', async () => {
    const { status, body } = await server.call('POST', '/jobs', { argv: ['true'] });
    return status === 201 && (body as { id: string }).id;
  });
  await runAll();
  expect(await counts(before)).toEqual({ succeeded: 3 });
  expect(await counts(id)).toEqual({ succeeded: 1 });
});

test('metrics tell states and agents without ids', async () => {
  const response = await server.app.inject({
    url: '/metrics',
    headers: { authorization: `Bearer ${server.token}` },
  });
  expect(response.body).toContain('majorana_tasks{state="queued"} 0');
  expect(response.body).toContain('majorana_agent_capacity_cores{agent="a1"} 4');
});
