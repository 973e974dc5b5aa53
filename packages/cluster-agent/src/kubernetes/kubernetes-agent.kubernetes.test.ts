import { setTimeout } from 'node:timers/promises';
import { DEFAULT_RESOURCES } from '@majorana/core';
import type {
  AgentOrders,
  AgentSync,
  EndedEvent,
  Lease,
  WaitingShape,
  WaitingShapes,
} from '@majorana/protocol';
import { containerSchema } from '@majorana/protocol';
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
import { systemClock } from '../system-clock.ts';
import { ApiServer } from './api-server.ts';
import { readKubeconfig } from './kubeconfig.ts';
import { KubernetesAgent } from './kubernetes-agent.ts';
import type { PodOptions } from './pod.ts';
import { AGENT_LABEL, makePod, podName } from './pod.ts';

const PATH = '/api/v1/namespaces/majorana/pods';
const options: PodOptions = {
  agentId: 'us',
  namespace: 'majorana',
  runnerImage: 'runner:1',
  runnerUrl: 'http://127.0.0.1:1',
  gpuResource: 'nvidia.com/gpu',
  hostPaths: [],
  runAsUser: 10_001,
  imagePullSecrets: [],
  annotations: {},
};

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

const container = containerSchema.parse({ image: 'play:run-3600000' });
const SHAPE: WaitingShape = { key: 'shape', resources: DEFAULT_RESOURCES, container };

/** What the control plane would say, line by line. */
class Orders implements AsyncDisposable {
  leases: Lease[] = [];
  endAttemptIds: string[] = [];
  readonly waiting: WaitingShapes = { digest: 'd', shapes: [SHAPE] };
  readonly ended = new Map<string, EndedEvent>();
  /** What the agent said last. */
  offer: AgentSync['offer'];
  report: AgentSync['report'];
  readonly running = new Set<string>();
  readonly #agent: KubernetesAgent;

  constructor(pods: PodOptions) {
    this.#agent = new KubernetesAgent({
      api,
      sessionId: 'of-this-test',
      onFenced: () => undefined,
      pods,
      objects: { read: () => Promise.reject(new Error('no object is asked for')) },
      clock: systemClock,
      log: () => undefined,
      exchange: async (sync) => {
        this.#hear(sync);
        await setTimeout(20);
        return this.#answer();
      },
    });
  }

  #hear({ events, offer, report }: AgentSync): void {
    for (const event of events) {
      if (event.kind === 'ended') this.ended.set(event.attemptId, event);
      if (event.kind === 'running') this.running.add(event.attemptId);
    }
    this.offer = offer;
    this.report = report ?? this.report;
  }

  #answer(): AgentOrders {
    const { leases, endAttemptIds } = this;
    const forgetAttemptIds = [...this.ended.keys()];
    const nothing = { logRequests: [], wantsHeldAttemptIds: false };
    return { leases, endAttemptIds, forgetAttemptIds, waiting: this.waiting, ...nothing };
  }

  static async start(pods: PodOptions = options): Promise<Orders> {
    const orders = new Orders(pods);
    await orders.#agent.start();
    return orders;
  }

  async end(attemptId: string): Promise<EndedEvent> {
    const event = await until(`the end of ${attemptId}`, () => this.ended.get(attemptId));
    this.leases = this.leases.filter((one) => one.attemptId !== attemptId);
    return event;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#agent.stop();
  }
}

const leaseOf = (attemptId: string): Lease => ({
  attemptId,
  jobName: '',
  argv: ['true'],
  env: {},
  inputs: [],
  outputs: [],
  resources: DEFAULT_RESOURCES,
  timeLimitMs: 0,
  graceMs: 0,
  taskCount: 1,
  container,
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
  const copy = makePod(leaseOf('job_9.0.1'), node, options) as { metadata: { name: string } };
  await create({ ...copy, metadata: { ...copy.metadata, name: 'a-copy' } });
  await create({ ...copy, metadata: { name: 'a-label', labels: { [AGENT_LABEL]: 'us' } } });
  await using _ = await Orders.start();
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
  const pod = makePod(leaseOf('job_1.0.1'), node, { ...options, agentId: 'a stranger' });
  await create(JSON.parse(JSON.stringify(pod).replaceAll('a stranger', 'stranger')) as object);
  await using orders = await Orders.start();
  orders.leases = [leaseOf('job_1.0.1')];
  const { outcome } = await orders.end('job_1.0.1');
  expect(outcome).toMatchObject({ kind: 'start_error', reason: expect.stringContaining(name) });
  expect(await podNames()).toEqual([name]);
  await clear();
});

test('an attempt cancelled before the answer to its creation was heard leaves no pod', async () => {
  await using orders = await Orders.start();
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
  orders.leases = [leaseOf('job_2.0.1')];
  await made;
  expect(await podNames()).toEqual([podName('job_2.0.1')]);
  proxy.onStep = () => undefined;
  proxy.mend();
  expect((await orders.end('job_2.0.1')).outcome.kind).toBe('cancelled');
  await until('the pod to be gone', async () => (await podNames()).length === 0);
});

test('a quota that is used up holds a task back, is told as the reason, and after a while its lease goes back', async () => {
  await setPodQuota(kubernetes, 'majorana', 1);
  await using orders = await Orders.start();
  orders.leases = [leaseOf('job_3.0.1'), leaseOf('job_3.1.1')];
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
  orders.leases = [...orders.leases, leaseOf('job_3.1.2')];
  await until('it to run where it may', () => orders.running.has('job_3.1.2'));
  expect(orders.offer?.shapes[0]?.count).toBeGreaterThan(0);
  orders.endAttemptIds = [...orders.running];
  for (const attemptId of orders.endAttemptIds) await orders.end(attemptId);
  await liftPodQuota(kubernetes, 'majorana');
});

test('a gang of which a quota lets only some pods be goes back, and leaves none of them', async () => {
  await setPodQuota(kubernetes, 'majorana', 1);
  await using orders = await Orders.start();
  const gang = { nodes: 2, ranksPerNode: 1 };
  orders.leases = [{ ...leaseOf('job_5.0.1'), gang }];
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
  await using orders = await Orders.start({ ...options, namespace: 'elsewhere' });
  orders.leases = [leaseOf('job_4.0.1')];
  const reason = /its pods are refused: .*404.*"elsewhere" not found/;
  await until('the reason', () => reason.test(orders.offer?.shapes[0]?.reason ?? ''));
  await kubernetes.createNamespace('elsewhere');
  await until('it to run', () => orders.running.has('job_4.0.1'));
  orders.endAttemptIds = ['job_4.0.1'];
  await orders.end('job_4.0.1');
});
