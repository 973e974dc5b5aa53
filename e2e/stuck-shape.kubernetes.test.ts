import type { KubernetesObject, TestKubernetes } from '@majorana/test-servers';
import { addKwokNodes, startKubernetes } from '@majorana/test-servers';
import { until } from '@majorana/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ClusterAgent } from './cluster.ts';
import { Product } from './product.ts';

const NAMESPACE = '/api/v1/namespaces/majorana';
const WORDS = 'MountVolume.SetUp failed for volume "mount-0" : secret "nosuch" not found';

interface Pod extends KubernetesObject {
  readonly spec: { readonly volumes: readonly { readonly secret?: object }[] };
}

let kubernetes: TestKubernetes;
let product: Product;
let agent: ClusterAgent;

beforeAll(async () => {
  kubernetes = await startKubernetes({ kwok: true });
  await addKwokNodes(kubernetes.admin, { count: 10, cpu: 8, memoryBytes: 2 ** 35 });
  await kubernetes.createNamespace('majorana');
  product = new Product();
  await product.ok('up', '--detach');
  const { url } = await product.json<{ url: string }>('status');
  const kubeconfig = kubernetes.adminKubeconfig;
  const options = ['--annotation', 'majorana.test/run-ms=200'];
  agent = new ClusterAgent(product, url, ['--name=lab', '--kubeconfig', kubeconfig, ...options]);
  await agent.start();
});
afterAll(async () => {
  await agent?.[Symbol.asyncDispose]();
  await product?.[Symbol.asyncDispose]();
  await kubernetes?.[Symbol.asyncDispose]();
});

const stuckPods = async (): Promise<readonly Pod[]> => {
  const { items } = await kubernetes.admin.get<{ items: Pod[] }>(`${NAMESPACE}/pods`);
  return items.filter(({ spec }) => spec.volumes.some(({ secret }) => secret !== undefined));
};

/** As a kubelet tells of it, which does not run here. */
const tell = ({ metadata: { name, uid } }: KubernetesObject & { metadata: { uid?: string } }) =>
  kubernetes.admin.create(`${NAMESPACE}/events`, {
    metadata: { name: `${name}.1`, namespace: 'majorana' },
    involvedObject: { kind: 'Pod', namespace: 'majorana', name, uid },
    reason: 'FailedMount',
    message: WORDS,
    type: 'Warning',
    lastTimestamp: new Date().toISOString(),
  });

test('an array that can never start lets what comes after it start, and says what is stuck', async () => {
  const mount = ['--mount', 'secret:nosuch:/secret'];
  const array = ['--image', 'play:creating', '--array', '0-199'];
  const bad = await product.ok('submit', ...array, ...mount, '--', 'true');
  const pods = await until('its first pods', async () => {
    const stuck = await stuckPods();
    return stuck.length === 16 && stuck;
  });
  const good = await product.ok('submit', '--image', 'play:run-200', '--array=0-49', '--', 'true');
  await product.ok('wait', good, '--quiet');
  const { counts } = await product.json<{ counts: object }>('job', good);
  expect(counts).toMatchObject({ succeeded: 50 });
  expect(await stuckPods()).toHaveLength(16);

  for (const pod of pods) await tell(pod);
  const told = `16 pods have not started for 10 s: FailedMount: ${WORDS}`;
  await until('the cluster to tell', async () =>
    (await product.ok('clusters', 'show', 'lab')).includes(told),
  );
  expect(await product.ok('why', `${bad}.199`)).toContain(told);
  await product.ok('cancel', bad);
  await until('its pods to be gone', async () => (await stuckPods()).length === 0);
});
