import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { TestKubernetes } from '@majorana/test-servers';
import { addKwokNodes, startKubernetes } from '@majorana/test-servers';
import { until } from '@majorana/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ApiServer } from './api-server.ts';
import { readKubeconfig } from './kubeconfig.ts';
import { Orders, TEST_PODS, testLease } from './test-orders.ts';

let kubernetes: TestKubernetes;
beforeAll(async () => {
  kubernetes = await startKubernetes({
    kwok: true,
    apiServerArgs: [
      '--goaway-chance=0.02',
      '--max-requests-inflight=4',
      '--max-mutating-requests-inflight=4',
    ],
  });
  await addKwokNodes(kubernetes.admin, { count: 4, cpu: 16, memoryBytes: 2 ** 36 });
  await kubernetes.createNamespace('majorana');
});
afterAll(() => kubernetes?.[Symbol.asyncDispose]());

test('behind an API server of few requests at a time all tasks run once, and no pod is left', async () => {
  using api = new ApiServer(await readKubeconfig(kubernetes.adminKubeconfig));
  const pods = { ...TEST_PODS, annotations: { 'majorana.test/run-ms': '3600000' } };
  await using orders = await Orders.start(api, pods);
  orders.leases = Array.from({ length: 60 }, (_, at) => testLease(`job_1.${at}.1`));
  await until('all to run', () => orders.running.size === 60);
  orders.endAttemptIds = [...orders.running];
  for (const id of orders.endAttemptIds)
    expect((await orders.end(id)).outcome.kind).toBe('cancelled');
  await until('no pod to be left', async () => {
    const list = '/api/v1/namespaces/majorana/pods';
    return (await kubernetes.admin.get<{ items: object[] }>(list)).items.length === 0;
  });
});

test('a token that is taken back is replaced by the one that has come into its file since', async () => {
  const account = '/api/v1/namespaces/majorana/serviceaccounts';
  const metadata = { name: 'renewed' };
  await kubernetes.admin.create(account, { apiVersion: 'v1', kind: 'ServiceAccount', metadata });
  const secrets = '/api/v1/namespaces/majorana/secrets';
  const tokenOf = async (name: string): Promise<string> => {
    await kubernetes.admin.create(secrets, {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name },
    });
    const boundObjectRef = { apiVersion: 'v1', kind: 'Secret', name };
    const { status } = await kubernetes.admin.create<{ status: { token: string } }>(
      `${account}/renewed/token`,
      {
        apiVersion: 'authentication.k8s.io/v1',
        kind: 'TokenRequest',
        spec: { expirationSeconds: 600, boundObjectRef },
      },
    );
    return status.token;
  };
  const file = (name: string): string => path.join(kubernetes.folder, name);
  await writeFile(file('renewed.token'), await tokenOf('first'), { mode: 0o600 });
  const cluster = {
    server: kubernetes.server,
    'certificate-authority': kubernetes.authority.certificatePath,
  };
  const kubeconfig = {
    'current-context': 'a',
    contexts: [{ name: 'a', context: { cluster: 'a', user: 'a' } }],
    clusters: [{ name: 'a', cluster }],
    users: [{ name: 'a', user: { tokenFile: 'renewed.token' } }],
  };
  await writeFile(file('renewed.kubeconfig'), JSON.stringify(kubeconfig));
  using api = new ApiServer(await readKubeconfig(file('renewed.kubeconfig')));
  const statusOf = (): Promise<number> =>
    api.request('GET', '/version').then(
      () => 200,
      (error: { status: number }) => error.status,
    );
  // This server has little room for accounts of no level of their own.
  const ask = (): Promise<number> =>
    until('an answer', async () => {
      const status = await statusOf();
      return status !== 429 && status;
    });
  expect(await ask()).toBe(200);
  await kubernetes.admin.delete(`${secrets}/first`);
  await until('the token to be refused', async () => (await ask()) === 401);
  await writeFile(file('renewed.token'), await tokenOf('second'));
  expect(await ask()).toBe(200);
});
