import { Readable } from 'node:stream';
import { NO_RESOURCES } from '@majorana/core';
import type { AgentSync, ClusterReport, ClusterView, TaskDetail } from '@majorana/protocol';
import { until } from '@majorana/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { hashToken } from './auth.ts';
import { TestServer } from './test-server.ts';

let server: TestServer;
beforeAll(async () => {
  server = await TestServer.start();
});
afterAll(() => server[Symbol.asyncDispose]());

type Phase = NonNullable<AgentSync['session']>['phase'];

/** What the agent of a session says for a cluster. */
const say = (
  agentId: string,
  session: string,
  phase: Phase,
  edit: Partial<AgentSync> = {},
): ReturnType<TestServer['sync']> =>
  server.sync({
    agentId,
    session: { id: `session-${session}`, phase },
    offer: { waitingDigest: '', shapes: [] },
    ...edit,
  });

const report: ClusterReport = {
  kubernetesVersion: 'v1.34.4',
  nodes: { count: 2, ready: 2, cordoned: 0, cooling: 0 },
  allocatable: NO_RESOURCES,
  allocatedByOurs: NO_RESOURCES,
  allocatedByOthers: NO_RESOURCES,
  groups: [],
  podsByPhase: { Running: 3 },
  otherPodCount: 4,
  window: { limit: 32, starting: 1, waiting: 0, why: 'nothing has started yet' },
  api: { latencyMsP50: 5, latencyMsP95: 20, requestCount: 9, refusals: { 429: 1 } },
  faults: [],
};

const cluster = async (name: string): Promise<ClusterView> =>
  (await server.call('GET', `/clusters/${name}`)).body;

/** A task that the cluster's agent holds, running or not. */
async function hold(
  name: string,
  isRunning: boolean,
  heldBefore: readonly string[] = [],
): Promise<string> {
  const session = 'a';
  const heldAttemptIds = [...heldBefore];
  const spec = { argv: ['true'], container: { image: 'a:1' }, cluster: name };
  const { body } = await server.call('POST', '/jobs', spec);
  const attemptId = `${(body as { id: string }).id}.0.1`;
  const { waiting } = await say(name, session, 'act', { heldAttemptIds });
  const shapes = waiting!.shapes.map(({ key }) => ({ key, count: 1 }));
  const orders = await say(name, session, 'act', {
    offer: { waitingDigest: waiting!.digest, shapes },
    heldAttemptIds,
  });
  expect(orders.leases.map((lease) => lease.attemptId)).toEqual([attemptId]);
  if (isRunning)
    await say(name, session, 'act', {
      heldAttemptIds: [...heldBefore, attemptId],
      events: [{ kind: 'running', attemptId, atMs: Date.now() }],
    });
  return attemptId;
}

const ended = (attemptId: string): Partial<AgentSync> => ({
  events: [
    {
      kind: 'ended',
      attemptId,
      atMs: Date.now(),
      outcome: { kind: 'cancelled', reason: 'ended' },
      peakMemoryBytes: 0,
      cpuTimeMs: 0,
      artifacts: [],
    },
  ],
});

test('of two agents of one name the second stands by, and acts when the first says goodbye', async () => {
  expect((await say('two', 'a', 'claim')).isStandby).toBeUndefined();
  expect((await say('two', 'b', 'claim')).isStandby).toBe(true);
  expect((await say('two', 'a', 'act')).isStandby).toBeUndefined();
  await say('two', 'a', 'release');
  expect((await say('two', 'b', 'claim')).isStandby).toBeUndefined();
});

test('what a fenced agent says is not taken', async () => {
  await say('fenced', 'a', 'claim');
  await say('fenced', 'a', 'act');
  const attemptId = await hold('fenced', true);
  await say('fenced', 'a', 'release');
  await say('fenced', 'b', 'claim');
  const stale = await say('fenced', 'a', 'act', { ...ended(attemptId), report });
  expect(stale).toMatchObject({ isStandby: true, forgetAttemptIds: [], leases: [] });
  expect(await cluster('fenced')).toMatchObject({ heldCount: 1, report: null });
  await server.call('DELETE', '/clusters/fenced?force=true');
});

test('which agent acts is kept: another control plane lets no other act at once', async () => {
  await say('kept', 'a', 'claim');
  const { rows } = await server.store.pool.query(
    `select session_id from cluster where name = 'kept'`,
  );
  expect(rows).toEqual([{ session_id: 'session-a' }]);
});

