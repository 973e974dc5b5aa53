import { NO_RESOURCES } from '@majorana/core';
import type { Placer } from '../engine/agent.ts';
import { Agent } from '../engine/agent.ts';
import type { AgentClock, Exchange } from '../engine/ports.ts';
import type { RunnerObjects } from '../runner/runner-end.ts';
import type { ApiServer } from './api-server.ts';
import { ClusterRoom } from './cluster-room.ts';
import { ClusterView } from './cluster-view.ts';
import { GangHost } from './gang-host.ts';
import type { KubernetesNode, Pod } from './objects.ts';
import { PodHost } from './pod-host.ts';
import type { StartLimits } from './pod-standing.ts';
import type { PodOptions } from './pod.ts';
import { Reflector } from './reflector.ts';

export interface KubernetesAgentOptions {
  readonly api: ApiServer;
  readonly pods: PodOptions;
  readonly objects: RunnerObjects;
  readonly exchange: Exchange;
  readonly clock: AgentClock;
  readonly corePricePerHour?: number;
  readonly limits?: StartLimits;
  readonly nodePatienceMs?: number;
  readonly log: (message: string, details: object) => void;
}

/** Puts a cluster's agent together: watches, the picture of the nodes, pods, the loop of leases. */
export class KubernetesAgent {
  readonly view: ClusterView;
  readonly room: ClusterRoom;
  readonly #agent: Agent;
  readonly #nodes: Reflector<KubernetesNode>;
  readonly #pods: Reflector<Pod>;

  constructor(options: KubernetesAgentOptions) {
    const { api, pods, clock, log } = options;
    const host: PodHost = new PodHost(options, (this.view = this.#makeView(options, () => host)));
    const { view } = this;
    const room: ClusterRoom = new ClusterRoom({
      view,
      clock,
      leaseOf: (attemptId) => host.leaseOf(attemptId),
      podKey: (attemptId) => host.podKey(attemptId),
      placeOf: (attemptId) => host.placeOf(attemptId),
      onRoom: () => placer.onRoom(),
    });
    host.room = this.room = room;
    const placer: Placer = {
      room,
      get capacity() {
        return view.capacity;
      },
      offer: (waiting) => room.offer(waiting),
      onRoom: () => undefined,
    };
    this.#agent = new Agent({
      agentId: pods.agentId,
      capacity: NO_RESOURCES,
      host: new GangHost(host, clock),
      placer,
      needsRunnerTokens: true,
      ...(options.corePricePerHour !== undefined && { corePricePerHour: options.corePricePerHour }),
      exchange: options.exchange,
      clock,
      log,
    });
    this.#nodes = new Reflector(api, { path: '/api/v1/nodes' }, nodesInto(view, room), log);
    this.#pods = new Reflector(api, { path: '/api/v1/pods' }, podsInto(view, host, room), log);
  }

  #makeView({ pods }: KubernetesAgentOptions, host: () => PodHost): ClusterView {
    return new ClusterView({ gpu: pods.gpuResource }, (pod) => host().isOurs(pod));
  }

  /** Resolves when the cluster is known and its attempts are held again. */
  async start(): Promise<void> {
    await Promise.all([this.#nodes.start(), this.#pods.start()]);
    await this.#agent.start();
  }

  /** Ends no task. */
  async stop(): Promise<void> {
    await this.#agent.stop();
    await Promise.all([this.#nodes.stop(), this.#pods.stop()]);
  }
}

const nodesInto = (view: ClusterView, room: ClusterRoom) => ({
  set: (node: KubernetesNode): void => {
    view.setNode(node);
    room.plan();
  },
  remove: (node: KubernetesNode): void => view.removeNode(node.metadata.name),
  replace: (nodes: readonly KubernetesNode[]): void => {
    const names = new Set(nodes.map(({ metadata }) => metadata.name));
    for (const name of view.nodeNames) if (!names.has(name)) view.removeNode(name);
    for (const node of nodes) view.setNode(node);
    room.plan();
  },
});

const podsInto = (view: ClusterView, host: PodHost, room: ClusterRoom) => ({
  set: (pod: Pod): void => {
    view.setPod(pod);
    if (host.isOurs(pod)) host.see(pod);
  },
  remove: (pod: Pod): void => {
    view.removePod(pod);
    if (host.isOurs(pod)) host.miss(pod);
    room.plan();
  },
  replace: (pods: readonly Pod[], version: string): void => {
    view.dropAllPodsBut(
      new Set(pods.map(({ metadata: { namespace, name } }) => `${namespace}/${name}`)),
    );
    for (const pod of pods) view.setPod(pod);
    const ours = pods.filter((pod) => host.isOurs(pod));
    host.missAllBut(new Set(ours.map(({ metadata }) => metadata.name)), version);
    for (const pod of ours) host.see(pod);
    room.plan();
  },
});
