import { until } from '@majorana/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { KubernetesObject, TestKubernetes } from './index.ts';
import {
  addKwokNodes,
  KubernetesApi,
  programVersion,
  readKubeconfig,
  startKubernetes,
} from './index.ts';

const GIB = 1024 ** 3;
const PODS = '/api/v1/namespaces/test/pods';

interface Pod extends KubernetesObject {
  readonly spec: { readonly nodeName?: string };
  readonly status: {
    readonly phase: string;
    readonly reason?: string;
    readonly containerStatuses?: readonly { readonly state: object; readonly lastState: object }[];
  };
}

let kubernetes: TestKubernetes;

beforeAll(async () => {
  kubernetes = await startKubernetes({ kwok: true, controllerManager: true, scheduler: true });
  await addKwokNodes(kubernetes.admin, { count: 2, cpu: 4, memoryBytes: 8 * GIB });
  await kubernetes.createNamespace('test');
});

afterAll(() => kubernetes[Symbol.asyncDispose]());

async function createPod(
  name: string,
  annotations: Record<string, string>,
  spec: object = { nodeName: 'kwok-0' },
): Promise<void> {
  await kubernetes.admin.create(PODS, {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, annotations },
    spec: { restartPolicy: 'Never', containers: [{ name: 'task', image: 'nothing' }], ...spec },
  });
}

const podThat = (name: string, isSo: (pod: Pod) => boolean): Promise<Pod> =>
  until(`what ${name} should become`, async () => {
    const pod = await kubernetes.admin.get<Pod>(`${PODS}/${name}`);
    return isSo(pod) && pod;
  });

const stateOf = (pod: Pod): object | undefined => pod.status.containerStatuses?.[0]?.state;

test('the API server is the version that go.mod pins', async () => {
  const gitVersion = `v${programVersion('apiserver')}`;
  expect(await kubernetes.admin.get('/version')).toMatchObject({ gitVersion });
});

test('a pod that names its node runs there without a scheduler, and succeeds', async () => {
  const phases: string[] = [];
  const watching = (async () => {
    for await (const { object } of kubernetes.admin.watch<Pod>(`${PODS}?watch=1`)) {
      if (phases.at(-1) !== object.status.phase) phases.push(object.status.phase);
      if (object.status.phase === 'Succeeded') return;
    }
  })();
  await createPod('succeeds', { 'majorana.test/run-ms': '50' });
  await watching;
  expect(phases).toEqual(['Pending', 'Running', 'Succeeded']);
  await kubernetes.admin.delete(`${PODS}/succeeds`, 0);
  await expect(kubernetes.admin.get(`${PODS}/succeeds`)).rejects.toMatchObject({ status: 404 });
});

test('a pod that names no node is placed by the scheduler', async () => {
  await createPod('placed', { 'majorana.test/run-ms': '0' }, {});
  const pod = await podThat('placed', ({ status }) => status.phase === 'Succeeded');
  expect(pod.spec.nodeName).toMatch(/^kwok-\d$/);
});

test.each([
  ['exit code 3', { 'majorana.test/exit-code': '3' }, { exitCode: 3, reason: 'Error' }],
  ['no memory', { 'majorana.test/play': 'out-of-memory' }, { exitCode: 137, reason: 'OOMKilled' }],
])('KWOK plays the end of a program: %s', async (_what, wanted, terminated) => {
  const name = `ends-${terminated.reason.toLowerCase()}`;
  await createPod(name, { 'majorana.test/run-ms': '20', ...wanted });
  const pod = await podThat(name, ({ status }) => status.phase === 'Failed');
  expect(stateOf(pod)).toMatchObject({ terminated });
});

test.each([
  ['evicted', 'Evicted'],
  ['out-of-cpu', 'OutOfcpu'],
])('KWOK plays a pod that the kubelet fails: %s', async (play, reason) => {
  await createPod(play, { 'majorana.test/play': play, 'majorana.test/run-ms': '20' });
  const pod = await podThat(play, ({ status }) => status.phase === 'Failed');
  expect(pod.status.reason).toBe(reason);
});

test.each([
  ['creating', 'ContainerCreating', 'Pending'],
  ['pull-error', 'ImagePullBackOff', 'Pending'],
  ['crash-loop', 'CrashLoopBackOff', 'Running'],
])('KWOK plays a pod that gets stuck: %s', async (play, reason, phase) => {
  await createPod(play, { 'majorana.test/play': play, 'majorana.test/run-ms': '20' });
  const isStuck = (pod: Pod): boolean => JSON.stringify(stateOf(pod) ?? {}).includes(reason);
  const pod = await podThat(play, isStuck);
  expect(pod.status.phase).toBe(phase);
});

test('a service account may do what its rules say and no more', async () => {
  const file = await kubernetes.serviceAccountKubeconfig('reader', [
    { apiGroups: [''], resources: ['pods'], verbs: ['get', 'list'] },
  ]);
  using api = new KubernetesApi(await readKubeconfig(file));
  await expect(api.get(PODS)).resolves.toMatchObject({ kind: 'PodList' });
  await expect(api.delete(`${PODS}/any`)).rejects.toMatchObject({ status: 403 });
});

test('the audit log counts the requests that an account made for one pod', async () => {
  const file = await kubernetes.serviceAccountKubeconfig('agent', [
    { apiGroups: [''], resources: ['pods'], verbs: ['create', 'delete'] },
  ]);
  const mark = await kubernetes.audit.mark();
  using api = new KubernetesApi(await readKubeconfig(file));
  await api.create(PODS, {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'counted' },
    spec: { nodeName: 'kwok-1', containers: [{ name: 'task', image: 'nothing' }] },
  });
  await api.delete(`${PODS}/counted`, 0);
  const counted = await until('the deletion in the audit log', async () => {
    const events = await kubernetes.audit.requestsOf('system:serviceaccount:default:agent', mark);
    return events.some(({ verb }) => verb === 'delete') && events;
  });
  expect(counted.map(({ verb, responseStatus }) => [verb, responseStatus?.code])).toEqual([
    ['create', 201],
    ['delete', 200],
  ]);
});

test('while etcd is paused nothing can be written, and afterwards it can', async () => {
  const attempt = (name: string): Promise<string> =>
    createPod(name, {}).then(
      () => 'written',
      () => 'refused',
    );
  kubernetes.pauseEtcd();
  const before = attempt('held');
  const whilePaused = await Promise.race([before, kubernetes.admin.text('/livez/ping')]);
  expect(whilePaused).toBe('ok');
  kubernetes.resumeEtcd();
  expect(await before).toBe('written');
});

test('an API server that was killed comes back with what it had', async () => {
  await createPod('kept', { 'majorana.test/play': 'creating' });
  await kubernetes.killApiServer();
  await expect(kubernetes.admin.get(`${PODS}/kept`)).rejects.toThrow(/ECONNREFUSED|ECONNRESET/);
  await kubernetes.restartApiServer();
  expect(await kubernetes.admin.get(`${PODS}/kept`)).toMatchObject({ kind: 'Pod' });
});
