import { fillPlaceholders, formatAttemptId } from '@majorana/core';
import type { JobSpec, Lease, StagedObject } from '@majorana/protocol';
import type { TaskRecord } from '@majorana/store';
import { taskCountOf, taskIndexOf } from './indexes.ts';

/** Fields that every task has, beside those of its record. */
export const COMMON_FIELDS = ['index', 'job', 'task_count'] as const;

export const fieldsOf = (
  spec: JobSpec,
  task: { readonly jobId: number; readonly position: number },
  record: Readonly<Record<string, string>>,
): Record<string, string> => ({
  index: String(taskIndexOf(spec, task.position)),
  job: String(task.jobId),
  task_count: String(taskCountOf(spec)),
  ...record,
});

/** A lease says what to run in full: no agent has to know about placeholders or arrays. */
export function makeLease(
  spec: JobSpec,
  task: Pick<TaskRecord, 'jobId' | 'position' | 'attemptNumber' | 'memoryBytes'>,
  record: Readonly<Record<string, string>>,
  fromJobs: readonly StagedObject[],
): Lease {
  const fields = fieldsOf(spec, task, record);
  const fill = (text: string): string => fillPlaceholders(text, fields);
  const { jobId, attemptNumber } = task;
  return {
    attemptId: formatAttemptId({
      jobId,
      taskIndex: taskIndexOf(spec, task.position),
      attemptNumber,
    }),
    jobName: spec.name,
    argv: spec.argv.map(fill),
    env: Object.fromEntries(Object.entries(spec.env).map(([name, value]) => [name, fill(value)])),
    inputs: [
      ...spec.inputs.map((input) => ({ path: fill(input.path), object: fill(input.object) })),
      ...fromJobs,
    ],
    outputs: spec.outputs.map(fill),
    resources: { ...spec.resources, memoryBytes: task.memoryBytes },
    ...(spec.container && { container: spec.container }),
    ...(spec.gang && { gang: spec.gang }),
    timeLimitMs: spec.timeLimitMs,
    graceMs: spec.graceMs,
    ...(spec.checkpoint && {
      checkpoint: { ...spec.checkpoint, argv: spec.checkpoint.argv.map(fill) },
    }),
    taskCount: taskCountOf(spec),
  };
}
