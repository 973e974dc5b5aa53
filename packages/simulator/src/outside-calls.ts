import type { FaultRates } from './faults.ts';
import type { Life } from './life.ts';
import type { Random } from './random.ts';
import type { World } from './world.ts';

/** What the process that calls is to the thing it calls. */
export interface Caller {
  readonly name: string;
  readonly life: Life;
  /** Ends the caller's life, and lets it be started again. */
  readonly crash: (why: string) => void;
}

export interface CallKind {
  readonly name: string;
  readonly meanMs: number;
  readonly failBefore: keyof FaultRates;
  readonly failAfter: keyof FaultRates;
  readonly slow: keyof FaultRates;
  /** A call on its way may still be applied when its caller has died: true of a database's server. */
  readonly outlivesCaller: boolean;
}

/** How much longer a call takes that a fault makes slow. */
const SLOW_FACTOR = 40;

/**
 * Calls from a process to what outlives it. A call takes time before it is applied and time before
 * it is answered, so a crash may fall before, between or after the two; it may fail before it was
 * applied or after, and the caller cannot tell which.
 */
export class OutsideCalls {
  readonly #world: World;
  readonly #caller: Caller;
  readonly #random: Random;
  /** Calls through one session are applied one after the other. */
  #freeAtMs = 0;

  constructor(world: World, caller: Caller, random: Random) {
    this.#world = world;
    this.#caller = caller;
    this.#random = random;
  }

  call<T>(
    kind: CallKind,
    about: { readonly jobId: number; readonly text: string; readonly isQueued?: boolean },
    act: () => Promise<T> | T,
  ): Promise<T> {
    const { time, faults, trace } = this.#world;
    const random = this.#random;
    const isSlow = faults.happens(kind.slow, random);
    const mean = kind.meanMs * (isSlow ? SLOW_FACTOR : 1);
    const answerMs = random.exponential(mean);
    const startMs = about.isQueued === true ? Math.max(0, this.#freeAtMs - time.nowMs) : 0;
    const applyMs = startMs + random.exponential(mean);
    if (about.isQueued === true) this.#freeAtMs = time.nowMs + applyMs;
    const text = `${this.#caller.name} ${kind.name} ${about.text}`;
    const fails = faults.happens(kind.failBefore, random)
      ? 'before'
      : faults.happens(kind.failAfter, random)
        ? 'after'
        : undefined;
    this.#maybeCrash(applyMs, answerMs, text);
    return new Promise<T>((resolve, reject) => {
      const answer = (delayMs: number, settle: () => void): void =>
        this.#caller.life.later(delayMs, settle);
      const fail = (when: string, delayMs: number): void => {
        trace.add(`fault.${kind.name}_fails_${when}`, about.jobId, text);
        answer(delayMs, () => reject(new Error(`simulated failure ${when} ${kind.name}`)));
      };
      if (fails === 'before') {
        fail('before', applyMs);
        return;
      }
      time.schedule(applyMs, () => {
        const { isAlive } = this.#caller.life;
        if (!isAlive && !(kind.outlivesCaller && random.chance(0.5))) return;
        const applied = (async () => act())();
        if (fails === 'after') {
          applied.then(
            () => fail('after', answerMs),
            () => fail('after', answerMs),
          );
          return;
        }
        applied.then(
          (value) => answer(answerMs, () => resolve(value)),
          (error: Error) => answer(answerMs, () => reject(error)),
        );
      });
    });
  }

  #maybeCrash(applyMs: number, answerMs: number, text: string): void {
    const { faults, time } = this.#world;
    if (!faults.happens('crashInCall', this.#random)) return;
    const atMs = this.#random.pick([
      this.#random.between(0, applyMs),
      applyMs + this.#random.between(0, answerMs),
      // At the very moment of the answer: scheduled first, so it comes first.
      applyMs + answerMs,
    ]);
    const { life, crash } = this.#caller;
    time.schedule(atMs, () => {
      if (life.isAlive) crash(`within ${text}`);
    });
  }
}
