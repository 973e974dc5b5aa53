import type { VirtualTime } from './virtual-time.ts';

/** How a process's clock differs from true time: ahead by `offsetMs`, running `rate` times as fast. */
export interface ClockError {
  readonly offsetMs: number;
  readonly rate: number;
}

/** Virtual time begins here, so that times look and round like real ones. */
export const EPOCH_MS = 1_750_000_000_000;
/** As Node's timers have it: less is this much, and more than the most is this much too. */
const TIMER_MS_MIN = 1;
const TIMER_MS_MAX = 2_147_483_647;

/**
 * One process from its start to its crash. At the end its timers die and nothing it waits for is
 * ever answered; the objects in its memory are never called again.
 */
export class Life {
  readonly #time: VirtualTime;
  readonly #error: ClockError;
  readonly #timers = new Set<() => void>();
  readonly #onEnd = new Set<() => void>();
  #isAlive = true;

  constructor(time: VirtualTime, error: ClockError) {
    this.#time = time;
    this.#error = error;
  }

  get isAlive(): boolean {
    return this.#isAlive;
  }

  nowMs(): number {
    const { offsetMs, rate } = this.#error;
    return Math.floor(EPOCH_MS + offsetMs + this.#time.nowMs * rate);
  }

  after(delayMs: number, callback: () => void): () => void {
    const isKept = delayMs >= TIMER_MS_MIN && delayMs <= TIMER_MS_MAX;
    const trueMs = (isKept ? delayMs : TIMER_MS_MIN) / this.#error.rate;
    const cancel = this.#time.schedule(trueMs, () => {
      this.#timers.delete(cancel);
      callback();
    });
    this.#timers.add(cancel);
    return () => {
      this.#timers.delete(cancel);
      cancel();
    };
  }

  /** Runs `action` after true time, unless this life has ended by then. */
  later(delayMs: number, action: () => void): void {
    this.#time.schedule(delayMs, () => {
      if (this.#isAlive) action();
    });
  }

  /** Called at the end: what others see of it, such as closed connections. The answer calls it off. */
  onEnd(callback: () => void): () => void {
    this.#onEnd.add(callback);
    return () => this.#onEnd.delete(callback);
  }

  end(): void {
    if (!this.#isAlive) return;
    this.#isAlive = false;
    for (const cancel of this.#timers) cancel();
    this.#timers.clear();
    for (const callback of this.#onEnd) callback();
    this.#onEnd.clear();
  }
}