test('a cluster is shown as its agent reported it, and its nodes as it answers', async () => {
  await say('shown', 'a', 'claim');
  await say('shown', 'a', 'act', { report });
  expect(await cluster('shown')).toMatchObject({ state: 'active', isConnected: true, report });
  const page = server.call('GET', '/clusters/shown/nodes?limit=2&after=n1');
  const [request] = await until('the question', async () => {
    const { nodesRequests } = await say('shown', 'a', 'act');
    return nodesRequests;
  });
  expect(request).toMatchObject({ after: 'n1', limit: 2 });
  const { requestId } = request!;
  await say('shown', 'a', 'act', { nodesAnswers: [{ requestId, nodes: [], next: 'n3' }] });
  expect(await page).toEqual({ status: 200, body: { nodes: [], next: 'n3' } });
  expect((await server.call('GET', '/clusters/none')).status).toBe(404);
});

test('a drain gives back what does not run at once, uncounted, and what runs after its grace', async () => {
  await say('drained', 'a', 'claim');
  const waiting = await hold('drained', false);
  const running = await hold('drained', true, [waiting]);
  await server.call('POST', '/clusters/drained/drain', { graceMs: 600_000 });
  expect((await say('drained', 'a', 'act')).endAttemptIds).toEqual([waiting]);
  await say('drained', 'a', 'act', ended(waiting));
  const { body } = await server.call('GET', `/tasks/${waiting.slice(0, -2)}`);
  expect(body).toMatchObject({
    task: { state: 'queued', retryCount: 0 },
    attempts: [{ outcome: 'preempted', reason: 'cluster drained is being drained' }],
  });
  expect(await cluster('drained')).toMatchObject({ state: 'draining', heldCount: 1 });
  await server.call('POST', '/clusters/drained/drain', { graceMs: 0 });
  expect((await say('drained', 'a', 'act')).endAttemptIds).toEqual([running]);
  await say('drained', 'a', 'act', ended(running));
  expect(await cluster('drained')).toMatchObject({ heldCount: 0 });
  const why = await server.call('GET', `/tasks/${running.slice(0, -2)}`);
  expect(JSON.stringify(why.body)).toContain('drained is draining');
});

test('a cluster that holds attempts is removed with force only, and they run elsewhere', async () => {
  await say('gone', 'a', 'claim');
  const attemptId = await hold('gone', true);
  const refused = await server.call('DELETE', '/clusters/gone');
  expect(refused).toMatchObject({ status: 409, body: { title: 'cluster_in_use' } });
  expect((await server.call('DELETE', '/clusters/gone?force=true')).status).toBe(204);
  const { body } = await server.call('GET', `/tasks/${attemptId.slice(0, -2)}`);
  expect(body).toMatchObject({ task: { state: 'queued', retryCount: 0 } });
  expect((await say('gone', 'a', 'claim')).isStandby).toBe(true);
  expect((await server.call('GET', '/clusters/gone')).status).toBe(404);
  await server.call('PUT', '/clusters/gone');
  expect((await say('gone', 'b', 'claim')).isStandby).toBeUndefined();
});

/** As if the agent had last been heard so long ago. */
function silence(name: string, ms: number): void {
  server.engine.state.agents.get(name)!.lastSeenMs -= ms;
}

test('a cluster’s lease time is kept, and bad ones are refused with the bounds', async () => {
  await say('timed', 'a', 'claim');
  expect(await cluster('timed')).toMatchObject({ leaseTtlMs: 5_400_000, leasesEndAtMs: null });
  const set = (leaseTtlMs: unknown, name = 'timed') =>
    server.call('PUT', `/clusters/${name}/settings`, { leaseTtlMs });
  expect(await set(600_000)).toMatchObject({ status: 200, body: { leaseTtlMs: 600_000 } });
  const text = `select lease_ttl_ms::integer as ttl from cluster where name = 'timed'`;
  expect((await server.store.pool.query(text)).rows).toEqual([{ ttl: 600_000 }]);
  for (const bad of [59_999, 604_800_001, 90.5, '90m']) {
    const { status, body } = await set(bad);
    expect(status).toBe(422);
    expect(JSON.stringify(body)).toContain('leaseTtlMs');
  }
  expect((await set(600_000, 'none')).status).toBe(404);
  await server.call('POST', '/clusters/timed/cordon');
  expect(await cluster('timed')).toMatchObject({ state: 'cordoned', leaseTtlMs: 600_000 });
});

