import type { EngineClock } from '../engine/engine.ts';

/** Answers with nothing to say yet, held open until there is or until their time is over. */
export class HeldAnswers {
  readonly #clock: EngineClock;
  readonly #wakers = new Map<string, () => void>();

  constructor(clock: EngineClock) {
    this.#clock = clock;
  }

  wait(who: string, waitMs: number): Promise<void> {
    // A second exchange of the same party means that the first has been given up.
    this.#wakers.get(who)?.();
    return new Promise((resolve) => {
      const finish = (): void => {
        cancel();
        if (this.#wakers.get(who) === finish) this.#wakers.delete(who);
        resolve();
      };
      const cancel = this.#clock.after(waitMs, finish);
      this.#wakers.set(who, finish);
    });
  }

  wake(who: string): void {
    this.#wakers.get(who)?.();
  }

  stop(): void {
    for (const finish of this.#wakers.values()) finish();
  }
}
