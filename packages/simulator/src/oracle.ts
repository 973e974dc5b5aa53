import type { AttemptOutcome, Resources } from '@majorana/core';
import { parseId } from '@majorana/core';
import type { AgentOrders, JobSpec, Lease, QueueSettings } from '@majorana/protocol';
import type { Change } from '@majorana/store';
import type { MemoryDatabase } from '@majorana/store/memory-store';
import { PromiseOracle } from './promise-oracle.ts';
import type { CancelMark, QueueMark } from './promise-oracle.ts';
import { RecordOracle } from './record-oracle.ts';
import type { Trace } from './trace.ts';
import { WorldOracle } from './world-oracle.ts';

export interface Violation {
  readonly rule: string;
  /** A job, task or attempt id; empty when it is about none. */
  readonly about: string;
  readonly text: string;
  readonly atMs: number;
  readonly step: number;
}

/**
 * Sees everything and says what must not be. It only looks: nothing in the simulated world hears of
 * it, and the run stops at the first violation.
 */
export class Oracle {
  readonly #records: RecordOracle;
  readonly #worlds: WorldOracle;
  readonly #promises: PromiseOracle;
  readonly #trace: Trace;
  readonly #where: () => { readonly nowMs: number; readonly stepCount: number };
  #calmSinceMs = Infinity;
  violation: Violation | undefined;

  constructor(
    database: MemoryDatabase,
    trace: Trace,
    where: () => { readonly nowMs: number; readonly stepCount: number },
  ) {
    this.#trace = trace;
    this.#where = where;
    const fail = this.fail.bind(this);
    this.#records = new RecordOracle(database, fail);
    this.#worlds = new WorldOracle(database, fail);
    this.#promises = new PromiseOracle(database, fail);
    this.#records.onLeased = (job, position) =>
      this.#promises.checkLeased(job, position, this.#records.heldOf(job.spec.queue));
    this.#records.onFreed = (job, _before, position) => this.#promises.checkFreed(job, position);
    database.observer = (change) => this.#onWrite(change);
  }

  get runCount(): number {
    return this.#worlds.runCount;
  }

  fail(rule: string, about: string, text: string): void {
    this.#trace.add('violation', parseId(about)?.jobId ?? 0, `${rule}: ${about} ${text}`);
    const { nowMs, stepCount } = this.#where();
    this.violation ??= { rule, about, text, atMs: nowMs, step: stepCount };
  }

  /** No fault comes after this moment. */
  onCalm(): void {
    this.#calmSinceMs = this.#where().nowMs;
  }

  addAgent(agentId: string, capacity: Resources): void {
    this.#records.addAgent(agentId, capacity);
  }

  #onWrite(change: Change): void {
    for (const { sequence, jobId, position, ...step } of change.transitions) {
      const { fromState, toState, attemptNumber, reason } = step;
      const text = `${sequence} job_${jobId} position ${position} attempt ${attemptNumber} ${fromState} to ${toState}: ${reason}`;
      this.#trace.add('transition', jobId, text);
    }
    this.#records.check(change);
    this.#worlds.check(change, this.#where().nowMs);
  }

  onOrders(agentId: string, { leases, forgetAttemptIds }: AgentOrders): void {
    for (const { attemptId } of leases) this.#worlds.checkLeased(agentId, attemptId);
    for (const attemptId of forgetAttemptIds) this.#worlds.checkForgotten(attemptId);
  }

  onAccept(agentId: string, lease: Lease): void {
    this.#worlds.onAccept(agentId, lease);
  }

  onStart(agentId: string, capacity: Resources, lease: Lease): void {
    this.#note('program_starts', lease.attemptId, agentId);
    this.#worlds.onStart(agentId, capacity, lease, this.#where().nowMs);
  }

  onEnd(agentId: string, attemptId: string, outcome: AttemptOutcome | undefined): void {
    this.#note('program_ends', attemptId, `${agentId} ${outcome?.reason ?? 'lost'}`);
    const { nowMs } = this.#where();
    this.#worlds.onEnd(attemptId, outcome, { nowMs, calmSinceMs: this.#calmSinceMs });
  }

  onForget(_agentId: string, attemptId: string, isRunning: boolean): void {
    this.#worlds.onForget(attemptId, isRunning);
  }

  onAcknowledged(spec: JobSpec, jobId: number): void {
    const after = spec.after.map((one) => `job_${one.jobId}/${one.on}${one.each ? '/each' : ''}`);
    const text = `job_${jobId} ${spec.idempotencyKey ?? ''} after ${after.join(' ') || 'none'}`;
    this.#trace.add('acknowledged', jobId, text);
    this.#promises.onAcknowledged(spec, jobId);
  }

  onCancelAsked(jobId: number, position: number | undefined): CancelMark {
    this.#trace.add('cancel_asked', jobId, `job_${jobId} ${position ?? 'all'}`);
    return this.#promises.onCancelAsked(jobId, position);
  }

  onCancelled(mark: CancelMark): void {
    this.#trace.add('cancelled', mark.jobId, `job_${mark.jobId} ${mark.position ?? 'all'}`);
    this.#promises.onCancelled(mark);
  }

  onRetryAsked(jobId: number, isOpen: () => boolean): void {
    this.#trace.add('retry_asked', jobId, `job_${jobId}`);
    this.#records.onRetryAsked(jobId);
    this.#promises.onRetryAsked(jobId, isOpen);
  }

  onQueueAsked(name: string): QueueMark {
    return this.#promises.onQueueAsked(name);
  }

  onQueueSet(mark: QueueMark, settings: QueueSettings): void {
    this.#trace.add('queue_set', 0, `${mark.name} ${JSON.stringify(settings)}`);
    this.#promises.onQueueSet(mark, settings);
  }

  /** When nothing is left to happen. */
  checkEnd(keptIds: readonly string[]): void {
    this.#records.checkEnd();
    this.#promises.checkEnd();
    for (const attemptId of keptIds) this.fail('end', attemptId, 'is still on its machine');
  }

  #note(kind: string, attemptId: string, text: string): void {
    this.#trace.add(kind, parseId(attemptId)?.jobId ?? 0, `${attemptId} ${text}`);
  }
}
