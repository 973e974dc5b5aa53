import type { TestKubernetes } from '@majorana/test-servers';
import { addKwokNodes, startKubernetes } from '@majorana/test-servers';
import { until } from '@majorana/testing';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { nodesAnswerSchema } from '@majorana/protocol';
import { ApiServer } from './api-server.ts';
import { readKubeconfig } from './kubeconfig.ts';
import type { Pod } from './objects.ts';
import { podName } from './pod.ts';
import { Orders, TEST_PODS, testLease } from './test-orders.ts';

const PODS = { ...TEST_PODS, annotations: { 'majorana.test/run-ms': '3600000' } };
const CORES = { cpu: 4, memoryBytes: 2 ** 35 };
let kubernetes: TestKubernetes;
let api: ApiServer;
let orders: Orders;
beforeAll(async () => {
  kubernetes = await startKubernetes({ kwok: true });
  await kubernetes.createNamespace('majorana');
  api = new ApiServer(await readKubeconfig(kubernetes.adminKubeconfig));
  orders = await Orders.start(api, PODS);
});
afterAll(async () => {
  await orders?.[Symbol.asyncDispose]();
  api?.[Symbol.dispose]();
  await kubernetes?.[Symbol.asyncDispose]();
});
const names: string[] = [];
let jobs = 2;
afterEach(async () => {
  await orders.cancel(...orders.leases);
  for (const name of names.splice(0)) await kubernetes.admin.delete(`/api/v1/nodes/${name}`);
});
const podOf = (name: string): Promise<Pod> =>
  kubernetes.admin.get<Pod>(`/api/v1/namespaces/majorana/pods/${name}`);

test('huge pages are given to as many tasks as a node has of them, as whole pages', async () => {
  const pages = 'hugepages-2Mi';
  names.push(...(await addKwokNodes(kubernetes.admin, { ...CORES, count: 1 })));
  const huge = { prefix: 'huge', count: 1, extended: { [pages]: 2 ** 30 } };
  names.push(...(await addKwokNodes(kubernetes.admin, { ...CORES, ...huge })));
  const [first, second] = [0, 1].map((index) => {
    const one = testLease(`job_1.${index}.1`);
    return { ...one, resources: { ...one.resources, countable: { [pages]: 256 } } };
  });
  const [shape] = orders.waiting.shapes;
  orders.waiting = { digest: 'huge', shapes: [{ ...shape!, resources: first!.resources }] };
  await orders.run(first!);
  const { nodeName, containers } = (await podOf(podName('job_1.0.1'))).spec;
  expect(nodeName).toBe('huge-0');
  const asked = { [pages]: String(2 ** 29) };
  expect(containers[0]!.resources).toMatchObject({ requests: asked, limits: asked });
  await orders.run(second!);
  await until('the reason', () =>
    orders.offer?.shapes[0]?.reason?.includes('2 short of hugepages-2Mi'),
  );
  expect(orders.offer?.shapes[0]?.count).toBe(0);
});

test('nodes with names as long as may be, which their labels do not have, run tasks and gangs and are told', async () => {
  // A name of up to 253 may have dots; a label’s value ends at 63.
  const prefix = ['ip-10-0-0-1', 'x'.repeat(100), 'y'.repeat(100), 'z'.repeat(37)].join('.');
  const labels = { 'kubernetes.io/hostname': 'short' };
  const made = await addKwokNodes(kubernetes.admin, { ...CORES, count: 2, prefix, labels });
  names.push(...made);
  expect(made[0]).toHaveLength(253);
  const gang = { nodes: 2, ranksPerNode: 1 };
  const two = testLease('job_2.0.1', gang);
  await orders.run({ ...two, resources: { ...two.resources, cpuMillis: 3000 } });
  const pods = await Promise.all(['', '-1'].map((end) => podOf(podName('job_2.0.1') + end)));
  expect(new Set(pods.map(({ spec }) => spec.nodeName))).toEqual(new Set(made));
  const one = testLease('job_2.1.1');
  const container = { ...one.container!, nodeSelector: labels };
  await orders.run({ ...one, container });
  orders.nodesRequests = [{ requestId: 'r', after: '', limit: 10 }];
  const page = await until('the nodes', () => orders.nodesAnswer);
  expect(page.nodes.map(({ name }) => name)).toEqual(made);
  expect(nodesAnswerSchema.safeParse(page).error).toBeUndefined();
});

test.each([
  ['ToBeDeletedByClusterAutoscaler'],
  ['karpenter.sh/disrupted'],
  ['node.cloudprovider.kubernetes.io/uninitialized'],
  ['aws-node-termination-handler/spot-itn'],
])(
  'a node that is tainted with %s gets nothing new, also not what tolerates everything, and what runs there goes on',
  async (key) => {
    jobs += 1;
    names.push(...(await addKwokNodes(kubernetes.admin, { ...CORES, count: 1 })));
    const one = testLease(`job_${jobs}.0.1`);
    const container = {
      ...one.container!,
      tolerations: [{ key: '', operator: 'Exists' as const }],
    };
    const [shape] = orders.waiting.shapes;
    const { resources } = one;
    orders.waiting = { digest: key, shapes: [{ ...shape!, resources, container }] };
    const offered = (words: string, count: number): Promise<unknown> =>
      until(words, () => orders.offer?.shapes[0]?.count === count);
    await orders.run({ ...one, container });
    await offered('room for three more', 3);
    const taint = (taints: object[]): Promise<unknown> =>
      kubernetes.admin.request('PATCH', '/api/v1/nodes/kwok-0', { spec: { taints } });
    await taint([{ key, effect: 'NoSchedule' }]);
    await until('the reason', () => orders.offer?.shapes[0]?.reason === `1 node: 1 tainted ${key}`);
    expect(orders.offer?.shapes[0]?.count).toBe(0);
    await taint([]);
    await offered('room again', 3);
    expect(orders.ended.has(one.attemptId)).toBe(false);
  },
);

test('a node that its autoscaler would rather not keep gets what no other node has room for', async () => {
  jobs += 1;
  const key = 'DeletionCandidateOfClusterAutoscaler';
  const taints = [{ key, effect: 'PreferNoSchedule' as const }];
  const candidate = { ...CORES, count: 1, prefix: 'a-candidate', taints };
  names.push(...(await addKwokNodes(kubernetes.admin, candidate)));
  names.push(...(await addKwokNodes(kubernetes.admin, { ...CORES, count: 1 })));
  const { resources, container } = testLease('job_1.0.1');
  orders.waiting = { digest: key, shapes: [{ key, resources, container: container! }] };
  await until('both nodes to be ready', () => {
    const { count = 0, soonCount = 0 } = orders.offer?.shapes[0] ?? {};
    return orders.offer?.waitingDigest === key && count + soonCount === 8;
  });
  const leases = Array.from({ length: 5 }, (_, at) => testLease(`job_${jobs}.${at}.1`));
  const ran: (string | undefined)[] = [];
  for (const one of leases) {
    await orders.run(one);
    ran.push((await podOf(podName(one.attemptId))).spec.nodeName);
  }
  expect(ran).toEqual([...Array<string>(4).fill('kwok-0'), 'a-candidate-0']);
});
