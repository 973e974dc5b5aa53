import type { BulkMove, BulkResult, EngineStore, JobRecord } from '@majorana/store';
import { elementDependency, settleElements, upstreamOf } from './dependencies.ts';
import type { EngineLimits } from './limits.ts';
import type { EngineState } from './state.ts';
import { terminalCount, untouchedCount } from './state.ts';

/**
 * Rows that memory does not hold: those beyond a window, and those of ended tasks. The store moves
 * them in bulk, between turns, and memory takes over what has become of their job.
 */
export class StoredRows {
  readonly #store: EngineStore;
  readonly #limits: EngineLimits;
  readonly #onJobs: (jobIds: readonly number[]) => void;

  constructor(
    store: EngineStore,
    limits: EngineLimits,
    onJobs: (jobIds: readonly number[]) => void,
  ) {
    this.#store = store;
    this.#limits = limits;
    this.#onJobs = onJobs;
  }

  /** A part of a move: at most `limit` rows, from one position on. */
  async move(
    state: EngineState,
    nowMs: number,
    part: Omit<BulkMove, 'nowMs' | 'lastSequence'>,
  ): Promise<BulkResult> {
    const { lastSequence } = state;
    return this.#takeOver(state, await this.#store.moveTasks({ ...part, nowMs, lastSequence }));
  }

  async #takeOver(state: EngineState, result: BulkResult): Promise<BulkResult> {
    const { job, movedCount } = result;
    state.lastSequence += movedCount;
    if (movedCount === 0) return result;
    if (job.endedAtMs === null && state.jobs.has(job.jobId)) state.adoptJob(job);
    else if (job.endedAtMs === null) await this.reopen(state, job);
    // Only what is to be written is looked at for its end.
    if (terminalCount(job.counts) === job.taskCount && state.jobs.has(job.jobId)) state.putJob(job);
    this.#onJobs([job.jobId]);
    return result;
  }

  /** What memory knew of an ended job's rows went with it. */
  async reopen(state: EngineState, job: JobRecord): Promise<void> {
    state.adoptJob(job);
    const { jobId, nextPosition } = job;
    state.setRowsAhead(jobId, await this.#store.loadRowsAhead(jobId, nextPosition));
  }

  /** Rows of a task-by-task array whose upstream tasks ended before anybody looked. */
  async makeElements(state: EngineState, jobId: number, nowMs: number): Promise<void> {
    const job = state.jobs.get(jobId);
    const dependency = job && elementDependency(job);
    if (job === undefined || dependency === undefined || job.untouchedState !== 'pending') return;
    if (upstreamOf(state, dependency.jobId) === undefined) return;
    const { jobId: upstreamJobId, on } = dependency;
    const { lastSequence } = state;
    const move = { jobId, upstreamJobId, on, nowMs, lastSequence };
    await this.#takeOver(state, await this.#store.moveElements(move));
    state.setRowsAhead(jobId, await this.#store.loadRowsAhead(jobId, job.nextPosition));
    settleElements(state, state.jobs.get(jobId)!, nowMs);
  }

  /** Reads queued rows of jobs whose window runs low while the store has more. */
  async refill(state: EngineState): Promise<void> {
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
}
