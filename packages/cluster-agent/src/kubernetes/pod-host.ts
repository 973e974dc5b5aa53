import type { AttemptOutcome } from '@majorana/core';
import { parseAttemptId } from '@majorana/core';
import type { EndedEvent, Lease } from '@majorana/protocol';
import type { AgentClock, AttemptHost, AttemptStanding } from '../engine/ports.ts';
import { HeldBackError, LeaseRefusedError } from '../engine/ports.ts';
import type { RunnerObjects } from '../runner/runner-end.ts';
import { parseRunnerEnd, runnerEndedEvent } from '../runner/runner-end.ts';
import type { ApiServer } from './api-server.ts';
import { ApiServerError } from './api-server.ts';
import type { ClusterRoom } from './cluster-room.ts';
import type { ClusterView } from './cluster-view.ts';
import { attemptOfMember } from './gang-member.ts';
import type { KubernetesEvent, Pod } from './objects.ts';
import { Orphans } from './orphans.ts';
import type { PodStanding, SilentEnd, StartLimits } from './pod-standing.ts';
import { deletedReason, standingOf } from './pod-standing.ts';
import type { StartWord } from './start-words.ts';
import { lastWord } from './start-words.ts';
import type { PodOptions } from './pod.ts';
import {
  AGENT_LABEL,
  attemptOf,
  isTaskContainer,
  leaseOf,
  makePod,
  podName,
  refusalOf,
} from './pod.ts';

const MINUTE = 60_000;
export const START_LIMITS: StartLimits = {
  pullPatienceMs: 10 * MINUTE,
  // Of a 17 GB image the pull took 30 minutes on a fresh node.
  startPatienceMs: 60 * MINUTE,
};
/** A start that takes longer is looked into, so often; each look is a request to the API server. */
const LOOK_MS = 10_000;
/** As Kubernetes' own: what ran on a silent node is given up after this. */
export const NODE_PATIENCE_MS = 5 * MINUTE;

const NOT_ITS_RUNNERS = 'its last word is not its runner’s: its program wrote over it';

export interface PodHostOptions {
  readonly api: ApiServer;
  readonly clock: AgentClock;
  readonly pods: PodOptions;
  readonly objects: RunnerObjects;
  readonly limits?: StartLimits;
  readonly nodePatienceMs?: number;
  /** False while another agent of this name may act. */
  readonly mayAct?: () => boolean;
  readonly log: (message: string, details: object) => void;
}

interface Known {
  readonly lease: Lease;
  /** As the watch last showed it. */
  pod?: Pod;
  /** It is no longer in the cluster. */
  isDeleted: boolean;
  /** A creation got no clear answer: there may be a pod that nobody told us of. */
  mayExist: boolean;
  /** A user ended it, so we asked for its deletion. */
  isOrdered: boolean;
  /** The kubelet's last word on its start, when it was asked for. */
  word?: { readonly word: StartWord | undefined; readonly atMs: number };
  /** The API server will never take its pod. */
  refusal?: string;
  /** It does not take its pod now, by a rule of the cluster's. */
  heldBack?: string;
  outcome?: EndedEvent;
}

const newlyKnown = (lease: Lease): Known => ({
  lease,
  isDeleted: false,
  mayExist: false,
  isOrdered: false,
});

const isStatus = (error: unknown, ...statuses: number[]): boolean =>
  error instanceof ApiServerError && statuses.includes(error.status);

/** Of the pod itself, or of the namespace's pod security level, which lets no such pod be. */
const isForGood = (error: unknown): boolean =>
  isStatus(error, 400, 422) ||
  (isStatus(error, 403) && (error as Error).message.includes('violates PodSecurity'));

/** A quota, a limit, a policy, a role or a token that was taken away, a namespace that is gone. */
const isHeldBack = (error: unknown): boolean => isStatus(error, 401, 403, 404);

/**
 * Runs attempts as pods. The cluster itself is what must not be forgotten: an agent that starts
 * anew finds its pods by their label, and makes none a second time, since names are unique.
 */
export class PodHost implements AttemptHost {
  /** What a pod left is stored; only the way to the list of it may be broken, as in a cut. */
  readonly collectPatienceMs = 120 * MINUTE;
  readonly #options: PodHostOptions;
  readonly #view: ClusterView;
  readonly #known = new Map<string, Known>();
  readonly #orphans: Orphans;
  #room!: ClusterRoom;
  /** The agent knows what there is: any other pod of ours is one that nobody holds. */
  #isListed = false;
  #onChange: (attemptId: string) => void = () => undefined;

