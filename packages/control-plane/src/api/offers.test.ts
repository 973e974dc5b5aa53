import { Readable } from 'node:stream';
import { DEFAULT_RESOURCES } from '@majorana/core';
import type { AgentSync, TaskDetail } from '@majorana/protocol';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { until } from '@majorana/testing';
import { TestServer } from './test-server.ts';

let server: TestServer;
beforeAll(async () => {
  server = await TestServer.start();
});
afterAll(() => server[Symbol.asyncDispose]());

const container = { image: 'science/xtb:6.7.1' };
async function submit(spec: object): Promise<string> {
  const { body } = await server.call('POST', '/jobs', { argv: ['true'], ...spec });
  return (body as { id: string }).id;
}
const tasks = (count: number): object => ({
  kind: 'range',
  ranges: [{ from: 0, to: count - 1, step: 1 }],
});
const capacity = { ...DEFAULT_RESOURCES, cpuMillis: 64_000, memoryBytes: 2 ** 40 };
const NOTHING = { waitingDigest: '', shapes: [] };

/** What a cluster's agent says; it holds what it was given. */
class Cluster {
  readonly #agentId: string;
  readonly held: string[] = [];
  #waitingDigest = '';

  constructor(agentId: string) {
    this.#agentId = agentId;
  }

