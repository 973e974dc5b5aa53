import type { DispatchWindow, PlacementGroup, PlacementRules, WindowNews } from '@majorana/core';
import {
  explainer,
  explainLeft,
  formatExplanation,
  nextWindow,
  openWindow,
  planPlacement,
  windowRoom,
} from '@majorana/core';
import type { AgentSync, Lease, WaitingShapes } from '@majorana/protocol';
import type { AgentClock } from '../engine/ports.ts';
import type { Occupant, RoomPort } from '../engine/room.ts';
import type { PodNeeds } from './additions.ts';
import type { ClusterView } from './cluster-view.ts';
import { attemptOfMember, memberId, memberIds, nodeRankOf } from './gang-member.ts';
import { Groups, keyOfLease, keyOfShape } from './groups.ts';
import { fullImageName } from './image-names.ts';
import { KeptNodes } from './kept-nodes.ts';
import { RefusedShapes } from './refused-shapes.ts';
import { StartingTasks } from './starting-tasks.ts';

/** Leases and changes of nodes that come together are planned together. */
export const PLAN_MS = 50;
/** What found no node is tried again after this, whatever has changed or not. */
const REPLAN_MS = 1000;
/** A lease that no node has room for this long goes back: another cluster may. */
const GIVE_BACK_MS = 30_000;
/** One that waits for pulls or the window has its place here, and would be given it again. */
const GIVE_BACK_MS_MAX = 5 * 60_000;
/** A message says no more. */
const SOON_MAX = 1_000_000;
/** Looks at every node, so it is asked for no more often. */
const REASON_TTL_MS = 1000;
/** A node that pulls keeps its network busy; a start storm of one image begins on so many. */
const PULLS_MAX = 16;

export interface ClusterRoomOptions {
  readonly view: ClusterView;
  readonly clock: AgentClock;
  readonly leaseOf: (attemptId: string) => Lease;
  /** Of a pod, by its member's id. */
  readonly podKey: (memberId: string) => string;
  /** Of a pod that has been made: by the agent before this one, say. */
  readonly placeOf: (
    memberId: string,
  ) => { readonly nodeName: string; readonly image: string } | undefined;
  /** There may be more to offer. */
  readonly onRoom: () => void;
}

type Shortage = Pick<NonNullable<AgentSync['offer']>['shapes'][number], 'reason' | 'isUnfit'>;

interface Waiter {
  readonly one: Occupant;
  readonly sinceMs: number;
}

/** One, or of a gang as many as it has nodes. */
export const podCountOf = ({ gang }: Pick<Lease, 'gang'>): number => gang?.nodes ?? 1;

/**
 * Room in a cluster: who enters has a node. The nodes are chosen by `core/placement`, together for
 * all that wait, and no faster than the dispatch window lets pods be created.
 */
export class ClusterRoom implements RoomPort {
  readonly #options: ClusterRoomOptions;
  readonly #inside = new Set<Occupant>();
  readonly #waiting = new Map<string, Waiter>();
  readonly #starting = new StartingTasks();
  /** Of each task, by rank. */
  readonly #nodes = new Map<string, readonly string[]>();
  readonly #reasons = new Map<string, { readonly shortage: Shortage; readonly atMs: number }>();
  readonly #refused = new RefusedShapes();
  #window: DispatchWindow = openWindow();
  #isPlanned = false;
  #isReplanned = false;
  #lateCheckedMs = -Infinity;
  readonly #groups = new Groups();
  readonly #kept: KeptNodes;

  constructor(options: ClusterRoomOptions) {
    this.#options = options;
    this.#kept = new KeptNodes(options.view);
  }

  get window(): DispatchWindow {
    return this.#window;
  }
  get startingCount(): number {
    return this.#starting.podCount;
  }

  /** Why no more pods are on their way, for a person. */
  get why(): string {
    const refused = this.#refused.latest(this.#options.clock.nowMs());
    return refused === undefined ? this.#window.why : `pods are refused: ${refused}`;
  }

  get waitingCount(): number {
    return this.#waiting.size;
  }

  nodeOf(memberId: string): string | undefined {
    return this.#nodes.get(attemptOfMember(memberId))?.[nodeRankOf(memberId)];
  }