  constructor(options: PodHostOptions, view: ClusterView) {
    this.#options = options;
    this.#view = view;
    const { clock, log, mayAct } = options;
    this.#orphans = new Orphans({
      clock,
      log,
      isLeftAlone: (attemptId) => this.#known.has(attemptId) || mayAct?.() === false,
      remove: (attemptId) => this.#delete(attemptId, 0),
    });
  }

  set room(room: ClusterRoom) {
    this.#room = room;
  }

  isOurs(pod: Pod): boolean {
    const { agentId, namespace } = this.#options.pods;
    const { metadata } = pod;
    if (metadata.namespace !== namespace || metadata.labels?.[AGENT_LABEL] !== agentId)
      return false;
    // Somebody's copy of a pod of ours has another name, or a label and no attempt.
    const id = attemptOf(pod);
    return parseAttemptId(attemptOfMember(id)) !== undefined && podName(id) === metadata.name;
  }

  /** How many of our pods are in which phase. */
  phases(): Record<string, number> {
    const counts: Record<string, number> = {};
    for (const { pod, isDeleted } of this.#known.values()) {
      if (pod === undefined || isDeleted) continue;
      const phase = pod.status?.phase ?? 'Pending';
      counts[phase] = (counts[phase] ?? 0) + 1;
    }
    return counts;
  }

  podKey(attemptId: string): string {
    return `${this.#options.pods.namespace}/${podName(attemptId)}`;
  }

  leaseOf(attemptId: string): Lease {
    return this.#known.get(attemptId)!.lease;
  }

  /** Where its pod is, if there is one. */
  placeOf(attemptId: string): { readonly nodeName: string; readonly image: string } | undefined {
    const { nodeName, containers } = this.#known.get(attemptId)?.pod?.spec ?? {};
    if (nodeName === undefined) return undefined;
    return { nodeName, image: containers?.find(isTaskContainer)?.image ?? '' };
  }

  /** From the watch. */
  see(pod: Pod): void {
    const attemptId = attemptOf(pod);
    const known = this.#known.get(attemptId);
    if (known === undefined) this.#meet(pod, attemptId);
    else {
      known.pod = pod;
      known.isDeleted = false;
    }
    this.#onChange(attemptId);
  }

  #meet(pod: Pod, attemptId: string): void {
    if (!this.#isListed)
      this.#known.set(attemptId, { ...newlyKnown(leaseOf(pod, this.#options.pods)), pod });
    // Its creation was given up, and came through all the same.
    else if (pod.metadata.deletionTimestamp === undefined) this.#orphans.end(attemptId);
  }

  /** A node is gone or silent: what runs there is looked at, also when it has been silent too long. */
  lookAtNode(nodeName: string): void {
    const { clock, nodePatienceMs = NODE_PATIENCE_MS } = this.#options;
    const look = (): void => {
      for (const [attemptId, { pod }] of this.#known)
        if (pod?.spec.nodeName === nodeName) this.#onChange(attemptId);
    };
    look();
    clock.after(nodePatienceMs + 1, look);
  }

  /** From the watch: deleted, as it was at last. */
  miss(pod: Pod): void {
    const attemptId = attemptOf(pod);
    const known = this.#known.get(attemptId);
    if (known === undefined) return;
    known.pod = pod;
    known.isDeleted = true;
    this.#onChange(attemptId);
  }

  /** After a gap in the watch: pods as old as the list that are not in it are gone. */
  missAllBut(names: ReadonlySet<string>, version: string): void {
    for (const { pod, isDeleted } of this.#known.values()) {
      if (pod === undefined || isDeleted || names.has(pod.metadata.name)) continue;
      if (Number(pod.metadata.resourceVersion) <= Number(version)) this.miss(pod);
    }
  }

  async list(): Promise<{ readonly attemptId: string; readonly lease: Lease }[]> {
    this.#isListed = true;
    return [...this.#known].map(([attemptId, { lease }]) => ({ attemptId, lease }));
  }

  async inspect(attemptId: string): Promise<AttemptStanding> {
    const known = this.#known.get(attemptId);
    if (known === undefined) return { kind: 'absent' };
    if (known.outcome !== undefined) return { kind: 'collected', event: known.outcome };
    if (known.refusal !== undefined) return { kind: 'exited' };
    const { pod } = known;
    if (pod === undefined) return { kind: 'accepted' };
    const standing = this.#standing(known, pod);
    if (standing.kind === 'starting') this.#lookIfSlow(known, pod);
    if (standing.kind === 'told' || standing.kind === 'silent') return { kind: 'exited' };
    if (known.isDeleted && known.isOrdered) return { kind: 'exited' };
    if (known.isDeleted) return { kind: 'gone', reason: deletedReason(pod) };
    const { nodePatienceMs = NODE_PATIENCE_MS, clock } = this.#options;
    const trouble = this.#view.troubleOf(pod.spec.nodeName ?? '', clock.nowMs(), nodePatienceMs);
    const faultyNode = pod.spec.nodeName ?? '';
    if (trouble !== undefined) return { kind: 'gone', reason: trouble, faultyNode };
    // The kubelet tells of a start up to 2 s late.
    return standing.kind === 'running' ? standing : { kind: 'accepted', mayBegin: true };
  }

  #standing(known: Known, pod: Pod): PodStanding {
    const { clock, limits = START_LIMITS } = this.#options;
    return standingOf(pod, clock.nowMs(), limits, known.word?.word);
  }

  #lookIfSlow(known: Known, { metadata }: Pod): void {
    const { clock, log } = this.#options;
    const nowMs = clock.nowMs();
    const lastMs = known.word?.atMs ?? Date.parse(metadata.creationTimestamp ?? '');
    if (!(nowMs - lastMs >= LOOK_MS)) return;
    known.word = { word: known.word?.word, atMs: nowMs };
    this.#look(known).catch((error: unknown) =>
      log('the events of a slow start cannot be read', { error: String(error) }),
    );
  }

  async #look(known: Known): Promise<StartWord | undefined> {
    const { api, pods, clock } = this.#options;
    const field = encodeURIComponent(`involvedObject.uid=${known.pod?.metadata.uid}`);
    const path = `/api/v1/namespaces/${pods.namespace}/events?fieldSelector=${field}`;
    const { items } = await api.request<{ items: KubernetesEvent[] }>('GET', path);
    known.word = { word: lastWord(items), atMs: clock.nowMs() };
    return known.word.word;
  }

  async describeStart(attemptId: string): Promise<string> {
    const known = this.#known.get(attemptId);
    if (known?.pod === undefined)
      return `its pod has not been created yet${known?.heldBack === undefined ? '' : `: ${known.heldBack}`}`;
    const { spec, metadata } = known.pod;
    await this.#look(known).catch(() => undefined);
    const standing = this.#standing(known, known.pod);
    if (standing.kind !== 'starting') return '';
    const waitedMs = this.#options.clock.nowMs() - Date.parse(metadata.creationTimestamp ?? '');
    return `${standing.doing}, on node ${spec.nodeName} for ${Math.round(waitedMs / 1000)} s`;
  }

  async accept(lease: Lease): Promise<void> {
    const { attemptId, container } = lease;
    if (container === undefined) throw new LeaseRefusedError('this cluster runs images only');
    const refusal = refusalOf(container, this.#options.pods);
    if (refusal !== undefined) throw new LeaseRefusedError(refusal);
    const known = this.#known.get(attemptId);
    if (known?.pod === undefined) this.#known.set(attemptId, newlyKnown(lease));
  }

  async start(attemptId: string): Promise<void> {
    const known = this.#known.get(attemptId)!;
    const nodeName = this.#room.nodeOf(attemptId);
    if (known.pod !== undefined || nodeName === undefined) return;
    const { api, pods, clock } = this.#options;
    const begunMs = clock.nowMs();
    try {
      const body = makePod(known.lease, nodeName, pods);
      const pod = await api.request<Pod>('POST', `/api/v1/namespaces/${pods.namespace}/pods`, body);
      known.pod ??= pod;
      delete known.heldBack;
      this.#room.created(attemptId, clock.nowMs() - begunMs);
    } catch (error) {
      await this.#refused(known, attemptId, error);
    }
  }

  async #refused(known: Known, attemptId: string, error: unknown): Promise<void> {
    if (isStatus(error, 409)) return this.#adopt(known, attemptId);
    if (isForGood(error)) {
      known.refusal = (error as Error).message;
      return;
    }
    if (isHeldBack(error)) {
      known.heldBack = (error as Error).message;
      this.#room.refused(attemptId, known.heldBack);
      throw new HeldBackError(known.heldBack);
    }
    const { status, retryAfterMs } =
      error instanceof ApiServerError ? error : { status: 0, retryAfterMs: 0 };
    if (status === 0 || status >= 500) known.mayExist = true;
    if (status === 0 || status === 429 || status >= 500)
      this.#room.learn({ kind: 'refused', status, retryAfterMs });
    throw error;
  }

  /** It was made before, and nobody heard: the answer was lost, or another agent did it. */
  async #adopt(known: Known, attemptId: string): Promise<void> {
    const { api, pods } = this.#options;
    const path = `/api/v1/namespaces/${pods.namespace}/pods/${podName(attemptId)}`;
    const pod = await api.request<Pod>('GET', path);
    if (this.isOurs(pod) && attemptOf(pod) === attemptId) known.pod ??= pod;
    else {
      known.refusal = `there is a pod ${podName(attemptId)} that is not ours`;
      known.mayExist = false;
    }
  }

  async end(attemptId: string): Promise<void> {
    const known = this.#known.get(attemptId);
    if (known?.pod === undefined || known.isOrdered) return;
    await this.#delete(attemptId, undefined);
    known.isOrdered = true;
  }

  /** A grace of 0 takes it from the API server at once: for what has ended. */
  async #delete(attemptId: string, graceSeconds: 0 | undefined): Promise<void> {
    const { api, pods } = this.#options;
    const query = graceSeconds === undefined ? '' : `?gracePeriodSeconds=${graceSeconds}`;
    const path = `/api/v1/namespaces/${pods.namespace}/pods/${podName(attemptId)}${query}`;
    await api.delete(path).catch((error: unknown) => {
      if (!isStatus(error, 404)) throw error;
      const known = this.#known.get(attemptId);
      if (known !== undefined) known.isDeleted = true;
    });
  }

  /** Also one that is not known to be there: it may have been made, and nobody heard. */
  async #clear(known: Known, attemptId: string): Promise<void> {
    if (known.isDeleted || (known.pod === undefined && !known.mayExist)) return;
    await this.#delete(attemptId, 0);
    known.isDeleted = true;
  }

  async collect(attemptId: string): Promise<EndedEvent> {
    const known = this.#known.get(attemptId)!;
    known.outcome ??= await this.#read(known, attemptId);
    return known.outcome;
  }

  async #read(known: Known, attemptId: string): Promise<EndedEvent> {
    const { objects, clock } = this.#options;
    const { lease, pod, isOrdered } = known;
    const nowMs = clock.nowMs();
    if (known.refusal !== undefined)
      return silentEvent(
        known,
        { kind: 'start_error', reason: `could not start: ${known.refusal}` },
        nowMs,
      );
    const standing = this.#standing(known, pod!);
    if (standing.kind === 'told') {
      this.#view.praise(pod!.spec.nodeName ?? '');
      const end = parseRunnerEnd(standing.message);
      const { cause, isOverScratch } = standing;
      if (end?.attemptId === attemptOfMember(attemptId))
        return runnerEndedEvent(end, {
          lease,
          objects,
          isOrdered,
          isOverScratch,
          nowMs,
          ...(cause !== undefined && { cause }),
        });
    }
    if (isOrdered)
      return silentEvent(known, { kind: 'cancelled', reason: 'cancelled by a user' }, nowMs);
    if (standing.kind === 'told')
      return silentEvent(known, { kind: 'exit_code', reason: NOT_ITS_RUNNERS }, nowMs);
    if (standing.kind !== 'silent') throw new Error(`${attemptId} has not ended`);
    return this.#silent(known, standing.end, nowMs);
  }

  #silent(known: Known, end: SilentEnd, nowMs: number): EndedEvent {
    const { kind, exitCode, reason, fault } = end;
    const nodeName = known.pod?.spec.nodeName ?? '';
    if (fault !== 'none') this.#view.blame(nodeName, { fault, reason }, nowMs);
    if (fault === 'broke') this.#room.learn({ kind: 'start_failed', why: reason.slice(0, 200) });
    const outcome: AttemptOutcome = {
      kind,
      reason,
      ...(exitCode !== undefined && { exitCode }),
      ...(fault === 'broke' && { faultyNode: nodeName }),
    };
    return silentEvent(known, outcome, nowMs);
  }

  async conclude(event: EndedEvent): Promise<void> {
    const { attemptId } = event;
    const known = this.#known.get(attemptId);
    if (known === undefined) return;
    await this.#clear(known, attemptId);
    known.outcome = event;
  }

  /** The pod goes when its end is on record, and not before: it is what remembers it. */
  async forget(attemptId: string): Promise<void> {
    const known = this.#known.get(attemptId);
    if (known === undefined) return;
    await this.#clear(known, attemptId);
    this.#known.delete(attemptId);
  }

  /** The runner's link brings the log of what runs. */
  async readLog(): Promise<Uint8Array> {
    throw new Error('this agent has no logs; their runners have');
  }

  onChange(callback: (attemptId: string) => void): void {
    this.#onChange = callback;
  }
}

function silentEvent(known: Known, outcome: AttemptOutcome, nowMs: number): EndedEvent {
  const { attemptId } = known.lease;
  const started = known.pod?.status?.startTime;
  return {
    kind: 'ended',
    attemptId,
    atMs: nowMs,
    ...(started !== undefined &&
      outcome.kind !== 'start_error' && { startedAtMs: Date.parse(started) }),
    outcome,
    peakMemoryBytes: 0,
    cpuTimeMs: 0,
    artifacts: [],
  };
}
