import type { AttemptOutcome, OutcomeKind, Resources } from '@majorana/core';
import {
  fillPlaceholders,
  formatAttemptId,
  indexAt,
  parseAttemptId,
  positionOf,
} from '@majorana/core';
import type { JobSpec, Lease } from '@majorana/protocol';
import type { AttemptRecord, Change, JobRecord } from '@majorana/store';
import type { MemoryDatabase } from '@majorana/store/memory-store';
import { outputObject } from './fake-objects.ts';
import type { Fail } from './record-oracle.ts';
import { Usage } from './usage.ts';

interface Run {
  readonly agentId: string;
  readonly taskId: string;
  readonly resources: Resources;
  readonly startedMs: number;
  readonly graceMs: number;
  isOver: boolean;
  /** Undefined: it was lost with its machine or guard. */
  outcome: AttemptOutcome | undefined;
}

/** True time, and since when there have been no faults: Infinity while there are. */
export interface Moment {
  readonly nowMs: number;
  readonly calmSinceMs: number;
}

/** From the cancel on record to TERM at the program: an exchange, and host calls under the last faults. */
const OBEYED_WITHIN_MS = 45_000;

/** What runs make of their files is compared with undisturbed ones, and not looked at here. */
const isStep = (spec: JobSpec): boolean => spec.labels['run'] !== undefined;

interface Place {
  readonly job: JobRecord;
  readonly position: number;
  readonly attemptNumber: number;
}

export const indexOf = (spec: JobSpec, position: number): number =>
  spec.array.kind === 'range' ? indexAt(spec.array.ranges, position)! : position;

const taskIdOf = (attemptId: string): string => attemptId.slice(0, attemptId.lastIndexOf('.'));

/** What really happened on the machines, held against what is on record. */
export class WorldOracle {
  readonly #database: MemoryDatabase;
  readonly #fail: Fail;
  readonly #runs = new Map<string, Run>();
  /** True moments, to tell what came before what whatever the servers' clocks said. */
  readonly #endedByJob = new Map<number, number>();
  readonly #leasedByTask = new Map<string, number>();
  /** Since when a user has wanted a held task to end. */
  readonly #cancelledByTask = new Map<string, number>();
  readonly #runningByTask = new Map<string, Set<string>>();
  readonly #usage = new Usage();

  constructor(database: MemoryDatabase, fail: Fail) {
    this.#database = database;
    this.#fail = fail;
  }

  get runCount(): number {
    return this.#runs.size;
  }

  onAccept(agentId: string, lease: Lease): void {
    const place = this.checkLeased(agentId, lease.attemptId);
    if (place !== undefined) this.#checkLeaseText(place, lease);
  }

  /** Where it is given out as where it arrives: what is not written yet may never be. */
  checkLeased(agentId: string, attemptId: string): Place | undefined {
    const place = this.#placeOf(attemptId);
    const record = place && this.#recordOf(place);
    if (record?.agentId === agentId) return place;
    this.#fail('lease', attemptId, `${agentId} has a lease that is not on record`);
    return undefined;
  }

