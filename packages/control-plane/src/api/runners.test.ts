import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import type { AddressInfo } from 'node:net';
import type { JobSpecInput, Lease, RunnerOrders } from '@majorana/protocol';
import { until } from '@majorana/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { hashToken } from './auth.ts';
import type { Answer } from './test-server.ts';
import { TestServer } from './test-server.ts';

/** What a program may do that has read the token of its attempt out of its pod. */

const AGENT = 'pods';
const AGENT_TOKEN = 'mjr_pods';

let server: TestServer;
beforeAll(async () => {
  server = await TestServer.start();
  const access = { user: AGENT, role: 'agent', project: null } as const;
  await server.parts.access.add(hashToken(AGENT_TOKEN), access);
});
afterAll(() => server[Symbol.asyncDispose]());

/** Over a connection, as a runner: one that is closed tells that its runner has left. */
async function call(url: string, token: string, body?: object): Promise<Response> {
  if (!server.app.server.listening) await server.app.listen({ host: '127.0.0.1', port: 0 });
  const { port } = server.app.server.address() as AddressInfo;
  return fetch(`http://127.0.0.1:${port}/api/v1/${url}`, {
    method: body === undefined ? 'GET' : 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
}

type Held = Lease & { readonly runnerToken: string };
const held = new Set<string>();

/** A task that the agent holds, with the token that its runner gets. */
async function lease(spec: Partial<JobSpecInput> = {}): Promise<Held> {
  const { status } = await server.call('POST', '/jobs', {
    argv: ['true'],
    cluster: AGENT,
    ...spec,
  });
  expect(status).toBe(201);
  return nextLease();
}

async function nextLease(): Promise<Held> {
  const { leases } = await sync();
  held.add(leases[0]!.attemptId);
  await sync();
  return leases[0] as Held;
}

const sync = (edit: object = {}): ReturnType<TestServer['sync']> =>
  server.sync({
    agentId: AGENT,
    needsRunnerTokens: true,
    heldAttemptIds: [...held],
    capacity: {
      cpuMillis: 64_000,
      memoryBytes: 2 ** 40,
      scratchBytes: 2 ** 40,
      shmBytes: 2 ** 40,
      gpuCount: 0,
      countable: {},
    },
    ...edit,
  });

async function end({ attemptId }: Held, kind: 'succeeded' | 'lost'): Promise<void> {
  const outcome = { kind, reason: 'as the test has it' };
  const event = { kind: 'ended', attemptId, atMs: 1, outcome, peakMemoryBytes: 0, cpuTimeMs: 0 };
  held.delete(attemptId);
  await sync({ events: [{ ...event, artifacts: [] }] });
}

const store = async (content: string): Promise<string> =>
  (await server.objects.putStream(Readable.from([Buffer.from(content)]))).object;
const sha256 = (content: string): string => createHash('sha256').update(content).digest('hex');

async function ask(
  method: 'GET' | 'PUT' | 'POST',
  attemptId: string,
  what: string,
  { token, body, type }: { token?: string; body?: object | string; type?: string } = {},
): Promise<Answer & { text: string }> {
  const { statusCode, payload } = await server.app.inject({
    method,
    url: `/api/v1/runner/attempts/${attemptId}/${what}`,
    headers: {
      ...(token !== undefined && { authorization: `Bearer ${token}` }),
      ...(type !== undefined && { 'content-type': type }),
    },
    ...(body !== undefined && { payload: body }),
  });
  const isJson = payload.startsWith('{');
  return {
    status: statusCode,
    body: (isJson ? JSON.parse(payload) : null) as never,
    text: payload,
  };
}

/** Of a token that is not taken; the second when there were many. */
const REFUSED = [401, 429];
const OCTETS = 'application/octet-stream';
const ANY = sha256('any');
const QUIET = {
  state: 'running',
  usage: { memoryBytes: 0, peakMemoryBytes: 0, cpuTimeMs: 0 },
  logChunks: [] as object[],
  waitMs: 0,
};
/** All that the runner API has. */
const REQUESTS = [
  ['GET', 'task', {}],
  ['GET', `objects/${ANY}`, {}],
  ['PUT', `objects/${ANY}`, { body: 'any', type: OCTETS }],
  ['POST', 'uploads', { body: { objects: [] } }],
  ['POST', 'link', { body: QUIET }],
  ['POST', 'gang', { body: { nodeRank: 0, waitMs: 0 } }],
] as const;

test('the tests below know every route of the runner API', async () => {
  const { paths } = (await server.call('GET', '/openapi.json')).body as { paths: object };
  const routes = Object.entries(paths)
    .filter(([url]) => url.includes('/runner/'))
    .flatMap(([, methods]) => Object.keys(methods as object));
  expect(routes).toHaveLength(REQUESTS.length);
});

describe.each(REQUESTS)('%s %s', (method, what, options) => {
  test('is refused without the token of this very attempt', async () => {
    const [mine, other] = [await lease(), await lease()];
    const { attemptId } = mine;
    const wrong = [undefined, '', 'mjr_run_x', other.runnerToken, server.token, AGENT_TOKEN];
    for (const token of [...wrong, `${mine.runnerToken}x`, mine.runnerToken.slice(0, -1)]) {
      const { status } = await ask(method, attemptId, what, {
        ...options,
        ...(token !== undefined && { token }),
      });
      expect([token, REFUSED.includes(status)]).toEqual([token, true]);
    }
    // The same attempt by another spelling, and one that is none.
    for (const id of [attemptId.replace('.0.', '.00.'), `${attemptId}%20`, '..', 'job_0.0.0'])
      expect(
        (await ask(method, id, what, { ...options, token: mine.runnerToken })).status,
      ).not.toBe(200);
  });

  test('is over when the attempt has ended', async () => {
    const mine = await lease();
    await end(mine, 'succeeded');
    const answer = await ask(method, mine.attemptId, what, { ...options, token: mine.runnerToken });
    expect(answer).toMatchObject({ status: 410, body: { title: 'attempt_over' } });
  });

  test('is over when a later attempt of the task has begun, whose token is another', async () => {
    const first = await lease();
    await end(first, 'lost');
    const second = await until('the next attempt', async () => {
      const { leases } = await sync();
      return leases[0] as Held | undefined;
    });
    held.add(second.attemptId);
    expect(second.attemptId).toBe(first.attemptId.replace(/1$/, '2'));
    const by = (token: string, attemptId: string): Promise<Answer> =>
      ask(method, attemptId, what, { ...options, token });
    expect((await by(first.runnerToken, first.attemptId)).status).toBe(410);
    expect(REFUSED).toContain((await by(first.runnerToken, second.attemptId)).status);
    expect(REFUSED).toContain((await by(second.runnerToken, first.attemptId)).status);
    expect([...REFUSED, 410]).not.toContain(
      (await by(second.runnerToken, second.attemptId)).status,
    );
  });
});

test('a runner’s token opens nothing of the API of people and agents', async () => {
  const { runnerToken } = await lease();
  const { paths } = (await server.call('GET', '/openapi.json')).body as { paths: object };
  for (const [url, methods] of Object.entries(paths)) {
    if (url.includes('/runner/')) continue;
    for (const method of Object.keys(methods as object)) {
      const at = url.replace('/api/v1', '').replaceAll(/\{\w+\}/g, '1');
      const { status } = await server.call(
        method.toUpperCase() as 'GET',
        at,
        undefined,
        runnerToken,
      );
      expect([method, url, REFUSED.includes(status)]).toEqual([method, url, true]);
    }
  }
});

describe('what an attempt reads', () => {
  test('is its inputs, and no other object that is there', async () => {
    const [own, others] = [await store('mine'), await store('not mine')];
    const mine = await lease({ inputs: [{ path: 'a', object: own }] });
    await lease({ inputs: [{ path: 'a', object: others }] });
    const read = (object: string): ReturnType<typeof ask> =>
      ask('GET', mine.attemptId, `objects/${object}`, { token: mine.runnerToken });
    expect(await read(own)).toMatchObject({ status: 200, text: 'mine' });
    expect((await read(others)).status).toBe(404);
  });

  test('cannot be named by a path', async () => {
    const object = await store('mine');
    const { attemptId, runnerToken: token } = await lease({ inputs: [{ path: 'a', object }] });
    const names = [
      '../../task',
      '..%2f..%2ftoken',
      '%2e%2e%2f%2e%2e%2ftoken',
      `${object.slice(0, 2)}%2f${object.slice(2)}`,
      `${object}%00`,
      `${object}/`,
      object.toUpperCase(),
      `${object}0`,
      'a'.repeat(5000),
    ];
    for (const name of names) {
      const { status } = await ask('GET', attemptId, `objects/${name}`, { token });
      expect([name, status >= 400 && status < 500]).toEqual([name, true]);
    }
  });
});

describe('what an attempt writes', () => {
  test('is kept under the hash of what came, and takes no other object’s place', async () => {
    const object = await store('good');
    const { attemptId, runnerToken: token } = await lease();
    const put = await ask('PUT', attemptId, `objects/${object}`, {
      token,
      body: 'bad',
      type: OCTETS,
    });
    expect(put).toMatchObject({ status: 422, body: { title: 'wrong_hash' } });
    const { body } = await server.call('GET', `/objects/${object}`);
    expect(body).toBe('good');
  });

  test.each([
    ['uploads', { objects: Array.from({ length: 1001 }, () => ({ object: ANY, sizeBytes: 1 })) }],
    ['uploads', { objects: [{ object: ANY, sizeBytes: -1 }] }],
    ['uploads', { objects: [{ object: '../../etc/passwd', sizeBytes: 1 }] }],
    ['uploads', { objects: [], more: 1 }],
    ['link', { ...QUIET, waitMs: 60_001 }],
    ['link', { ...QUIET, usage: { ...QUIET.usage, cpuTimeMs: 1e300 } }],
    ['link', { ...QUIET, logChunks: [{ requestId: 'r', dataBase64: 'A'.repeat(1_500_004) }] }],
    [
      'link',
      {
        ...QUIET,
        logChunks: Array.from({ length: 101 }, () => ({ requestId: 'r', dataBase64: '' })),
      },
    ],
    ['gang', { nodeRank: 0, waitMs: 0, address: 'host:1\nevil' }],
    ['gang', { nodeRank: 1, waitMs: 0, address: '10.0.0.1:1' }],
  ])('is refused by its form: %s %#', async (what, body) => {
    const { attemptId, runnerToken: token } = await lease();
    expect((await ask('POST', attemptId, what, { token, body })).status).toBe(422);
  });

  test('is refused by its size before it is read to its end', async () => {
    const { attemptId, runnerToken: token } = await lease();
    const body = { objects: [], more: 'A'.repeat(33 * 1024 * 1024) };
    expect((await ask('POST', attemptId, 'uploads', { token, body })).status).toBe(413);
  });

  test('is no answer to a question for the log of another', async () => {
    const link = async (who: Held, logChunks: object[]): Promise<RunnerOrders> => {
      const url = `runner/attempts/${who.attemptId}/link`;
      return (await call(url, who.runnerToken, { ...QUIET, logChunks })).json() as never;
    };
    const chunk = (requestId: string, text: string): object[] => [
      { requestId, dataBase64: Buffer.from(text).toString('base64') },
    ];
    const [mine, other] = [await lease(), await lease()];
    await link(other, []);
    const taskId = other.attemptId.replace(/\.\d+$/, '');
    const reading = call(`tasks/${taskId}/logs`, server.token).then((answer) => answer.text());
    const question = (): Promise<string> =>
      until('the question', async () => (await link(other, [])).logRequests[0]?.requestId);
    const requestId = await question();
    await link(mine, chunk(requestId, 'forged'));
    await link(other, chunk(requestId, 'true'));
    await link(other, chunk(await question(), ''));
    expect(await reading).toBe('true');
  });
});

test('of a pod that runs it is told that its runner never came, or that it stores results', async () => {
  const spec = { argv: ['true'], cluster: AGENT, container: { image: 'science:1' } };
  expect((await server.call('POST', '/jobs', spec)).status).toBe(201);
  const asked = (await sync({ offer: { waitingDigest: '', shapes: [] } })).waiting!;
  const shapes = asked.shapes.map(({ key }) => ({ key, count: 1, reason: '' }));
  const { leases } = await sync({ offer: { waitingDigest: asked.digest, shapes } });
  const mine = leases[0] as Held;
  const { attemptId, runnerToken: token } = mine;
  held.add(attemptId);
  await sync({ events: [{ kind: 'running', attemptId, atMs: 1 }] });
  const why = async (): Promise<string> => {
    const { body } = await server.call('GET', `/tasks/${attemptId.replace(/\.\d+$/, '')}`);
    return (body as { explanation: { sentence: string } }).explanation.sentence;
  };
  const link = (state: string): Promise<Response> =>
    call(`runner/attempts/${attemptId}/link`, token, { ...QUIET, state });
  expect(await why()).toMatch(/^it is running on pods: its runner has not come .*--runner-url/);
  await link('staging');
  expect(await why()).toBe('it is running on pods');
  await link('storing');
  expect(await why()).toMatch(/its results are being stored$/);
  await end(mine, 'succeeded');
});

test('bad tokens are slowed down, and the attempt they name is not', async () => {
  const { attemptId, runnerToken: token } = await lease();
  const bad = await Promise.all(
    Array.from({ length: 60 }, () => ask('GET', attemptId, 'task', { token: 'mjr_run_bad' })),
  );
  expect(bad.map(({ status }) => status)).toContain(429);
  expect((await ask('GET', attemptId, 'task', { token })).status).toBe(200);
});
