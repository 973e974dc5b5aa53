import { fits } from '@majorana/core';
import type { WaitingShape } from '@majorana/protocol';

/** A cluster is not asked again sooner for what is larger than something that found no room. */
const HOLDS_MS = 10_000;

/** A shape is never changed, and a round asks for each. */
const kinds = new WeakMap<WaitingShape, string>();

/** All but the size: where such a task may run, and on which devices. */
export function kindOf(shape: WaitingShape): string {
  const known = kinds.get(shape);
  if (known !== undefined) return known;
  const { gpuCount, countable } = shape.resources;
  const devices = [gpuCount > 0, ...Object.keys(countable).toSorted()];
  const kind = JSON.stringify([shape.container, shape.nodes, devices]);
  kinds.set(shape, kind);
  return kind;
}

/** Where `large` has room, `small` has. */
export const isAtLeast = (large: WaitingShape, small: WaitingShape): boolean =>
  fits(small.resources, large.resources) && kindOf(large) === kindOf(small);

/**
 * Shapes that no cluster has room for. Without it 50,000 different tasks that are too large would
 * each have to be asked for, before anybody learns that there is room for those behind them.
 */
export class FullShapes {
  readonly #byKey = new Map<string, { readonly shape: WaitingShape; readonly untilMs: number }>();

  learn(full: readonly WaitingShape[], roomy: readonly WaitingShape[], nowMs: number): void {
    // Where something has become free, what is larger may find room too.
    const freed = roomy.filter(({ key }) => this.#byKey.has(key));
    for (const [key, { shape, untilMs }] of this.#byKey)
      if (untilMs <= nowMs || freed.some((one) => isAtLeast(shape, one))) this.#byKey.delete(key);
    for (const shape of full) this.#byKey.set(shape.key, { shape, untilMs: nowMs + HOLDS_MS });
  }

  /** Tells of any shape whether it is larger than one of these. */
  above(): (shape: WaitingShape) => boolean {
    const leastByKind = new Map<string, WaitingShape[]>();
    for (const { shape } of this.#byKey.values()) {
      const least = leastByKind.get(kindOf(shape)) ?? [];
      if (least.some((one) => fits(one.resources, shape.resources))) continue;
      const others = least.filter((one) => !fits(shape.resources, one.resources));
      leastByKind.set(kindOf(shape), [...others, shape]);
    }
    return (shape) =>
      leastByKind
        .get(kindOf(shape))
        ?.some((one) => one.key !== shape.key && fits(one.resources, shape.resources)) === true;
  }
}
