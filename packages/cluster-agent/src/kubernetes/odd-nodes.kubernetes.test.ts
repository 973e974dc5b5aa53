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
const MEMORY = { cpu: 4, memoryBytes: 2 ** 35 };
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
afterEach(async () => {
  await orders.cancel(...orders.leases);
  for (const name of names.splice(0)) await kubernetes.admin.delete(`/api/v1/nodes/${name}`);
});
const podOf = (name: string): Promise<Pod> =>
  kubernetes.admin.get<Pod>(`/api/v1/namespaces/majorana/pods/${name}`);

test('huge pages are given to as many tasks as a node has of them, as whole pages', async () => {
  const pages = 'hugepages-2Mi';
  names.push(...(await addKwokNodes(kubernetes.admin, { ...MEMORY, count: 1 })));
  const huge = { prefix: 'huge', count: 1, extended: { [pages]: 2 ** 30 } };
  names.push(...(await addKwokNodes(kubernetes.admin, { ...MEMORY, ...huge })));
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
  const made = await addKwokNodes(kubernetes.admin, { ...MEMORY, count: 2, prefix, labels });
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
