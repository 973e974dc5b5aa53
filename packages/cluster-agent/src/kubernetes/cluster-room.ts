import type { DispatchWindow, PlacementGroup, PlacementRules, WindowNews } from '@majorana/core';
import {
  explainLeft,
  formatExplanation,
  hashText,
  nextWindow,
  openWindow,
  planPlacement,
  windowRoom,
  withRequestFloor,
} from '@majorana/core';
import type { AgentSync, Lease, WaitingShape, WaitingShapes } from '@majorana/protocol';
import type { AgentClock } from '../engine/ports.ts';
import type { Occupant, RoomPort } from '../engine/room.ts';
import type { ClusterView } from './cluster-view.ts';

/** Leases and changes of nodes that come together are planned together. */
const PLAN_MS = 10;
/** A lease that no node has room for this long goes back: another cluster may. */
const GIVE_BACK_MS = 30_000;
/** One that waits for pulls or the window has its place here, and would be given it again. */
const GIVE_BACK_MS_MAX = 5 * 60_000;
/** Looks at every node, so it is asked for no more often. */
const REASON_TTL_MS = 1000;
/** A node that pulls keeps its network busy; a start storm of one image begins on so many. */
const PULLS_MAX = 16;

export interface ClusterRoomOptions {
  readonly view: ClusterView;
  readonly clock: AgentClock;
  readonly leaseOf: (attemptId: string) => Lease;
  readonly podKey: (attemptId: string) => string;
  /** Of an attempt whose pod has been made: by the agent before this one, say. */
  readonly placeOf: (
    attemptId: string,
  ) => { readonly nodeName: string; readonly image: string } | undefined;
  /** There may be more to offer. */
  readonly onRoom: () => void;
}

interface Waiter {
  readonly one: Occupant;
  readonly sinceMs: number;
}

interface Placed {
  readonly nodeName: string;
  readonly image: string;
  readonly isPull: boolean;
}

/**
 * Room in a cluster: who enters has a node. The nodes are chosen by `core/placement`, together for
 * all that wait, and no faster than the dispatch window lets pods be created.
 */
export class ClusterRoom implements RoomPort {
  readonly #options: ClusterRoomOptions;
  readonly #inside = new Set<Occupant>();
  readonly #waiting = new Map<string, Waiter>();
  /** Placed, and not yet seen running. */
  readonly #starting = new Map<string, Placed>();
  readonly #nodes = new Map<string, string>();
  readonly #reasons = new Map<string, { readonly text: string; readonly atMs: number }>();
  #window: DispatchWindow = openWindow();
  #isPlanned = false;

  constructor(options: ClusterRoomOptions) {
    this.#options = options;
  }

  get window(): DispatchWindow {
    return this.#window;
  }
  get startingCount(): number {
    return this.#starting.size;
  }

  get waitingCount(): number {
    return this.#waiting.size;
  }

  nodeOf(attemptId: string): string | undefined {
    return this.#nodes.get(attemptId);
  }