  onStart(agentId: string, capacity: Resources, lease: Lease, startedMs: number): void {
    const { attemptId, resources, graceMs } = lease;
    const taskId = taskIdOf(attemptId);
    if (this.#runs.has(attemptId)) this.#fail('once', attemptId, 'its program was started twice');
    const others = this.#runningByTask.get(taskId) ?? new Set();
    this.#runningByTask.set(taskId, others);
    const all = [...others, attemptId].toSorted(byAttemptNumber);
    for (const earlier of all.slice(0, -1)) {
      const place = this.#placeOf(earlier);
      const record = place && this.#recordOf(place);
      if (record?.outcome !== 'lost') {
        this.#fail(
          'once',
          attemptId,
          `runs beside ${earlier}, which is ${record?.outcome ?? 'held'} on record`,
        );
      }
    }
    others.add(attemptId);
    const fresh = { isOver: false, outcome: undefined };
    this.#runs.set(attemptId, { agentId, taskId, resources, startedMs, graceMs, ...fresh });
    this.#usage.add(agentId, resources);
    if (!this.#usage.isWithin(agentId, capacity)) {
      const used = JSON.stringify(this.#usage.of(agentId));
      this.#fail('capacity', attemptId, `${agentId} runs more than it has: ${used}`);
    }
  }

  onEnd(attemptId: string, outcome: AttemptOutcome | undefined, now: Moment): void {
    const run = this.#runs.get(attemptId)!;
    if (outcome !== undefined && outcome.kind !== 'cancelled')
      this.#checkObeyed(attemptId, run, now);
    run.isOver = true;
    run.outcome = outcome;
    this.#runningByTask.get(run.taskId)?.delete(attemptId);
    this.#usage.remove(run.agentId, run.resources);
  }

  /** Well connected agents end what was cancelled, and do not wait until it ends by itself. */
  #checkObeyed(attemptId: string, run: Run, { nowMs, calmSinceMs }: Moment): void {
    const place = this.#placeOf(attemptId);
    const key = place && `${place.job.jobId}.${place.position}`;
    const cancelledMs = this.#cancelledByTask.get(key ?? '');
    if (cancelledMs === undefined || place === undefined) return;
    const task = this.#database.rowsOf(place.job.jobId).tasks.get(place.position);
    if (task?.isCancelling !== true || task.attemptNumber !== place.attemptNumber) return;
    const lateMs = nowMs - Math.max(cancelledMs, calmSinceMs, run.startedMs) - run.graceMs;
    if (lateMs > OBEYED_WITHIN_MS) {
      this.#fail('cancelled', attemptId, `ran on for ${Math.round(lateMs)} ms after its cancel`);
    }
  }

  onForget(attemptId: string, isRunning: boolean): void {
    if (isRunning) this.#fail('forget', attemptId, 'forgotten while its program ran');
    this.checkForgotten(attemptId);
  }

  checkForgotten(attemptId: string): void {
    const place = this.#placeOf(attemptId);
    const record = place && this.#recordOf(place);
    if (record === undefined || record.endedAtMs === null) {
      this.#fail('forget', attemptId, 'forgotten before its end was on record');
    }
  }

