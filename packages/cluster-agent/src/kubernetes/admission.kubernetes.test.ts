import type { PatchStep, TestKubernetes } from '@majorana/test-servers';
import { addKwokNodes, PodWebhook, startKubernetes } from '@majorana/test-servers';
import { until } from '@majorana/testing';
import { afterAll, afterEach, beforeAll, beforeEach, expect, onTestFinished, test } from 'vitest';
import type { Lease } from '@majorana/protocol';
import { containerSchema } from '@majorana/protocol';
import { ApiServer } from './api-server.ts';
import { readKubeconfig } from './kubeconfig.ts';
import type { Pod } from './objects.ts';
import { podName } from './pod.ts';
import { Orders, TEST_PODS, testLease } from './test-orders.ts';
import { endWord } from './test-objects.ts';

const PATH = '/api/v1/namespaces/majorana/pods';
const PODS = { ...TEST_PODS, annotations: { 'majorana.test/run-ms': '3600000' } };
let kubernetes: TestKubernetes;
let webhook: PodWebhook;
let api: ApiServer;
let orders: Orders;
let jobs = 0;
beforeAll(async () => {
  kubernetes = await startKubernetes({ kwok: true });
  await addKwokNodes(kubernetes.admin, { count: 2, cpu: 4, memoryBytes: 2 ** 35 });
  await kubernetes.createNamespace('majorana');
  webhook = await PodWebhook.start(kubernetes);
  api = new ApiServer(await readKubeconfig(kubernetes.adminKubeconfig));
  orders = await Orders.start(api, PODS);
});
afterAll(async () => {
  await orders?.[Symbol.asyncDispose]();
  api?.[Symbol.dispose]();
  await webhook?.[Symbol.asyncDispose]();
  await kubernetes?.[Symbol.asyncDispose]();
});
beforeEach(() => {
  jobs += 1;
});
afterEach(async () => {
  webhook.verdict = { patch: [] };
  await cancel(...orders.leases);
});

const podPath = (id: string): string => `${PATH}/${podName(id)}`;
const podOf = (id: string): Promise<Pod> => kubernetes.admin.get<Pod>(podPath(id));
const lease = (edit: Partial<Lease> = {}, index = 0): Lease => ({
  ...testLease(`job_${jobs}.${index}.1`),
  ...edit,
});
async function run(one: Lease): Promise<Pod> {
  await orders.run(one);
  return podOf(one.attemptId);
}
const cancel = (...leases: readonly Lease[]): Promise<void> => orders.cancel(...leases);
const isGone = (id: string): Promise<boolean> =>
  podOf(id).then(
    () => false,
    () => true,
  );

const requests = { cpu: '500m', memory: '64Mi' };
const PROXY = { name: 'mesh', image: 'mesh:1', resources: { requests } };
const add = (path: string, value: unknown): PatchStep => ({ op: 'add', path, value });
const FIRST = [add('/spec/containers/0', PROXY)];
const NATIVE = [add('/spec/initContainers/0', { ...PROXY, restartPolicy: 'Always' })];

const wordOf = (attemptId: string): string => endWord(attemptId, { exitCode: 3 });

test.each([
  ['container before it', FIRST, 'containerStatuses'],
  ['native sidecar', NATIVE, 'initContainerStatuses'],
])('a task has ended with its own container, also where a %s runs on', async (_, patch, where) => {
  webhook.verdict = { patch };
  for (const [message, end] of [
    [wordOf(`job_${jobs}.0.1`), { kind: 'exit_code', exitCode: 3 }],
    [undefined, { kind: 'out_of_memory', exitCode: 137 }],
  ] as const) {
    const one = lease({}, message === undefined ? 1 : 0);
    await run(one);
    const startedAt = new Date().toISOString();
    const proxy = { name: 'mesh', state: { running: { startedAt } } };
    const reason = message === undefined ? 'OOMKilled' : 'Completed';
    const terminated = { exitCode: message === undefined ? 137 : 0, reason, message };
    const task = { name: 'task', state: { terminated } };
    const status = { containerStatuses: [task], [where]: [proxy] };
    if (where === 'containerStatuses') status['containerStatuses'] = [proxy, task] as never;
    await kubernetes.admin.request('PATCH', `${podPath(one.attemptId)}/status`, { status });
    expect((await orders.end(one.attemptId)).outcome).toMatchObject(end);
    await until('its pod to be gone', () => isGone(one.attemptId));
  }
});