  enter(one: Occupant): boolean {
    if (this.#inside.has(one)) return true;
    const { attemptId } = one;
    const ids = this.#podsOf(attemptId);
    const places = ids.flatMap((id) => this.#options.placeOf(id) ?? []);
    if (places.length === ids.length) {
      const nodeNames = places.map(({ nodeName }) => nodeName);
      this.#settle(one, nodeNames, places[0]!.image);
      return true;
    }
    if (!this.#waiting.has(attemptId)) {
      this.#waiting.set(attemptId, { one, sinceMs: this.#options.clock.nowMs() });
    }
    this.plan();
    return false;
  }

  #podsOf(attemptId: string): readonly string[] {
    return memberIds({ attemptId, gang: this.#options.leaseOf(attemptId).gang });
  }

  presume(one: Occupant): void {
    this.#inside.add(one);
  }

  occupy(one: Occupant): void {
    this.#inside.add(one);
    this.#waiting.delete(one.attemptId);
    const podCount = this.#starting.remove(one.attemptId);
    if (podCount === 0) return;
    for (let at = 0; at < podCount; at += 1) this.learn({ kind: 'started' });
    this.plan();
  }

  leave(one: Occupant): void {
    const hadPods = this.#nodes.has(one.attemptId) && !this.#starting.isRefused(one.attemptId);
    if (hadPods) this.#refused.endRests(this.#options.clock.nowMs());
    this.#inside.delete(one);
    this.#waiting.delete(one.attemptId);
    this.#starting.remove(one.attemptId);
    const { view, podKey } = this.#options;
    for (const [nodeRank] of (this.#nodes.get(one.attemptId) ?? ['']).entries())
      view.unassume(podKey(memberId(one.attemptId, nodeRank)));
    this.#nodes.delete(one.attemptId);
    this.plan();
  }

  learn(news: WindowNews): void {
    this.#window = nextWindow(this.#window, news, this.#options.clock.nowMs());
  }

  /** `stored`: as the API server has it, with what the cluster added to it. */
  created(id: string, latencyMs: number, stored: PodNeeds): void {
    this.learn({ kind: 'created', latencyMs });
    this.#groups.learn(this.#options.leaseOf(id), stored, this.#options.clock.nowMs());
    this.#starting.setRefused(attemptOfMember(id), false);
    if (!this.#refused.isEmpty) this.#refused.allow(this.#keyOf(id));
  }

  /** By a rule of the cluster's; `why` in its own words. */
  refused(id: string, why: string): void {
    this.#starting.setRefused(attemptOfMember(id), true);
    this.#refused.refuse(this.#keyOf(id), why, this.#options.clock.nowMs());
    this.plan();
  }

  #keyOf(id: string): string {
    return keyOfLease(this.#options.leaseOf(id));
  }

  /** Soon, for all that has changed until then. */
  plan(): void {
    if (this.#isPlanned) return;
    this.#isPlanned = true;
    this.#options.clock.after(PLAN_MS, () => {
      this.#isPlanned = false;
      this.#planNow();
      this.#options.onRoom();
    });
  }

  #windowRoom(nowMs: number): number {
    return windowRoom(this.#window, this.#starting.countInWindow(nowMs), nowMs);
  }

  #rules(): PlacementRules {
    const nowMs = this.#options.clock.nowMs();
    return { nowMs, imagePulls: { nodesMax: PULLS_MAX, nodesByImage: this.#starting.pulls() } };
  }

  #planNow(): void {
    const nowMs = this.#options.clock.nowMs();
    this.#groups.forget(nowMs);
    this.#giveBackLate(nowMs);
    const room = this.#windowRoom(nowMs);
    if (this.#waiting.size === 0) return;
    if (room === 0) {
      const delayMs = Math.max(PLAN_MS, this.#window.closedUntilMs - nowMs);
      if (this.#window.closedUntilMs > nowMs) this.#options.clock.after(delayMs, () => this.plan());
      else this.#replanLater();
      return;
    }
    const byShape = this.#byShape(room);
    const groups = [...byShape.values()].map(({ group, waiters }) => ({
      ...group,
      count: waiters.length,
    }));
    const plan = planPlacement(this.#options.view.index, groups, this.#rules());
    const nodesByShape = new Map<string, string[]>();
    for (const { groupKey, nodeName, count } of plan.assignments) {
      const nodeNames = nodesByShape.get(groupKey) ?? [];
      nodesByShape.set(groupKey, nodeNames);
      for (let at = 0; at < count; at += 1) nodeNames.push(nodeName);
    }
    for (const [key, nodeNames] of nodesByShape) {
      const { group, waiters } = byShape.get(key)!;
      const podCount = group.gang?.size ?? 1;
      for (const { one } of waiters.splice(0, nodeNames.length / podCount))
        this.#place(one, nodeNames.splice(0, podCount));
    }
    if (this.#waiting.size > 0) this.#replanLater();
  }

  /** Each that is late costs a look at all nodes, unless its shape is asked for: not in every plan. */
  #giveBackLate(nowMs: number): void {
    if (nowMs - this.#lateCheckedMs < REPLAN_MS) return;
    this.#lateCheckedMs = nowMs;
    // The first have waited longest.
    for (const { one, sinceMs } of this.#waiting.values()) {
      if (nowMs - sinceMs <= GIVE_BACK_MS) return;
      const lease = this.#options.leaseOf(one.attemptId);
      const group = this.#kept.open(this.#groups.ofLease(lease, sinceMs));
      const isFull = this.#options.view.index.countFitting(group, nowMs) < podCountOf(lease);
      const why = isFull ? 'no node had room for it' : this.#refused.why(group.key);
      if (why !== undefined) this.#giveBack(one, why, nowMs - sinceMs);
      else if (nowMs - sinceMs > GIVE_BACK_MS_MAX)
        this.#giveBack(one, this.#placeReason(group), nowMs - sinceMs);
    }
  }

  #replanLater(): void {
    if (this.#isReplanned) return;
    this.#isReplanned = true;
    this.#options.clock.after(REPLAN_MS, () => {
      this.#isReplanned = false;
      if (this.#waiting.size > 0) this.plan();
    });
  }

  /**
   * The first that wait, as many as may be created now. The pods of a gang are created together, so
   * the last one may go beyond that.
   */
  #byShape(room: number): Map<string, { group: PlacementGroup; waiters: Waiter[] }> {
    const byShape = new Map<string, { group: PlacementGroup; waiters: Waiter[] }>();
    let left = room;
    const nowMs = this.#options.clock.nowMs();
    for (const waiter of this.#waiting.values()) {
      if (left <= 0) break;
      const lease = this.#options.leaseOf(waiter.one.attemptId);
      const group = this.#kept.open(this.#groups.ofLease(lease, waiter.sinceMs));
      const known = byShape.get(group.key);
      if ((known?.waiters.length ?? 0) >= this.#refused.roomFor(group.key, nowMs)) continue;
      left -= podCountOf(lease);
      if (known === undefined) byShape.set(group.key, { group, waiters: [waiter] });
      else known.waiters.push(waiter);
    }
    return byShape;
  }

  /** Why what waits here has no node yet; undefined: it does not wait here. */
  describe(attemptId: string): string | undefined {
    const waiter = this.#waiting.get(attemptId);
    if (waiter === undefined) return undefined;
    const lease = this.#options.leaseOf(attemptId);
    return this.#placeReason(this.#kept.open(this.#groups.ofLease(lease, waiter.sinceMs)));
  }

  /** The dispatch window; else what placement says, pulls of its image included. */
  #placeReason(group: PlacementGroup): string {
    const { view, clock } = this.#options;
    if (this.#windowRoom(clock.nowMs()) <= 0) return this.#windowReason();
    return formatExplanation(group, explainLeft(view.index, group, this.#rules()));
  }

  #windowReason(): string {
    const { limit, why } = this.#window;
    const count = this.#starting.countInWindow(this.#options.clock.nowMs());
    return `${count} pods are starting, of ${Math.floor(limit)} that may at once: ${why}`;
  }

  #place(one: Occupant, nodeNames: readonly string[]): void {
    const { attemptId } = one;
    const { view, leaseOf, podKey } = this.#options;
    const lease = leaseOf(attemptId);
    const resources = this.#groups.resourcesOf(lease);
    for (const [nodeRank, id] of this.#podsOf(attemptId).entries())
      view.assume(podKey(id), nodeNames[nodeRank]!, resources);
    this.#settle(one, nodeNames, lease.container!.image);
    one.wake();
  }

  #settle(one: Occupant, nodeNames: readonly string[], image: string): void {
    const pulling = nodeNames.filter((name) => !this.#options.view.hasImage(name, image));
    this.#waiting.delete(one.attemptId);
    this.#inside.add(one);
    this.#nodes.set(one.attemptId, nodeNames);
    this.#starting.add(one.attemptId, {
      nodeNames,
      image: fullImageName(image),
      pulling,
      sinceMs: this.#options.clock.nowMs(),
    });
  }

  #giveBack(one: Occupant, why: string, waitedMs: number): void {
    this.#waiting.delete(one.attemptId);
    one.giveBack(`it waited ${Math.round(waitedMs / 1000)} s here: ${why}`);
  }

  /** For how many tasks of each waiting shape there is room that nobody here waits for. */
  offer(waiting: WaitingShapes): NonNullable<AgentSync['offer']> {
    const nowMs = this.#options.clock.nowMs();
    this.#kept.look(this.#late(waiting, nowMs), nowMs);
    const ahead = this.#podsAhead();
    const room = this.#windowRoom(nowMs) - ahead;
    const explain = explainer(this.#options.view.index, this.#rules());
    const shapes = waiting.shapes.map((shape) => {
      const isKept = shape.isLate === true && this.#kept.isFor(keyOfShape(shape));
      const group = isKept ? this.#lateGroup(shape, nowMs) : this.#groups.ofShape(shape, nowMs);
      const pods = shape.nodes ?? 1;
      const before = isKept ? this.#podsAhead(group.key) : ahead;
      const podsFitting = this.#options.view.index.countFitting(group, nowMs) - before;
      const fitting = Math.floor(podsFitting / pods);
      const key = this.#refused.isEmpty ? '' : keyOfShape(shape);
      const allowed = this.#refused.roomFor(key, nowMs);
      const count = Math.max(0, Math.min(fitting, Math.ceil(room / pods), allowed));
      const refused = this.#refused.why(key);
      if (refused !== undefined)
        return { key: shape.key, count, reason: `its pods are refused: ${refused}` };
      const isSoon = nowMs >= this.#window.closedUntilMs;
      const soonCount = isSoon ? Math.min(SOON_MAX, Math.max(0, fitting - count)) : 0;
      const offered = { key: shape.key, count, ...(soonCount > 0 && { soonCount }) };
      if (count > 0 && soonCount === 0) return offered;
      if (fitting > 0) return { ...offered, reason: this.#windowReason() };
      return { ...offered, ...this.#shortage(group, explain) };
    });
    return { waitingDigest: waiting.digest, room: Math.max(0, room), shapes };
  }

  /** What waits here already; `key`: of this shape, since nothing else goes to the nodes kept for it. */
  #podsAhead(key?: string): number {
    let count = 0;
    for (const { one, sinceMs } of this.#waiting.values()) {
      const lease = this.#options.leaseOf(one.attemptId);
      if (key === undefined || this.#groups.ofLease(lease, sinceMs).key === key)
        count += podCountOf(lease);
    }
    return count;
  }

  #late({ shapes }: WaitingShapes, nowMs: number): PlacementGroup[] {
    return shapes.flatMap((shape) => (shape.isLate ? [this.#lateGroup(shape, nowMs)] : []));
  }

  /** By the key that its leases have here. */
  #lateGroup(shape: WaitingShapes['shapes'][number], nowMs: number): PlacementGroup {
    return this.#kept.open({ ...this.#groups.ofShape(shape, nowMs), key: keyOfShape(shape) });
  }

  #shortage(group: PlacementGroup, explain: ReturnType<typeof explainer>): Shortage {
    const nowMs = this.#options.clock.nowMs();
    const known = this.#reasons.get(group.key);
    if (known !== undefined && nowMs - known.atMs < REASON_TTL_MS) return known.shortage;
    if (this.#reasons.size > 1000) this.#reasons.clear();
    const kept = this.#kept.isFor(group.key) ? `${this.#kept.count} kept for it; of ` : '';
    const explanation = explain(group);
    const isUnfit = explanation.roomWhenEmpty < (group.gang?.size ?? 1);
    const reason = (kept + formatExplanation(group, explanation)).slice(0, 2000);
    const shortage = { reason, ...(isUnfit && { isUnfit }) };
    this.#reasons.set(group.key, { shortage, atMs: nowMs });
    return shortage;
  }
}