test('a silent cluster is shown with the time until which its leases are kept', async () => {
  await say('silent', 'a', 'claim');
  const attemptId = await hold('silent', true);
  silence('silent', 720_000);
  const seen = await cluster('silent');
  expect(seen).toMatchObject({ isConnected: false, heldCount: 1 });
  expect(seen.leasesEndAtMs).toBe(seen.lastSeenMs! + 5_400_000);
  const { body } = await server.call('GET', `/tasks/${attemptId.slice(0, -2)}`);
  expect(body).toMatchObject({
    explanation: {
      sentence:
        'it is running on silent, which has been silent for 12 min; its lease is kept for 78 min more',
    },
  });
  const nodes = await server.call('GET', '/clusters/silent/nodes');
  expect(nodes).toMatchObject({ status: 503, body: { title: 'agent_silent' } });
  expect(JSON.stringify(nodes.body)).toContain('its leases are kept for 78 min more');
  const again = await say('silent', 'a', 'act', { heldAttemptIds: [attemptId] });
  expect(again).toMatchObject({ leases: [], endAttemptIds: [] });
  expect(await cluster('silent')).toMatchObject({ isConnected: true, leasesEndAtMs: null });
  await server.call('DELETE', '/clusters/silent?force=true');
});

test('a cluster that stays silent loses its tasks after its time, and ends them when it returns', async () => {
  await say('late', 'a', 'claim');
  await server.call('PUT', '/clusters/late/settings', { leaseTtlMs: 60_000 });
  const attemptId = await hold('late', true);
  silence('late', 60_001);
  const taskId = attemptId.slice(0, -2);
  await until('the task to be given up', async () => {
    const { body } = await server.call('GET', `/tasks/${taskId}`);
    return (body as TaskDetail).task.state === 'queued';
  });
  const { body } = await server.call('GET', `/tasks/${taskId}`);
  expect(body).toMatchObject({
    task: { retryCount: 0 },
    attempts: [{ outcome: 'lost', reason: expect.stringContaining('late has been silent for') }],
  });
  const orders = await say('late', 'a', 'act', { heldAttemptIds: [attemptId] });
  expect(orders.endAttemptIds).toEqual([attemptId]);
  await server.call('DELETE', '/clusters/late?force=true');
});

