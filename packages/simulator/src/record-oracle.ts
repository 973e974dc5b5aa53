import type { Resources, StateCounts, TaskState } from '@majorana/core';
import { AHEAD_PER_SLOT_MAX, isHeld, timesResources, ZERO_COUNTS } from '@majorana/core';
import type {
  AttemptRecord,
  Change,
  JobRecord,
  TaskRecord,
  TransitionRecord,
} from '@majorana/store';
import type { MemoryDatabase } from '@majorana/store/memory-store';
import { checkJob, checkRetryCount, checkTask, followTransitions, hasEnded } from './invariants.ts';
import type { TaskStanding } from './invariants.ts';
import { Usage } from './usage.ts';

export type Fail = (rule: string, about: string, text: string) => void;

interface JobMirror {
  job: JobRecord;
  readonly rows: Record<TaskState, number>;
  readonly tasks: Map<number, TaskRecord>;
  readonly standings: Map<number, TaskStanding>;
  readonly open: Map<number, Set<number>>;
  heldCount: number;
}

interface Touched {
  readonly task: TaskRecord | undefined;
  readonly transitions: TransitionRecord[];
  readonly ended: AttemptRecord[];
}

/**
 * Checks the records after each write, looking only at what the write changed: a mirror of what was
 * there before makes that enough.
 */
export class RecordOracle {
  readonly #database: MemoryDatabase;
  readonly #fail: Fail;
  readonly #mirrors = new Map<number, JobMirror>();
  readonly #heldByAgent = new Usage();
  readonly #heldByQueue = new Map<string, number>();
  readonly #capacities = new Map<string, Resources>();
  readonly #retried = new Set<number>();
  #lastSequence = 0;
  /** More is checked of a new lease by those who know what was promised. */
  onLeased: (job: JobRecord, position: number) => void = () => undefined;
  onFreed: (job: JobRecord, before: JobRecord | undefined, position: number | undefined) => void =
    () => undefined;

  constructor(database: MemoryDatabase, fail: Fail) {
    this.#database = database;
    this.#fail = fail;
  }

  addAgent(agentId: string, capacity: Resources): void {
    this.#capacities.set(agentId, capacity);
  }

  /** From now on tasks of this job may leave their ends. */
  onRetryAsked(jobId: number): void {
    this.#retried.add(jobId);
  }

  heldOf(queue: string): number {
    return this.#heldByQueue.get(queue) ?? 0;
  }

  check(change: Change): void {
    this.#checkSequences(change.transitions);
    const jobsBefore = new Map<number, JobRecord | undefined>();
    for (const { jobId } of change.jobs) {
      jobsBefore.set(jobId, this.#mirrors.get(jobId)?.job);
      this.#mirrorOf(jobId);
    }
    const touched = this.#gather(change);
    for (const [jobId, positions] of touched) {
      for (const [position, parts] of positions) this.#checkTask(jobId, position, parts);
    }
    for (const [jobId, before] of jobsBefore) this.#checkJob(jobId, before);
    for (const jobId of touched.keys())
      if (!jobsBefore.has(jobId)) this.#checkJob(jobId, undefined);
    for (const step of change.transitions) {
      if (step.toState === 'leased') this.#checkLease(step);
      const job = this.#database.jobs.get(step.jobId)!;
      if (step.fromState === 'pending') {
        this.onFreed(job, jobsBefore.get(step.jobId), step.position);
      }
    }
  }

  /** When nothing is left to happen. */
  checkEnd(): void {
    for (const { job } of this.#mirrors.values()) {
      if (job.endedAtMs === null || !hasEnded(job)) {
        this.#fail('end', `job_${job.jobId}`, `never ended: ${JSON.stringify(job.counts)}`);
      }
    }
  }

  #mirrorOf(jobId: number): JobMirror {
    let mirror = this.#mirrors.get(jobId);
    if (mirror === undefined) {
      mirror = {
        job: this.#database.jobs.get(jobId)!,
        rows: { ...ZERO_COUNTS },
        tasks: new Map(),
        standings: new Map(),
        open: new Map(),
        heldCount: 0,
      };
      this.#mirrors.set(jobId, mirror);
    }
    return mirror;
  }