  enter(one: Occupant): boolean {
    if (this.#inside.has(one)) return true;
    const { attemptId } = one;
    const place = this.#options.placeOf(attemptId);
    if (place !== undefined) {
      this.#settle(one, place);
      return true;
    }
    if (!this.#waiting.has(attemptId)) {
      this.#waiting.set(attemptId, { one, sinceMs: this.#options.clock.nowMs() });
    }
    this.plan();
    return false;
  }

  presume(one: Occupant): void {
    this.#inside.add(one);
  }

  occupy(one: Occupant): void {
    this.#inside.add(one);
    this.#waiting.delete(one.attemptId);
    if (!this.#starting.delete(one.attemptId)) return;
    this.learn({ kind: 'started' });
    this.plan();
  }

  leave(one: Occupant): void {
    this.#inside.delete(one);
    this.#waiting.delete(one.attemptId);
    this.#starting.delete(one.attemptId);
    this.#nodes.delete(one.attemptId);
    this.#options.view.unassume(this.#options.podKey(one.attemptId));
    this.plan();
  }

  learn(news: WindowNews): void {
    this.#window = nextWindow(this.#window, news, this.#options.clock.nowMs());
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

  #rules(): PlacementRules {
    const nodesByImage = new Map<string, Set<string>>();
    for (const { image, isPull, nodeName } of this.#starting.values()) {
      if (!isPull) continue;
      const nodes = nodesByImage.get(image);
      if (nodes === undefined) nodesByImage.set(image, new Set([nodeName]));
      else nodes.add(nodeName);
    }
    const nowMs = this.#options.clock.nowMs();
    return { nowMs, imagePulls: { nodesMax: PULLS_MAX, nodesByImage } };
  }

  #planNow(): void {
    const nowMs = this.#options.clock.nowMs();
    this.#giveBackLate(nowMs);
    const room = windowRoom(this.#window, this.#starting.size, nowMs);
    if (this.#waiting.size === 0) return;
    if (room === 0) {
      const delayMs = Math.max(PLAN_MS, this.#window.closedUntilMs - nowMs);
      if (this.#window.closedUntilMs > nowMs) this.#options.clock.after(delayMs, () => this.plan());
      return;
    }
    const byShape = this.#groups(room);
    const groups = [...byShape.values()].map(({ group, waiters }) => ({
      ...group,
      count: waiters.length,
    }));
    const plan = planPlacement(this.#options.view.index, groups, this.#rules());
    for (const { groupKey, nodeName, count } of plan.assignments)
      for (const { one } of byShape.get(groupKey)!.waiters.splice(0, count))
        this.#place(one, nodeName);
  }

  #giveBackLate(nowMs: number): void {
    // The first have waited longest.
    for (const { one, sinceMs } of this.#waiting.values()) {
      if (nowMs - sinceMs <= GIVE_BACK_MS) return;
      const { resources, container } = this.#options.leaseOf(one.attemptId);
      const group = groupOf({ resources, container: container!, key: '' }, sinceMs);
      const isFull = this.#options.view.index.countFitting(group, nowMs) === 0;
      if (isFull || nowMs - sinceMs > GIVE_BACK_MS_MAX)
        this.#giveBack(one, isFull ? 'no node had room for it' : this.#window.why, nowMs - sinceMs);
    }
  }

  /** The first that wait, as many as may be created now. */
  #groups(room: number): Map<string, { group: PlacementGroup; waiters: Waiter[] }> {
    const byShape = new Map<string, { group: PlacementGroup; waiters: Waiter[] }>();
    let left = room;
    for (const waiter of this.#waiting.values()) {
      if (left === 0) break;
      left -= 1;
      const lease = this.#options.leaseOf(waiter.one.attemptId);
      const shape = { resources: lease.resources, container: lease.container! };
      const key = hashText(JSON.stringify(shape));
      const known = byShape.get(key);
      if (known === undefined) {
        const group = groupOf({ ...shape, key }, waiter.sinceMs);
        byShape.set(key, { group, waiters: [waiter] });
      } else known.waiters.push(waiter);
    }
    return byShape;
  }

  #place(one: Occupant, nodeName: string): void {
    const { attemptId } = one;
    const { view, leaseOf, podKey } = this.#options;
    const { resources, container } = leaseOf(attemptId);
    view.assume(podKey(attemptId), nodeName, withRequestFloor(resources));
    this.#settle(one, { nodeName, image: container!.image });
    one.wake();
  }

  #settle(
    one: Occupant,
    { nodeName, image }: { readonly nodeName: string; readonly image: string },
  ): void {
    const isPull = !this.#options.view.hasImage(nodeName, image);
    this.#waiting.delete(one.attemptId);
    this.#inside.add(one);
    this.#nodes.set(one.attemptId, nodeName);
    this.#starting.set(one.attemptId, { nodeName, image, isPull });
  }

  #giveBack(one: Occupant, why: string, waitedMs: number): void {
    this.#waiting.delete(one.attemptId);
    one.giveBack(`it waited ${Math.round(waitedMs / 1000)} s for a node: ${why}`);
  }

  /** For how many tasks of each waiting shape there is room that nobody here waits for. */
  offer(waiting: WaitingShapes): NonNullable<AgentSync['offer']> {
    const nowMs = this.#options.clock.nowMs();
    const ahead = this.#waiting.size;
    const room = windowRoom(this.#window, this.#starting.size, nowMs) - ahead;
    const shapes = waiting.shapes.map((shape) => {
      const group = groupOf(shape, nowMs);
      const fitting = this.#options.view.index.countFitting(group, nowMs) - ahead;
      const count = Math.max(0, Math.min(fitting, room));
      if (count > 0) return { key: shape.key, count };
      return { key: shape.key, count, reason: this.#reasonFor(group, fitting, nowMs) };
    });
    return { waitingDigest: waiting.digest, shapes };
  }

  #reasonFor(group: PlacementGroup, fitting: number, nowMs: number): string {
    if (fitting > 0) {
      const { limit, why } = this.#window;
      return `${this.#starting.size} pods are starting, of ${Math.floor(limit)} that may at once: ${why}`;
    }
    const known = this.#reasons.get(group.key);
    if (known !== undefined && nowMs - known.atMs < REASON_TTL_MS) return known.text;
    if (this.#reasons.size > 1000) this.#reasons.clear();
    const explanation = explainLeft(this.#options.view.index, group, this.#rules());
    const text = formatExplanation(group, explanation).slice(0, 2000);
    this.#reasons.set(group.key, { text, atMs: nowMs });
    return text;
  }
}

const groupOf = (shape: WaitingShape, waitingSinceMs: number): PlacementGroup => ({
  key: shape.key,
  resources: shape.resources,
  podsPerTask: 1,
  nodeSelector: shape.container.nodeSelector,
  // zod tells an absent value by undefined, the core by absence.
  tolerations: shape.container.tolerations as PlacementGroup['tolerations'],
  image: shape.container.image,
  priority: 0,
  waitingSinceMs,
  count: 1,
  policy: 'pack',
});
