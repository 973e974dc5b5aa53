import { NO_RESOURCES } from '@majorana/core';
import type { AgentSync, ClusterReport, ClusterView, TaskDetail } from '@majorana/protocol';
import { until } from '@majorana/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
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

test('an agent’s token exchanges as its agent, and does nothing else', async () => {
  await server.call('PUT', '/clusters/lab');
  const made = await server.call('POST', '/tokens', { user: 'lab', role: 'agent' });
  const { token } = made.body as { token: string };
  const sync = (agentId: string): object => ({
    agentId,
    // 3,000 nodes of 32 cores.
    capacity: { ...NO_RESOURCES, cpuMillis: 96_000_000, gpuCount: 24_000 },
    heldAttemptIds: [],
    events: [],
    waitMs: 0,
  });
  const call = async (...args: [string, string, object?]): Promise<number> =>
    (await server.call(args[0] as 'GET', args[1], args[2], token)).status;
  expect(await call('POST', '/agents/sync', sync('lab'))).toBe(200);
  expect(await call('POST', '/agents/sync', sync('other'))).toBe(403);
  expect(await call('GET', '/jobs')).toBe(403);
  expect(await call('GET', '/clusters')).toBe(403);
  expect(await call('POST', '/jobs', { argv: ['true'] })).toBe(403);
  expect(await call('DELETE', '/clusters/lab')).toBe(403);
  await server.call('DELETE', '/clusters/lab');
  expect(await call('POST', '/agents/sync', sync('lab'))).toBe(401);
});
