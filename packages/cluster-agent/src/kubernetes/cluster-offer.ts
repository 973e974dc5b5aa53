import type { DispatchWindow, NodeIndex, PlacementGroup, PlacementRules } from '@majorana/core';
import { explainer, formatExplanation, windowRoom } from '@majorana/core';
import type { AgentSync, WaitingShape, WaitingShapes } from '@majorana/protocol';
import type { Groups } from './groups.ts';
import { keyOfShape } from './groups.ts';
import type { RefusedShapes } from './refused-shapes.ts';
import type { StartingPods } from './starting-pods.ts';

/** A message says no more. */
const SOON_MAX = 1_000_000;
/** Looks at every node, so it is asked for no more often. */
const REASON_TTL_MS = 1000;

/** What an offer goes by. */
export interface OfferGround {
  readonly nowMs: number;
  readonly index: NodeIndex;
  readonly rules: PlacementRules;
  readonly window: DispatchWindow;
  readonly groups: Groups;
  readonly starting: StartingPods;
  readonly refused: RefusedShapes;
  /** Of the tasks that wait here, by the key of their shape. */
  readonly waitingPods: ReadonlyMap<string, number>;
  /** Of the pods of a shape that have been starting for long. */
  readonly stuckWhy: (shapeKey: string) => string | undefined;
}

type Offer = NonNullable<AgentSync['offer']>;

/** For how many tasks of each waiting shape there is room that nobody here waits for. */
export class ClusterOffer {
  readonly #reasons = new Map<string, { readonly text: string; readonly atMs: number }>();
  /** Of shapes as they were sent: each is offered for again and again. */
  readonly #keys = new WeakMap<WaitingShape, string>();

  make(waiting: WaitingShapes, ground: OfferGround): Offer {
    const { nowMs, window, starting, refused, waitingPods, index, rules } = ground;
    const shapeRoom = starting.rooms(window, nowMs);
    let ahead = 0;
    // What is held back for the sake of its shape takes nothing from others.
    for (const [key, count] of waitingPods)
      ahead += Math.min(count, shapeRoom(key), refused.roomFor(key, nowMs));
    const room = windowRoom(window, starting.count(nowMs), nowMs) - ahead;
    const explain = explainer(index, rules);
    const shapes = waiting.shapes.map((shape) => {
      const own = shapeRoom(this.#keyOf(shape)) - (waitingPods.get(this.#keyOf(shape)) ?? 0);
      return this.#makeOne(shape, { ...ground, ahead, room, own, explain });
    });
    return { waitingDigest: waiting.digest, shapes };
  }

  #keyOf(shape: WaitingShape): string {
    const key = this.#keys.get(shape) ?? keyOfShape(shape);
    this.#keys.set(shape, key);
    return key;
  }

  #makeOne(
    shape: WaitingShape,
    ground: OfferGround & {
      readonly ahead: number;
      readonly room: number;
      readonly own: number;
      readonly explain: ReturnType<typeof explainer>;
    },
  ): Offer['shapes'][number] {
    const { nowMs, window, refused, index, ahead, room, own } = ground;
    const group = ground.groups.ofShape(shape, nowMs);
    const pods = shape.nodes ?? 1;
    const fitting = Math.floor((index.countFitting(group, nowMs) - ahead) / pods);
    const key = this.#keyOf(shape);
    const started = Math.ceil(Math.min(room, own) / pods);
    const count = Math.max(0, Math.min(fitting, started, refused.roomFor(key, nowMs)));
    const refusal = refused.why(key);
    if (refusal !== undefined)
      return { key: shape.key, count, reason: `its pods are refused: ${refusal}` };
    const stuck = own > 0 ? undefined : ground.stuckWhy(key);
    if (stuck !== undefined) return { key: shape.key, count, reason: `of its shape ${stuck}` };
    const isSoon = nowMs >= window.closedUntilMs;
    const soonCount = isSoon ? Math.min(SOON_MAX, Math.max(0, fitting - count)) : 0;
    const offered = { key: shape.key, count, ...(soonCount > 0 && { soonCount }) };
    if (count > 0 && soonCount === 0) return offered;
    const reason = fitting > 0 ? windowReason(ground) : this.#nodesReason(group, ground);
    return { ...offered, reason };
  }

  #nodesReason(
    group: PlacementGroup,
    { nowMs, explain }: { readonly nowMs: number; readonly explain: ReturnType<typeof explainer> },
  ): string {
    const known = this.#reasons.get(group.key);
    if (known !== undefined && nowMs - known.atMs < REASON_TTL_MS) return known.text;
    if (this.#reasons.size > 1000) this.#reasons.clear();
    const text = formatExplanation(group, explain(group)).slice(0, 2000);
    this.#reasons.set(group.key, { text, atMs: nowMs });
    return text;
  }
}

function windowReason({ nowMs, window, starting, own, room }: WindowGround): string {
  const { limit, why } = window;
  const text = `${starting.count(nowMs)} pods are starting, of ${Math.floor(limit)} that may at once`;
  return room > 0 && own < room
    ? `${text}; more of its shape when the first have started`
    : `${text}: ${why}`;
}
type WindowGround = Pick<OfferGround, 'nowMs' | 'window' | 'starting'> & {
  readonly own: number;
  readonly room: number;
};
