import type { RunDetail, StepExplanation, StepWritten, WorkflowInput } from '@majorana/protocol';
import { until } from '@majorana/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { TestServer } from '../api/test-server.ts';

let server: TestServer;
beforeAll(async () => {
  server = await TestServer.start();
});
afterAll(() => server[Symbol.asyncDispose]());

const resources = {
  cpuMillis: 64_000,
  memoryBytes: 2 ** 40,
  scratchBytes: 2 ** 40,
  shmBytes: 2 ** 30,
  gpuCount: 0,
  countable: {},
};

/** A cluster's agent that has room for one task of whatever waits; how many tasks it ran. */
async function runOnCluster(id: string, onLease: (lease: object) => void): Promise<number> {
  let waitingDigest = '';
  let shapes: { key: string; count: number; reason: string }[] = [];
  let ended: never[] = [];
  let ranCount = 0;
  await until(`${id} to end`, async () => {
    const orders = await server.sync({
      agentId: 'cluster-a',
      capacity: resources,
      events: ended,
      offer: { waitingDigest, shapes },
    });
    if (orders.waiting !== undefined) {
      waitingDigest = orders.waiting.digest;
      shapes = orders.waiting.shapes.map(({ key }) => ({ key, count: 1, reason: '' }));
    }
    ended = orders.leases.map(({ attemptId }) => succeeded(attemptId));
    ranCount += orders.leases.length;
    orders.leases.forEach(onLease);
    return ended.length === 0 && (await detail(id)).endedAtMs !== null;
  });
  return ranCount;
}

const succeeded = (attemptId: string): never =>
  ({
    kind: 'ended',
    attemptId,
    outcome: { kind: 'succeeded', exitCode: 0, reason: '' },
    startedAtMs: 1,
    atMs: 2,
    peakMemoryBytes: 1,
    cpuTimeMs: 1,
    artifacts: [],
  }) as never;

const detail = async (id: string): Promise<RunDetail> =>
  (await server.call('GET', `/runs/${id}`)).body;

const solve = (edit: StepWritten = {}): WorkflowInput => ({
  name: 'mpi',
  priority: 3,
  inputs: { mesh: { default: 'fine' } },
  steps: {
    solve: {
      argv: ['mpirun', 'solve', '{mesh}'],
      container: { image: 'science/flow:2' },
      gang: { nodes: 4, ranksPerNode: 8 },
      checkpoint: { argv: ['save', '{mesh}', '{index}'] },
      queue: 'wide',
      labels: { lab: 'blue', run: 'mine' },
      ...edit,
    },
  },
});

async function submit(definition: WorkflowInput): Promise<string> {
  const { status, body } = await server.call('POST', '/runs', { definition });
  expect([status, body]).toMatchObject([201, { isNew: true }]);
  return (body as { id: string }).id;
}

test('a step of several nodes is such a job, and runs again only when its ranks are others', async () => {
  const id = await submit(solve());
  const leases: object[] = [];
  expect(await runOnCluster(id, (lease) => leases.push(lease))).toBe(1);
  expect(leases).toMatchObject([
    {
      gang: { nodes: 4, ranksPerNode: 8 },
      checkpoint: { argv: ['save', 'fine', '0'], timeMs: 30_000 },
    },
  ]);
  const { jobId } = (await detail(id)).rounds[0]!.steps[0]!;
  const { body: job } = await server.call('GET', `/jobs/${jobId}`);
  expect(job).toMatchObject({
    queue: 'wide',
    priority: 3,
    labels: { lab: 'blue', run: id, step: 'solve' },
  });
  const ranAgain = async (edit: StepWritten): Promise<number> =>
    runOnCluster(await submit(solve(edit)), () => undefined);
  expect(await ranAgain({ queue: 'other', priority: 9, labels: {} })).toBe(0);
  expect(await ranAgain({ checkpoint: { argv: ['other'] } })).toBe(0);
  expect(await ranAgain({ gang: { nodes: 8, ranksPerNode: 8 } })).toBe(1);
  const fewer = await submit(solve({ gang: { nodes: 4, ranksPerNode: 4 } }));
  expect(await runOnCluster(fewer, () => undefined)).toBe(1);
  const { body } = await server.call('GET', `/runs/${fewer}/explain`);
  const [step] = (body as { steps: StepExplanation[] }).steps;
  expect(step!.elements[0]!.differences).toEqual([
    { part: 'ranks per node', before: '8', now: '4' },
  ]);
});

test('several nodes without a container are refused where they stand', async () => {
  const definition = solve();
  const { container: _, ...step } = definition.steps['solve']!;
  const { status, body } = await server.call('POST', '/runs', {
    definition: { ...definition, steps: { solve: step } },
  });
  expect(status).toBe(422);
  expect(body).toMatchObject({
    title: 'invalid_input',
    issues: [
      { where: 'definition.steps.solve.checkpoint' },
      { where: 'definition.steps.solve.gang' },
    ],
  });
});
