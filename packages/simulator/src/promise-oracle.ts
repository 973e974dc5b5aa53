import type { JobSpec, QueueSettings } from '@majorana/protocol';
import type { JobRecord } from '@majorana/store';
import type { MemoryDatabase } from '@majorana/store/memory-store';
import { hasEnded } from './invariants.ts';
import type { Fail } from './record-oracle.ts';

/** A question the server has taken in; what it promises is held against it once it is answered. */
export interface CancelMark {
  readonly jobId: number;
  readonly position: number | undefined;
  readonly retriesAsked: number;
  /** A retry was at work when the cancel came in: either may have the last word on each task. */
  readonly isContested: boolean;
}

export interface QueueMark {
  readonly name: string;
  readonly asked: number;
}

/**
 * What users were told: a submission that was acknowledged is there, what was cancelled does not
 * run again, a paused queue starts nothing, a dependency is kept.
 */
export class PromiseOracle {
  readonly #database: MemoryDatabase;
  readonly #fail: Fail;
  readonly #acknowledged = new Map<number, JobSpec>();
  readonly #jobIdByKey = new Map<string, number>();
  readonly #cancelled = new Map<number, Set<number> | 'all'>();
  readonly #cancelAsked = new Set<number>();
  readonly #retriesAsked = new Map<number, number>();
  /** Retries that are still at work may put back what a later cancel has ended. */
  readonly #retriesOpen = new Map<number, Set<() => boolean>>();
  readonly #queues = new Map<string, QueueSettings>();
  readonly #queuesAsked = new Map<string, number>();

  constructor(database: MemoryDatabase, fail: Fail) {
    this.#database = database;
    this.#fail = fail;
  }

  onAcknowledged(spec: JobSpec, jobId: number): void {
    const job = this.#database.jobs.get(jobId);
    if (job === undefined || JSON.stringify(job.spec) !== JSON.stringify(spec)) {
      this.#fail('acknowledged', `job_${jobId}`, 'a submission was acknowledged and is not there');
    }
    this.#acknowledged.set(jobId, spec);
    if (spec.idempotencyKey === undefined) return;
    const known = this.#jobIdByKey.get(spec.idempotencyKey) ?? jobId;
    if (known !== jobId) this.#fail('key', `job_${jobId}`, `the same key was job_${known}`);
    this.#jobIdByKey.set(spec.idempotencyKey, jobId);
  }

