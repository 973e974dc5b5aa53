import type { DispatchWindow, PlacementGroup, PlacementRules } from '@majorana/core';
import { explainer, formatExplanation, windowRoom } from '@majorana/core';
import type { AgentSync, WaitingShape, WaitingShapes } from '@majorana/protocol';
import type { ClusterView } from './cluster-view.ts';
import type { Groups } from './groups.ts';
import { keyOfShape } from './groups.ts';
import type { KeptNodes } from './kept-nodes.ts';
import type { RefusedShapes } from './refused-shapes.ts';
import type { StartingTasks } from './starting-tasks.ts';

/** A message says no more. */
const SOON_MAX = 1_000_000;
/** Looks at every node, so it is asked for no more often. */
const REASON_TTL_MS = 1000;

/** What is on its way, and how much more may be. */
export interface StartGround {
  readonly nowMs: number;
  readonly window: DispatchWindow;
  readonly starting: StartingTasks;
  /** Of the pods of a shape that have been starting for long. */
  readonly stuckWhy: (shapeKey: string) => string | undefined;
}

/** What an offer goes by. */
export interface OfferGround extends StartGround {
  readonly view: ClusterView;
  readonly rules: PlacementRules;
  readonly groups: Groups;
  readonly kept: KeptNodes;
  readonly refused: RefusedShapes;
  /** Of the tasks that wait here, by the key of their shape. */
  readonly waitingPods: ReadonlyMap<string, number>;
  /** Tasks that have just been leased, and do not wait yet. */
  readonly expectedCount: number;
}

interface RoundGround extends OfferGround {
  readonly explain: ReturnType<typeof explainer>;
  /** Pods that wait here and are not held back for the sake of their shape. */
  readonly ahead: number;
  /** In the window. */
  readonly room: number;
  readonly shapeRoom: (key: string) => number;
}

type Offer = NonNullable<AgentSync['offer']>;
type ShapeOffer = Offer['shapes'][number];

/** Why no more pods of a shape may be created now though there are nodes for them. */
export function startReason(shapeKey: string, ground: StartGround): string {
  const { nowMs, window, starting, stuckWhy } = ground;
  const isHeld = starting.rooms(window, nowMs)(shapeKey) <= 0;
  const stuck = isHeld ? stuckWhy(shapeKey) : undefined;
  if (stuck !== undefined) return `of its shape ${stuck}`;
  const count = starting.countInWindow(nowMs);
  const text = `${count} pods are starting, of ${Math.floor(window.limit)} that may at once`;
  const isFull = windowRoom(window, count, nowMs) <= 0;
  return isHeld && !isFull
    ? `${text}; more of its shape when the first have started`
    : `${text}: ${window.why}`;
}

/** For how many tasks of each waiting shape there is room that nobody here waits for. */
export class ClusterOffer {
  readonly #shortages = new Map<
    string,
    { readonly shortage: Pick<ShapeOffer, 'reason' | 'isUnfit'>; readonly atMs: number }
  >();
  /** Of shapes as they were sent: each is offered for again and again. */
  readonly #keys = new WeakMap<WaitingShape, string>();

  make(waiting: WaitingShapes, ground: OfferGround): Offer {
    const { nowMs, window, starting, refused, waitingPods, view, kept } = ground;
    const late = waiting.shapes.filter(({ isLate }) => isLate);
    kept.look(
      late.map((shape) => this.#lateGroup(shape, ground)),
      nowMs,
    );
    const shapeRoom = starting.rooms(window, nowMs);
    let ahead = ground.expectedCount;
    for (const [key, count] of waitingPods)
      ahead += Math.min(count, shapeRoom(key), refused.roomFor(key, nowMs));
    const room = windowRoom(window, starting.countInWindow(nowMs), nowMs) - ahead;
    const explain = explainer(view.index, ground.rules);
    const round = { ...ground, explain, ahead, room, shapeRoom };
    const shapes = waiting.shapes.map((shape) => this.#makeOne(shape, round));
    return { waitingDigest: waiting.digest, room: Math.max(0, room), shapes };
  }

  #keyOf(shape: WaitingShape): string {
    const key = this.#keys.get(shape) ?? keyOfShape(shape);
    this.#keys.set(shape, key);
    return key;
  }

  /** By the key that its leases have here. */
  #lateGroup(shape: WaitingShape, { kept, groups, nowMs }: OfferGround): PlacementGroup {
    return kept.open({ ...groups.ofShape(shape, nowMs), key: this.#keyOf(shape) });
  }

  #makeOne(shape: WaitingShape, ground: RoundGround): ShapeOffer {
    const { nowMs, window, refused, view, room, waitingPods } = ground;
    const key = this.#keyOf(shape);
    const isKept = shape.isLate === true && ground.kept.isFor(key);
    const group = isKept ? this.#lateGroup(shape, ground) : ground.groups.ofShape(shape, nowMs);
    const pods = shape.nodes ?? 1;
    const waiting = waitingPods.get(key) ?? 0;
    // Nothing else goes to the nodes kept for it.
    const before = isKept ? waiting : ground.ahead;
    const fitting = Math.floor((view.index.countFitting(group, nowMs) - before) / pods);
    const own = ground.shapeRoom(key) - waiting;
    const started = Math.ceil(Math.min(room, own) / pods);
    const count = Math.max(0, Math.min(fitting, started, refused.roomFor(key, nowMs)));
    const refusal = refused.why(key);
    if (refusal !== undefined)
      return { key: shape.key, count, reason: `its pods are refused: ${refusal}` };
    const isStuck = own <= 0 && ground.stuckWhy(key) !== undefined;
    const isSoon = nowMs >= window.closedUntilMs && !isStuck;
    const soonCount = isSoon ? Math.min(SOON_MAX, Math.max(0, fitting - count)) : 0;
    const offered = { key: shape.key, count, ...(soonCount > 0 && { soonCount }) };
    if (count > 0 && soonCount === 0) return offered;
    if (fitting > 0) return { ...offered, reason: startReason(key, ground) };
    return { ...offered, isFull: true, ...this.#shortage(group, ground) };
  }

  #shortage(
    group: PlacementGroup,
    { nowMs, kept, explain }: RoundGround,
  ): Pick<ShapeOffer, 'reason' | 'isUnfit'> {
    const known = this.#shortages.get(group.key);
    if (known !== undefined && nowMs - known.atMs < REASON_TTL_MS) return known.shortage;
    if (this.#shortages.size > 1000) this.#shortages.clear();
    const keptFor = kept.isFor(group.key) ? `${kept.count} kept for it; of ` : '';
    const explanation = explain(group);
    const isUnfit = explanation.roomWhenEmpty < (group.gang?.size ?? 1);
    const reason = (keptFor + formatExplanation(group, explanation)).slice(0, 2000);
    const shortage = { reason, ...(isUnfit && { isUnfit }) };
    this.#shortages.set(group.key, { shortage, atMs: nowMs });
    return shortage;
  }
}