  #checkSequences(transitions: readonly TransitionRecord[]): void {
    for (const { sequence, jobId } of transitions) {
      if (sequence !== this.#lastSequence + 1) {
        this.#fail('sequence', `job_${jobId}`, `${sequence} comes after ${this.#lastSequence}`);
      }
      this.#lastSequence = sequence;
    }
  }

  #gather(change: Change): Map<number, Map<number, Touched>> {
    const touched = new Map<number, Map<number, Touched>>();
    const at = (jobId: number, position: number): Touched => {
      const ofJob = touched.get(jobId) ?? new Map<number, Touched>();
      touched.set(jobId, ofJob);
      let parts = ofJob.get(position);
      if (parts === undefined) {
        const task = this.#database.rowsOf(jobId).tasks.get(position);
        parts = { task, transitions: [], ended: [] };
        ofJob.set(position, parts);
      }
      return parts;
    };
    for (const task of change.tasks) at(task.jobId, task.position);
    for (const step of change.transitions) at(step.jobId, step.position).transitions.push(step);
    for (const attempt of change.attempts) {
      const parts = at(attempt.jobId, attempt.position);
      const { open } = this.#mirrorOf(attempt.jobId);
      const numbers = open.get(attempt.position) ?? new Set();
      open.set(attempt.position, numbers);
      if (attempt.endedAtMs === null) {
        numbers.add(attempt.attemptNumber);
      } else {
        parts.ended.push(attempt);
        numbers.delete(attempt.attemptNumber);
      }
    }
    return touched;
  }

  #checkTask(jobId: number, position: number, parts: Touched): void {
    const { task, transitions, ended } = parts;
    const mirror = this.#mirrorOf(jobId);
    const job = this.#database.jobs.get(jobId)!;
    const about = `job_${jobId}.${position}`;
    const fail = (text: string | undefined): void => {
      if (text !== undefined) this.#fail('records', about, text);
    };
    if (task === undefined) {
      fail('a transition or an attempt of a task without a row');
      return;
    }
    const before = mirror.tasks.get(position);
    const first: TaskStanding = {
      state: transitions[0]?.fromState ?? task.state,
      attemptNumber: 0,
    };
    if (before === undefined && first.state !== 'queued' && first.state !== 'pending') {
      fail(`its first row is ${first.state}`);
    }
    const isRetried = this.#retried.has(jobId);
    const standing = mirror.standings.get(position) ?? first;
    const { after, wrong } = followTransitions(standing, transitions, isRetried);
    fail(wrong);
    fail(this.#checkBackOff(before, transitions));
    if (wrong === undefined && after.state !== task.state) {
      fail(`it is ${task.state}, its transitions end in ${after.state}`);
    }
    if (wrong === undefined && after.attemptNumber !== task.attemptNumber) {
      fail(`attempt ${task.attemptNumber}, its transitions end with ${after.attemptNumber}`);
    }
    fail(checkTask(job, task, [...(mirror.open.get(position) ?? [])]));
    fail(checkRetryCount(before, task, ended, isRetried));
    mirror.standings.set(position, after);
    this.#account(job, mirror, { before, task });
  }

  /** By the server's own clock, whichever server set the time and whichever leased. */
  #checkBackOff(
    before: TaskRecord | undefined,
    [step]: readonly TransitionRecord[],
  ): string | undefined {
    if (before?.state !== 'queued' || step?.toState !== 'leased') return undefined;
    if (step.atMs >= before.notBeforeMs) return undefined;
    return `leased ${before.notBeforeMs - step.atMs} ms before its back-off was over`;
  }

  #account(
    job: JobRecord,
    mirror: JobMirror,
    { before, task }: { readonly before: TaskRecord | undefined; readonly task: TaskRecord },
  ): void {
    mirror.tasks.set(task.position, task);
    if (before !== undefined) mirror.rows[before.state] -= 1;
    mirror.rows[task.state] += 1;
    for (const [one, sign] of [
      [before, -1],
      [task, 1],
    ] as const) {
      if (one === undefined || !isHeld(one.state)) continue;
      const asked = { ...job.spec.resources, memoryBytes: one.memoryBytes };
      mirror.heldCount += sign;
      this.#heldByQueue.set(job.spec.queue, this.heldOf(job.spec.queue) + sign);
      if (sign === 1) this.#heldByAgent.add(one.agentId ?? '', asked);
      else this.#heldByAgent.remove(one.agentId ?? '', asked);
    }
  }

  #checkJob(jobId: number, before: JobRecord | undefined): void {
    const mirror = this.#mirrorOf(jobId);
    const job = this.#database.jobs.get(jobId)!;
    const wrong = checkJob(job, mirror.rows as StateCounts);
    if (wrong !== undefined) this.#fail('records', `job_${jobId}`, wrong);
    for (let position = before?.nextPosition ?? 0; position < job.nextPosition; position += 1) {
      if (!mirror.tasks.has(position)) {
        this.#fail('records', `job_${jobId}`, `nextPosition passed ${position}, which has no row`);
      }
    }
    const hasUntouched = job.rowCount < job.taskCount;
    if (hasUntouched && before?.untouchedState === 'pending' && job.untouchedState !== 'pending') {
      this.onFreed(job, before, undefined);
    }
    mirror.job = job;
  }

  #checkLease(step: TransitionRecord): void {
    const { jobId, position } = step;
    const mirror = this.#mirrorOf(jobId);
    const { job } = mirror;
    const about = `job_${jobId}.${position}`;
    const { parallelMax } = job.spec;
    if (parallelMax !== undefined && mirror.heldCount > parallelMax) {
      this.#fail('limits', about, `${mirror.heldCount} held, parallelMax is ${parallelMax}`);
    }
    const attempt = this.#database.attemptOf(jobId, position, step.attemptNumber);
    const capacity = this.#capacities.get(attempt?.agentId ?? '');
    if (attempt === undefined || capacity === undefined) {
      this.#fail('records', about, `leased without an attempt on record, or to no agent`);
      // Leases ahead of room are the engine's right; that none of them runs is the world's to see.
    } else if (!this.#heldByAgent.isWithin(attempt.agentId, withAhead(capacity))) {
      const used = JSON.stringify(this.#heldByAgent.of(attempt.agentId));
      this.#fail('limits', about, `leases of ${attempt.agentId} ask for more than it may: ${used}`);
    }
    this.onLeased(job, position);
  }
}

const withAhead = (capacity: Resources): Resources =>
  timesResources(capacity, 1 + AHEAD_PER_SLOT_MAX);
