import type { DispatchWindow, PlacementGroup, PlacementRules, WindowNews } from '@majorana/core';
import {
  explainLeft,
  formatExplanation,
  nextWindow,
  openWindow,
  planPlacement,
  WINDOW_LIMITS,
  windowRoom,
} from '@majorana/core';
import type { AgentSync, Lease, WaitingShapes } from '@majorana/protocol';
import type { AgentClock } from '../engine/ports.ts';
import type { Occupant, RoomPort } from '../engine/room.ts';
import type { PodNeeds } from './additions.ts';
import type { StartGround } from './cluster-offer.ts';
import { ClusterOffer, startReason } from './cluster-offer.ts';
import type { ClusterView } from './cluster-view.ts';
import { attemptOfMember, memberId, memberIds, nodeRankOf } from './gang-member.ts';
import { Groups } from './groups.ts';
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
  /** What the start of a pod that has been made waits for, in the words of the cluster. */
  readonly startWords: (memberId: string) => string;
  /** There may be more to offer. */
  readonly onRoom: () => void;
}

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
  /** Leased, and not yet waiting: an offer that comes first would offer their room again. */
  readonly #expected = new Set<Occupant>();
  readonly #waiting = new Map<string, Waiter>();
  readonly #starting = new StartingTasks();
  /** Of each task, by rank. */
  readonly #nodes = new Map<string, readonly string[]>();
  readonly #offer = new ClusterOffer();
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
    if (refused !== undefined) return `pods are refused: ${refused}`;
    const stuck = this.#stuckWhy();
    return stuck === undefined ? this.#window.why : `${this.#window.why}; ${stuck}`;
  }

  /** Of the pods of one shape, or of all, that have been starting for long. */
  #stuckWhy(shapeKey?: string): string | undefined {
    const stuck = this.#starting.stuck(this.#options.clock.nowMs(), shapeKey);
    if (stuck === undefined) return undefined;
    const { podCount, first } = stuck;
    const words = this.#podsOf(first).map(this.#options.startWords);
    const seconds = WINDOW_LIMITS.stuckMs / 1000;
    const pods = podCount === 1 ? '1 pod has' : `${podCount} pods have`;
    return `${pods} not started for ${seconds} s: ${words.find((text) => text !== '') ?? 'Pending'}`;
  }

  get waitingCount(): number {
    return this.#waiting.size;
  }

  nodeOf(memberId: string): string | undefined {
    return this.#nodes.get(attemptOfMember(memberId))?.[nodeRankOf(memberId)];
  }

  expect(one: Occupant): void {
    this.#expected.add(one);
  }

  enter(one: Occupant): boolean {
    this.#expected.delete(one);
    if (this.#inside.has(one)) return true;
    const { attemptId } = one;
    const ids = this.#podsOf(attemptId);
    const places = ids.flatMap((id) => this.#options.placeOf(id) ?? []);
    if (places.length === ids.length) {
      const nodeNames = places.map(({ nodeName }) => nodeName);
      this.#settle(one, nodeNames, places[0]!.image);
      this.made(attemptId);
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
    this.ran(one.attemptId);
    for (let at = 0; at < podCount; at += 1) this.learn({ kind: 'started' });
    this.plan();
  }

  leave(one: Occupant): void {
    const hadPods = this.#nodes.has(one.attemptId) && !this.#starting.isRefused(one.attemptId);
    if (hadPods) this.#refused.endRests(this.#options.clock.nowMs());
    this.#expected.delete(one);
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

  /** Its start came about: so will those of its shape. */
  ran(id: string): void {
    this.#starting.fareWell(this.#keyOf(id), this.#options.clock.nowMs());
  }

  /** Whether others of its shape have started since. */
  doOthersStart(id: string, sinceMs: number): boolean {
    return this.#starting.wellAtMs(this.#keyOf(id)) >= sinceMs;
  }

  /** `stored`: as the API server has it, with what the cluster added to it. */
  created(id: string, latencyMs: number, stored: PodNeeds): void {
    this.learn({ kind: 'created', latencyMs });
    this.#groups.learn(this.#options.leaseOf(id), stored, this.#options.clock.nowMs());
    this.made(id);
    if (!this.#refused.isEmpty) this.#refused.allow(this.#keyOf(id));
  }

  /** Its pod is there. */
  made(id: string): void {
    const { clock } = this.#options;
    const attemptId = attemptOfMember(id);
    this.#starting.setMade(attemptId, clock.nowMs());
    // Once it is stuck there is room for others.
    clock.after(WINDOW_LIMITS.stuckMs, () => {
      if (this.#starting.has(attemptId)) this.plan();
    });
  }

  /** By a rule of the cluster's; `why` in its own words. */
  refused(id: string, why: string): void {
    this.#starting.setRefused(attemptOfMember(id));
    this.#refused.refuse(this.#keyOf(id), why, this.#options.clock.nowMs());
    this.plan();
  }

  #keyOf(id: string): string {
    return this.#groups.keyOf(this.#options.leaseOf(id));
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
    const shapeRoom = this.#starting.rooms(this.#window, nowMs);
    for (const waiter of this.#waiting.values()) {
      if (left <= 0) break;
      const lease = this.#options.leaseOf(waiter.one.attemptId);
      const group = this.#kept.open(this.#groups.ofLease(lease, waiter.sinceMs));
      const known = byShape.get(group.key);
      const count = known?.waiters.length ?? 0;
      if (count >= this.#refused.roomFor(group.key, nowMs)) continue;
      if (count * podCountOf(lease) >= shapeRoom(group.key)) continue;
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

  #startGround(): StartGround {
    return {
      nowMs: this.#options.clock.nowMs(),
      window: this.#window,
      starting: this.#starting,
      stuckWhy: (shapeKey) => this.#stuckWhy(shapeKey),
    };
  }

  /** The dispatch window, or its shape; else what placement says, pulls of its image included. */
  #placeReason(group: PlacementGroup): string {
    const { view, clock } = this.#options;
    const nowMs = clock.nowMs();
    const room = Math.min(
      this.#windowRoom(nowMs),
      this.#starting.rooms(this.#window, nowMs)(group.key),
    );
    if (room <= 0) return startReason(group.key, this.#startGround());
    return formatExplanation(group, explainLeft(view.index, group, this.#rules()));
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
      shapeKey: this.#keyOf(one.attemptId),
      nodeNames,
      image: fullImageName(image),
      pulling,
    });
  }

  #giveBack(one: Occupant, why: string, waitedMs: number): void {
    this.#waiting.delete(one.attemptId);
    one.giveBack(`it waited ${Math.round(waitedMs / 1000)} s here: ${why}`);
  }

  /** For how many tasks of each waiting shape there is room that nobody here waits for. */
  offer(waiting: WaitingShapes): NonNullable<AgentSync['offer']> {
    const waitingPods = new Map<string, number>();
    for (const attemptId of this.#waiting.keys()) {
      const key = this.#keyOf(attemptId);
      const count = podCountOf(this.#options.leaseOf(attemptId));
      waitingPods.set(key, (waitingPods.get(key) ?? 0) + count);
    }
    return this.#offer.make(waiting, {
      ...this.#startGround(),
      view: this.#options.view,
      rules: this.#rules(),
      groups: this.#groups,
      kept: this.#kept,
      refused: this.#refused,
      waitingPods,
      expectedCount: this.#expected.size,
    });
  }
}
