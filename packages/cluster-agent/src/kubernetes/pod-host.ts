import type { EndedEvent, Lease } from '@majorana/protocol';
import type { AgentClock, AttemptHost, AttemptStanding } from '../engine/ports.ts';
import { HeldBackError, LeaseRefusedError } from '../engine/ports.ts';
import type { RunnerObjects } from '../runner/runner-end.ts';
import { needsOf } from './additions.ts';
import type { ApiServer } from './api-server.ts';
import type { ClusterRoom } from './cluster-room.ts';
import type { ClusterView } from './cluster-view.ts';
import { attemptOfMember } from './gang-member.ts';
import type { HeldPod } from './held-pod.ts';
import { mayBeThere, newHeldPod } from './held-pod.ts';
import type { Pod } from './objects.ts';
import { Orphans } from './orphans.ts';
import { OwnPods } from './own-pods.ts';
import type { FailedCreation } from './pod-creation.ts';
import { createPod, isOverload, mayHaveBeenMade } from './pod-creation.ts';
import { readPodEnd, refusedEnd } from './pod-end.ts';
import type { PodStanding, SilentEnd, StartLimits } from './pod-standing.ts';
import { deletedReason, keepsRoom, overdueReason } from './pod-standing.ts';
import { NOT_CREATED, PodStart } from './pod-start.ts';
import type { PodOptions } from './pod.ts';
import { attemptOf, isTaskContainer, refusalOf } from './pod.ts';

const MINUTE = 60_000;
/** As Kubernetes' own: what ran on a node that is silent, or does not end it, is given up after this. */
export const NODE_PATIENCE_MS = 5 * MINUTE;

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

/**
 * Runs attempts as pods. The cluster itself is what must not be forgotten: an agent that starts
 * anew finds its pods by their label, and makes none a second time, since names are unique.
 */
export class PodHost implements AttemptHost {
  /** What a pod left is stored; only the way to the list of it may be broken, as in a cut. */
  readonly collectPatienceMs = 120 * MINUTE;
  readonly #options: PodHostOptions;
  readonly #view: ClusterView;
  readonly #pods: OwnPods;
  readonly #starts: PodStart;
  readonly #orphans: Orphans;
  /** By attempt, or by member of a gang. */
  readonly #held = new Map<string, HeldPod>();
  #room!: ClusterRoom;
  /** The agent knows what there is: any other pod of ours is one that nobody holds. */
  #isListed = false;
  #onChange: (attemptId: string) => void = () => undefined;

