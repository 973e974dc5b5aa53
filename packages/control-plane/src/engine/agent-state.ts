import type { Resources } from '@majorana/core';
import { addResources, IdDigest, subtractResources } from '@majorana/core';
import type { AgentSync } from '@majorana/protocol';

interface ShapeOffer {
  readonly count: number;
  readonly soonCount: number;
  readonly reason: string;
  /** No node has room for one. */
  readonly isFull: boolean;
  /** Nor would it have room if nothing ran there. */
  readonly isUnfit: boolean;
}

/**
 * What the engine knows of one agent: what is leased to it, and what it said it holds. Where the
 * two differ is kept as they change, so that a sync costs what is new in it, not what is held.
 */
export class AgentState {
  readonly agentId: string;
  capacity: Resources;
  free: Resources;
  lastSeenMs: number;
  /** Of one that places tasks on nodes: for how many tasks of which shape it has room, and why no more. */
  offers: ReadonlyMap<string, ShapeOffer> | undefined;
  /** Of all shapes together it may start no more. */
  room = Infinity;
  /** Which waiting shapes it has heard of. */
  waitingDigest = '';
  /** Unknown is the dearest: a cluster with a price is chosen before it. */
  corePricePerHour = Infinity;
  /** Keys of the tasks leased to it. */
  readonly leased = new Set<string>();
  /** Of those: it has not said that it holds them. */
  readonly unconfirmed = new Set<string>();
  /** Of those: a user has cancelled them. */
  readonly cancelling = new Set<string>();
  /** Attempts it said it holds. */
  #reported = new Set<string>();
  #digest = new IdDigest();
  /** Of those: no longer its own. Until it has ended them, it has less room than it seems. */
  readonly stale = new Set<string>();

  constructor(agentId: string, capacity: Resources, nowMs: number) {
    this.agentId = agentId;
    this.capacity = capacity;
    this.free = capacity;
    this.lastSeenMs = nowMs;
  }

  get reported(): ReadonlySet<string> {
    return this.#reported;
  }
  get digest(): string {
    return this.#digest.toString();
  }

  /** An agent that was given more or less to hand out. */
  resize(capacity: Resources): void {
    this.free = addResources(subtractResources(this.free, this.capacity), capacity);
    this.capacity = capacity;
  }

  offer(offer: AgentSync['offer']): void {
    this.waitingDigest = offer?.waitingDigest ?? '';
    this.room = offer?.room ?? Infinity;
    this.offers =
      offer &&
      new Map(
        offer.shapes.map(({ key, count, soonCount = 0, reason = '', ...flags }) => [
          key,
          {
            count,
            soonCount,
            reason,
            isFull: flags.isFull === true,
            isUnfit: flags.isUnfit === true,
          },
        ]),
      );
  }

  /** A lease, or a step of what is leased. */
  lease(key: string, attemptId: string, asked: Resources): void {
    if (!this.leased.has(key)) this.free = subtractResources(this.free, asked);
    this.leased.add(key);
    if (this.#reported.has(attemptId)) this.stale.delete(attemptId);
    else this.unconfirmed.add(key);
  }

  release(key: string, attemptId: string, asked: Resources): void {
    if (!this.leased.delete(key)) return;
    this.free = addResources(this.free, asked);
    this.unconfirmed.delete(key);
    this.cancelling.delete(key);
    if (this.#reported.has(attemptId)) this.stale.add(attemptId);
  }

  /** It said that it holds this; `key`: of the task, if the attempt is leased to it. */
  report(attemptId: string, key: string | undefined): void {
    if (!this.#reported.has(attemptId)) this.#digest.add(attemptId);
    this.#reported.add(attemptId);
    if (key === undefined) this.stale.add(attemptId);
    else this.unconfirmed.delete(key);
  }

  /** It will forget this. */
  unreport(attemptId: string): void {
    this.stale.delete(attemptId);
    if (this.#reported.delete(attemptId)) this.#digest.remove(attemptId);
  }

  /** Before it says all that it holds anew: what of that is leased is given by key. */
  clearReport(): void {
    this.#reported = new Set();
    this.#digest = new IdDigest();
    this.stale.clear();
    for (const key of this.leased) this.unconfirmed.add(key);
  }
}
