import type { Change, EngineStore, JobRecord } from '@majorana/store';
import { settleWaiting } from './dependencies.ts';
import { dispatch } from './dispatch.ts';
import { NotFoundError } from './lease-maker.ts';
import type { EngineLimits } from './limits.ts';
import { onTick, settle } from './reactor.ts';
import { EngineState } from './state.ts';
import type { StoredRows } from './stored-rows.ts';

export interface EngineClock {
  nowMs(): number;
  /** Calls back once after this time; the answer cancels it. */
  after(delayMs: number, callback: () => void): () => void;
}

/** What the engine tells those who wait for something to happen. */
export interface EngineListener {
  onCommit(change: Change, tookMs: number): void;
  onJobs(jobIds: readonly number[]): void;
  onAgents(agentIds: readonly string[]): void;
  /** A write failed: memory is thrown away and loaded again. */
  onReload(error: Error): void;
}

/** The store could not be written; what was asked may or may not be on record. Ask again. */
export class UnavailableError extends Error {
  override name = 'UnavailableError';
  readonly code = 'unavailable';
}

interface Input {
  readonly act: (state: EngineState, nowMs: number) => unknown;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
}

/** Work on the store between two turns, when memory and store agree. */
interface Errand {
  readonly run: (state: EngineState, nowMs: number) => Promise<void>;
  readonly reject: (error: Error) => void;
}

const TICK_MS = 1000;
const RELOAD_DELAY_MS = 250;

export interface TurnParts {
  readonly store: EngineStore;
  readonly rows: StoredRows;
  readonly clock: EngineClock;
  readonly listener: EngineListener;
  readonly limits: EngineLimits;
}

/**
 * The one writer. Ideally every input is its own step and its own transaction; for speed a turn
 * takes all inputs that have arrived, applies them in order, and writes one transaction. Nothing
 * is answered before it is written. When a write fails the memory is thrown away and loaded again:
 * what was not answered is asked again by whoever asked.
 */
export class Turns {
  readonly #store: EngineStore;
  readonly #rows: StoredRows;
  readonly #clock: EngineClock;
  readonly #listener: EngineListener;
  readonly #limits: EngineLimits;
  #state: EngineState | undefined;
  #inputs: Input[] = [];
  #errands: Errand[] = [];
  #isTurning = false;
  #isStopped = false;
  #cancelTick: () => void = () => undefined;
  #cancelWake: () => void = () => undefined;

  constructor({ store, rows, clock, listener, limits }: TurnParts) {
    this.#store = store;
    this.#rows = rows;
    this.#clock = clock;
    this.#listener = listener;
    this.#limits = limits;
  }

  async start(): Promise<void> {
    await this.#load();
    this.#scheduleTick();
  }

  stop(): void {
    this.#isStopped = true;
    this.#cancelTick();
    this.#cancelWake();
  }

  get isReady(): boolean {
    return this.#state !== undefined && !this.#isStopped;
  }

