import type { Lease, RunnerEnd } from '@majorana/protocol';
import type { KubernetesObject, TestKubernetes } from '@majorana/test-servers';
import { addKwokNodes, startKubernetes } from '@majorana/test-servers';
import { until } from '@majorana/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ApiServer } from './api-server.ts';
import { memberId } from './gang-member.ts';
import { readKubeconfig } from './kubeconfig.ts';
import { makePod, podName } from './pod.ts';
import { Orders, TEST_PODS, testLease } from './test-orders.ts';

const PATH = '/api/v1/namespaces/majorana/pods';
const GANG = { nodes: 3, ranksPerNode: 2 };
const OOM = { exitCode: 137, reason: 'OOMKilled' };

interface Pod extends KubernetesObject {
  readonly status: {
    readonly phase?: string;
    readonly containerStatuses?: readonly { readonly name: string }[];
  };
}

let kubernetes: TestKubernetes;
let api: ApiServer;
let node: string;
beforeAll(async () => {
  kubernetes = await startKubernetes({ kwok: true });
  [node = ''] = await addKwokNodes(kubernetes.admin, { count: 1, cpu: 16, memoryBytes: 2 ** 36 });
  await kubernetes.createNamespace('majorana');
  api = new ApiServer(await readKubeconfig(kubernetes.adminKubeconfig));
});
afterAll(async () => {
  api?.[Symbol.dispose]();
  await kubernetes?.[Symbol.asyncDispose]();
});

const pathOf = (attemptId: string, nodeRank: number): string =>
  `${PATH}/${podName(memberId(attemptId, nodeRank))}`;
async function podNames(): Promise<string[]> {
  const { items } = await kubernetes.admin.get<{ items: KubernetesObject[] }>(PATH);
  return items.map(({ metadata }) => metadata.name);
}
const noPods = (): Promise<unknown> =>
  until('no pod to be left', async () => (await podNames()).length === 0);

/** As a kubelet tells of the end of a container. */
async function fail(attemptId: string, nodeRank: number, terminated: object): Promise<void> {
  const path = pathOf(attemptId, nodeRank);
  const pod = await kubernetes.admin.get<Pod>(path);
  const [status] = pod.status.containerStatuses!;
  const containerStatuses = [{ ...status!, state: { terminated } }];
  const body = { ...pod, status: { ...pod.status, phase: 'Failed', containerStatuses } };
  await kubernetes.admin.request('PUT', `${path}/status`, body);
}

/** The last word of the head's runner, whose mpirun failed. */
const mpirunFailed = (attemptId: string): object => {
  const word: RunnerEnd = {
    version: 1,
    kind: 'ended',
    attemptId,
    exit: {
      exitCode: 255,
      isOutOfMemory: false,
      peakMemoryBytes: 0,
      cpuTimeMs: 0,
      startedAtMs: Date.now(),
      endedAtMs: Date.now(),
      leftoverCount: 0,
    },
    artifacts: [],
  };
  return { exitCode: 0, reason: 'Completed', message: JSON.stringify(word) };
};

/** Something of a pod that means nothing has the whole gang looked at. */
async function touch(attemptId: string, nodeRank: number): Promise<void> {
  const path = pathOf(attemptId, nodeRank);
  const { metadata, ...pod } = await kubernetes.admin.get<Pod>(path);
  const annotations = { ...metadata.annotations, 'majorana.test/seen': 'once' };
  await kubernetes.admin.request('PUT', path, { ...pod, metadata: { ...metadata, annotations } });
}

async function runGang(orders: Orders, attemptId: string): Promise<void> {
  orders.leases = [testLease(attemptId, GANG)];
  await until('the gang to run', () => orders.running.has(attemptId));
  expect(await podNames()).toHaveLength(GANG.nodes);
}

test('what killed a worker is the reason of its head’s failure, though that is told first', async () => {
  await using orders = await Orders.start(api);
  const attemptId = 'job_1.0.1';
  await runGang(orders, attemptId);
  await fail(attemptId, 0, mpirunFailed(attemptId));
  await touch(attemptId, 1);
  await fail(attemptId, 2, OOM);
  const { outcome } = await orders.end(attemptId);
  expect(outcome).toMatchObject({ kind: 'out_of_memory' });
  expect(outcome.reason).toMatch(/^node 2 of its 3: out of memory/);
  await noPods();
});

test('a head that fails by itself ends the gang with its own exit code', async () => {
  await using orders = await Orders.start(api);
  const attemptId = 'job_2.0.1';
  await runGang(orders, attemptId);
  await fail(attemptId, 0, mpirunFailed(attemptId));
  await touch(attemptId, 1);
  expect((await orders.end(attemptId)).outcome).toMatchObject({ kind: 'exit_code', exitCode: 255 });
  await noPods();
});

test('an agent that starts anew reads a worker’s end that nobody heard', async () => {
  const attemptId = 'job_3.0.1';
  {
    await using orders = await Orders.start(api);
    await runGang(orders, attemptId);
  }
  await fail(attemptId, 1, OOM);
  await using orders = await Orders.start(api);
  const { outcome } = await orders.end(attemptId);
  expect(outcome.kind).toBe('out_of_memory');
  expect(outcome.reason).toMatch(/^node 1 of its 3: out of memory/);
  await noPods();
});

test.each([
  { made: [1, 2], missing: 0 },
  { made: [0, 1], missing: 2 },
])(
  'of a gang that was made in part, $made, an agent that starts anew leaves nothing',
  async ({ made, missing }) => {
    const attemptId = `job_4.${missing}.1`;
    for (const nodeRank of made) {
      const lease: Lease = {
        ...testLease(attemptId, GANG),
        attemptId: memberId(attemptId, nodeRank),
      };
      await kubernetes.admin.create(PATH, makePod(lease, node, TEST_PODS));
    }
    await using orders = await Orders.start(api);
    expect((await orders.end(attemptId)).outcome).toMatchObject({
      kind: 'lost',
      reason: `node ${missing} of its 3: its pod was not made, or deleted`,
    });
    await noPods();
  },
);