test('a sidecar’s resources and a webhook’s node selector are learned from the first pod', async () => {
  const label = { 'majorana.test/pool': 'science' };
  await kubernetes.admin.request('PATCH', '/api/v1/nodes/kwok-1', { metadata: { labels: label } });
  webhook.verdict = { patch: [...FIRST, add('/spec/nodeSelector', label)] };
  const first = lease();
  const { nodeName } = (await run(first)).spec;
  // Of 1.5 cores each two fit on the one node of four cores that the selector names.
  const left = nodeName === 'kwok-1' ? 1 : 2;
  await until('the offer', () => orders.offer?.shapes[0]?.count === left);
  const more = [1, 2].slice(0, left).map((index) => lease({}, index));
  for (const one of more) await run(one);
  for (const one of more) expect((await podOf(one.attemptId)).spec.nodeName).toBe('kwok-1');
  await until('no more to be offered', () => orders.offer?.shapes[0]?.count === 0);
  await cancel(first, ...more);
  webhook.verdict = { patch: [] };
  const plain = lease({}, 3);
  await run(plain);
  await until(
    'it to be known that nothing is added any more',
    () => orders.offer?.shapes[0]?.count === 7,
  );
});

test('what else a webhook changes leaves a task as it is', async () => {
  webhook.verdict = {
    patch: [
      add('/metadata/labels/mesh', 'on'),
      add('/metadata/annotations/mesh', 'on'),
      add('/spec/tolerations', [{ key: 'pool', operator: 'Exists' }]),
      add('/spec/imagePullSecrets', [{ name: 'mirror' }]),
      add('/spec/containers/0/env/-', { name: 'PROXY', value: 'x' }),
      { op: 'replace', path: '/spec/containers/0/image', value: 'mirror.test/play:run-3600000' },
    ],
  };
  const one = lease();
  const pod = await run(one);
  expect(pod.metadata.labels).toMatchObject({ mesh: 'on' });
  await cancel(one);
  await until('its pod to be gone', () => isGone(one.attemptId));
});

test.each([[undefined], [400], [403], [422]])(
  'a webhook that denies with %s holds its pods back in its words, and others go on',
  async (code) => {
    webhook.verdict = { denied: 'only on weekdays', ...(code !== undefined && { code }) };
    const one = lease();
    orders.leases = [one];
    await until('the reason', () =>
      /its pods are refused: .*denied the request: only on weekdays/.test(
        orders.offer?.shapes[0]?.reason ?? '',
      ),
    );
    expect(orders.ended.has(one.attemptId)).toBe(false);
    webhook.verdict = { patch: [] };
    await until('it to run', () => orders.running.has(one.attemptId));
  },
);

