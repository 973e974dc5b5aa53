import type { AgentStream, LogRequest, LogStream } from '@majorana/protocol';
import type { EngineClock } from '../engine/engine.ts';

/** Whoever does not answer for a log within this time is taken for absent. */
const LOG_DEADLINE_MS = 15_000;

interface Pending<Stream extends AgentStream> {
  /** An agent, or an attempt's runner. */
  readonly who: string;
  readonly request: LogRequest<Stream>;
  readonly resolve: (data: Buffer | undefined) => void;
}

/**
 * Questions for parts of logs, until they are answered. In memory only: whoever asked is on the
 * line, or asks again.
 */
export class LogDesk<Stream extends AgentStream = LogStream> {
  readonly #clock: EngineClock;
  readonly #pending = new Map<string, Pending<Stream>>();
  /** Requests of an earlier server must not be answered to this one. */
  readonly #prefix: string;
  #count = 0;

  constructor(clock: EngineClock) {
    this.#clock = clock;
    this.#prefix = `log_${clock.nowMs()}`;
  }

  /** Undefined when nobody answers in time. */
  ask(
    who: string,
    request: Omit<LogRequest<Stream>, 'requestId'>,
    deadlineMs = LOG_DEADLINE_MS,
  ): Promise<Buffer | undefined> {
    const requestId = `${this.#prefix}_${(this.#count += 1)}`;
    return new Promise((resolve) => {
      const cancel = this.#clock.after(deadlineMs, () => this.answer(who, requestId, undefined));
      this.#pending.set(requestId, {
        who,
        request: { requestId, ...request },
        resolve: (data) => {
          cancel();
          resolve(data);
        },
      });
    });
  }

  requestsFor(who: string): LogRequest<Stream>[] {
    return [...this.#pending.values()].filter((one) => one.who === who).map((one) => one.request);
  }

  answer(who: string, requestId: string, data: Buffer | undefined): void {
    const pending = this.#pending.get(requestId);
    if (pending?.who !== who) return;
    this.#pending.delete(requestId);
    pending.resolve(data);
  }

  /** Answers what is still asked of one that is gone. */
  abandon(who: string): void {
    for (const { requestId } of this.requestsFor(who)) this.answer(who, requestId, undefined);
  }

  stop(): void {
    for (const { who } of this.#pending.values()) this.abandon(who);
  }
}
