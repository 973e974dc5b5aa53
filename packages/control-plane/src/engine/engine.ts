import type { Resources, TaskState } from '@majorana/core';
import { isHeld } from '@majorana/core';
import type {
  AgentOrders,
  AgentSync,
  ClusterSettings,
  Explanation,
  JobSpec,
  Lease,
  QueueSettings,
} from '@majorana/protocol';
import type {
  BulkMove,
  BulkResult,
  Change,
  EngineStore,
  JobRecord,
  TaskRecord,
} from '@majorana/store';
import { heldTasksOf, newCluster, setClusterState } from './clusters.ts';
import { elementDependency, settleElements, settleWaiting, upstreamOf } from './dependencies.ts';
import { dispatch } from './dispatch.ts';
import { explain } from './explain.ts';
import { LeaseMaker, NotFoundError } from './lease-maker.ts';
import { ENGINE_LIMITS } from './limits.ts';
import type { EngineLimits } from './limits.ts';
import type { NewsTaken } from './reactor.ts';
import {
  endOrders,
  onAgentSync,
  onAttemptEnded,
  onCancelJob,
  onCancelTask,
  onClusterRemoved,
  onQueue,
  onSubmit,
  onTick,
  settle,
  unconfirmedLeases,
} from './reactor.ts';
import type { Silence } from './silence.ts';
import { silenceOf } from './silence.ts';
import { EngineState, taskKey, terminalCount, untouchedCount } from './state.ts';

export { NotFoundError } from './lease-maker.ts';

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

export interface RetryFilter {
  readonly states: readonly TaskState[];
  readonly exitCode?: number | undefined;
  readonly reason?: string | undefined;
  readonly position?: number | undefined;
}

interface Submitted {
  readonly jobId: number;
  readonly isNew: boolean;
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
const BY_USER = 'cancelled by a user';
const QUIET: EngineListener = {
  onCommit: () => undefined,
  onJobs: () => undefined,
  onAgents: () => undefined,
  onReload: () => undefined,
};

/**
 * The one writer. Ideally every input is its own step and its own transaction; for speed a turn
 * takes all inputs that have arrived, applies them in order, and writes one transaction. Nothing
 * is answered before it is written. When a write fails the memory is thrown away and loaded again:
 * what was not answered is asked again by whoever asked.
 */
export class Engine {
  readonly #store: EngineStore;
  readonly #clock: EngineClock;
  readonly #listener: EngineListener;
  readonly #limits: EngineLimits;
  #state: EngineState | undefined;
  #inputs: Input[] = [];
  #errands: Errand[] = [];
  readonly #submitting = new Map<string, Promise<Submitted>>();
  #isTurning = false;
  #isStopped = false;
  #cancelTick: () => void = () => undefined;
  #cancelWake: () => void = () => undefined;
  readonly #leases: LeaseMaker;

