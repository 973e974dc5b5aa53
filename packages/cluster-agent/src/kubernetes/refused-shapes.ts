/** After a refusal none of its shape is created for this long, doubled each time up to the last. */
const REST_MS = 1000;
const REST_MS_MAX = 60_000;
/** One that nobody tried again for so long is no longer told: nobody waits for it. */
const FORGET_MS = 5 * 60_000;

interface Refused {
  readonly why: string;
  readonly restMs: number;
  readonly untilMs: number;
}

/**
 * Pods that whoever runs the cluster does not let be: a quota is used up, a limit is below what they
 * ask for, a policy forbids them, their namespace is gone. That is a matter of their shape, not of
 * the API server: others are created meanwhile, and one of the shape tries again now and then.
 */
export class RefusedShapes {
  readonly #byKey = new Map<string, Refused>();

  get isEmpty(): boolean {
    return this.#byKey.size === 0;
  }

  /** What was under way when the rest began lengthens it no further. */
  refuse(key: string, why: string, nowMs: number): void {
    const known = this.#byKey.get(key);
    if (known !== undefined && nowMs < known.untilMs) return;
    const restMs = Math.min(REST_MS_MAX, (known?.restMs ?? REST_MS / 2) * 2);
    // The latest stands last.
    this.#byKey.delete(key);
    this.#byKey.set(key, { why, restMs, untilMs: nowMs + restMs });
  }

  /** Something may have become free: one of each finds out. */
  endRests(nowMs: number): void {
    for (const [key, refused] of this.#byKey)
      this.#byKey.set(key, { ...refused, untilMs: Math.min(refused.untilMs, nowMs) });
  }

  allow(key: string): void {
    this.#byKey.delete(key);
  }

  /** How many of it may be created now; after a rest one finds out for all. */
  roomFor(key: string, nowMs: number): number {
    const known = this.#byKey.get(key);
    if (known === undefined) return Infinity;
    return nowMs < known.untilMs ? 0 : 1;
  }

  why(key: string): string | undefined {
    return this.#byKey.get(key)?.why;
  }

  latest(nowMs: number): string | undefined {
    for (const [key, { untilMs }] of this.#byKey)
      if (nowMs - untilMs > FORGET_MS) this.#byKey.delete(key);
    return [...this.#byKey.values()].at(-1)?.why;
  }
}
