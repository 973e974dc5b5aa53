import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { TestKubernetes } from '@majorana/test-servers';
import { startKubernetes } from '@majorana/test-servers';
import { until } from '@majorana/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ApiServer } from './api-server.ts';
import { readKubeconfig } from './kubeconfig.ts';
import type { Pod } from './objects.ts';
import { podName } from './pod.ts';
import { Orders, TEST_PODS, testLease } from './test-orders.ts';

let kubernetes: TestKubernetes;
beforeAll(async () => {
  kubernetes = await startKubernetes();
  await kubernetes.createNamespace('majorana');
  const allocatable = { cpu: '8', memory: '32Gi', pods: '110' };
  await kubernetes.admin.create('/api/v1/nodes', {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name: 'node' },
    status: { allocatable, conditions: [{ type: 'Ready', status: 'True' }] },
  });
});
afterAll(() => kubernetes?.[Symbol.asyncDispose]());

const pathOf = (id: string): string => `/api/v1/namespaces/majorana/pods/${podName(id)}`;
/** No kubelet is here: what it would say. */
async function begin(id: string): Promise<void> {
  await until(`the pod of ${id}`, () =>
    kubernetes.admin.get<Pod>(pathOf(id)).catch(() => undefined),
  );
  const state = { running: { startedAt: new Date().toISOString() } };
  const status = { phase: 'Running', containerStatuses: [{ name: 'task', state }] };
  await kubernetes.admin.request('PATCH', `${pathOf(id)}/status`, { status });
}

interface Held {
  readonly ca: string;
  readonly crt: string;
  readonly key: string;
}
const file = (name: string): string => path.join(kubernetes.folder, name);
const KUBECONFIG = 'agent.kubeconfig';

/** What the authority of now would give to an agent. */
async function newest(): Promise<Held> {
  const { certificatePath, keyPath } = await kubernetes.authority.issue({
    name: 'newest',
    subject: '/O=system:masters/CN=agent',
  });
  const read = (from: string): Promise<string> => readFile(from, 'utf8');
  const ca = await read(kubernetes.authority.certificatePath);
  return { ca, crt: await read(certificatePath), key: await read(keyPath) };
}

const writeConfig = (cluster: object, user: object): Promise<void> =>
  writeFile(
    file(KUBECONFIG),
    JSON.stringify({
      'current-context': 'a',
      contexts: [{ name: 'a', context: { cluster: 'a', user: 'a' } }],
      clusters: [{ name: 'a', cluster: { server: kubernetes.server, ...cluster } }],
      users: [{ name: 'a', user }],
    }),
  );

async function keepInFiles({ ca, crt, key }: Held): Promise<void> {
  await Promise.all([
    writeFile(file('agent-ca.crt'), ca),
    writeFile(file('agent.crt'), crt),
    writeFile(file('agent.key'), key),
  ]);
  await writeConfig(
    { 'certificate-authority': 'agent-ca.crt' },
    { 'client-certificate': 'agent.crt', 'client-key': 'agent.key' },
  );
}

const base64 = (text: string): string => Buffer.from(text).toString('base64');
const keepInKubeconfig = ({ ca, crt, key }: Held): Promise<void> =>
  writeConfig(
    { 'certificate-authority-data': base64(ca) },
    { 'client-certificate-data': base64(crt), 'client-key-data': base64(key) },
  );

test.each([
  ['files beside its kubeconfig', 1, keepInFiles],
  ['its kubeconfig itself', 2, keepInKubeconfig],
])(
  'when the cluster gets another authority, an agent that has its own in %s says what is wrong, and goes on once they are renewed',
  async (_, job, keep) => {
    const old = await newest();
    await keep(old);
    using api = new ApiServer(await readKubeconfig(file(KUBECONFIG)));
    await using orders = await Orders.start(api, TEST_PODS);
    const [first, second, third] = [0, 1, 2].map((index) => testLease(`job_${job}.${index}.1`));
    const says = (words: string): Promise<unknown> =>
      until(`"${words}" to be said`, () =>
        JSON.stringify([orders.offer, orders.report]).includes(words),
      );
    orders.leases = [first!];
    await begin(first!.attemptId);
    await orders.run(first!);

    await kubernetes.replaceAuthority();
    const renewed = await newest();
    orders.leases = [...orders.leases, second!];
    await says('the API server answered nothing: its certificate is not signed by the authority');
    await keep({ ...old, ca: renewed.ca });
    await says('401 Unauthorized: the token or the certificate of this agent is over');
    await keep(renewed);
    orders.leases = [...orders.leases, third!];
    await begin(third!.attemptId);
    await orders.run(third!);
    expect(orders.ended.has(first!.attemptId)).toBe(false);
    orders.endAttemptIds = [first!.attemptId, third!.attemptId];
    for (const { attemptId } of [first!, third!]) {
      // Its kubelet would take it away.
      await until(`${attemptId} to be deleted`, async () => {
        const pod = await kubernetes.admin.get<Pod>(pathOf(attemptId)).catch(() => undefined);
        return pod?.metadata.deletionTimestamp !== undefined || pod === undefined;
      });
      await kubernetes.admin.delete(pathOf(attemptId), 0).catch(() => undefined);
      expect((await orders.end(attemptId)).outcome.kind).toBe('cancelled');
    }
  },
);
