import { NO_RESOURCES } from '@majorana/core';
import type { ClusterReport } from '@majorana/protocol';
import type { Placer } from '../engine/agent.ts';
import { Agent } from '../engine/agent.ts';
import type { AgentClock, Exchange } from '../engine/ports.ts';
import { AgentSession } from '../engine/session.ts';
import type { RunnerObjects } from '../runner/runner-end.ts';
import type { ApiServer } from './api-server.ts';
import { makeNodesPage, makeReport, ReportPace } from './cluster-report.ts';
import { ClusterRoom } from './cluster-room.ts';
import { ClusterView } from './cluster-view.ts';
import { GangHost } from './gang-host.ts';
import type { KubernetesNode, Pod } from './objects.ts';
import { PodHost } from './pod-host.ts';
import type { StartLimits } from './pod-standing.ts';
import type { PodOptions } from './pod.ts';
import { Reflector } from './reflector.ts';
import { ServerVersion } from './server-version.ts';

/**
 * A pod takes a second or more to start, so a tenth of one is not missed, and 130 tasks a second
 * end at a third of the cost of an exchange for each event.
 */
const PACE_MS = 100;
/** Watches lose nothing; this is for what only time tells, such as a node that stays silent. */
const SWEEP_MS = 10_000;

export interface KubernetesAgentOptions {
  readonly api: ApiServer;
  readonly pods: PodOptions;
  readonly objects: RunnerObjects;
  readonly exchange: Exchange;
  /** Random, of this one agent: of two of one name, one acts. */
  readonly sessionId: string;
  /** Another acts: this one is to be stopped and thrown away. */
  readonly onFenced: () => void;
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
  readonly #clock: AgentClock;
  readonly #session: AgentSession;
  readonly #version: ServerVersion;
  readonly #nodes: Reflector<KubernetesNode>;
  readonly #pods: Reflector<Pod>;

  constructor(options: KubernetesAgentOptions) {
    const { api, pods, clock, log, exchange, sessionId } = options;
    const { agentId } = pods;
    // The time of day may be set while an agent runs; how long ago a message was sent may not.
    const steadyClock = { ...clock, nowMs: () => performance.now() };
    const session = new AgentSession({ agentId, id: sessionId, exchange, clock: steadyClock, log });
    this.#version = new ServerVersion(() => api.request('GET', '/version'));
    this.#clock = clock;
    this.#session = session;
    const mayAct = (): boolean => session.mayAct();
    const host: PodHost = new PodHost(
      { ...options, mayAct },
      (this.view = this.#makeView(options, () => host)),
    );
    const { view } = this;
    const room: ClusterRoom = new ClusterRoom({
      view,
      clock,
      leaseOf: (attemptId) => host.leaseOf(attemptId),
      podKey: (attemptId) => host.podKey(attemptId),
      placeOf: (attemptId) => host.placeOf(attemptId),
      startWords: (attemptId) => host.startWords(attemptId),
      onRoom: () => placer.onRoom(),
    });
    host.room = this.room = room;
    const placer: Placer = {
      ...this.#reporting(host, options),
      room,
      get capacity() {
        return view.capacity;
      },
      offer: (waiting) => room.offer(waiting),
      onRoom: () => undefined,
    };
    this.#agent = new Agent({
      agentId,
      capacity: NO_RESOURCES,
      host: new GangHost(host, clock),
      placer,
      needsRunnerTokens: true,
      paceMs: PACE_MS,
      sweepMs: SWEEP_MS,
      ...(options.corePricePerHour !== undefined && { corePricePerHour: options.corePricePerHour }),
      session,
      onFenced: options.onFenced,
      exchange,
      clock,
      log,
    });
    this.#nodes = new Reflector(api, { path: '/api/v1/nodes' }, nodesInto(view, host, room), log);
    this.#pods = new Reflector(api, { path: '/api/v1/pods' }, podsInto(view, host, room), log);
  }

  #makeView({ pods }: KubernetesAgentOptions, host: () => PodHost): ClusterView {
    return new ClusterView({ gpu: pods.gpuResource }, (pod) => host().isOurs(pod));
  }

  #reporting(
    host: PodHost,
    { api, clock }: KubernetesAgentOptions,
  ): Pick<Placer, 'report' | 'reportDelivered' | 'nodes'> {
    const pace = new ReportPace();
    const make = (): ClusterReport => {
      const { limit } = this.room.window;
      const { startingCount: starting, waitingCount: waiting, why } = this.room;
      const parts = {
        kubernetesVersion: this.#version.current(clock.nowMs()),
        podsByPhase: host.phases(),
        window: { limit: Math.floor(limit), starting, waiting, why: why.slice(0, 1000) },
        api: api.stats.summary(),
      };
      return makeReport(this.view.pictures(), parts, clock.nowMs());
    };
    return {
      report: (isServerNew) => pace.due(make, clock.nowMs(), isServerNew),
      reportDelivered: (report) => pace.delivered(report),
      nodes: (request) => makeNodesPage(this.view.pictures(), request, clock.nowMs()),
    };
  }

  /**
   * Resolves when the cluster is known and its attempts are held again; to false when it was
   * stopped before. The cluster is looked at once this agent may act: what one before it did last
   * is seen then.
   */
  async start(): Promise<boolean> {
    if (!(await this.#session.claim())) return false;
    await Promise.all([
      this.#version.read(this.#clock.nowMs()),
      this.#nodes.start(),
      this.#pods.start(),
    ]);
    await this.#agent.start();
    return true;
  }

  /** Ends no task. */
  async stop(): Promise<void> {
    await this.#agent.stop();
    await Promise.all([this.#nodes.stop(), this.#pods.stop()]);
  }
}

function nodesInto(view: ClusterView, host: PodHost, room: ClusterRoom) {
  const take = (node: KubernetesNode): void => {
    const { name } = node.metadata;
    view.setNode(node);
    if (!view.isReady(name)) host.lookAtNode(name);
  };
  const drop = (name: string): void => {
    view.removeNode(name);
    host.lookAtNode(name);
  };
  return {
    set: (node: KubernetesNode): void => {
      take(node);
      room.plan();
    },
    remove: ({ metadata }: KubernetesNode): void => drop(metadata.name),
    replace: (nodes: readonly KubernetesNode[]): void => {
      const names = new Set(nodes.map(({ metadata }) => metadata.name));
      for (const name of view.nodeNames) if (!names.has(name)) drop(name);
      for (const node of nodes) take(node);
      room.plan();
    },
  };
}

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
