import type { ParsedId, Resources, TaskState } from '@majorana/core';
import type { AgentOrders, AgentSync, JobSpec, StagedObject } from '@majorana/protocol';
import type { EngineStore, JobRecord } from '@majorana/store';
import { dispatch, openLeases } from './dispatch.ts';
import {
  onAgentSync,
  onCancel,
  onDependenciesKnown,
  onRetry,
  onSubmit,
  onTick,
  settle,
} from './reactor.ts';
import { EngineState } from './state.ts';

export interface EngineClock {
  nowMs(): number;
  /** Calls back once after this time; the answer cancels it. */
  after(delayMs: number, callback: () => void): () => void;
}

export class NotFoundError extends Error {
  override name = 'NotFoundError';
  readonly code = 'not_found';
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

const TICK_MS = 1000;
const RELOAD_DELAY_MS = 250;

/**
 * The one writer. Ideally every input is its own step and its own transaction; for speed a turn
 * takes all inputs that have arrived, applies them in order, and writes one transaction. Nothing
 * is answered before it is written. When a write fails the memory is thrown away and loaded again:
 * what was not answered is asked again by whoever asked.
 */
export class Engine {
  readonly #store: EngineStore;
  readonly #clock: EngineClock;
  #state: EngineState | undefined;
  #inputs: Input[] = [];
  #isTurning = false;
  #isStopped = false;
  #cancelTick: () => void = () => undefined;
  #loadedAtMs = 0;
  #waiters = new Map<string, () => void>();
  readonly onChange: (jobIds: readonly number[]) => void;

  constructor(
    store: EngineStore,
    clock: EngineClock,
    onChange: (jobIds: readonly number[]) => void = () => undefined,
  ) {
    this.#store = store;
    this.#clock = clock;
    this.onChange = onChange;
  }

  async start(): Promise<void> {
    this.#state = new EngineState(await this.#store.load());
    this.#loadedAtMs = this.#clock.nowMs();
    await this.#checkDependencies();
    this.#scheduleTick();
  }