  async sync(
    counts: Readonly<Record<string, number>>,
    edit: Partial<AgentSync> = {},
  ): ReturnType<TestServer['sync']> {
    const shapes = Object.entries(counts).map(([key, count]) => ({ key, count, reason: 'full' }));
    const orders = await server.sync({
      agentId: this.#agentId,
      capacity,
      heldAttemptIds: this.held,
      offer: { waitingDigest: this.#waitingDigest, shapes },
      ...edit,
    });
    this.held.push(...orders.leases.map(({ attemptId }) => attemptId));
    this.#waitingDigest = orders.waiting?.digest ?? this.#waitingDigest;
    return orders;
  }
}

async function end(cluster: Cluster, jobId: string): Promise<void> {
  await server.call('POST', `/jobs/${jobId}/cancel`);
  await cluster.sync(
    {},
    {
      events: cluster.held.map((attemptId) => ({
        kind: 'ended',
        attemptId,
        atMs: Date.now(),
        outcome: { kind: 'cancelled', reason: 'cancelled by a user' },
        peakMemoryBytes: 0,
        cpuTimeMs: 0,
        artifacts: [],
      })),
    },
  );
  cluster.held.length = 0;
}

test('whatever it offers of each shape, a cluster is given no more than may start there', async () => {
  const cluster = new Cluster('cluster-a');
  await cluster.sync({});
  const own = { container, cluster: 'cluster-a', array: tasks(5) };
  const ids = [await submit(own), await submit({ ...own, resources: { cpuMillis: 2000 } })];
  const { digest: waitingDigest, shapes } = (await cluster.sync({})).waiting!;
  expect(shapes).toHaveLength(2);
  const offered = shapes.map(({ key }) => ({ key, count: 4, soonCount: 8 }));
  await cluster.sync({}, { offer: { waitingDigest, room: 5, shapes: offered } });
  expect(cluster.held).toHaveLength(5);
  await cluster.sync({}, { offer: { waitingDigest, room: 0, shapes: offered } });
  expect(cluster.held).toHaveLength(5);
  for (const id of ids) await end(cluster, id);
});

test('a cluster is asked for what waits, and given no more than it offered', async () => {
  const cluster = new Cluster('cluster-a');
  await cluster.sync({});
  const id = await submit({ container, array: tasks(10) });
  const asked = await cluster.sync({});
  expect(asked.leases).toEqual([]);
  expect(asked.waiting?.shapes).toMatchObject([{ container: { image: container.image } }]);
  const { key } = asked.waiting!.shapes[0]!;
  const orders = await cluster.sync({ [key]: 3 });
  expect(orders.leases).toHaveLength(3);
  expect(orders.leases[0]).toMatchObject({ container });
  expect(orders.waiting).toBeUndefined();
  await end(cluster, id);
});

test('an offer made before its leases were heard of is not used twice', async () => {
  const cluster = new Cluster('cluster-a');
  await cluster.sync({});
  const id = await submit({ container, array: tasks(10) });
  const { key } = (await cluster.sync({})).waiting!.shapes[0]!;
  const first = await cluster.sync({ [key]: 3 });
  // The answer was lost: the agent holds nothing of it.
  const again = await cluster.sync({ [key]: 3 }, { heldAttemptIds: [] });
  const ids = first.leases.map(({ attemptId }) => attemptId);
  expect(again.leases.map(({ attemptId }) => attemptId)).toEqual(ids);
  const more = await cluster.sync({ [key]: 2 });
  expect(more.leases).toHaveLength(2);
  await end(cluster, id);
});

test('programs of the machine and containers go to different agents', async () => {
  const cluster = new Cluster('cluster-a');
  await cluster.sync({});
  const inContainer = await submit({ container });
  const onMachine = await submit({});
  const local = await server.sync({});
  expect(local.leases.map(({ attemptId }) => attemptId)).toEqual([`${onMachine}.0.1`]);
  const { key } = (await cluster.sync({})).waiting!.shapes[0]!;
  const orders = await cluster.sync({ [key]: 5 });
  expect(orders.leases.map(({ attemptId }) => attemptId)).toEqual([`${inContainer}.0.1`]);
  await end(cluster, inContainer);
});

test('the cheaper cluster is filled first, and a named one is waited for', async () => {
  const dear = new Cluster('dear');
  const cheap = new Cluster('cheap');
  await dear.sync({}, { corePricePerHour: 0.05 });
  await cheap.sync({}, { corePricePerHour: 0.01 });
  const id = await submit({ container, array: tasks(4) });
  const { key } = (await dear.sync({})).waiting!.shapes[0]!;
  await dear.sync({}, { corePricePerHour: 0.05, offer: NOTHING });
  await cheap.sync({ [key]: 3 }, { corePricePerHour: 0.01 });
  expect(cheap.held).toHaveLength(3);
  await dear.sync({ [key]: 9 }, { corePricePerHour: 0.05 });
  expect(dear.held).toHaveLength(1);
  const named = await submit({ container, cluster: 'cheap', array: tasks(2) });
  await dear.sync({ [key]: 9 }, { corePricePerHour: 0.05 });
  expect(dear.held).toHaveLength(1);
  await end(cheap, id);
  await end(dear, id);
  await server.call('POST', `/jobs/${named}/cancel`);
});

test('why a task waits for room in a cluster is told in the words of its agent', async () => {
  const cluster = new Cluster('cluster-a');
  await cluster.sync({});
  const id = await submit({ container });
  const { key } = (await cluster.sync({})).waiting!.shapes[0]!;
  await cluster.sync({ [key]: 0 });
  const why = await server.call('GET', `/tasks/${id}.0`);
  expect(JSON.stringify(why.body)).toContain('cluster-a has no room: full');
  await end(cluster, id);
});

test('what finds room behind 300 different tasks that are too large is asked for next, and why is told of those', async () => {
  const cluster = new Cluster('cluster-a');
  await cluster.sync({});
  const sized = (cpuMillis: number) => submit({ container, resources: { cpuMillis } });
  const large: string[] = [];
  onTestFinished(async () => {
    for (const id of large) await server.call('POST', `/jobs/${id}/cancel`);
  });
  for (let at = 0; at < 300; at += 1) large.push(await sized(50_000 + at));
  const small = await sized(1500);
  const { waiting } = await cluster.sync({});
  const digest = waiting!.digest;
  const shapes = waiting!.shapes.map(({ key }) => ({
    key,
    count: 0,
    isFull: true as const,
    reason: 'full',
  }));
  const next = await cluster.sync({}, { offer: { waitingDigest: digest, shapes } });
  const askedMillis = next.waiting!.shapes.map(({ resources }) => resources.cpuMillis);
  expect(askedMillis).toHaveLength(129);
  const { key } = next.waiting!.shapes.at(-1)!;
  const { body } = await server.call('GET', `/tasks/${large.at(-1)}.0`);
  expect(JSON.stringify(body)).toContain(
    'cluster-a has no room for one that needs less, 50 cores, 2.0 GiB memory: full',
  );
  const { leases } = await cluster.sync({ [key]: 1 });
  expect(leases.map(({ attemptId }) => attemptId)).toEqual([`${small}.0.1`]);
  await end(cluster, small);
});

test('a cluster of thousands of nodes is an agent as any other', async () => {
  const large = { ...capacity, cpuMillis: 96_000_000, gpuCount: 40_000 };
  const { leases } = await new Cluster('large').sync({}, { capacity: large });
  expect(leases).toEqual([]);
});

test('a task that nodes break under, one after the other, is given up after the third', async () => {
  const cluster = new Cluster('cluster-a');
  await cluster.sync({});
  const id = await submit({ container });
  const { key } = (await cluster.sync({})).waiting!.shapes[0]!;
  for (const faultyNode of ['node-1', 'node-2', 'node-3']) {
    const { leases } = await cluster.sync({ [key]: 1 });
    const { attemptId } = leases[0]!;
    const outcome = { kind: 'lost', reason: `node ${faultyNode} is gone`, faultyNode } as const;
    const end = { atMs: Date.now(), outcome, peakMemoryBytes: 0, cpuTimeMs: 0, artifacts: [] };
    await cluster.sync({}, { events: [{ kind: 'ended', attemptId, ...end }] });
    cluster.held.length = 0;
  }
  const { body } = await server.call('GET', `/tasks/${id}.0`);
  expect(body).toMatchObject({
    task: { state: 'failed', retryCount: 0 },
    explanation: {
      sentence:
        'given up, since 3 attempts in a row broke on their nodes (node-1, node-2, node-3): node node-3 is gone',
    },
  });
});

test('why a start takes its time is told in the words of its cluster', async () => {
  const cluster = new Cluster('cluster-a');
  const needsRunnerTokens = true;
  await cluster.sync({}, { needsRunnerTokens });
  const id = await submit({ container });
  const { key } = (await cluster.sync({}, { needsRunnerTokens })).waiting!.shapes[0]!;
  await cluster.sync({ [key]: 1 }, { needsRunnerTokens });
  const attemptId = cluster.held[0]!;
  const starting = { kind: 'starting', attemptId, atMs: Date.now() } as const;
  await cluster.sync({}, { needsRunnerTokens, events: [starting] });
  const why = server.call('GET', `/tasks/${id}.0`);
  const { logRequests } = await cluster.sync({}, { needsRunnerTokens, waitMs: 60_000 });
  expect(logRequests).toMatchObject([{ attemptId, stream: 'start' }]);
  const { requestId } = logRequests[0]!;
  const dataBase64 = Buffer.from('Pulling: Pulling image "x"').toString('base64');
  await cluster.sync({}, { needsRunnerTokens, logChunks: [{ requestId, dataBase64 }] });
  expect((await why).body).toMatchObject({
    explanation: { sentence: 'it is starting on cluster-a: Pulling: Pulling image "x"' },
  });
  await end(cluster, id);
});

test('a checkpoint without a container is refused', async () => {
  const checkpoint = { argv: ['save'] };
  const { status, body } = await server.call('POST', '/jobs', { argv: ['true'], checkpoint });
  expect(status).toBe(422);
  expect(body).toMatchObject({ title: 'invalid_input', issues: [{ where: 'checkpoint' }] });
});

test('a dear cluster that answers first waits for the answer of a cheap one', async () => {
  const [cheap, dear] = [new Cluster('cluster-cheap'), new Cluster('cluster-dear')];
  const cheapSync = (counts = {}) => cheap.sync(counts, { corePricePerHour: 1 });
  const dearSync = (counts = {}) => dear.sync(counts, { corePricePerHour: 2 });
  await cheapSync();
  await dearSync();
  const id = await submit({ container: { image: 'priced:1' }, array: tasks(10) });
  const { waiting } = await dearSync();
  const { key } = waiting!.shapes.at(-1)!;
  await cheapSync();
  expect((await dearSync({ [key]: 10 })).leases).toEqual([]);
  expect((await cheapSync({ [key]: 7 })).leases).toHaveLength(7);
  expect((await dearSync({ [key]: 10 })).leases).toHaveLength(3);
  await end(cheap, id);
  await end(dear, id);
});

test('a job of much data goes beside it, one of none to the cheaper cores, and why has the figures, for a gang of all its nodes', async () => {
  const [far, near] = [new Cluster('cluster-far'), new Cluster('cluster-near')];
  const farSync = (counts = {}) => far.sync(counts, { corePricePerHour: 0.001 });
  const nearSync = (counts = {}) => near.sync(counts, { corePricePerHour: 0.002 });
  await server.call('PUT', '/clusters/cluster-far');
  const price = { dataPricePerGb: 1000 };
  const { body } = await server.call('PUT', '/clusters/cluster-far/settings', price);
  expect(body).toMatchObject({ ...price, leaseTtlMs: 5_400_000 });
  const content = 'x'.repeat(1_000_000);
  const { object } = await server.objects.putStream(Readable.from([content]));
  const [few, much] = [{ image: 'data:few' }, { image: 'data:much' }];
  const without = await submit({ container: few, array: tasks(2) });
  const withData = await submit({
    container: much,
    array: { kind: 'records', records: [{ file: object }, { file: object }] },
    inputs: [
      { path: 'fixed', object },
      { path: 'own', object: '{file}' },
    ],
  });
  expect((await server.call('GET', `/jobs/${withData}`)).body).toMatchObject({
    spec: { inputBytes: 2_000_000 },
  });
  await farSync();
  const { waiting } = await nearSync();
  const keys = [few, much].map(
    ({ image }) => waiting!.shapes.find(({ container: c }) => c.image === image)!.key,
  );
  const counts = Object.fromEntries(keys.map((key) => [key, 5]));
  await farSync();
  await farSync(counts);
  await until('both to have their tasks', async () => {
    await nearSync(counts);
    await farSync(counts);
    return near.held.length + far.held.length === 4;
  });
  expect(far.held).toEqual([`${without}.0.1`, `${without}.1.1`]);
  expect(near.held).toEqual([`${withData}.0.1`, `${withData}.1.1`]);
  const why = (await server.call('GET', `/tasks/${withData}.0`)).body as TaskDetail;
  const costs = why.explanation.costs!.filter(({ agentId }) => agentId.startsWith('cluster-'));
  expect(costs.filter(({ agentId }) => /far|near/.test(agentId))).toEqual([
    { agentId: 'cluster-near', cost: 0.004, dataCost: 0, dataBytes: 2_000_000 },
    { agentId: 'cluster-far', cost: 2.002, dataCost: 2, dataBytes: 2_000_000 },
  ]);
  const gang = await submit({
    container: much,
    gang: { nodes: 2, ranksPerNode: 1 },
    array: tasks(1),
    inputs: [{ path: 'fixed', object }],
  });
  const onEach = (await server.call('GET', `/tasks/${gang}.0`)).body as TaskDetail;
  expect(onEach.explanation.costs).toContainEqual(
    expect.objectContaining({ agentId: 'cluster-far', dataBytes: 2_000_000 }),
  );
  await server.call('POST', `/jobs/${gang}/cancel`);
  await end(far, without);
  await end(near, withData);
});

test('what a cordoned cluster offers is waited for by nobody', async () => {
  const [cheap, dear] = [new Cluster('cluster-closed'), new Cluster('cluster-open')];
  await server.call('PUT', '/clusters/cluster-closed');
  await server.call('POST', '/clusters/cluster-closed/cordon');
  await cheap.sync({}, { corePricePerHour: 0 });
  await dear.sync({}, { corePricePerHour: 0.0001 });
  const id = await submit({ container: { image: 'closed:1' }, array: tasks(2) });
  const { key } = (await dear.sync({}, { corePricePerHour: 0.0001 })).waiting!.shapes.at(-1)!;
  await dear.sync({ [key]: 2 }, { corePricePerHour: 0.0001 });
  expect(dear.held).toHaveLength(2);
  await end(dear, id);
});

test('a cheap cluster that does not answer keeps a dear one waiting no longer than a second', async () => {
  const [cheap, dear] = [new Cluster('cluster-silent'), new Cluster('cluster-there')];
  await cheap.sync({}, { corePricePerHour: 1 });
  await dear.sync({}, { corePricePerHour: 2 });
  const id = await submit({ container: { image: 'priced:2' }, array: tasks(3) });
  const { waiting } = await dear.sync({}, { corePricePerHour: 2 });
  const { key } = waiting!.shapes.at(-1)!;
  await until('the dear one to be given the tasks', async () => {
    await dear.sync({ [key]: 3 }, { corePricePerHour: 2 });
    return dear.held.length === 3;
  });
  await end(dear, id);
});

test('a dear cluster is not given what a cheaper one starts soon, and why says so', async () => {
  const [cheap, dear] = [new Cluster('cluster-growing'), new Cluster('cluster-other')];
  await cheap.sync({}, { corePricePerHour: 0 });
  await dear.sync({}, { corePricePerHour: 2 });
  const id = await submit({ container: { image: 'priced:3' }, array: tasks(10) });
  const { waiting } = await dear.sync({}, { corePricePerHour: 2 });
  const { key } = waiting!.shapes.at(-1)!;
  const shape = { key, count: 3, soonCount: 5, reason: '32 pods are starting' };
  await cheap.sync({}, { corePricePerHour: 0 });
  const offer = { waitingDigest: waiting!.digest, shapes: [shape] };
  await cheap.sync({}, { corePricePerHour: 0, offer });
  expect(cheap.held).toHaveLength(3);
  // Clusters of other tests are cheaper than this one too, and do not answer.
  await until('the dear one to be given tasks', async () => {
    await dear.sync({ [key]: 10 }, { corePricePerHour: 2 });
    return dear.held.length > 0;
  });
  expect(dear.held).toHaveLength(2);
  const { body } = await server.call('GET', `/tasks/${id}.9`);
  expect(body).toMatchObject({
    explanation: {
      sentence: expect.stringMatching(
        /^cluster-growing is cheaper and has nodes for 5 more like it, .*\(32 pods are starting\)/,
      ),
    },
  });
  await end(cheap, id);
  await end(dear, id);
});

test('why a task waits tells when it starts, once another has ended to judge by, and not of what could run nowhere', async () => {
  const cluster = new Cluster('cluster-a');
  // The cheapest of all: it waits for no other's answer.
  const corePricePerHour = 0;
  await cluster.sync({}, { corePricePerHour });
  const id = await submit({ container, array: tasks(8) });
  const { key } = (await cluster.sync({}, { corePricePerHour })).waiting!.shapes[0]!;
  await cluster.sync({ [key]: 2 }, { corePricePerHour });
  const why = async () => (await server.call('GET', `/tasks/${id}.7`)).body;
  expect(await why()).not.toHaveProperty('explanation.estimatedStartMs');
  const attemptId = cluster.held.shift()!;
  const atMs = Date.now();
  const outcome = { kind: 'succeeded', exitCode: 0, reason: 'exit code 0' } as const;
  const end = { outcome, peakMemoryBytes: 0, cpuTimeMs: 0, artifacts: [] };
  await cluster.sync(
    {},
    {
      corePricePerHour,
      heldAttemptIds: [...cluster.held],
      events: [{ kind: 'ended', attemptId, atMs, startedAtMs: atMs, ...end }],
    },
  );
  expect(await why()).toMatchObject({
    explanation: {
      tasksAhead: 5,
      estimatedStartMs: expect.any(Number),
      sentence: expect.stringMatching(/; it starts in about .*: 5 tasks go first, .* start$/),
    },
  });
  const pinned = await submit({ container, cluster: 'cluster-small' });
  const whyPinned = async () => (await server.call('GET', `/tasks/${pinned}.0`)).body;
  expect(await whyPinned()).not.toHaveProperty('explanation.estimatedStartMs');
  const small = new Cluster('cluster-small');
  const offer = { waitingDigest: '', shapes: [{ key, count: 0, reason: '2 short of cores' }] };
  await small.sync({}, { offer });
  expect(await whyPinned()).toHaveProperty('explanation.estimatedStartMs');
  await small.sync({}, { offer: { ...offer, shapes: [{ ...offer.shapes[0]!, isUnfit: true }] } });
  const { explanation } = (await whyPinned()) as TaskDetail;
  expect(explanation).not.toHaveProperty('estimatedStartMs');
  const words = 'cluster-small would have no room even if nothing ran there: 2 short of cores';
  expect(explanation?.sentence).toContain(words);
  await server.call('POST', `/jobs/${pinned}/cancel`);
  // What is more than a cluster has when it is empty starts never, and is told no time.
  const explained = async (spec: object): Promise<object> => {
    const other = await submit({ container, cluster: 'cluster-a', ...spec });
    const { body } = await server.call('GET', `/tasks/${other}.0`);
    await server.call('POST', `/jobs/${other}/cancel`);
    return body as object;
  };
  const isTold = 'explanation.estimatedStartMs';
  expect(await explained({ gang: { nodes: 2 } })).toHaveProperty(isTold);
  expect(await explained({ gang: { nodes: 65 } })).not.toHaveProperty(isTold);
  const licence = { countable: { licence: 1 } };
  expect(await explained({ resources: licence })).not.toHaveProperty(isTold);
  await server.call('POST', `/jobs/${id}/cancel`);
});
