import type { KubernetesObject, TestKubernetes } from '@majorana/test-servers';
import {
  addKwokNodes,
  FaultProxy,
  liftPodQuota,
  setPodQuota,
  startKubernetes,
} from '@majorana/test-servers';
import { until } from '@majorana/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ApiServer } from './api-server.ts';
import { readKubeconfig } from './kubeconfig.ts';
import type { Pod } from './objects.ts';
import { AGENT_LABEL, makePod, podName } from './pod.ts';
import { Orders, TEST_PODS, testLease } from './test-orders.ts';
import { endWord } from './test-objects.ts';

const PATH = '/api/v1/namespaces/majorana/pods';
let kubernetes: TestKubernetes;
let proxy: FaultProxy;
let api: ApiServer;
let node: string;
beforeAll(async () => {
  kubernetes = await startKubernetes({ kwok: true });
  [node = ''] = await addKwokNodes(kubernetes.admin, { count: 1, cpu: 8, memoryBytes: 2 ** 35 });
  await kubernetes.createNamespace('majorana');
  proxy = await FaultProxy.start(kubernetes, 1);
  const kubeconfig = await proxy.kubeconfigThrough(kubernetes, kubernetes.adminKubeconfig);
  api = new ApiServer(await readKubeconfig(kubeconfig));
});
afterAll(async () => {
  api?.[Symbol.dispose]();
  await proxy?.[Symbol.asyncDispose]();
  await kubernetes?.[Symbol.asyncDispose]();
});

const create = (pod: object): Promise<unknown> => kubernetes.admin.create(PATH, pod);
async function podNames(): Promise<string[]> {
  const { items } = await kubernetes.admin.get<{ items: KubernetesObject[] }>(PATH);
  return items.map(({ metadata }) => metadata.name);
}
const clear = async (): Promise<void> => {
  for (const name of await podNames()) await kubernetes.admin.delete(`${PATH}/${name}`, 0);
};

test('a pod that nobody holds is ended, however often that is refused; a copy of it is left alone', async () => {
  const copy = makePod(testLease('job_9.0.1'), node, TEST_PODS) as { metadata: { name: string } };
  await create({ ...copy, metadata: { ...copy.metadata, name: 'a-copy' } });
  await create({ ...copy, metadata: { name: 'a-label', labels: { [AGENT_LABEL]: 'us' } } });
  await using _ = await Orders.start(api);
  proxy.faults = { serverErrorShare: 1 };
  const refusedBefore = proxy.injected.serverError;
  await create(copy);
  await until('the deletion to be refused', () => proxy.injected.serverError > refusedBefore + 1);
  proxy.faults = {};
  await until('the pod to be gone', async () => !(await podNames()).includes(copy.metadata.name));
  expect(await podNames()).toEqual(['a-copy', 'a-label']);
  await clear();
});

test('a stranger’s pod of the same name ends the attempt, not the pod', async () => {
  const name = podName('job_1.0.1');
  const pod = makePod(testLease('job_1.0.1'), node, { ...TEST_PODS, agentId: 'a stranger' });
  await create(JSON.parse(JSON.stringify(pod).replaceAll('a stranger', 'stranger')) as object);
  await using orders = await Orders.start(api);
  orders.leases = [testLease('job_1.0.1')];
  const { outcome } = await orders.end('job_1.0.1');
  expect(outcome).toMatchObject({ kind: 'start_error', reason: expect.stringContaining(name) });
  expect(await podNames()).toEqual([name]);
  await clear();
});

test('a pod that somebody made in the name of a task that waits is not taken for its own', async () => {
  await using orders = await Orders.start(api);
  const one = testLease('job_6.0.1');
  const resources = { ...one.resources, cpuMillis: 64_000 };
  orders.leases = [{ ...one, resources, runnerToken: 'secret' }];
  await until('it to wait', () => orders.report?.window.waiting === 1);
  const container = { ...one.container!, image: 'play:run-0' };
  const forged = { ...one, container, runnerToken: 'guessed' };
  await create(makePod(forged, node, TEST_PODS));
  const path = `${PATH}/${podName('job_6.0.1')}`;
  await until('it to succeed', async () => {
    const { status } = await kubernetes.admin.get<Pod>(path);
    return status?.phase === 'Succeeded';
  });
  const large = { prefix: 'large', count: 1, cpu: 64, memoryBytes: 2 ** 35 };
  await addKwokNodes(kubernetes.admin, large);
  expect((await orders.end('job_6.0.1')).outcome).toMatchObject({
    kind: 'start_error',
    reason: expect.stringContaining('that is not ours'),
  });
  await kubernetes.admin.delete('/api/v1/nodes/large-0');
  await clear();
});

test('an attempt cancelled before the answer to its creation was heard leaves no pod', async () => {
  await using orders = await Orders.start(api);
  const isOurPost = (method: string): boolean => method === 'POST';
  const made = new Promise<void>((resolve) => {
    proxy.onStep = ({ method, at }) => {
      if (!isOurPost(method) || at !== 'done') return;
      // No answer, no event: the agent knows nothing of it.
      proxy.cut();
      orders.endAttemptIds = ['job_2.0.1'];
      resolve();
    };
  });
  orders.leases = [testLease('job_2.0.1')];
  await made;
  expect(await podNames()).toEqual([podName('job_2.0.1')]);
  proxy.onStep = () => undefined;
  proxy.mend();
  expect((await orders.end('job_2.0.1')).outcome.kind).toBe('cancelled');
  await until('the pod to be gone', async () => (await podNames()).length === 0);
});