  check({ attempts, artifacts, jobs, tasks, transitions }: Change, nowMs: number): void {
    for (const { jobId, position, isCancelling } of tasks) {
      const key = `${jobId}.${position}`;
      if (!isCancelling) this.#cancelledByTask.delete(key);
      else if (!this.#cancelledByTask.has(key)) this.#cancelledByTask.set(key, nowMs);
    }
    for (const attempt of attempts) {
      if (attempt.endedAtMs !== null) this.#checkOutcome(attempt);
    }
    for (const { jobId, endedAtMs } of jobs) {
      if (endedAtMs === null) this.#endedByJob.delete(jobId);
      else if (!this.#endedByJob.has(jobId)) this.#endedByJob.set(jobId, nowMs);
    }
    for (const { jobId, position, toState } of transitions) {
      if (toState === 'leased') this.#leasedByTask.set(`${jobId}.${position}`, nowMs);
    }
    for (const artifact of artifacts) {
      const attemptId = this.#attemptIdOf(artifact);
      if (isStep(this.#database.jobs.get(artifact.jobId)!.spec)) continue;
      if (artifact.role === 'output' && artifact.object !== outputObject(attemptId)) {
        this.#fail('outcome', attemptId, 'has the output of another attempt');
      }
    }
  }

  #checkOutcome(attempt: AttemptRecord): void {
    const attemptId = this.#attemptIdOf(attempt);
    const run = this.#runs.get(attemptId);
    const { outcome } = attempt;
    const wrong = (text: string): void => this.#fail('outcome', attemptId, text);
    if (outcome === 'lost') return;
    if (run === undefined) {
      if (outcome !== 'cancelled' && outcome !== 'start_error') {
        wrong(`on record as ${outcome}, but it never ran`);
      }
      return;
    }
    if (!run.isOver) wrong(`on record as ${outcome}, but it runs`);
    // Results that could not be stored make an exit code of a success.
    if (attempt.reason?.includes('could not be stored') === true) return;
    const truth = say(run.outcome?.kind, run.outcome?.exitCode, run.outcome?.signal);
    const told = say(outcome, attempt.exitCode, attempt.signal);
    if (told !== truth) wrong(`on record as ${told}, but it was ${truth}`);
  }

  #checkLeaseText({ job, position, attemptNumber }: Place, lease: Lease): void {
    const { spec } = job;
    const wrong = (text: string): void => this.#fail('lease', lease.attemptId, text);
    const index = indexOf(spec, position);
    const record =
      spec.array.kind === 'range'
        ? {}
        : this.#database.fieldsAt(spec.array.parameterSetId, position);
    const expected = isStep(spec)
      ? spec.argv.map((text) => fillPlaceholders(text, record))
      : ['work', `${index}`, record['molecule'] ?? '-'];
    if (lease.argv.join(' ') !== expected.join(' '))
      wrong(`its arguments are ${lease.argv.join(' ')}`);
    const task = this.#database.rowsOf(job.jobId).tasks.get(position);
    // A later attempt may have been given more memory since.
    const isLatest = task?.attemptNumber === attemptNumber;
    if (isLatest && task.agentId !== null && lease.resources.memoryBytes > task.memoryBytes) {
      wrong(`has ${lease.resources.memoryBytes} bytes of memory, not ${task.memoryBytes}`);
    }
    for (const { path, object } of lease.inputs) {
      if (!this.#isOutput(spec, path, object)) wrong(`its input ${path} is nobody's output`);
    }
    for (const { jobId } of spec.inputsFromJobs) {
      const { counts } = this.#database.jobs.get(jobId)!;
      const endedMs = this.#endedByJob.get(jobId) ?? Infinity;
      const leasedMs = this.#leasedByTask.get(`${job.jobId}.${position}`)!;
      if (isLatest && endedMs < leasedMs && lease.inputs.length < counts.succeeded) {
        wrong(`${lease.inputs.length} inputs of ${counts.succeeded}`);
      }
    }
  }

  /** `up/INDEX/out`, from an attempt that succeeded. */
  #isOutput(spec: JobSpec, path: string, object: string): boolean {
    if (isStep(spec)) return true;
    const index = Number(path.split('/')[1]);
    return spec.inputsFromJobs.some(({ jobId }) => {
      const upstream = this.#database.jobs.get(jobId);
      if (upstream === undefined) return false;
      const last = this.#lastAttemptNumber(upstream, index);
      for (let number = 1; number <= last; number += 1) {
        const attemptId = formatAttemptId({ jobId, taskIndex: index, attemptNumber: number });
        const run = this.#runs.get(attemptId);
        if (run?.outcome?.kind === 'succeeded' && outputObject(attemptId) === object) return true;
      }
      return false;
    });
  }

  #lastAttemptNumber(job: JobRecord, index: number): number {
    const position =
      job.spec.array.kind === 'range' ? positionOf(job.spec.array.ranges, index) : index;
    return this.#database.rowsOf(job.jobId).tasks.get(position ?? -1)?.attemptNumber ?? 0;
  }

  #placeOf(attemptId: string): Place | undefined {
    const id = parseAttemptId(attemptId);
    const job = id && this.#database.jobs.get(id.jobId);
    if (id === undefined || job === undefined) return undefined;
    const { array } = job.spec;
    const position = array.kind === 'range' ? positionOf(array.ranges, id.taskIndex) : id.taskIndex;
    if (position === undefined) return undefined;
    return { job, position, attemptNumber: id.attemptNumber };
  }

  #recordOf({ job, position, attemptNumber }: Place): AttemptRecord | undefined {
    return this.#database.attemptOf(job.jobId, position, attemptNumber);
  }

  #attemptIdOf(record: {
    readonly jobId: number;
    readonly position: number;
    readonly attemptNumber: number;
  }): string {
    const { jobId, position, attemptNumber } = record;
    const { spec } = this.#database.jobs.get(jobId)!;
    return formatAttemptId({ jobId, taskIndex: indexOf(spec, position), attemptNumber });
  }
}

const say = (
  kind: OutcomeKind | null | undefined,
  exitCode: number | null | undefined,
  signal: number | null | undefined,
): string => `${kind ?? 'lost'} (exit code ${exitCode ?? 'none'}, signal ${signal ?? 'none'})`;

const byAttemptNumber = (a: string, b: string): number =>
  parseAttemptId(a)!.attemptNumber - parseAttemptId(b)!.attemptNumber;
