import type { KubernetesObject, TestKubernetes } from '@majorana/test-servers';
import { addKwokNodes, startKubernetes } from '@majorana/test-servers';
import { until } from '@majorana/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ClusterAgent } from './cluster.ts';
import { Product } from './product.ts';

const GIB = 1024 ** 3;
const NAMESPACE = 'majorana';
const PODS = `/api/v1/namespaces/${NAMESPACE}/pods`;
const NODES = { cpu: 4, memoryBytes: 16 * GIB };

interface Pod extends KubernetesObject {
  readonly spec: { readonly nodeName: string };
  readonly status: {
    readonly phase?: string;
    readonly containerStatuses?: readonly { readonly name: string }[];
  };
}

let kubernetes: TestKubernetes;
let product: Product;
let agent: ClusterAgent;

beforeAll(async () => {
  kubernetes = await startKubernetes({ kwok: true });
  await addKwokNodes(kubernetes.admin, { count: 3, ...NODES });
  await kubernetes.createNamespace(NAMESPACE);
  product = new Product();
  await product.ok('up', '--detach');
  const { url } = await product.json<{ url: string }>('status');
  const runMs = 'majorana.test/run-ms=3000';
  const kubeconfig = ['--kubeconfig', kubernetes.adminKubeconfig];
  agent = new ClusterAgent(product, url, ['--name', 'kwok', ...kubeconfig, '--annotation', runMs]);
  await agent.start();
});
afterAll(async () => {
  await agent?.[Symbol.asyncDispose]();
  await product?.[Symbol.asyncDispose]();
  await kubernetes?.[Symbol.asyncDispose]();
});

const pods = async (): Promise<readonly Pod[]> =>
  (await kubernetes.admin.get<{ items: Pod[] }>(PODS)).items;
const names = async (): Promise<string[]> =>
  (await pods()).map(({ metadata }) => metadata.name).toSorted();
const noPods = (): Promise<unknown> =>
  until('no pod to be left', async () => (await names()).length === 0);
const submitImage = (image: string, nodes: number, ...more: readonly string[]): Promise<string> =>
  product.ok('submit', '--image', image, '--nodes', String(nodes), ...more, '--', 'mpirun', 'a');
const submitGang = (nodes: number, ...more: readonly string[]): Promise<string> =>
  submitImage('mpi:1', nodes, ...more);
const running = (count: number): Promise<readonly Pod[]> =>
  until(`${count} pods to run`, async () => {
    const all = await pods();
    return all.filter(({ status }) => status.phase === 'Running').length === count && all;
  });
const taskOf = async (
  id: string,
): Promise<{
  attempts: readonly { number: number; outcome: string | null; reason: string | null }[];
}> => product.json('why', `${id}.0`);

test('a gang starts whole, each pod within its node, and no pod is left', async () => {
  const id = await submitGang(4, '--cores', '2', '--memory', '1G');
  const all = await running(4);
  const name = `majorana-${id.replace('job_', '')}-0-1`;
  expect(all.map(({ metadata }) => metadata.name).toSorted()).toEqual(
    [name, 1, 2, 3].map((rank) => (rank === name ? name : `${name}-${rank}`)),
  );
  const onNode = Map.groupBy(all, ({ spec }) => spec.nodeName);
  expect([...onNode.values()].every((list) => list.length <= 2)).toBe(true);
  await product.ok('wait', id, '--quiet');
  expect(await product.json('job', id)).toMatchObject({ counts: { succeeded: 1 } });
  await noPods();
});

test('a gang that has no room as a whole has no pod, says why, and starts when there is', async () => {
  // Three nodes of four cores have room for three such pods, and not for four.
  const id = await submitGang(4, '--cores', '3', '--memory', '1G');
  const why = await until('a reason', async () => {
    const { stdout } = await product.run('why', `${id}.0`);
    return stdout.includes('would have no room even if nothing ran there') && stdout;
  });
  expect(why).toContain('3 cores, 1.0 GiB memory on each of 4 nodes');
  expect(why).toContain('with room for some of the ranks, but not for all together');
  expect(await names()).toEqual([]);
  await addKwokNodes(kubernetes.admin, { count: 1, prefix: 'late', ...NODES });
  await running(4);
  await product.ok('wait', id, '--quiet');
});

