/**
 * Ids are readable and derived: job `job_42`, its task `job_42.17`, that task's second attempt
 * `job_42.17.2`. One engine writes at a time, so jobs are numbered by a database sequence.
 */
export type JobId = number;
/** The value of the array index as the user wrote it: `--array 10-20:5` has tasks 10, 15, 20. */
export type TaskIndex = number;

export interface TaskKey {
  readonly jobId: JobId;
  readonly taskIndex: TaskIndex;
}
export interface AttemptKey extends TaskKey {
  /** From 1, over retries and requeues alike. It is the lease epoch too: a later one fences an earlier one. */
  readonly attemptNumber: number;
}

export const formatJobId = (jobId: JobId): string => `job_${jobId}`;
export const formatTaskId = (key: TaskKey): string => `job_${key.jobId}.${key.taskIndex}`;
export const formatAttemptId = (key: AttemptKey): string =>
  `job_${key.jobId}.${key.taskIndex}.${key.attemptNumber}`;

const idPattern = /^(?:job_)?(\d{1,15})(?:\.(\d{1,10}))?(?:\.(\d{1,9}))?$/;

export interface ParsedId {
  readonly jobId: JobId;
  readonly taskIndex?: TaskIndex;
  readonly attemptNumber?: number;
}

/** Reads `job_42`, `42`, `job_42.17` or `job_42.17.2`; undefined when it is none of them. */
export function parseId(text: string): ParsedId | undefined {
  const match = idPattern.exec(text);
  if (match === null) return undefined;
  const [, job, task, attempt] = match;
  return {
    jobId: Number(job),
    ...(task === undefined ? {} : { taskIndex: Number(task) }),
    ...(attempt === undefined ? {} : { attemptNumber: Number(attempt) }),
  };
}

export function parseAttemptId(text: string): AttemptKey | undefined {
  const id = parseId(text);
  if (id?.taskIndex === undefined || id.attemptNumber === undefined) return undefined;
  return { jobId: id.jobId, taskIndex: id.taskIndex, attemptNumber: id.attemptNumber };
}

/** A run of a workflow: `run_7`. */
export const formatRunId = (runId: number): string => `run_${runId}`;
export function parseRunId(text: string): number | undefined {
  const match = /^(?:run_)?(\d{1,9})$/.exec(text);
  return match === null ? undefined : Number(match[1]);
}
