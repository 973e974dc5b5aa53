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
import type { BulkMove, EngineStore, TaskRecord } from '@majorana/store';
import { heldTasksOf, newCluster, setClusterState } from './clusters.ts';
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
  unconfirmedLeases,
} from './reactor.ts';
import { waitingFor } from './shapes.ts';
import type { Silence } from './silence.ts';
import { isSilent, silenceOf } from './silence.ts';
import type { EngineState } from './state.ts';
import { taskKey, untouchedCount } from './state.ts';
import { StoredRows } from './stored-rows.ts';
import type { Submitted } from './submissions.ts';
import { Submissions } from './submissions.ts';
import type { EngineClock, EngineListener } from './turns.ts';
import { Turns } from './turns.ts';

export { NotFoundError } from './lease-maker.ts';
export { UnavailableError } from './turns.ts';
export type { EngineClock, EngineListener } from './turns.ts';

export interface RetryFilter {
  readonly states: readonly TaskState[];
  readonly exitCode?: number | undefined;
  readonly reason?: string | undefined;
  readonly position?: number | undefined;
}

const BY_USER = 'cancelled by a user';
const QUIET: EngineListener = {
  onCommit: () => undefined,
  onJobs: () => undefined,
  onAgents: () => undefined,
  onReload: () => undefined,
};

/**
 * What people and agents ask of the one writer: each method is a step in one of its turns, or an
 * errand between two of them.
 */
export class Engine {
  readonly #store: EngineStore;
  readonly #clock: EngineClock;
  readonly #limits: EngineLimits;
  readonly #rows: StoredRows;
  readonly #turns: Turns;
  readonly #submissions: Submissions;
  readonly #leases: LeaseMaker;

  constructor(
    store: EngineStore,
    clock: EngineClock,
    listener: EngineListener = QUIET,
    limits: EngineLimits = ENGINE_LIMITS,
  ) {
    this.#store = store;
    this.#clock = clock;
    this.#limits = limits;
    this.#rows = new StoredRows(store, limits, (jobIds) => listener.onJobs(jobIds));
    this.#turns = new Turns({ store, rows: this.#rows, clock, listener, limits });
    this.#submissions = new Submissions(this.#turns, store);
    this.#leases = new LeaseMaker(store);
  }

  start(): Promise<void> {
    return this.#turns.start();
  }

  stop(): void {
    this.#turns.stop();
  }

  get isReady(): boolean {
    return this.#turns.isReady;
  }

  /** For readers in the same process; they change nothing. */
  get state(): EngineState {
    return this.#turns.state;
  }

  /** Of the agents that run programs of their machine; how large a cluster's nodes are, it knows. */
  capacities(): Resources[] {
    return [...this.state.agents.values()]
      .filter((agent) => agent.offers === undefined)
      .map((agent) => agent.capacity);
  }

  /** The new job's number, or that of the first job with the same key. */
  submit(spec: JobSpec): Promise<Submitted> {
    return this.#submissions.submit(spec);
  }

  hasJob(project: string, idempotencyKey: string): Promise<boolean> {
    return this.#submissions.has(project, idempotencyKey);
  }