  constructor(options: PodHostOptions, view: ClusterView) {
    this.#options = options;
    this.#view = view;
    const { api, clock, limits, log, mayAct } = options;
    this.#pods = new OwnPods(api, options.pods);
    this.#starts = new PodStart({ pods: this.#pods, clock, limits, log });
    this.#orphans = new Orphans({
      clock,
      log,
      isLeftAlone: (attemptId) => this.#held.has(attemptId) || mayAct?.() === false,
      remove: (attemptId) => this.#delete(attemptId, 0),
    });
  }

  set room(room: ClusterRoom) {
    this.#room = room;
  }

  isOurs(pod: Pod): boolean {
    return this.#pods.isOwn(pod);
  }

  /** How many of our pods are in which phase. */
  phases(): Record<string, number> {
    const counts: Record<string, number> = {};
    for (const { pod, isDeleted } of this.#held.values()) {
      if (pod === undefined || isDeleted) continue;
      const phase = pod.status?.phase ?? 'Pending';
      counts[phase] = (counts[phase] ?? 0) + 1;
    }
    return counts;
  }

  podKey(attemptId: string): string {
    return this.#pods.key(attemptId);
  }

  leaseOf(attemptId: string): Lease {
    return this.#held.get(attemptId)!.lease;
  }

  /** Where its pod is, if there is one. */
  placeOf(attemptId: string): { readonly nodeName: string; readonly image: string } | undefined {
    const { nodeName, containers } = this.#held.get(attemptId)?.pod?.spec ?? {};
    if (nodeName === undefined) return undefined;
    return { nodeName, image: containers?.find(isTaskContainer)?.image ?? '' };
  }

  /** From the watch. */
  see(pod: Pod): void {
    const attemptId = attemptOf(pod);
    const held = this.#held.get(attemptId);
    if (held === undefined) this.#meet(pod, attemptId);
    else if (!this.#isItsPod(pod, held)) return;
    else {
      held.pod = pod;
      held.isDeleted = false;
    }
    this.#onChange(attemptId);
  }

  #isItsPod(pod: Pod, held: HeldPod): boolean {
    return held.pod?.metadata.uid === pod.metadata.uid || this.#pods.isFor(pod, held.lease);
  }

  #meet(pod: Pod, attemptId: string): void {
    if (!this.#isListed) this.#held.set(attemptId, { ...newHeldPod(this.#pods.leaseOf(pod)), pod });
    // Its creation was given up, and came through all the same.
    else if (pod.metadata.deletionTimestamp === undefined) this.#orphans.end(attemptId);
  }

  /** From the watch: deleted, as it was at last. */
  miss(pod: Pod): void {
    const attemptId = attemptOf(pod);
    const held = this.#held.get(attemptId);
    if (held === undefined || !this.#isItsPod(pod, held)) return;
    held.pod = pod;
    held.isDeleted = true;
    this.#onChange(attemptId);
  }

  /** After a gap in the watch: pods as old as the list that are not in it are gone. */
  missAllBut(names: ReadonlySet<string>, version: string): void {
    for (const { pod, isDeleted } of this.#held.values()) {
      if (pod === undefined || isDeleted || names.has(pod.metadata.name)) continue;
      if (Number(pod.metadata.resourceVersion) <= Number(version)) this.miss(pod);
    }
  }

  /** A node is gone or silent: what runs there is looked at, also when it has been silent too long. */
  lookAtNode(nodeName: string): void {
    const { clock, nodePatienceMs = NODE_PATIENCE_MS } = this.#options;
    const look = (): void => {
      for (const [attemptId, { pod }] of this.#held)
        if (pod?.spec.nodeName === nodeName) this.#onChange(attemptId);
    };
    look();
    clock.after(nodePatienceMs + 1, look);
  }

  async list(): Promise<{ readonly attemptId: string; readonly lease: Lease }[]> {
    this.#isListed = true;
    return [...this.#held].map(([attemptId, { lease }]) => ({ attemptId, lease }));
  }

  async inspect(attemptId: string): Promise<AttemptStanding> {
    const held = this.#held.get(attemptId);
    if (held === undefined) return { kind: 'absent' };
    if (held.outcome !== undefined) return { kind: 'collected', event: held.outcome };
    if (held.refusal !== undefined) return { kind: 'exited' };
    if (held.pod === undefined) return { kind: 'accepted' };
    return this.#inspectPod(held, held.pod);
  }

  #inspectPod(held: HeldPod, pod: Pod): AttemptStanding {
    const standing = this.#starts.standingOf(held, pod);
    if (standing.kind === 'starting') this.#starts.lookIfSlow(held, pod);
    if (standing.kind === 'told' || standing.kind === 'silent') return { kind: 'exited' };
    if (held.isDeleted && held.isOrdered) return { kind: 'exited' };
    if (held.isDeleted) return { kind: 'gone', reason: deletedReason(pod) };
    const reason = this.#nodeTrouble(pod) ?? this.#overdueReason(pod);
    if (reason !== undefined) return { kind: 'gone', reason, faultyNode: pod.spec.nodeName ?? '' };
    // The kubelet tells of a start up to 2 s late.
    return standing.kind === 'running' ? standing : { kind: 'accepted', mayBegin: true };
  }

  #nodeTrouble({ spec }: Pod): string | undefined {
    const { clock, nodePatienceMs = NODE_PATIENCE_MS } = this.#options;
    return this.#view.troubleOf(spec.nodeName ?? '', clock.nowMs(), nodePatienceMs);
  }

  /** Of a node that seems well, and does not end what it was told to. */
  #overdueReason(pod: Pod): string | undefined {
    const { clock, nodePatienceMs = NODE_PATIENCE_MS } = this.#options;
    return overdueReason(pod, clock.nowMs(), nodePatienceMs);
  }

  async describeStart(attemptId: string): Promise<string> {
    const held = this.#held.get(attemptId);
    const waits = this.#room.describe(attemptOfMember(attemptId));
    if (waits !== undefined) return `${NOT_CREATED}: ${waits}`;
    return held === undefined ? NOT_CREATED : this.#starts.describe(held);
  }

  /** What is known of a start without asking for it. */
  startWords(attemptId: string): string {
    const held = this.#held.get(attemptId);
    if (held?.pod === undefined) return '';
    const standing = this.#starts.standingOf(held, held.pod);
    return standing.kind === 'starting' ? standing.doing : '';
  }

  async accept(lease: Lease): Promise<void> {
    const { attemptId, container } = lease;
    if (container === undefined) throw new LeaseRefusedError('this cluster runs images only');
    const refusal = refusalOf(container, this.#options.pods);
    if (refusal !== undefined) throw new LeaseRefusedError(refusal);
    if (this.#held.get(attemptId)?.pod === undefined) this.#held.set(attemptId, newHeldPod(lease));
  }

  async start(attemptId: string): Promise<void> {
    const held = this.#held.get(attemptId)!;
    const nodeName = this.#room.nodeOf(attemptId);
    if (held.pod !== undefined || nodeName === undefined) return;
    const { clock } = this.#options;
    const begunMs = clock.nowMs();
    const creation = await createPod(this.#pods, held.lease, nodeName);
    switch (creation.kind) {
      case 'created':
        held.pod ??= creation.pod;
        delete held.heldBack;
        this.#room.created(
          attemptId,
          clock.nowMs() - begunMs,
          needsOf(creation.pod, { gpu: this.#options.pods.gpuResource }),
        );
        return;
      case 'found':
        held.pod ??= creation.pod;
        this.#room.made(attemptId);
        return;
      case 'refused':
        held.refusal = creation.reason;
        return;
      case 'name_taken':
        held.refusal = creation.reason;
        held.mayExist = false;
        return;
      case 'held_back':
        held.heldBack = creation.reason;
        this.#room.refused(attemptId, creation.reason);
        throw new HeldBackError(creation.reason);
      case 'failed':
        this.#noteFailure(held, creation);
        throw creation.error;
    }
  }

  #noteFailure(held: HeldPod, creation: FailedCreation): void {
    const { status, retryAfterMs, error } = creation;
    if (mayHaveBeenMade(creation)) held.mayExist = true;
    const detail = status === 0 ? { detail: String((error as Error).message).slice(0, 200) } : {};
    if (isOverload(creation))
      this.#room.learn({ kind: 'refused', status, retryAfterMs, ...detail });
  }

  async end(attemptId: string): Promise<void> {
    const held = this.#held.get(attemptId);
    if (held?.pod === undefined || held.isOrdered) return;
    await this.#delete(attemptId, undefined);
    held.isOrdered = true;
  }

  async collect(attemptId: string): Promise<EndedEvent> {
    const held = this.#held.get(attemptId)!;
    held.outcome ??= await this.#readEnd(held);
    return held.outcome;
  }

  async #readEnd(held: HeldPod): Promise<EndedEvent> {
    const { objects, clock } = this.#options;
    const nowMs = clock.nowMs();
    if (held.refusal !== undefined) return refusedEnd(held, held.refusal, nowMs);
    const standing = this.#starts.standingOf(held, held.pod!);
    this.#judgeNode(held, standing, nowMs);
    return readPodEnd(held, standing, { objects, nowMs });
  }

  /** Its node is praised or blamed, and too many starts that fail close the window. */
  #judgeNode(held: HeldPod, standing: PodStanding, nowMs: number): void {
    const { lease, pod, isOrdered } = held;
    const nodeName = pod?.spec.nodeName ?? '';
    if (standing.kind === 'told') {
      this.#view.praise(nodeName);
      this.#room.ran(lease.attemptId);
    }
    if (standing.kind !== 'silent' || isOrdered) return;
    const { reason } = standing.end;
    const fault = this.#faultOf(held, standing.end);
    if (fault !== 'none') this.#view.blame(nodeName, { fault, reason }, nowMs);
    if (fault === 'broke') this.#room.learn({ kind: 'start_failed', why: reason.slice(0, 200) });
  }

  /** A server or a claim that the job names keeps its pods from starting on any node. */
  #faultOf({ lease, pod }: HeldPod, { fault }: SilentEnd): 'none' | 'refused' | 'broke' {
    if (fault !== 'mount') return fault;
    const madeAtMs = Date.parse(pod?.metadata.creationTimestamp ?? '');
    return this.#room.doOthersStart(lease.attemptId, madeAtMs) ? 'broke' : 'none';
  }

  async conclude(event: EndedEvent): Promise<void> {
    const { attemptId } = event;
    const held = this.#held.get(attemptId);
    if (held === undefined) return;
    await this.#clear(held, attemptId);
    held.outcome = event;
  }

  /** The pod goes when its end is on record, and not before: it is what remembers it. */
  async forget(attemptId: string): Promise<void> {
    const held = this.#held.get(attemptId);
    if (held === undefined) return;
    await this.#clear(held, attemptId);
    this.#held.delete(attemptId);
  }

  /**
   * What has ended is taken away at once. Anything else keeps its room on its node until it has ended
   * too, so it is told to, and counted until the node says that it is gone.
   */
  async #clear(held: HeldPod, attemptId: string): Promise<void> {
    if (!mayBeThere(held)) return;
    const { pod } = held;
    const staysOn = pod !== undefined && keepsRoom(pod) && this.#nodeTrouble(pod) === undefined;
    if (!staysOn) await this.#delete(attemptId, 0);
    else if (pod.metadata.deletionTimestamp === undefined) await this.#delete(attemptId, undefined);
    else this.#blameForOverdue(pod);
    held.isDeleted = true;
  }

  #blameForOverdue(pod: Pod): void {
    const reason = this.#overdueReason(pod);
    if (reason === undefined) return;
    const fault = { fault: 'broke', reason } as const;
    this.#view.blame(pod.spec.nodeName ?? '', fault, this.#options.clock.nowMs());
  }

  async #delete(attemptId: string, graceSeconds: 0 | undefined): Promise<void> {
    const wasThere = await this.#pods.delete(attemptId, graceSeconds);
    const held = this.#held.get(attemptId);
    if (!wasThere && held !== undefined) held.isDeleted = true;
  }

  /** The runner's link brings the log of what runs. */
  async readLog(): Promise<Uint8Array> {
    throw new Error('this agent has no logs; their runners have');
  }

  onChange(callback: (attemptId: string) => void): void {
    this.#onChange = callback;
  }
}
