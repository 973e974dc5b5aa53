import { setTimeout } from 'node:timers/promises';
import { DEFAULT_RESOURCES } from '@majorana/core';
import type {
  AgentOrders,
  AgentSync,
  EndedEvent,
  Lease,
  NodesAnswer,
  NodesRequest,
  WaitingShape,
  WaitingShapes,
} from '@majorana/protocol';
import { containerSchema } from '@majorana/protocol';
import { until } from '@majorana/testing';
import { systemClock } from '../system-clock.ts';
import type { ApiServer } from './api-server.ts';
import { KubernetesAgent } from './kubernetes-agent.ts';
import type { PodOptions } from './pod.ts';

export const TEST_PODS: PodOptions = {
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

const container = containerSchema.parse({ image: 'play:run-3600000' });
const SHAPE: WaitingShape = { key: 'shape', resources: DEFAULT_RESOURCES, container };

/** What the control plane would say, line by line. */
export class Orders implements AsyncDisposable {
  leases: Lease[] = [];
  endAttemptIds: string[] = [];
  waiting: WaitingShapes = { digest: 'd', shapes: [SHAPE] };
  readonly ended = new Map<string, EndedEvent>();
  /** What the agent said last. */
  offer: AgentSync['offer'];
  report: AgentSync['report'];
  readonly running = new Set<string>();
  nodesRequests: NodesRequest[] = [];
  nodesAnswer: NodesAnswer | undefined;
  readonly #agent: KubernetesAgent;

  constructor(api: ApiServer, pods: PodOptions) {
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

  #hear({ events, offer, report, nodesAnswers }: AgentSync): void {
    for (const event of events) {
      if (event.kind === 'ended') this.ended.set(event.attemptId, event);
      if (event.kind === 'running') this.running.add(event.attemptId);
    }
    this.offer = offer;
    this.report = report ?? this.report;
    this.nodesAnswer = nodesAnswers?.[0] ?? this.nodesAnswer;
  }

  #answer(): AgentOrders {
    const { leases, endAttemptIds } = this;
    const forgetAttemptIds = [...this.ended.keys()];
    const nodesRequests = this.nodesRequests.splice(0);
    const nothing = { logRequests: [], wantsHeldAttemptIds: false };
    return {
      leases,
      endAttemptIds,
      forgetAttemptIds,
      waiting: this.waiting,
      nodesRequests,
      ...nothing,
    };
  }

  static async start(api: ApiServer, pods: PodOptions = TEST_PODS): Promise<Orders> {
    const orders = new Orders(api, pods);
    await orders.#agent.start();
    return orders;
  }

  async end(attemptId: string): Promise<EndedEvent> {
    const event = await until(`the end of ${attemptId}`, () => this.ended.get(attemptId));
    this.leases = this.leases.filter((one) => one.attemptId !== attemptId);
    return event;
  }

  async run(lease: Lease): Promise<void> {
    if (!this.leases.includes(lease)) this.leases = [...this.leases, lease];
    const { attemptId } = lease;
    await until(`${attemptId} to run`, () => this.running.has(attemptId));
  }

  async cancel(...leases: readonly Lease[]): Promise<void> {
    this.endAttemptIds = leases.map(({ attemptId }) => attemptId);
    for (const attemptId of this.endAttemptIds) {
      await this.end(attemptId);
      this.running.delete(attemptId);
    }
    this.endAttemptIds = [];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#agent.stop();
  }
}

/** Of a pod that runs until it is ended. */
export const testLease = (attemptId: string, gang?: Lease['gang']): Lease => ({
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
  ...(gang !== undefined && { gang }),
});