  async cancelJob(jobId: number): Promise<number> {
    await this.#mustExist(jobId);
    const { count, thaw } = await this.#turns.do((state, nowMs) => ({
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
      await this.#turns.between(async () => thaw()).catch(() => undefined);
    }
  }

  async cancelTask(jobId: number, position: number): Promise<number> {
    await this.#mustExist(jobId);
    // Between turns: a row that memory lacks now must not come in before the store has moved it.
    return this.#turns.between(async (state, nowMs) => {
      const count = onCancelTask(state, jobId, position, nowMs);
      if (count === 0) {
        const row = { jobId, position, fromPosition: position, limit: 1 };
        const part = { ...row, from: ['queued'], to: 'cancelled', because: BY_USER } as const;
        return (await this.#rows.move(state, nowMs, part)).movedCount;
      }
      await this.#turns.write(state, nowMs);
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
    return this.#turns.between(async (state, nowMs) => {
      const job = state.jobs.get(jobId) ?? (await this.#store.loadJob(jobId));
      if (job?.untouchedState !== 'cancelled' || untouchedCount(job) === 0) return 0;
      if (!state.jobs.has(jobId)) await this.#rows.reopen(state, { ...job, endedAtMs: null });
      state.moveUntouched(state.jobs.get(jobId)!, 'queued', nowMs);
      await this.#turns.write(state, nowMs);
      return untouchedCount(job);
    });
  }

  async #mustExist(jobId: number): Promise<void> {
    if (this.state.jobs.has(jobId)) return;
    const job = await this.#turns.ask(() => this.#store.loadJob(jobId));
    if (job === undefined) throw new NotFoundError(`there is no job_${jobId}`);
  }

  setQueue(name: string, settings: QueueSettings): Promise<void> {
    return this.#turns.do((state) => onQueue(state, { name, ...settings }));
  }

  /** Makes the cluster known, or takes back its cordon, drain or removal. */
  addCluster(name: string): Promise<void> {
    return this.#turns.do((state, nowMs) => {
      const known = state.clusters.get(name);
      if (known === undefined) state.putCluster(newCluster(name, nowMs));
      else setClusterState(state, known, 'active', { nowMs });
    });
  }

  async setCluster(name: string, to: 'cordoned' | 'draining', graceMs = 0): Promise<void> {
    await this.#turns.do((state, nowMs) => {
      const cluster = state.clusters.get(name);
      if (cluster !== undefined) setClusterState(state, cluster, to, { nowMs, graceMs });
    });
  }

  async changeCluster(name: string, settings: ClusterSettings): Promise<void> {
    await this.#turns.do((state) => {
      const cluster = state.clusters.get(name);
      if (cluster === undefined) return;
      const { leaseTtlMs = cluster.leaseTtlMs, dataPricePerGb = cluster.dataPricePerGb } = settings;
      state.putCluster({ ...cluster, leaseTtlMs, dataPricePerGb });
    });
  }

  /** Undefined: the agent is heard. */
  silenceOf(agentId: string): Silence | undefined {
    return silenceOf(this.state, agentId, this.#clock.nowMs());
  }

  /** Answers how many attempts it still holds, in which case it is removed only with force. */
  removeCluster(name: string, isForced: boolean): Promise<number> {
    return this.#turns.do((state, nowMs) => {
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
    return this.#turns.do((state, nowMs) => onAgentSync(state, sync, nowMs));
  }

  /** What an agent should do now, by what it last reported. */
  async ordersFor(
    agentId: string,
  ): Promise<Pick<AgentOrders, 'leases' | 'endAttemptIds' | 'waiting'>> {
    const { state } = this;
    const agent = state.agents.get(agentId);
    const isNews = agent?.offers !== undefined && agent.waitingDigest !== state.waiting.digest;
    const waiting = isNews ? waitingFor(state.waiting, agentId) : undefined;
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
    return { leases, endAttemptIds, ...(waiting && { waiting }) };
  }

  /** What can never be leased ends here: it must not keep the agent's other leases back. */
  #refuseLease(task: TaskRecord, error: Error): Promise<void> {
    const outcome = { kind: 'start_error', reason: `could not start: ${error.message}` } as const;
    return this.#turns.do((state, nowMs) => {
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
    return this.#turns.ask(() => this.#leases.make(this.state, task));
  }

  explain(jobId: number, position: number, task: TaskRecord | undefined): Explanation | undefined {
    const job = this.state.jobs.get(jobId);
    if (job === undefined) return undefined;
    return explain(this.state, job, { position, task }, this.#clock.nowMs());
  }

  isSilent(agentId: string): boolean {
    return isSilent(this.state, agentId, this.#clock.nowMs());
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
      const part = { ...move, fromPosition, limit };
      const { movedCount, lastPosition } = await this.#turns.between((state, nowMs) =>
        this.#rows.move(state, nowMs, part),
      );
      total += movedCount;
      if (movedCount < limit) return total;
      fromPosition = lastPosition + 1;
    }
  }
}
