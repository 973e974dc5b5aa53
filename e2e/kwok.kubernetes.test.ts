import type { KubernetesObject, TestKubernetes } from '@majorana/test-servers';
import { addKwokNodes, startKubernetes } from '@majorana/test-servers';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ClusterAgent } from './cluster.ts';
import { Product } from './product.ts';

const GIB = 1024 ** 3;
const NAMESPACE = 'majorana';

let kubernetes: TestKubernetes;
let product: Product;
let agent: ClusterAgent;

beforeAll(async () => {
  kubernetes = await startKubernetes({ kwok: true });
  await addKwokNodes(kubernetes.admin, { count: 3, cpu: 4, memoryBytes: 16 * GIB });
  await kubernetes.createNamespace(NAMESPACE);
  product = new Product();
  await product.ok('up', '--detach');
  const { url } = await product.json<{ url: string }>('status');
  agent = new ClusterAgent(product, url, [
    '--name',
    'kwok',
    '--kubeconfig',
    kubernetes.adminKubeconfig,
    '--annotation',
    'majorana.test/run-ms=200',
  ]);
  await agent.start();
});
afterAll(async () => {
  await agent[Symbol.asyncDispose]();
  await product[Symbol.asyncDispose]();
  await kubernetes[Symbol.asyncDispose]();
});

const pods = async (): Promise<readonly KubernetesObject[]> =>
  (
    await kubernetes.admin.get<{ items: KubernetesObject[] }>(
      `/api/v1/namespaces/${NAMESPACE}/pods`,
    )
  ).items;

test('an array of images runs on the nodes, and no pod is left', async () => {
  const id = await product.ok('submit', '--image', 'science:1', '--array', '0-49', '--', 'true');
  await product.ok('wait', id, '--quiet');
  const job = await product.json<{ counts: object }>('job', id);
  expect(job.counts).toMatchObject({ succeeded: 50 });
  expect(await pods()).toEqual([]);
});
