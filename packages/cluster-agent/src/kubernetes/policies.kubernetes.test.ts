import type { TestKubernetes } from '@majorana/test-servers';
import { addKwokNodes, PodWebhook, startKubernetes } from '@majorana/test-servers';
import { until } from '@majorana/testing';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import type { Resources } from '@majorana/core';
import { DEFAULT_RESOURCES } from '@majorana/core';
import type { Lease } from '@majorana/protocol';
import { ApiServer } from './api-server.ts';
import { readKubeconfig } from './kubeconfig.ts';
import type { Pod } from './objects.ts';
import { makePod, podName } from './pod.ts';
import { Orders, TEST_PODS, testLease } from './test-orders.ts';

const GIBIBYTE = 2 ** 30;
const NAMESPACE = '/api/v1/namespaces/majorana';
const PODS = { ...TEST_PODS, annotations: { 'majorana.test/run-ms': '3600000' } };
let kubernetes: TestKubernetes;
let api: ApiServer;
let orders: Orders;
let jobs = 0;
const made: string[] = [];
beforeAll(async () => {
  kubernetes = await startKubernetes({
    kwok: true,
    apiServerArgs: [
      // Of itself it is on from 1.36.
      '--feature-gates=MutatingAdmissionPolicy=true',
      '--runtime-config=api/all=true',
    ],
  });
  await addKwokNodes(kubernetes.admin, {
    count: 2,
    cpu: 4,
    memoryBytes: 32 * GIBIBYTE,
    extended: { 'ephemeral-storage': 4 * GIBIBYTE },
  });
  await kubernetes.createNamespace('majorana');
  api = new ApiServer(await readKubeconfig(kubernetes.adminKubeconfig));
  orders = await Orders.start(api, PODS);
});
afterAll(async () => {
  await orders?.[Symbol.asyncDispose]();
  api?.[Symbol.dispose]();
  await kubernetes?.[Symbol.asyncDispose]();
});
beforeEach(() => {
  jobs += 1;
});
afterEach(async () => {
  for (const path of made.splice(0).toReversed()) await kubernetes.admin.delete(path);
  await orders.cancel(...orders.leases);
  await until('no rule to be left', async () => {
    const spec = await probe();
    return typeof spec !== 'string' && !/runtimeClass|ephemeral/.test(JSON.stringify(spec));
  });
});

interface Named {
  readonly metadata: { readonly name: string };
  readonly [field: string]: unknown;
}

/** Until the end of the test. */
async function make(path: string, object: Named): Promise<void> {
  await kubernetes.admin.create(path, object);
  made.push(`${path}/${object.metadata.name}`);
}
const podOf = (id: string): Promise<Pod> =>
  kubernetes.admin.get<Pod>(`${NAMESPACE}/pods/${podName(id)}`);
/** Of a shape that no other test has: what was learned of one is known for a minute. */
const resources = (edit: Partial<Resources>): Resources => ({
  ...DEFAULT_RESOURCES,
  memoryBytes: DEFAULT_RESOURCES.memoryBytes + jobs,
  ...edit,
});
const lease = (index: number, edit: Partial<Resources> = {}): Lease => ({
  ...testLease(`job_${jobs}.${index}.1`),
  resources: resources(edit),
});
async function run(one: Lease): Promise<Pod> {
  await orders.run(one);
  return podOf(one.attemptId);
}
function ask(): void {
  const key = `shape-${jobs}`;
  const shape = { ...orders.waiting.shapes[0]!, key, resources: resources({}) };
  orders.waiting = { digest: key, shapes: [shape] };
}
/** What the API server would make of our pod now, or why it would not; rules take effect a moment late. */
const probe = (): Promise<Pod['spec'] | string> =>
  kubernetes.admin
    .create<Pod>(`${NAMESPACE}/pods?dryRun=All`, makePod(lease(9), 'kwok-0', PODS))
    .then(
      ({ spec }) => spec,
      (error: Error) => error.message,
    );
const takesEffect = (words: string): Promise<unknown> =>
  until(`a pod with ${words}`, async () => JSON.stringify(await probe()).includes(words));
const offered = (count: number): Promise<unknown> =>
  until(`an offer of ${count}`, () => {
    const { key, count: offeredCount } = orders.offer?.shapes[0] ?? {};
    return key === `shape-${jobs}` && offeredCount === count;
  });
const refusal = (words: string): Promise<unknown> =>
  until(`a refusal with ${words}`, () => {
    const { reason = '' } = orders.offer?.shapes[0] ?? {};
    return reason.startsWith('its pods are refused: ') && reason.includes(words);
  });

/** Its nodes are kept for it, as those of a cloud’s sandbox are. */
async function addSandbox(): Promise<void> {
  const label = { pool: 'sandbox' };
  await addKwokNodes(kubernetes.admin, {
    prefix: 'sandbox',
    count: 1,
    cpu: 4,
    memoryBytes: 32 * GIBIBYTE,
    labels: label,
    taints: [{ key: 'sandbox', effect: 'NoSchedule' }],
  });
  made.push('/api/v1/nodes/sandbox-0');
  await make('/apis/node.k8s.io/v1/runtimeclasses', {
    apiVersion: 'node.k8s.io/v1',
    kind: 'RuntimeClass',
    metadata: { name: 'sandbox' },
    handler: 'sandbox',
    overhead: { podFixed: { cpu: '500m', memory: '128Mi' } },
    scheduling: {
      nodeSelector: label,
      tolerations: [{ key: 'sandbox', operator: 'Exists', effect: 'NoSchedule' }],
    },
  });
}

