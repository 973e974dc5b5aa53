import type { NodePicture, PlacementGroup, Taint, Toleration } from '@majorana/core';
import { NO_RESOURCES, NodeIndex, subtractResources } from '@majorana/core';
import type { ClusterView } from './cluster-view.ts';

/** Looks at every node: 3,000 take some milliseconds. */
const LOOK_MS = 1000;
/** What ends on a busy cluster makes room for small tasks within this; no node is kept for them. */
const NO_ROOM_MS = 60_000;
/** Between the offer of kept nodes and the lease that takes them. */
const LINGER_MS = 5000;

/** Told as a taint that no toleration of a job covers; its words are for a person. */
export const KEPT: Taint = {
  key: 'majorana.dev/kept-for',
  value: 'what-waits-longest',
  effect: 'NoSchedule',
  isFact: true,
};
const TOLERATION: Toleration = { key: KEPT.key, operator: 'Exists', isFact: true };

interface Kept {
  readonly key: string;
  readonly nodeNames: readonly string[];
  /** When it last had waited for room. */
  wantedMs: number;
}

const sizeOf = ({ gang }: PlacementGroup): number => gang?.size ?? 1;

const oursOf = ({ runningEnds }: NodePicture) => runningEnds[0]?.resources ?? NO_RESOURCES;

/** As it will be once our own pods have ended. */
const emptied = (picture: NodePicture, ourCount: number): NodePicture => ({
  ...picture,
  held: subtractResources(picture.held, oursOf(picture)),
  podCount: picture.podCount - ourCount,
  runningEnds: [],
});

/**
 * Small tasks fill whatever ends, so that a large one, or a gang, never finds its nodes free. For the
 * shape that found no room for longest nodes are kept, which take nothing else until it is there. For
 * one shape at a time: what drains stands idle.
 */
export class KeptNodes {
  readonly #view: ClusterView;
  readonly #noRoomSinceMs = new Map<string, number>();
  #kept: Kept | undefined;
  #lookedMs = -Infinity;

  constructor(view: ClusterView) {
    this.#view = view;
  }

  isFor(key: string): boolean {
    return this.#kept?.key === key;
  }

  get count(): number {
    return this.#kept?.nodeNames.length ?? 0;
  }

  /** The group as one that may go to the nodes kept for it. */
  open(group: PlacementGroup): PlacementGroup {
    if (!this.isFor(group.key)) return group;
    return { ...group, tolerations: [...group.tolerations, TOLERATION] };
  }

  /** `late`: one group of each shape that has waited for too long. */
  look(late: readonly PlacementGroup[], nowMs: number): void {
    if (late.length === 0 && this.#kept === undefined) return;
    if (nowMs - this.#lookedMs < LOOK_MS) return;
    this.#lookedMs = nowMs;
    this.#learnRoom(late, nowMs);
    const kept = this.#kept;
    const group = late.find(({ key }) => key === kept?.key);
    if (kept !== undefined && this.#noRoomSinceMs.has(kept.key)) kept.wantedMs = nowMs;
    const isOver = kept !== undefined && nowMs - kept.wantedMs > LINGER_MS;
    const isLost = group !== undefined && !this.#isEnough(group, nowMs);
    if (kept !== undefined && !isOver && !isLost) return;
    this.#keep(undefined);
    this.#keep(this.#choose(late, nowMs));
  }

  #learnRoom(late: readonly PlacementGroup[], nowMs: number): void {
    const keys = new Set(late.map(({ key }) => key));
    for (const key of this.#noRoomSinceMs.keys())
      if (!keys.has(key)) this.#noRoomSinceMs.delete(key);
    for (const group of late) {
      const hasRoom = this.#view.index.countFitting(this.open(group), nowMs) >= sizeOf(group);
      if (hasRoom) this.#noRoomSinceMs.delete(group.key);
      else if (!this.#noRoomSinceMs.has(group.key)) this.#noRoomSinceMs.set(group.key, nowMs);
    }
  }

  /** Nodes go, are cordoned, or take pods of others. */
  #isEnough(group: PlacementGroup, nowMs: number): boolean {
    const names = new Set(this.#kept!.nodeNames);
    const own = this.#emptied().filter(({ name }) => names.has(name));
    return new NodeIndex(own).countFitting(this.open(group), nowMs) >= sizeOf(group);
  }

  /** Those first on which least of ours has to end. */
  #emptied(): NodePicture[] {
    return this.#view
      .pictures()
      .toSorted((a, b) => oursOf(a.picture).cpuMillis - oursOf(b.picture).cpuMillis)
      .map(({ picture, ourCount }) => emptied(picture, ourCount));
  }

  #choose(late: readonly PlacementGroup[], nowMs: number): Kept | undefined {
    const sinceMs = ({ key }: PlacementGroup): number => this.#noRoomSinceMs.get(key) ?? nowMs;
    const waiting = late.filter((group) => nowMs - sinceMs(group) >= NO_ROOM_MS);
    if (waiting.length === 0) return undefined;
    const nodes = this.#emptied();
    const all = new NodeIndex(nodes);
    const group = waiting
      .toSorted((a, b) => sinceMs(a) - sinceMs(b))
      .find((one) => all.countFitting(one, nowMs) >= sizeOf(one));
    if (group === undefined) return undefined;
    const nodeNames: string[] = [];
    const chosen = new NodeIndex();
    let count = 0;
    for (const node of nodes) {
      if (count >= sizeOf(group)) break;
      chosen.set(node);
      const more = chosen.countFitting(group, nowMs);
      if (more > count) nodeNames.push(node.name);
      count = more;
    }
    return { key: group.key, nodeNames, wantedMs: nowMs };
  }

  #keep(kept: Kept | undefined): void {
    this.#kept = kept;
    this.#view.keep(new Set(kept?.nodeNames));
  }
}