test('a quota that is used up holds a task back, is told as the reason, and after a while its lease goes back', async () => {
  await setPodQuota(kubernetes, 'majorana', 1);
  await using orders = await Orders.start(api);
  orders.leases = [testLease('job_3.0.1'), testLease('job_3.1.1')];
  await until('the one that may', () => orders.running.size === 1);
  const [running] = [...orders.running];
  const late = running === 'job_3.0.1' ? 'job_3.1.1' : 'job_3.0.1';
  const reason = /its pods are refused: .*403.*exceeded quota: pods/;
  await until('the reason', () => reason.test(orders.offer?.shapes[0]?.reason ?? ''));
  const { outcome } = await orders.end(late);
  expect(outcome).toMatchObject({
    kind: 'lost',
    reason: expect.stringMatching(/could not start here: .*403.*exceeded quota: pods/),
  });
  expect(outcome).not.toHaveProperty('faultyNode');
  expect(orders.report?.window.why).toMatch(/pods are refused: .*exceeded quota: pods/);
  await setPodQuota(kubernetes, 'majorana', 10);
  orders.leases = [...orders.leases, testLease('job_3.1.2')];
  await until('it to run where it may', () => orders.running.has('job_3.1.2'));
  expect(orders.offer?.shapes[0]?.count).toBeGreaterThan(0);
  orders.endAttemptIds = [...orders.running];
  for (const attemptId of orders.endAttemptIds) await orders.end(attemptId);
  await liftPodQuota(kubernetes, 'majorana');
});

test('a gang of which a quota lets only some pods be goes back, and leaves none of them', async () => {
  await setPodQuota(kubernetes, 'majorana', 1);
  await using orders = await Orders.start(api);
  const gang = { nodes: 2, ranksPerNode: 1 };
  orders.leases = [{ ...testLease('job_5.0.1'), gang }];
  await until('one of its pods', async () => (await podNames()).length === 1);
  const { outcome } = await orders.end('job_5.0.1');
  expect(outcome).toMatchObject({
    kind: 'lost',
    reason: expect.stringContaining('exceeded quota: pods'),
  });
  await until('the pod to be gone', async () => (await podNames()).length === 0);
  await liftPodQuota(kubernetes, 'majorana');
});

test('a namespace that is gone holds a task back until it is there again', async () => {
  await using orders = await Orders.start(api, { ...TEST_PODS, namespace: 'elsewhere' });
  orders.leases = [testLease('job_4.0.1')];
  const reason = /its pods are refused: .*404.*"elsewhere" not found/;
  await until('the reason', () => reason.test(orders.offer?.shapes[0]?.reason ?? ''));
  await kubernetes.createNamespace('elsewhere');
  await until('it to run', () => orders.running.has('job_4.0.1'));
  orders.endAttemptIds = ['job_4.0.1'];
  await orders.end('job_4.0.1');
});

test('where a namespace is being deleted its tasks end as lost or wait, and go on once it is there again', async () => {
  const namespace = '/api/v1/namespaces/leaving';
  await kubernetes.createNamespace('leaving');
  const annotations = { 'majorana.test/run-ms': '3600000' };
  await using orders = await Orders.start(api, {
    ...TEST_PODS,
    annotations,
    namespace: 'leaving',
  });
  await orders.run(testLease('job_7.0.1'));
  await kubernetes.admin.delete(namespace);
  orders.leases = [...orders.leases, testLease('job_7.1.1')];
  const reason = /its pods are refused: .*403.*because it is being terminated/;
  await until('the reason', () => reason.test(orders.offer?.shapes[0]?.reason ?? ''));
  // What its controller does, which does not run here: the pods, then the namespace itself.
  await kubernetes.admin.delete(`${namespace}/pods/${podName('job_7.0.1')}`, 0);
  const object = await kubernetes.admin.get<object>(namespace);
  await kubernetes.admin.request('PUT', `${namespace}/finalize`, {
    ...object,
    spec: { finalizers: [] },
  });
  expect((await orders.end('job_7.0.1')).outcome.kind).toBe('lost');
  await kubernetes.createNamespace('leaving');
  await orders.run(testLease('job_7.1.2'));
  await orders.cancel(...orders.leases);
});

const word = (edit: object): string => endWord('job_3.0.1', {}, edit);
const artifact = { role: 'output', path: 'a\0b', object: 'a'.repeat(64), sizeBytes: 1 };
test.each([
  ['is no JSON', '{', 'exit_code', 'its program wrote over it'],
  ['is of another attempt', word({ attemptId: 'job_4.0.1' }), 'exit_code', 'wrote over it'],
  [
    'names a moment that is none',
    word({ exit: { endedAtMs: 1e300 } }),
    'exit_code',
    'wrote over it',
  ],
  [
    'names an output that no database keeps',
    word({ artifacts: [artifact] }),
    'exit_code',
    '1 outputs',
  ],
  ['is its runner’s', word({}), 'succeeded', 'exit code 0'],
])('a last word that %s ends its attempt at once', async (_what, message, kind, reason) => {
  await using orders = await Orders.start(api);
  orders.leases = [testLease('job_3.0.1')];
  const path = `${PATH}/${podName('job_3.0.1')}`;
  await until('the pod to run', async () => {
    const pod = await kubernetes.admin.get<Pod>(path).catch(() => undefined);
    return pod?.status?.phase === 'Running';
  });
  const terminated = { exitCode: 0, message };
  await kubernetes.admin.request('PATCH', `${path}/status`, {
    status: { phase: 'Failed', containerStatuses: [{ name: 'task', state: { terminated } }] },
  });
  const { outcome, artifacts } = await orders.end('job_3.0.1');
  expect(outcome).toMatchObject({ kind, reason: expect.stringContaining(reason) });
  expect(artifacts).toEqual([]);
  await until('the pod to be gone', async () => (await podNames()).length === 0);
});