  stop(): void {
    this.#isStopped = true;
    this.#cancelTick();
    for (const wake of this.#waiters.values()) wake();
  }

  get isReady(): boolean {
    return this.#state !== undefined && !this.#isStopped;
  }

  capacities(): Resources[] {
    return [...this.#ready().agents.values()].map((agent) => agent.capacity);
  }

  async submit(spec: JobSpec): Promise<number> {
    if (spec.idempotencyKey !== undefined) {
      const known = await this.#store.findJobByKey(spec.idempotencyKey);
      if (known !== undefined) return known;
    }
    const jobId = await this.#store.allocateJobId();
    await this.#do((state, nowMs) => onSubmit(state, jobId, spec, nowMs));
    if (spec.after.length > 0) await this.#checkDependencies();
    return jobId;
  }

  cancel(id: ParsedId): Promise<number> {
    return this.#do((state, nowMs) => onCancel(state, id, nowMs));
  }

  async retry(jobId: number, states: readonly TaskState[]): Promise<number> {
    const job = await this.#jobOf(jobId);
    if (job === undefined) throw new NotFoundError(`there is no job_${jobId}`);
    const tasks = await this.#store.loadTasks(jobId, states);
    return this.#do((state, nowMs) => onRetry(state, state.jobs.get(jobId) ?? job, tasks, nowMs));
  }

  /** Takes in an agent's news; answers when it is written and there is something to say, or in `waitMs`. */
  async sync(message: AgentSync): Promise<AgentOrders> {
    const verdict = await this.#do((state, nowMs) => onAgentSync(state, message, nowMs));
    let leases = openLeases(this.#ready(), message.agentId);
    const isQuiet =
      leases.length + verdict.endAttemptIds.length + verdict.forgetAttemptIds.length === 0;
    if (isQuiet && message.waitMs > 0) {
      await this.#wait(message.agentId, message.waitMs);
      leases = openLeases(this.#ready(), message.agentId);
    }
    return {
      ...verdict,
      leases: await Promise.all(
        leases.map(async (lease) => ({ ...lease, inputs: await this.#inputsOf(lease.spec) })),
      ),
    };
  }

  async #inputsOf(spec: JobSpec): Promise<StagedObject[]> {
    const staged: StagedObject[] = [];
    for (const { jobId, path } of spec.inputsFromJobs) {
      for (const output of await this.#store.loadOutputs(jobId)) {
        staged.push({ path: `${path}/${output.taskIndex}/${output.path}`, object: output.object });
      }
    }
    return staged;
  }

  #wait(agentId: string, waitMs: number): Promise<void> {
    this.#waiters.get(agentId)?.();
    return new Promise((resolve) => {
      const finish = (): void => {
        cancel();
        if (this.#waiters.get(agentId) === finish) this.#waiters.delete(agentId);
        resolve();
      };
      const cancel = this.#clock.after(waitMs, finish);
      this.#waiters.set(agentId, finish);
    });
  }

  async #jobOf(jobId: number): Promise<JobRecord | undefined> {
    return this.#ready().jobs.get(jobId) ?? (await this.#store.loadJob(jobId));
  }

  async #checkDependencies(): Promise<void> {
    for (const job of this.#ready().jobs.values()) {
      if (job.untouchedState !== 'pending') continue;
      const verdict = await this.#dependencyVerdict(job);
      if (verdict === 'open') continue;
      await this.#do((state) => {
        const present = state.jobs.get(job.jobId);
        if (present !== undefined) onDependenciesKnown(state, present, verdict);
      });
    }
  }

  async #dependencyVerdict(job: JobRecord): Promise<'open' | 'met' | 'impossible'> {
    for (const { jobId, on } of job.spec.after) {
      const upstream = await this.#jobOf(jobId);
      if (upstream === undefined) return 'impossible';
      if (upstream.endedAtMs === null) return 'open';
      if (on === 'ok' && upstream.counts.succeeded < upstream.taskCount) return 'impossible';
    }
    return 'met';
  }

  #ready(): EngineState {
    if (this.#state === undefined) throw new UnavailableError('the engine is loading; ask again');
    return this.#state;
  }

  #do<T>(act: (state: EngineState, nowMs: number) => T): Promise<T> {
    if (!this.isReady)
      return Promise.reject(new UnavailableError('the engine is loading; ask again'));
    return new Promise<T>((resolve, reject) => {
      this.#inputs.push({ act, resolve: resolve as (value: unknown) => void, reject });
      if (!this.#isTurning) void this.#turns();
    });
  }

  async #turns(): Promise<void> {
    this.#isTurning = true;
    // One hop lets everything that has already arrived join this turn.
    await Promise.resolve();
    while (this.#inputs.length > 0 && this.isReady) await this.#turn();
    this.#isTurning = false;
  }

  async #turn(): Promise<void> {
    const inputs = this.#inputs;
    this.#inputs = [];
    const state = this.#ready();
    const nowMs = this.#clock.nowMs();
    try {
      const answers = inputs.map(({ act }) => act(state, nowMs));
      settle(state, nowMs);
      dispatch(state, nowMs);
      const change = state.takeChange();
      if (change !== undefined) await this.#store.commit(change);
      for (const [position, input] of inputs.entries()) input.resolve(answers[position]);
      if (change === undefined) return;
      this.onChange(change.jobs.map((job) => job.jobId));
      if (change.jobs.some((job) => job.endedAtMs !== null)) this.#afterJobEnd();
      this.#wakeAgents(state);
    } catch (cause) {
      const error = new UnavailableError('the change could not be stored; ask again', { cause });
      for (const input of inputs) input.reject(error);
      await this.#reload();
    }
  }

  #afterJobEnd(): void {
    this.#checkDependencies().catch(() => undefined);
  }

  #wakeAgents(state: EngineState): void {
    for (const [agentId, wake] of this.#waiters) {
      if (state.cancelling.size > 0 || openLeases(state, agentId).length > 0) wake();
    }
  }

  async #reload(): Promise<void> {
    this.#state = undefined;
    for (const input of this.#inputs.splice(0)) {
      input.reject(new UnavailableError('the engine is loading; ask again'));
    }
    while (!this.#isStopped && this.#state === undefined) {
      await new Promise<void>((resolve) => this.#clock.after(RELOAD_DELAY_MS, resolve));
      this.#state = await this.#store.load().then(
        (hot) => new EngineState(hot),
        () => undefined,
      );
    }
    this.#loadedAtMs = this.#clock.nowMs();
  }

  #scheduleTick(): void {
    this.#cancelTick = this.#clock.after(TICK_MS, () => {
      this.#do((state, nowMs) => onTick(state, nowMs, this.#loadedAtMs))
        .then(() => this.#checkDependencies())
        .catch(() => undefined)
        .finally(() => {
          if (!this.#isStopped) this.#scheduleTick();
        });
    });
  }
}