test('a worker whose pod is deleted ends the gang, and it runs again uncounted', async () => {
  const id = await submitGang(3, '--cores', '1', '--memory', '1G', '--retries', '0');
  await running(3);
  const name = `majorana-${id.replace('job_', '')}-0-1`;
  await kubernetes.admin.delete(`${PODS}/${name}-2`, 0);
  await product.ok('wait', id, '--quiet');
  const { attempts } = await taskOf(id);
  expect(attempts[0]).toMatchObject({
    outcome: 'lost',
    reason: 'node 2 of its 3: its pod was deleted, and not by us',
  });
  expect(attempts[1]).toMatchObject({ outcome: 'succeeded' });
  await noPods();
});

test('a worker that ran out of memory ends the gang with that reason', async () => {
  const id = await submitGang(2, '--cores', '1', '--memory', '1G', '--retries', '0');
  await running(2);
  const name = `majorana-${id.replace('job_', '')}-0-1-1`;
  const pod = await kubernetes.admin.get<Pod>(`${PODS}/${name}`);
  const [status] = pod.status.containerStatuses!;
  const terminated = { exitCode: 137, reason: 'OOMKilled' };
  const containerStatuses = [{ ...status!, state: { terminated } }];
  await kubernetes.admin.request('PUT', `${PODS}/${name}/status`, {
    ...pod,
    status: { ...pod.status, phase: 'Failed', containerStatuses },
  });
  await product.run('wait', id, '--quiet');
  const { attempts } = await taskOf(id);
  expect(attempts).toHaveLength(1);
  expect(attempts[0]).toMatchObject({ outcome: 'out_of_memory' });
  expect(attempts[0]!.reason).toContain('node 1 of its 2: out of memory');
  await noPods();
});

test.each([
  ['its head', 0, /^node \S+ is gone$/],
  ['a worker', 1, /^node 1 of its 2: node \S+ is gone$/],
])('a gang of which the node of %s is lost runs again, whole', async (_, nodeRank, reason) => {
  // One pod on each of two nodes of four cores.
  const id = await submitGang(2, '--cores', '3', '--memory', '1G', '--retries', '0');
  const all = await running(2);
  const head = `majorana-${id.replace('job_', '')}-0-1`;
  const name = nodeRank === 0 ? head : `${head}-${nodeRank}`;
  const { nodeName } = all.find(({ metadata }) => metadata.name === name)!.spec;
  await kubernetes.admin.delete(`/api/v1/nodes/${nodeName}`);
  await product.ok('wait', id, '--quiet');
  const { attempts } = await taskOf(id);
  expect(attempts).toMatchObject([{ outcome: 'lost' }, { outcome: 'succeeded' }]);
  expect(attempts[0]!.reason).toMatch(reason);
  await noPods();
  await addKwokNodes(kubernetes.admin, { count: 1, prefix: `after-${nodeRank}`, ...NODES });
});

test('a cancelled gang leaves no pod', async () => {
  const id = await submitGang(3, '--cores', '1', '--memory', '1G');
  await running(3);
  await product.ok('cancel', id);
  await noPods();
  expect(await product.json('job', id)).toMatchObject({ counts: { cancelled: 1 } });
});

test('an agent that starts anew finds its gang whole, and one of which a pod is gone it ends', async () => {
  const whole = await submitGang(2, '--cores', '1', '--memory', '1G');
  await running(2);
  const before = await names();
  await agent.kill();
  await agent.start();
  expect(await names()).toEqual(before);
  await product.ok('wait', whole, '--quiet');
  expect((await taskOf(whole)).attempts).toHaveLength(1);

  // It still runs when the agent is back, however long that takes.
  const part = await submitImage('mpi:run-20000', 2, '--cores', '1', '--memory', '1G');
  await running(2);
  // A killed one would be waited for: until its session is over the pods of KWOK have ended.
  await agent.terminate();
  await kubernetes.admin.delete(`${PODS}/majorana-${part.replace('job_', '')}-0-1-1`, 0);
  await agent.start();
  await product.ok('wait', part, '--quiet');
  const { attempts } = await taskOf(part);
  expect(attempts[0]).toMatchObject({ outcome: 'lost' });
  expect(attempts[0]!.reason).toContain('node 1 of its 2: its pod was not made');
  expect(attempts[1]).toMatchObject({ outcome: 'succeeded' });
  await noPods();
});
