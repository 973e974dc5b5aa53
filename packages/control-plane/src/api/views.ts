import { formatAttemptId, formatJobId, formatTaskId } from '@majorana/core';
import type {
  ArtifactView,
  AttemptView,
  JobDetail,
  JobView,
  TaskView,
  TransitionView,
} from '@majorana/protocol';
import type {
  ArtifactRecord,
  AttemptRecord,
  JobRecord,
  TaskRecord,
  TransitionRecord,
} from '@majorana/store';
import { taskIndexOf } from '../engine/indexes.ts';

/** Records as the API shows them: by index, and an array as one thing however many tasks it has. */

function jobState(job: JobRecord): JobView['state'] {
  const { counts, taskCount } = job;
  if (job.endedAtMs !== null) {
    if (counts.succeeded === taskCount) return 'succeeded';
    return counts.failed > 0 ? 'failed' : 'cancelled';
  }
  if (counts.pending === taskCount) return 'pending';
  return counts.queued + counts.pending === taskCount ? 'queued' : 'running';
}

export const jobView = (job: JobRecord): JobView => ({
  id: formatJobId(job.jobId),
  name: job.spec.name,
  project: job.spec.project,
  queue: job.spec.queue,
  priority: job.spec.priority,
  labels: job.spec.labels,
  state: jobState(job),
  taskCount: job.taskCount,
  counts: job.counts,
  submittedAtMs: job.submittedAtMs,
  endedAtMs: job.endedAtMs,
});

export const jobDetail = (job: JobRecord): JobDetail => ({ ...jobView(job), spec: job.spec });

const taskIdOf = (job: JobRecord, position: number): string =>
  formatTaskId({ jobId: job.jobId, taskIndex: taskIndexOf(job.spec, position) });

export const taskView = (
  job: JobRecord,
  position: number,
  task: TaskRecord | undefined,
): TaskView => ({
  id: taskIdOf(job, position),
  index: taskIndexOf(job.spec, position),
  state: task?.state ?? job.untouchedState,
  attemptNumber: task?.attemptNumber ?? 0,
  retryCount: task?.retryCount ?? 0,
  agentId: task?.agentId ?? null,
  exitCode: task?.exitCode ?? null,
  reason: task?.reason ?? '',
  sinceMs: task?.sinceMs ?? job.untouchedSinceMs,
});

export const attemptView = (job: JobRecord, attempt: AttemptRecord): AttemptView => ({
  id: formatAttemptId({
    jobId: job.jobId,
    taskIndex: taskIndexOf(job.spec, attempt.position),
    attemptNumber: attempt.attemptNumber,
  }),
  agentId: attempt.agentId,
  queuedAtMs: attempt.queuedAtMs,
  leasedAtMs: attempt.leasedAtMs,
  waitedFor: attempt.waitedFor,
  startedAtMs: attempt.startedAtMs,
  endedAtMs: attempt.endedAtMs,
  outcome: attempt.outcome,
  exitCode: attempt.exitCode,
  signal: attempt.signal,
  reason: attempt.reason,
  peakMemoryBytes: attempt.peakMemoryBytes,
  cpuTimeMs: attempt.cpuTimeMs,
});

export const transitionView = (job: JobRecord, one: TransitionRecord): TransitionView => ({
  sequence: one.sequence,
  taskId: taskIdOf(job, one.position),
  atMs: one.atMs,
  fromState: one.fromState,
  toState: one.toState,
  attemptNumber: one.attemptNumber,
  reason: one.reason,
});

export const artifactView = (job: JobRecord, artifact: ArtifactRecord): ArtifactView => ({
  role: artifact.role,
  path: artifact.path,
  object: artifact.object,
  sizeBytes: artifact.sizeBytes,
  taskId: taskIdOf(job, artifact.position),
  taskIndex: taskIndexOf(job.spec, artifact.position),
  attemptNumber: artifact.attemptNumber,
});