describe('who speaks for an agent', () => {
  const sync = (agentId: string, waitMs = 0): object => ({
    agentId,
    // 3,000 nodes of 32 cores.
    capacity: { ...NO_RESOURCES, cpuMillis: 96_000_000, gpuCount: 24_000 },
    heldAttemptIds: [],
    events: [],
    waitMs,
  });
  const syncBy = (token: string, agentId: string, waitMs = 0): ReturnType<TestServer['call']> =>
    server.call('POST', '/agents/sync', sync(agentId, waitMs), token);
  const tokenOf = async (user: string, role: string): Promise<string> => {
    const { status, body } = await server.call('POST', '/tokens', { user, role });
    expect(status).toBe(201);
    return (body as { token: string }).token;
  };
  const addToken = async (name: string): Promise<string> => {
    const { status, body } = await server.call('POST', `/clusters/${name}/tokens`, {});
    expect(status).toBe(201);
    return (body as { token: string }).token;
  };

  test.each([
    ['an administrator', 'admin'],
    ['an operator', 'operator'],
    ['a member', 'member'],
    ['a viewer', 'viewer'],
  ])('%s does not, and is told what to do', async (_who, role) => {
    const token = await tokenOf(`some-${role}`, role);
    expect(await syncBy(token, 'lab')).toMatchObject({
      status: 403,
      body: { title: 'agent_token_needed', detail: expect.stringContaining('clusters add NAME') },
    });
  });

  test('an agent does for itself and for no other, whoever made its token', async () => {
    await server.call('PUT', '/clusters/lab');
    for (const token of [await addToken('lab'), await tokenOf('lab', 'agent')]) {
      expect((await syncBy(token, 'lab')).status).toBe(200);
      expect(await syncBy(token, 'other')).toMatchObject({
        status: 403,
        body: { detail: expect.stringContaining('for the agent lab, and this one is other') },
      });
    }
  });

  test('an agent’s token opens no other route of the API', async () => {
    await server.call('PUT', '/clusters/narrow');
    const token = await addToken('narrow');
    const { paths } = (await server.call('GET', '/openapi.json')).body as {
      paths: Record<string, object>;
    };
    const routes = Object.entries(paths).flatMap(([url, methods]) =>
      Object.keys(methods).map((method) => `${method} ${url.replace('/api/v1', '')}`),
    );
    const own = new Set(['post /agents/sync', 'get /objects/{object}']);
    const others = routes.filter((route) => !own.has(route) && !route.includes(' /runner/'));
    expect(others.length).toBeGreaterThan(50);
    for (const route of others) {
      const [method, url] = route.split(' ') as [string, string];
      const at = url.replaceAll(/\{\w+\}/g, '1');
      const { status } = await server.call(method.toUpperCase() as 'GET', at, undefined, token);
      expect([route, status]).toEqual([route, 403]);
    }
  });

  test('an agent reads the list of results of a runner, and no other object', async () => {
    const token = await tokenOf('reader', 'agent');
    const read = async (content: string): Promise<[number, string]> => {
      const { object } = await server.objects.putStream(Readable.from([Buffer.from(content)]));
      const { status, body } = await server.call('GET', `/objects/${object}`, undefined, token);
      return [status, body];
    };
    const manifest = JSON.stringify({ artifacts: [] });
    expect(await read(manifest)).toEqual([200, manifest]);
    for (const content of ['a molecule', '{"artifacts": 3}', '[]', ''])
      expect((await read(content))[0]).toBe(403);
  });

  test('a token is rotated without a gap: the old one goes on until it is taken back', async () => {
    await server.call('PUT', '/clusters/turned');
    const [old, young] = [await addToken('turned'), await addToken('turned')];
    for (const token of [old, young]) expect((await syncBy(token, 'turned')).status).toBe(200);
    const revoked = await server.call('DELETE', '/clusters/turned/tokens');
    expect(revoked).toEqual({ status: 200, body: { revokedCount: 1 } });
    expect((await syncBy(old, 'turned')).status).toBe(401);
    expect((await syncBy(young, 'turned')).status).toBe(200);
    await server.call('DELETE', '/clusters/turned/tokens?all=true');
    expect((await syncBy(young, 'turned')).status).toBe(401);
  });

  test('an exchange that is held open when its token is taken back hears nothing of what follows', async () => {
    await server.call('PUT', '/clusters/thief');
    const held = syncBy(await addToken('thief'), 'thief', 30_000);
    await until('it to be held', () => server.engine.state.agents.has('thief'));
    await server.call('DELETE', '/clusters/thief/tokens?all=true');
    expect(await held).toMatchObject({ status: 200, body: { leases: [] } });
  });

  test('only an administrator makes an agent’s token; an operator may take it back', async () => {
    await server.call('PUT', '/clusters/kept-safe');
    const token = await tokenOf('some-operator', 'operator');
    const made = await server.call('POST', '/clusters/kept-safe/tokens', {}, token);
    expect(made.status).toBe(403);
    const revoked = await server.call('DELETE', '/clusters/kept-safe/tokens', undefined, token);
    expect(revoked.status).toBe(200);
  });

  test('a cluster that is not known, or was removed, has no token', async () => {
    expect((await server.call('POST', '/clusters/nowhere/tokens', {})).status).toBe(404);
    await server.call('PUT', '/clusters/left');
    const token = await addToken('left');
    await server.call('DELETE', '/clusters/left');
    expect((await syncBy(token, 'left')).status).toBe(401);
    expect(await syncBy(await tokenOf('left', 'agent'), 'left')).toMatchObject({
      status: 403,
      body: { title: 'cluster_removed' },
    });
  });

  test('a token is in the database by its hash alone', async () => {
    await server.call('PUT', '/clusters/hashed');
    const token = await addToken('hashed');
    const { rows } = await server.store.pool.query<{ text: string }>(
      'select api_token::text as text from api_token',
    );
    const text = rows.map((row) => row.text).join('\n');
    expect(text).toContain(hashToken(token));
    expect(text).not.toContain(token);
    expect(JSON.stringify((await server.call('GET', '/tokens')).body)).not.toContain(token);
  });
});
