import type { ParsedId } from '@majorana/core';
import { formatJobId, formatTaskId, parseId } from '@majorana/core';
import { CliError } from './output.ts';

/** `42`, `job_42`, `42.17`, `job_42.17` or an attempt such as `job_42.17.2`, or an error that says so. */
export function readId(text: string): ParsedId {
  const id = parseId(text);
  if (id === undefined)
    throw new CliError(`"${text}" is no job or task id; they look like job_42 and job_42.17`);
  return id;
}

export function readJobId(text: string): string {
  const { jobId, taskIndex } = readId(text);
  if (taskIndex !== undefined)
    throw new CliError(`${text} is a task; a job is expected, such as ${formatJobId(jobId)}`);
  return formatJobId(jobId);
}

export type Target =
  | { readonly kind: 'job'; readonly id: string }
  | { readonly kind: 'task'; readonly id: string; readonly attemptNumber?: number };

export function readTarget(text: string): Target {
  const { jobId, taskIndex, attemptNumber } = readId(text);
  if (taskIndex === undefined) return { kind: 'job', id: formatJobId(jobId) };
  const id = formatTaskId({ jobId, taskIndex });
  return { kind: 'task', id, ...(attemptNumber === undefined ? {} : { attemptNumber }) };
}