  get state(): EngineState {
    if (this.#state === undefined) throw new UnavailableError('the engine is loading; ask again');
    return this.#state;
  }

  /** A question to the store that changes nothing in memory. */
  async ask<T>(question: () => Promise<T>): Promise<T> {
    if (!this.isReady) throw new UnavailableError('the engine is loading; ask again');
    return question().catch((cause: Error) => {
      if (cause instanceof NotFoundError) throw cause;
      throw new UnavailableError('the store does not answer; ask again', { cause });
    });
  }

  /** As part of the next turn; answers when that is written. */
  do<T>(act: (state: EngineState, nowMs: number) => T): Promise<T> {
    if (!this.isReady)
      return Promise.reject(new UnavailableError('the engine is loading; ask again'));
    return new Promise<T>((resolve, reject) => {
      this.#inputs.push({ act, resolve: resolve as (value: unknown) => void, reject });
      if (!this.#isTurning) void this.#run();
    });
  }

  /** By itself, when memory and store agree. */
  between<T>(errand: (state: EngineState, nowMs: number) => Promise<T>): Promise<T> {
    if (!this.isReady)
      return Promise.reject(new UnavailableError('the engine is loading; ask again'));
    return new Promise<T>((resolve, reject) => {
      const run: Errand['run'] = async (state, nowMs) => resolve(await errand(state, nowMs));
      this.#errands.push({ run, reject });
      if (!this.#isTurning) void this.#run();
    });
  }

  async #run(): Promise<void> {
    this.#isTurning = true;
    // One hop lets everything that has already arrived join this turn.
    await Promise.resolve();
    while (this.#inputs.length + this.#errands.length > 0 && this.isReady) await this.#turn();
    this.#isTurning = false;
  }

  async #turn(): Promise<void> {
    const inputs = this.#inputs;
    this.#inputs = [];
    const { state } = this;
    const nowMs = this.#clock.nowMs();
    try {
      const answers = inputs.map(({ act }) => act(state, nowMs));
      await this.write(state, nowMs);
      for (const [position, input] of inputs.entries()) input.resolve(answers[position]);
      const errand = this.#errands[0];
      if (errand === undefined) return;
      await errand.run(state, nowMs);
      this.#errands.shift();
      await this.#rows.refill(state);
      await this.write(state, nowMs);
    } catch (cause) {
      const error = new UnavailableError('the change could not be stored; ask again', { cause });
      for (const one of [...inputs, ...this.#inputs.splice(0), ...this.#errands.splice(0)]) {
        one.reject(error);
      }
      this.#listener.onReload(cause as Error);
      await this.#reload();
    }
  }

  /** Decides what follows from the turn's inputs, writes it all, and tells who waits for it. */
  async write(state: EngineState, nowMs: number): Promise<void> {
    for (const jobId of settle(state, nowMs)) this.#errands.push(this.#makeElements(jobId));
    dispatch(state, nowMs);
    const change = state.takeChange();
    if (change !== undefined) {
      const begunMs = this.#clock.nowMs();
      await this.#store.commit(change);
      state.markWritten();
      this.#listener.onCommit(change, this.#clock.nowMs() - begunMs);
      this.#listener.onJobs(change.jobs.map((job) => job.jobId));
      await this.#rows.refill(state);
    }
    this.#wakeAt(state.nextReadyMs, nowMs);
    const agents = state.takeAgentsToWake();
    if (agents.length > 0) this.#listener.onAgents(agents);
  }

  /** A job that has just become known may be free already. */
  settleNew(state: EngineState, job: JobRecord, nowMs: number): void {
    if (settleWaiting(state, job, nowMs) === 'needs_elements') {
      this.#errands.push(this.#makeElements(job.jobId));
    }
  }

  #makeElements(jobId: number): Errand {
    const run: Errand['run'] = (state, nowMs) => this.#rows.makeElements(state, jobId, nowMs);
    // Dropped at a reload, which makes it again.
    return { run, reject: () => undefined };
  }

  async #load(): Promise<void> {
    const hot = await this.#store.load(this.#limits.queuedWindowMax);
    const nowMs = this.#clock.nowMs();
    const state = new EngineState(hot, nowMs, this.#limits);
    this.#state = state;
    this.#errands = [];
    for (const job of state.jobs.values()) this.settleNew(state, job, nowMs);
  }

  async #reload(): Promise<void> {
    this.#state = undefined;
    while (!this.#isStopped && this.#state === undefined) {
      await new Promise<void>((resolve) => this.#clock.after(RELOAD_DELAY_MS, resolve));
      await this.#load().catch(() => undefined);
    }
  }

  /** A back-off that ends before the next tick has a turn of its own. */
  #wakeAt(atMs: number, nowMs: number): void {
    this.#cancelWake();
    this.#cancelWake = () => undefined;
    if (atMs - nowMs >= TICK_MS) return;
    this.#cancelWake = this.#clock.after(Math.max(1, atMs - nowMs), () => {
      this.do(() => undefined).catch(() => undefined);
    });
  }

  #scheduleTick(): void {
    this.#cancelTick = this.#clock.after(TICK_MS, () => {
      this.do((state, nowMs) => onTick(state, nowMs))
        .catch(() => undefined)
        .finally(() => {
          if (!this.#isStopped) this.#scheduleTick();
        });
    });
  }
}
