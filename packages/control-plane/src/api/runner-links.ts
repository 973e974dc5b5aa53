import type { LogRequest, RunnerLink, RunnerOrders } from '@majorana/protocol';
import type { Change, TaskRecord } from '@majorana/store';
import type { EngineClock } from '../engine/engine.ts';
import { HeldAnswers } from './held-answers.ts';
import { QuestionDesk } from './question-desk.ts';

/** Between two exchanges of one runner; longer than the longest of its waits after a failed one. */
const LINK_GAP_MS = 40_000;

/** What of a task tells its attempts apart. */
export type AttemptOfTask = Pick<TaskRecord, 'jobId' | 'position' | 'attemptNumber'>;
const keyOf = ({ jobId, position, attemptNumber }: AttemptOfTask): string =>
  `${jobId} ${position} ${attemptNumber}`;

interface KnownLink {
  readonly state: RunnerLink['state'];
  readonly forget: () => void;
}

/**
 * The one open request of each runner. It says what its task uses, and hears who wants to read a
 * log and whether the task is to end. Nothing depends on it but live logs and a quick cancel.
 */
export class RunnerLinks {
  readonly #clock: EngineClock;
  readonly #held: HeldAnswers;
  readonly #logs: QuestionDesk<LogRequest, Buffer>;
  /** Those that are there, each with what it does and the end of its patience. */
  readonly #byKey = new Map<string, KnownLink>();
  /** Of open attempts those that were there once: cut off, or about to be told as ended. */
  readonly #left = new Set<string>();

  constructor(clock: EngineClock) {
    this.#clock = clock;
    this.#held = new HeldAnswers(clock);
    this.#logs = new QuestionDesk('log', clock);
  }

  /** Asks `isToEnd` again after a wait: it answers of that moment, or throws when it is over. */
  async exchange(
    attempt: AttemptOfTask,
    news: RunnerLink,
    isToEnd: () => boolean,
  ): Promise<RunnerOrders> {
    const key = keyOf(attempt);
    this.#remember(key, news);
    for (const { requestId, dataBase64 } of news.logChunks) {
      this.#logs.answer(key, requestId, Buffer.from(dataBase64, 'base64'));
    }
    if (!isToEnd() && this.#logs.questionsFor(key).length === 0 && news.waitMs > 0) {
      await this.#held.wait(key, news.waitMs);
    }
    return { isToEnd: isToEnd(), logRequests: this.#logs.questionsFor(key) };
  }

  #remember(key: string, { state, waitMs }: RunnerLink): void {
    this.#byKey.get(key)?.forget();
    const forget = this.#clock.after(waitMs + LINK_GAP_MS, () => this.#drop(key));
    this.#byKey.set(key, { state, forget });
  }

  has(attempt: AttemptOfTask): boolean {
    return this.#byKey.has(keyOf(attempt));
  }

  /** What a runner said that it does when it last asked; undefined: it never did. */
  stateOf(attempt: AttemptOfTask): RunnerLink['state'] | 'left' | undefined {
    const key = keyOf(attempt);
    return this.#byKey.get(key)?.state ?? (this.#left.has(key) ? 'left' : undefined);
  }

  #drop(key: string): void {
    if (this.#byKey.delete(key)) this.#left.add(key);
  }

  /** What the attempt has written from an offset on; undefined when its runner is silent. */
  readLog(
    attempt: AttemptOfTask,
    request: Omit<LogRequest, 'requestId'>,
  ): Promise<Buffer | undefined> {
    const key = keyOf(attempt);
    const answer = this.#logs.ask(key, request);
    this.#held.wake(key);
    return answer;
  }

  /** The runner hung up, or its attempt is over: nobody waits for its answer any more. */
  leave(attempt: AttemptOfTask): void {
    const key = keyOf(attempt);
    this.#byKey.get(key)?.forget();
    this.#drop(key);
    this.#logs.abandon(key);
    this.#held.wake(key);
  }

  /** Told of every change on record: an attempt that is over or was cancelled hears of it at once. */
  onCommit({ attempts, tasks }: Pick<Change, 'attempts' | 'tasks'>): void {
    for (const attempt of attempts) {
      if (attempt.endedAtMs === null) continue;
      this.leave(attempt);
      this.#left.delete(keyOf(attempt));
    }
    for (const task of tasks) if (task.isCancelling) this.#held.wake(keyOf(task));
  }

  stop(): void {
    this.#held.stop();
    this.#logs.stop();
    for (const { forget } of this.#byKey.values()) forget();
    this.#byKey.clear();
  }
}
