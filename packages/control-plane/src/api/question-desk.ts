import type { EngineClock } from '../engine/engine.ts';

/** Whoever does not answer within this time is taken for absent. */
const DEADLINE_MS = 15_000;

interface Question {
  readonly requestId: string;
}

interface Pending<Q extends Question, A> {
  /** An agent, or an attempt's runner. */
  readonly who: string;
  readonly question: Q;
  readonly resolve: (answer: A | undefined) => void;
}

/**
 * Questions that travel with orders, until they are answered. In memory only: whoever asked is on
 * the line, or asks again.
 */
export class QuestionDesk<Q extends Question, A> {
  readonly #clock: EngineClock;
  readonly #pending = new Map<string, Pending<Q, A>>();
  /** Questions of an earlier server must not be answered to this one. */
  readonly #prefix: string;
  #count = 0;

  constructor(kind: string, clock: EngineClock) {
    this.#clock = clock;
    this.#prefix = `${kind}_${clock.nowMs()}`;
  }

  /** Undefined when nobody answers in time. */
  ask(
    who: string,
    question: Omit<Q, 'requestId'>,
    deadlineMs = DEADLINE_MS,
  ): Promise<A | undefined> {
    const requestId = `${this.#prefix}_${(this.#count += 1)}`;
    return new Promise((resolve) => {
      const cancel = this.#clock.after(deadlineMs, () => this.answer(who, requestId, undefined));
      this.#pending.set(requestId, {
        who,
        question: { requestId, ...question } as Q,
        resolve: (answer) => {
          cancel();
          resolve(answer);
        },
      });
    });
  }

  questionsFor(who: string): Q[] {
    return [...this.#pending.values()].filter((one) => one.who === who).map((one) => one.question);
  }

  answer(who: string, requestId: string, answer: A | undefined): void {
    const pending = this.#pending.get(requestId);
    if (pending?.who !== who) return;
    this.#pending.delete(requestId);
    pending.resolve(answer);
  }

  /** Answers what is still asked of one that is gone. */
  abandon(who: string): void {
    for (const { requestId } of this.questionsFor(who)) this.answer(who, requestId, undefined);
  }

  stop(): void {
    for (const { who } of this.#pending.values()) this.abandon(who);
  }
}