  constructor(
    store: EngineStore,
    clock: EngineClock,
    listener: EngineListener = QUIET,
    limits: EngineLimits = ENGINE_LIMITS,
  ) {
    this.#limits = limits;
    this.#store = store;
    this.#leases = new LeaseMaker(store);
    this.#clock = clock;
    this.#listener = listener;
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

  /** For readers in the same process; they change nothing. */
  get state(): EngineState {
    if (this.#state === undefined) throw new UnavailableError('the engine is loading; ask again');
    return this.#state;
  }

  /** Of the agents that run programs of their machine; how large a cluster's nodes are, it knows. */
  capacities(): Resources[] {
    return [...this.state.agents.values()]
      .filter((agent) => agent.offers === undefined)
      .map((agent) => agent.capacity);
  }

  /** The new job's number, or that of the first job with the same key. */
  async submit(spec: JobSpec): Promise<Submitted> {
    if (spec.idempotencyKey === undefined) return this.#submitNow(spec);
    const key = `${spec.project}/${spec.idempotencyKey}`;
    // Two at once with one key: the second waits, and finds in the store what the first has made,
    // ended or not. The unique index would refuse it, and with it the whole turn.
    while (this.#submitting.has(key)) await this.#submitting.get(key)!.catch(() => undefined);
    const submitted = this.#submitNow(spec);
    this.#submitting.set(key, submitted);
    return submitted.finally(() => this.#submitting.delete(key));
  }

  async #submitNow(spec: JobSpec): Promise<Submitted> {
    if (spec.idempotencyKey !== undefined) {
      const key = spec.idempotencyKey;
      const known = await this.#ask(() => this.#store.findJobByKey(spec.project, key));
      if (known !== undefined) return { jobId: known, isNew: false };
    }
    const jobId = await this.#ask(() => this.#store.allocateJobId());
    const job =
      spec.after.length === 0
        ? await this.#do((state, nowMs) =>
            onSubmit(state, { jobId, spec, endedUpstream: [] }, nowMs),
          )
        : await this.#submitAfter(jobId, spec);
    return { jobId: job.jobId, isNew: job.jobId === jobId };
  }

  /** Between turns: only then memory and store agree on which of those it comes after have ended. */
  async #submitAfter(jobId: number, spec: JobSpec): Promise<JobRecord> {
    const submitted = await this.#between(async (state, nowMs) => {
      const endedUpstream: JobRecord[] = [];
      for (const { jobId: upstreamId } of spec.after) {
        if (state.jobs.has(upstreamId)) continue;
        const upstream = await this.#store.loadJob(upstreamId);
        if (upstream === undefined) return upstreamId;
        endedUpstream.push(upstream);
      }
      const job = onSubmit(state, { jobId, spec, endedUpstream }, nowMs);
      if (job.jobId === jobId) this.#settleNew(state, job, nowMs);
      await this.#write(state, nowMs);
      return job;
    });
    if (typeof submitted !== 'number') return submitted;
    throw new NotFoundError(`there is no job_${submitted} to come after`);
  }

