import { formatJobId, formatTaskId, parseAttemptId } from '@majorana/core';
import type { Lease } from './agent-messages.ts';

/** Libraries that take every core they see unless told. */
const THREAD_VARIABLES = [
  'OMP_NUM_THREADS',
  'OPENBLAS_NUM_THREADS',
  'MKL_NUM_THREADS',
  'BLIS_NUM_THREADS',
  'VECLIB_MAXIMUM_THREADS',
  'NUMEXPR_NUM_THREADS',
  'RAYON_NUM_THREADS',
] as const;

/** What every program is told of its task, wherever it runs; the job's own variables stand above. */
export function taskVariables(lease: Lease): Record<string, string> {
  const { resources, gang } = lease;
  const id = parseAttemptId(lease.attemptId)!;
  const cores = Math.floor(resources.cpuMillis / 1000 / (gang?.ranksPerNode ?? 1));
  const threads = String(Math.max(1, cores));
  return {
    ...Object.fromEntries(THREAD_VARIABLES.map((name) => [name, threads])),
    MAJORANA_JOB_ID: formatJobId(id.jobId),
    MAJORANA_JOB_NAME: lease.jobName,
    MAJORANA_TASK_ID: formatTaskId(id),
    MAJORANA_TASK_INDEX: String(id.taskIndex),
    MAJORANA_TASK_COUNT: String(lease.taskCount),
    MAJORANA_ATTEMPT_NUMBER: String(id.attemptNumber),
    MAJORANA_CPU_MILLIS: String(resources.cpuMillis),
    MAJORANA_MEMORY_BYTES: String(resources.memoryBytes),
  };
}

/** A task without GPUs is shown none, so that it does not take one of its neighbours'. */
export function gpuVariables(indices: readonly number[]): Record<string, string> {
  const list = indices.join(',');
  return {
    CUDA_VISIBLE_DEVICES: list,
    ROCR_VISIBLE_DEVICES: list,
    // The container runtime reads "" as unset; `void` is its word for none.
    NVIDIA_VISIBLE_DEVICES: list === '' ? 'void' : list,
    MAJORANA_GPU_INDICES: list,
  };
}