test('a pod that a validating policy refuses waits with its words, one that it allows runs', async () => {
  const group = '/apis/admissionregistration.k8s.io/v1';
  const kind = 'ValidatingAdmissionPolicy';
  const base = { apiVersion: 'admissionregistration.k8s.io/v1', metadata: { name: 'mirror' } };
  const resourceRules = [
    { apiGroups: [''], apiVersions: ['v1'], operations: ['CREATE'], resources: ['pods'] },
  ];
  const expression = "object.spec.containers.all(c, !c.image.startsWith('evil/'))";
  await kubernetes.admin.create(`${group}/validatingadmissionpolicies`, {
    ...base,
    kind,
    spec: {
      matchConstraints: { resourceRules },
      validations: [{ expression, message: 'images come from the mirror' }],
    },
  });
  await kubernetes.admin.create(`${group}/validatingadmissionpolicybindings`, {
    ...base,
    kind: `${kind}Binding`,
    spec: { policyName: 'mirror', validationActions: ['Deny'] },
  });
  const { waiting } = orders;
  onTestFinished(async () => {
    orders.waiting = waiting;
    await kubernetes.admin.delete(`${group}/validatingadmissionpolicybindings/mirror`);
    await kubernetes.admin.delete(`${group}/validatingadmissionpolicies/mirror`);
  });
  const evil = containerSchema.parse({ image: 'evil/play:run-3600000' });
  const refused = (): boolean =>
    /its pods are refused: .*images come from the mirror/.test(
      orders.offer?.shapes.find(({ key }) => key === 'evil')?.reason ?? '',
    );
  orders.waiting = {
    digest: 'e',
    shapes: [
      ...orders.waiting.shapes,
      { key: 'evil', resources: testLease('job_1.0.1').resources, container: evil },
    ],
  };
  // A policy takes effect a moment after it was made: until then such pods run.
  for (let index = 1; !refused(); index += 1) {
    const bad = lease({ container: evil }, index);
    orders.leases = [...orders.leases, bad];
    await until(
      'its pod to run or to be refused',
      () => refused() || orders.running.has(bad.attemptId),
    );
    if (!refused()) await cancel(bad);
  }
  await run(lease());
});

test('under the pod security level restricted our pods run as they are, a gang’s and one with mounts too', async () => {
  const enforce = { 'pod-security.kubernetes.io/enforce': 'restricted' };
  const namespace = '/api/v1/namespaces/majorana';
  await kubernetes.admin.request('PATCH', namespace, { metadata: { labels: enforce } });
  onTestFinished(async () => {
    const off = { 'pod-security.kubernetes.io/enforce': null };
    await kubernetes.admin.request('PATCH', namespace, { metadata: { labels: off } });
  });
  const mounts = [
    { kind: 'pvc', claim: 'data', mountPath: '/data' },
    { kind: 'secret', name: 'licence', mountPath: '/keys' },
    { kind: 'configMap', name: 'settings', mountPath: '/settings' },
  ];
  const mounting = containerSchema.parse({ image: 'play:run-3600000', mounts });
  const plain = lease();
  const mounted = lease({ container: mounting }, 1);
  const gang = lease({ gang: { nodes: 2, ranksPerNode: 1 } }, 2);
  for (const one of [plain, mounted, gang]) await run(one);
  const nfs = [{ kind: 'nfs', server: 'filer', path: '/', mountPath: '/data' }];
  const forbidden = lease({ container: containerSchema.parse({ image: 'a:1', mounts: nfs }) }, 3);
  orders.leases = [...orders.leases, forbidden];
  expect((await orders.end(forbidden.attemptId)).outcome).toMatchObject({
    kind: 'start_error',
    reason: expect.stringContaining('violates PodSecurity "restricted'),
  });
});

test('a pod that a stranger’s finalizer keeps ends its attempt once, and is left to the stranger', async () => {
  webhook.verdict = { patch: [add('/metadata/finalizers', ['majorana.test/keep'])] };
  const one = lease();
  await run(one);
  const terminated = { exitCode: 0, reason: 'Completed', message: wordOf(one.attemptId) };
  const status = {
    phase: 'Succeeded',
    containerStatuses: [{ name: 'task', state: { terminated } }],
  };
  await kubernetes.admin.request('PATCH', `${podPath(one.attemptId)}/status`, { status });
  await orders.end(one.attemptId);
  await until('its deletion', async () => {
    const { metadata } = await podOf(one.attemptId);
    return metadata.deletionTimestamp !== undefined;
  });
  orders.ended.delete(one.attemptId);
  webhook.verdict = { patch: [] };
  const next = lease({}, 1);
  await run(next);
  expect(orders.ended.has(one.attemptId)).toBe(false);
  await kubernetes.admin.request('PATCH', podPath(one.attemptId), {
    metadata: { finalizers: null },
  });
  await until('its pod to be gone', () => isGone(one.attemptId));
});
