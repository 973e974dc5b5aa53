import type { Resources } from './resources.ts';

/** Tasks of one kind find room on the same nodes. */
export interface Sized {
  readonly shapeKey?: string | undefined;
  readonly shapeKind?: string | undefined;
  readonly resources: Resources;
}

export interface Taken extends Sized {
  readonly count: number;
}

interface Left {
  /** Of those that may start now. */
  count: number;
  /** Of those that have a node. */
  fitting: number;
  /** So many of what was taken have been subtracted. */
  seen: number;
}

/** How many of `small` one of `large` keeps from a node at most, wherever it goes. */
function displaced(small: Resources, large: Resources): number {
  let most = 1;
  const compare = (want = 0, has = 0): void => {
    if (has > 0) most = Math.max(most, Math.ceil(want / has));
  };
  compare(large.cpuMillis, small.cpuMillis);
  compare(large.memoryBytes, small.memoryBytes);
  compare(large.scratchBytes, small.scratchBytes);
  compare(large.gpuCount, small.gpuCount);
  for (const name in small.countable) compare(large.countable[name], small.countable[name]);
  return most;
}

/**
 * What an agent has offered, less what it was given since. Each offer is for itself: one hole is
 * offered to each of 256 shapes that fit into it, and all but one would be leased to wait there.
 */
export class OfferedRoom {
  readonly #offers: ReadonlyMap<string, number>;
  readonly #soon: ReadonlyMap<string, number>;
  readonly #takenByKind = new Map<string, Taken[]>();
  readonly #left = new Map<string, Left>();

  constructor(
    offers: ReadonlyMap<string, number>,
    soon: ReadonlyMap<string, number>,
    taken: readonly Taken[],
  ) {
    this.#offers = offers;
    this.#soon = soon;
    for (const one of taken) this.take(one, one.count);
  }

  has(shapeKey: string): boolean {
    return this.#offers.has(shapeKey);
  }

  /** May be less than nothing. */
  leftFor({ shapeKey = '', shapeKind = shapeKey, resources }: Sized): number {
    const count = this.#offers.get(shapeKey);
    if (count === undefined) return 0;
    const fresh = { count, fitting: count + (this.#soon.get(shapeKey) ?? 0), seen: 0 };
    const left = this.#left.get(shapeKey) ?? fresh;
    this.#left.set(shapeKey, left);
    const taken = this.#takenByKind.get(shapeKind) ?? [];
    for (; left.seen < taken.length; left.seen += 1) {
      const one = taken[left.seen]!;
      if (one.shapeKey === shapeKey) left.count -= one.count;
      left.fitting -= one.count * displaced(resources, one.resources);
    }
    return Math.min(left.count, left.fitting);
  }

  take({ shapeKey, shapeKind = shapeKey, resources }: Sized, count: number): void {
    if (shapeKind === undefined) return;
    const taken = this.#takenByKind.get(shapeKind) ?? [];
    this.#takenByKind.set(shapeKind, taken);
    taken.push({ shapeKey, resources, count });
  }
}
