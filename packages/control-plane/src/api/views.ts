import { formatAttemptId, formatJobId, formatTaskId } from '@majorana/core';
import type { AttemptRecord, JobRecord, TaskRecord } from '@majorana/store';

export type JobState = 'pending' | 'queued' | 'running' | 'succeeded' | 'failed' | 'cancelled';

function jobState(job: JobRecord): JobState {
  const { counts, taskCount } = job;
  if (job.endedAtMs !== null) {
    if (counts.succeeded === taskCount) return 'succeeded';
    return counts.failed > 0 ? 'failed' : 'cancelled';
  }
  if (counts.pending === taskCount) return 'pending';
  return counts.queued + counts.pending === taskCount ? 'queued' : 'running';
}

/** A job as the API shows it: an array is one thing, however many tasks it has. */
export const jobView = (job: JobRecord) => ({
  id: formatJobId(job.jobId),
  name: job.spec.name,
  queue: job.spec.queue,
  priority: job.spec.priority,
  labels: job.spec.labels,
  state: jobState(job),
  taskCount: job.taskCount,
  counts: job.counts,
  submittedAtMs: job.submittedAtMs,
  endedAtMs: job.endedAtMs,
});

export const taskView = (task: TaskRecord) => ({
  id: formatTaskId(task),
  index: task.taskIndex,
  state: task.state,
  attemptNumber: task.attemptNumber,
  retryCount: task.retryCount,
  agentId: task.agentId,
  exitCode: task.exitCode,
  reason: task.reason,
});

export const attemptView = (attempt: AttemptRecord) => ({
  id: formatAttemptId(attempt),
  agentId: attempt.agentId,
  leasedAtMs: attempt.leasedAtMs,
  startedAtMs: attempt.startedAtMs,
  endedAtMs: attempt.endedAtMs,
  outcome: attempt.outcome,
  exitCode: attempt.exitCode,
  signal: attempt.signal,
  reason: attempt.reason,
  peakMemoryBytes: attempt.peakMemoryBytes,
  cpuTimeMs: attempt.cpuTimeMs,
});