  #settleNew(state: EngineState, job: JobRecord, nowMs: number): void {
    if (settleWaiting(state, job, nowMs) === 'needs_elements') {
      this.#errands.push(this.#makeElements(job.jobId));
    }
  }

  async cancelJob(jobId: number): Promise<number> {
    await this.#mustExist(jobId);
    const { count, thaw } = await this.#do((state, nowMs) => ({
      thaw: state.freeze(jobId),
      count: onCancelJob(state, jobId, nowMs),
    }));
    try {
      const rest = await this.#moveRows({
        jobId,
        from: ['queued'],
        to: 'cancelled',
        because: BY_USER,
      });
      return count + rest;
    } finally {
      // In an errand, after which windows are filled again: a retry may have queued rows meanwhile.
      await this.#between(async () => thaw()).catch(() => undefined);
    }
  }

  async cancelTask(jobId: number, position: number): Promise<number> {
    await this.#mustExist(jobId);
    // Between turns: a row that memory lacks now must not come in before the store has moved it.
    return this.#between(async (state, nowMs) => {
      const count = onCancelTask(state, jobId, position, nowMs);
      if (count === 0) {
        const { lastSequence } = state;
        const row = {
          jobId,
          position,
          from: ['queued'],
          to: 'cancelled',
          because: BY_USER,
        } as const;
        const { movedCount } = await this.#bulk(state, () =>
          this.#store.moveTasks({ ...row, nowMs, lastSequence, fromPosition: position, limit: 1 }),
        );
        return movedCount;
      }
      await this.#write(state, nowMs);
      return count;
    });
  }

  /** Puts ended tasks back into the queue with a fresh count of retries; answers how many. */
  async retry(jobId: number, filter: RetryFilter): Promise<number> {
    await this.#mustExist(jobId);
    const { states: from, exitCode, reason, position } = filter;
    const count = await this.#moveRows({
      jobId,
      from,
      exitCode,
      reason,
      position,
      to: 'queued',
      because: 'retried by a user',
    });
    const isWhole = exitCode === undefined && reason === undefined && position === undefined;
    if (!isWhole || !from.includes('cancelled')) return count;
    return count + (await this.#retryUntouched(jobId));
  }

  #retryUntouched(jobId: number): Promise<number> {
    return this.#between(async (state, nowMs) => {
      const job = state.jobs.get(jobId) ?? (await this.#store.loadJob(jobId));
      if (job?.untouchedState !== 'cancelled' || untouchedCount(job) === 0) return 0;
      if (!state.jobs.has(jobId)) await this.#reopen(state, { ...job, endedAtMs: null });
      state.moveUntouched(state.jobs.get(jobId)!, 'queued', nowMs);
      await this.#write(state, nowMs);
      return untouchedCount(job);
    });
  }

  /** What memory knew of an ended job's rows went with it. */
  async #reopen(state: EngineState, job: JobRecord): Promise<void> {
    state.adoptJob(job);
    const { jobId, nextPosition } = job;
    state.setRowsAhead(jobId, await this.#store.loadRowsAhead(jobId, nextPosition));
  }

  async #mustExist(jobId: number): Promise<void> {
    if (this.state.jobs.has(jobId)) return;
    const job = await this.#ask(() => this.#store.loadJob(jobId));
    if (job === undefined) throw new NotFoundError(`there is no job_${jobId}`);
  }

  setQueue(name: string, settings: QueueSettings): Promise<void> {
    return this.#do((state) => onQueue(state, { name, ...settings }));
  }

  /** Makes the cluster known, or takes back its cordon, drain or removal. */
  addCluster(name: string): Promise<void> {
    return this.#do((state, nowMs) => {
      const known = state.clusters.get(name);
      if (known === undefined) state.putCluster(newCluster(name, nowMs));
      else setClusterState(state, known, 'active', { nowMs });
    });
  }

  async setCluster(name: string, to: 'cordoned' | 'draining', graceMs = 0): Promise<void> {
    await this.#do((state, nowMs) => {
      const cluster = state.clusters.get(name);
      if (cluster !== undefined) setClusterState(state, cluster, to, { nowMs, graceMs });
    });
  }

  async changeCluster(name: string, settings: ClusterSettings): Promise<void> {
    await this.#do((state) => {
      const cluster = state.clusters.get(name);
      if (cluster !== undefined) state.putCluster({ ...cluster, ...settings });
    });
  }

  /** Undefined: the agent is heard. */
  silenceOf(agentId: string): Silence | undefined {
    return silenceOf(this.state, agentId, this.#clock.nowMs());
  }

  /** Answers how many attempts it still holds, in which case it is removed only with force. */
  removeCluster(name: string, isForced: boolean): Promise<number> {
    return this.#do((state, nowMs) => {
      const heldCount = heldTasksOf(state, name).length;
      const cluster = state.clusters.get(name);
      if (cluster === undefined || (heldCount > 0 && !isForced)) return heldCount;
      setClusterState(state, cluster, 'removed', { nowMs });
      onClusterRemoved(state, name, nowMs);
      return 0;
    });
  }

  /** Takes in an agent's news; answers when it is written. */
  takeNews(sync: AgentSync): Promise<NewsTaken> {
    return this.#do((state, nowMs) => onAgentSync(state, sync, nowMs));
  }

  /** What an agent should do now, by what it last reported. */
  async ordersFor(
    agentId: string,
  ): Promise<Pick<AgentOrders, 'leases' | 'endAttemptIds' | 'waiting'>> {
    const { state } = this;
    const agent = state.agents.get(agentId);
    const isNews = agent?.offers !== undefined && agent.waitingDigest !== state.waiting.digest;
    const { waiting } = state;
    const endAttemptIds = endOrders(state, agentId, this.#clock.nowMs());
    const tasks = unconfirmedLeases(state, agentId).slice(0, this.#limits.leasesPerAnswerMax);
    const made = await Promise.all(
      tasks.map((task) =>
        this.#leases.make(state, task).catch((error: Error) => ({ task, error })),
      ),
    );
    const leases: Lease[] = [];
    for (const one of made) {
      if (!('error' in one)) leases.push(one);
      else if (one.error instanceof NotFoundError) await this.#refuseLease(one.task, one.error);
      else throw one.error;
    }
    return { leases, endAttemptIds, ...(isNews && { waiting }) };
  }

  /** What can never be leased ends here: it must not keep the agent's other leases back. */
  #refuseLease(task: TaskRecord, error: Error): Promise<void> {
    const outcome = { kind: 'start_error', reason: `could not start: ${error.message}` } as const;
    return this.#do((state, nowMs) => {
      const present = state.tasks.get(taskKey(task.jobId, task.position));
      if (present?.attemptNumber !== task.attemptNumber || !isHeld(present.state)) return;
      onAttemptEnded(state, present, { outcome, peakMemoryBytes: 0, cpuTimeMs: 0 }, nowMs);
    });
  }

  /** The attempt that an agent holds of a task now. */
  heldAttempt(
    jobId: number,
    position: number,
  ): { readonly agentId: string; readonly attemptId: string } | undefined {
    const task = this.state.tasks.get(taskKey(jobId, position));
    if (task === undefined || task.agentId === null || !isHeld(task.state)) return undefined;
    return { agentId: task.agentId, attemptId: this.state.attemptIdOf(task) };
  }

  /** The lease of a held task, made anew. */
  leaseOf(task: TaskRecord): Promise<Lease> {
    return this.#ask(() => this.#leases.make(this.state, task));
  }

  explain(jobId: number, position: number, task: TaskRecord | undefined): Explanation | undefined {
    const job = this.state.jobs.get(jobId);
    if (job === undefined) return undefined;
    return explain(this.state, job, { position, task }, this.#clock.nowMs());
  }

  /**
   * Moves rows that memory does not hold, a part at a time, turns in between. Each part goes on
   * behind the last: what has run again and failed again meanwhile is not moved twice.
   */
  async #moveRows(
    move: Omit<BulkMove, 'nowMs' | 'lastSequence' | 'fromPosition' | 'limit'>,
  ): Promise<number> {
    const limit = this.#limits.bulkRowsMax;
    let total = 0;
    let fromPosition = 0;
    for (;;) {
      const { movedCount, lastPosition } = await this.#between((state, nowMs) => {
        const { lastSequence } = state;
        const part = { ...move, nowMs, lastSequence, fromPosition, limit };
        return this.#bulk(state, () => this.#store.moveTasks(part));
      });
      total += movedCount;
      if (movedCount < limit) return total;
      fromPosition = lastPosition + 1;
    }
  }

  async #bulk(state: EngineState, act: () => Promise<BulkResult>): Promise<BulkResult> {
    const result = await act();
    const { job, movedCount } = result;
    state.lastSequence += movedCount;
    if (movedCount === 0) return result;
    if (job.endedAtMs === null && state.jobs.has(job.jobId)) state.adoptJob(job);
    else if (job.endedAtMs === null) await this.#reopen(state, job);
    // Only what is to be written is looked at for its end.
    if (terminalCount(job.counts) === job.taskCount && state.jobs.has(job.jobId)) state.putJob(job);
    this.#listener.onJobs([job.jobId]);
    return result;
  }

  /** Rows of a task-by-task array whose upstream tasks ended before anybody looked. */
  #makeElements(jobId: number): Errand {
    const run: Errand['run'] = async (state, nowMs) => {
      const job = state.jobs.get(jobId);
      const dependency = job && elementDependency(job);
      if (job === undefined || dependency === undefined || job.untouchedState !== 'pending') return;
      if (upstreamOf(state, dependency.jobId) === undefined) return;
      await this.#bulk(state, () =>
        this.#store.moveElements({
          jobId,
          upstreamJobId: dependency.jobId,
          on: dependency.on,
          nowMs,
          lastSequence: state.lastSequence,
        }),
      );
      state.setRowsAhead(jobId, await this.#store.loadRowsAhead(jobId, job.nextPosition));
      settleElements(state, state.jobs.get(jobId)!, nowMs);
    };
    // Dropped at a reload, which makes it again.
    return { run, reject: () => undefined };
  }

  /** Reads queued rows of jobs whose window runs low while the store has more. */
  async #refill(state: EngineState): Promise<void> {
    const { queuedWindowMax } = this.#limits;
    for (const job of state.jobs.values()) {
      if (state.isFrozen(job.jobId)) continue;
      const inWindow = state.windows.get(job.jobId)?.size ?? 0;
      const untouched = job.untouchedState === 'queued' ? untouchedCount(job) : 0;
      const rows = job.counts.queued - untouched;
      if (rows <= inWindow || inWindow > queuedWindowMax / 2) continue;
      state.addQueued(await this.#store.loadQueuedTasks(job.jobId, queuedWindowMax));
    }
  }

  async #ask<T>(question: () => Promise<T>): Promise<T> {
    if (!this.isReady) throw new UnavailableError('the engine is loading; ask again');
    return question().catch((cause: Error) => {
      if (cause instanceof NotFoundError) throw cause;
      throw new UnavailableError('the store does not answer; ask again', { cause });
    });
  }

  #do<T>(act: (state: EngineState, nowMs: number) => T): Promise<T> {
    if (!this.isReady)
      return Promise.reject(new UnavailableError('the engine is loading; ask again'));
    return new Promise<T>((resolve, reject) => {
      this.#inputs.push({ act, resolve: resolve as (value: unknown) => void, reject });
      if (!this.#isTurning) void this.#turns();
    });
  }

  #between<T>(errand: (state: EngineState, nowMs: number) => Promise<T>): Promise<T> {
    if (!this.isReady)
      return Promise.reject(new UnavailableError('the engine is loading; ask again'));
    return new Promise<T>((resolve, reject) => {
      const run: Errand['run'] = async (state, nowMs) => resolve(await errand(state, nowMs));
      this.#errands.push({ run, reject });
      if (!this.#isTurning) void this.#turns();
    });
  }

  async #turns(): Promise<void> {
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
      await this.#write(state, nowMs);
      for (const [position, input] of inputs.entries()) input.resolve(answers[position]);
      const errand = this.#errands[0];
      if (errand === undefined) return;
      await errand.run(state, nowMs);
      this.#errands.shift();
      await this.#refill(state);
      await this.#write(state, nowMs);
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
  async #write(state: EngineState, nowMs: number): Promise<void> {
    for (const jobId of settle(state, nowMs)) this.#errands.push(this.#makeElements(jobId));
    dispatch(state, nowMs);
    const change = state.takeChange();
    if (change !== undefined) {
      const begunMs = this.#clock.nowMs();
      await this.#store.commit(change);
      state.markWritten();
      this.#listener.onCommit(change, this.#clock.nowMs() - begunMs);
      this.#listener.onJobs(change.jobs.map((job) => job.jobId));
      await this.#refill(state);
    }
    this.#wakeAt(state.nextReadyMs, nowMs);
    const agents = state.takeAgentsToWake();
    if (agents.length > 0) this.#listener.onAgents(agents);
  }

  async #load(): Promise<void> {
    const hot = await this.#store.load(this.#limits.queuedWindowMax);
    const nowMs = this.#clock.nowMs();
    const state = new EngineState(hot, nowMs, this.#limits);
    this.#state = state;
    this.#errands = [];
    for (const job of state.jobs.values()) this.#settleNew(state, job, nowMs);
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
      this.#do(() => undefined).catch(() => undefined);
    });
  }

  #scheduleTick(): void {
    this.#cancelTick = this.#clock.after(TICK_MS, () => {
      this.#do((state, nowMs) => onTick(state, nowMs))
        .catch(() => undefined)
        .finally(() => {
          if (!this.#isStopped) this.#scheduleTick();
        });
    });
  }
}