/** By a policy that the API server itself applies, in the group’s latest version that it has. */
async function addSandboxPolicy(): Promise<void> {
  const group = '/apis/admissionregistration.k8s.io';
  const { versions } = await kubernetes.admin.get<{ versions: { groupVersion: string }[] }>(group);
  const served = versions.map(({ groupVersion }) => groupVersion);
  const apiVersion = await firstWith('mutatingadmissionpolicies', served);
  const base = { apiVersion, metadata: { name: 'sandbox' } };
  const resourceRules = [
    { apiGroups: [''], apiVersions: ['v1'], operations: ['CREATE'], resources: ['pods'] },
  ];
  const expression = '[JSONPatch{op: "add", path: "/spec/runtimeClassName", value: "sandbox"}]';
  await make(`/apis/${apiVersion}/mutatingadmissionpolicies`, {
    ...base,
    kind: 'MutatingAdmissionPolicy',
    spec: {
      matchConstraints: { resourceRules },
      reinvocationPolicy: 'IfNeeded',
      mutations: [{ patchType: 'JSONPatch', jsonPatch: { expression } }],
    },
  });
  await make(`/apis/${apiVersion}/mutatingadmissionpolicybindings`, {
    ...base,
    kind: 'MutatingAdmissionPolicyBinding',
    spec: { policyName: 'sandbox' },
  });
  await takesEffect('runtimeClassName');
}

async function firstWith(resource: string, groupVersions: readonly string[]): Promise<string> {
  for (const groupVersion of groupVersions) {
    const list = await kubernetes.admin.get<{ resources: { name: string }[] }>(
      `/apis/${groupVersion}`,
    );
    if (list.resources.some(({ name }) => name === resource)) return groupVersion;
  }
  throw new Error(`${resource} is in none of ${groupVersions.join(', ')}`);
}

test.each([
  [
    'webhook',
    async () => {
      const webhook = await PodWebhook.start(kubernetes);
      const value = 'sandbox';
      webhook.verdict = { patch: [{ op: 'add', path: '/spec/runtimeClassName', value }] };
      return webhook;
    },
  ],
  ['mutating policy', addSandboxPolicy],
])(
  'the overhead, nodes and tolerations of a runtime class that a %s sets are learned from the first pod',
  async (_, add) => {
    ask();
    await addSandbox();
    await using _added = (await add()) ?? { [Symbol.asyncDispose]: async () => undefined };
    await run(lease(0));
    // Of 1.5 cores each two fit on its node of four.
    await offered(2);
    for (const index of [1, 2]) {
      const { spec } = await run(lease(index));
      expect(spec).toMatchObject({ nodeName: 'sandbox-0', overhead: { cpu: '500m' } });
    }
    await offered(0);
  },
);

async function limit(edit: object, effect: string): Promise<void> {
  await make(`${NAMESPACE}/limitranges`, {
    apiVersion: 'v1',
    kind: 'LimitRange',
    metadata: { name: `limits-${jobs}` },
    spec: { limits: [{ type: 'Container', ...edit }] },
  });
  await takesEffect(effect);
}
const SCRATCH = 'ephemeral-storage';
const SCRATCH_DEFAULT = { default: { [SCRATCH]: '2Gi' }, defaultRequest: { [SCRATCH]: '2Gi' } };

test('what a limit range gives to containers that do not say is learned from the first pod', async () => {
  ask();
  await limit(SCRATCH_DEFAULT, SCRATCH);
  await run(lease(0));
  // Of 2 GiB each two fit on a node of 4 GiB; by cores there would be four.
  await offered(3);
  for (const index of [1, 2, 3]) await run(lease(index));
  await offered(0);
  await until('the reason', () => orders.offer?.shapes[0]?.reason?.includes('2 short of scratch'));
});

test.each([
  ['max', { max: { cpu: '500m' } }, 'maximum cpu usage per Container is 500m'],
  ['min', { min: { memory: '3Gi' } }, 'minimum memory usage per Container is 3Gi'],
  [
    'maxLimitRequestRatio',
    {
      default: { [SCRATCH]: '2Gi' },
      defaultRequest: { [SCRATCH]: '1Gi' },
      maxLimitRequestRatio: { [SCRATCH]: '1' },
    },
    'ephemeral-storage max limit to request ratio per Container is 1',
  ],
])(
  'a task that is against the %s of a limit range waits with its words, and one that is not runs',
  async (_, edit, words) => {
    ask();
    await limit(edit, words);
    orders.leases = [lease(0)];
    await refusal(words);
    await run(lease(1, { cpuMillis: 500, memoryBytes: 4 * GIBIBYTE, scratchBytes: GIBIBYTE }));
    expect(orders.running.size).toBe(1);
  },
);

test('what a limit range gives is counted by a quota, and the task beyond it waits with its words', async () => {
  ask();
  await limit(SCRATCH_DEFAULT, SCRATCH);
  const hard = { [`requests.${SCRATCH}`]: '5Gi' };
  await make(`${NAMESPACE}/resourcequotas`, {
    apiVersion: 'v1',
    kind: 'ResourceQuota',
    metadata: { name: 'scratch' },
    spec: { hard },
  });
  // As the controller would, which does not run here.
  await kubernetes.admin.request('PATCH', `${NAMESPACE}/resourcequotas/scratch/status`, {
    status: { hard, used: { [`requests.${SCRATCH}`]: '0' } },
  });
  await orders.run(lease(0));
  await orders.run(lease(1));
  orders.leases = [...orders.leases, lease(2)];
  await refusal('exceeded quota: scratch, requested: requests.ephemeral-storage=2Gi');
});