  onCancelAsked(jobId: number, position: number | undefined): CancelMark {
    this.#cancelAsked.add(jobId);
    const isContested = [...(this.#retriesOpen.get(jobId) ?? [])].some((isOpen) => isOpen());
    return { jobId, position, retriesAsked: this.#retriesAsked.get(jobId) ?? 0, isContested };
  }

  onCancelled(mark: CancelMark): void {
    const { jobId, position, retriesAsked, isContested } = mark;
    if (isContested || retriesAsked !== (this.#retriesAsked.get(jobId) ?? 0)) return;
    const known = this.#cancelled.get(jobId);
    if (position === undefined || known === 'all') this.#cancelled.set(jobId, 'all');
    else this.#cancelled.set(jobId, (known ?? new Set<number>()).add(position));
  }

  onRetryAsked(jobId: number, isOpen: () => boolean): void {
    this.#retriesAsked.set(jobId, (this.#retriesAsked.get(jobId) ?? 0) + 1);
    const open = this.#retriesOpen.get(jobId) ?? new Set();
    this.#retriesOpen.set(jobId, open.add(isOpen));
    this.#cancelled.delete(jobId);
  }

  onQueueAsked(name: string): QueueMark {
    const asked = (this.#queuesAsked.get(name) ?? 0) + 1;
    this.#queuesAsked.set(name, asked);
    this.#queues.delete(name);
    return { name, asked };
  }

  onQueueSet({ name, asked }: QueueMark, settings: QueueSettings): void {
    if (this.#queuesAsked.get(name) === asked) this.#queues.set(name, settings);
  }

  checkLeased(job: JobRecord, position: number, heldOfQueue: number): void {
    const about = `job_${job.jobId}.${position}`;
    if (this.#isCancelled(job.jobId, position)) {
      this.#fail('cancelled', about, 'leased after its cancel was acknowledged');
    }
    const queue = this.#queues.get(job.spec.queue);
    if (queue?.isPaused === true) this.#fail('queue', about, 'leased from a paused queue');
    if (queue?.parallelMax !== undefined && heldOfQueue > queue.parallelMax) {
      this.#fail('queue', about, `${heldOfQueue} held, the queue allows ${queue.parallelMax}`);
    }
    const row = this.#database.rowsOf(job.jobId).tasks.get(position);
    // A user's retry runs also what its dependencies had cancelled.
    if (row?.attemptNumber === 1 && !this.#retriesAsked.has(job.jobId)) {
      this.#checkFreed(job, position, 'leased');
    }
  }

  /** Tasks that left `pending`: one with a row, or all without. */
  checkFreed(job: JobRecord, position: number | undefined): void {
    const rows = this.#database.rowsOf(job.jobId).tasks;
    const to = position === undefined ? job.untouchedState : rows.get(position)?.state;
    if (to !== 'cancelled') this.#checkFreed(job, position, 'freed');
    else if (!this.#cancelAsked.has(job.jobId)) this.#checkImpossible(job, position);
  }

  checkEnd(): void {
    for (const [jobId, spec] of this.#acknowledged) {
      const job = this.#database.jobs.get(jobId);
      if (job === undefined) this.#fail('acknowledged', `job_${jobId}`, `is gone: ${spec.name}`);
    }
    const byKey = new Map<string, number>();
    for (const { jobId, spec } of this.#database.jobs.values()) {
      if (spec.idempotencyKey === undefined) continue;
      const other = byKey.get(spec.idempotencyKey);
      if (other !== undefined) this.#fail('key', `job_${jobId}`, `is job_${other} again`);
      byKey.set(spec.idempotencyKey, jobId);
    }
  }

  #isCancelled(jobId: number, position: number): boolean {
    const known = this.#cancelled.get(jobId);
    return known === 'all' || known?.has(position) === true;
  }

  /** Where an upstream job was asked to run again, what it was when it freed others is gone. */
  #isSettled(jobId: number): boolean {
    return !this.#retriesAsked.has(jobId);
  }

  #checkFreed(job: JobRecord, position: number | undefined, what: string): void {
    const about = `job_${job.jobId}${position === undefined ? '' : `.${position}`}`;
    for (const { jobId, on, each } of job.spec.after) {
      const upstream = this.#database.jobs.get(jobId);
      if (upstream === undefined || !this.#isSettled(jobId)) continue;
      if (each && position !== undefined) {
        const state =
          this.#database.rowsOf(jobId).tasks.get(position)?.state ?? upstream.untouchedState;
        const isMet =
          on === 'ok' ? state === 'succeeded' : /succeeded|failed|cancelled/.test(state);
        if (!isMet) this.#fail('dependency', about, `${what} while its upstream is ${state}`);
        continue;
      }
      const isMet =
        on === 'ok' ? upstream.counts.succeeded === upstream.taskCount : hasEnded(upstream);
      if (!isMet) {
        const counts = JSON.stringify(upstream.counts);
        this.#fail('dependency', about, `${what} while job_${jobId} is ${counts}`);
      }
    }
  }

  /** Cancelled by nobody: one of those it comes after must have ended otherwise than asked. */
  #checkImpossible(job: JobRecord, position: number | undefined): void {
    const after = job.spec.after;
    if (after.some(({ jobId }) => !this.#isSettled(jobId))) return;
    const isImpossible = after.some(({ jobId, on, each }) => {
      const upstream = this.#database.jobs.get(jobId);
      if (upstream === undefined || on === 'any') return false;
      if (each && position !== undefined) {
        const state =
          this.#database.rowsOf(jobId).tasks.get(position)?.state ?? upstream.untouchedState;
        return state === 'failed' || state === 'cancelled';
      }
      return hasEnded(upstream) && upstream.counts.succeeded < upstream.taskCount;
    });
    if (!isImpossible) {
      this.#fail('dependency', `job_${job.jobId}`, 'cancelled, though its dependencies can be met');
    }
  }
}
