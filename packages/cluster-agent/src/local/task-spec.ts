import { formatJobId, formatTaskId, parseAttemptId } from '@majorana/core';
import type { Lease } from '@majorana/protocol';
import type { AttemptFolder } from './attempt-folder.ts';
import { gpuVariables } from './gpus.ts';

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

/** Passed on from the agent's own environment; nothing else is, so no secret leaks into tasks. */
const INHERITED = ['PATH', 'LANG', 'LC_ALL', 'TZ', 'USER', 'LOGNAME', 'SHELL'] as const;

/** By the attempt's folder in it, what a killed guard left behind is found; no job may set it. */
export const FOLDER_VARIABLE = 'MAJORANA_ATTEMPT_FOLDER';

export interface TaskPlace {
  readonly folder: AttemptFolder;
  readonly gpuIndices: readonly number[];
  /** The memory group to run in; empty: the shim samples the tree. */
  readonly cgroup: string;
}

function environment(lease: Lease, place: TaskPlace): Record<string, string> {
  const { folder, gpuIndices } = place;
  const { resources } = lease;
  const id = parseAttemptId(lease.attemptId)!;
  const threads = String(Math.max(1, Math.floor(resources.cpuMillis / 1000)));
  const inherited = INHERITED.flatMap((name) => {
    const value = process.env[name];
    return value === undefined ? [] : [[name, value] as const];
  });
  return {
    ...Object.fromEntries(inherited),
    HOME: folder.file('work'),
    TMPDIR: folder.file('scratch'),
    ...Object.fromEntries(THREAD_VARIABLES.map((name) => [name, threads])),
    ...gpuVariables(gpuIndices),
    MAJORANA_JOB_ID: formatJobId(id.jobId),
    MAJORANA_JOB_NAME: lease.jobName,
    MAJORANA_TASK_ID: formatTaskId(id),
    MAJORANA_TASK_INDEX: String(id.taskIndex),
    MAJORANA_TASK_COUNT: String(lease.taskCount),
    MAJORANA_ATTEMPT_NUMBER: String(id.attemptNumber),
    MAJORANA_CPU_MILLIS: String(resources.cpuMillis),
    MAJORANA_MEMORY_BYTES: String(resources.memoryBytes),
    MAJORANA_SCRATCH: folder.file('scratch'),
    ...lease.env,
    [FOLDER_VARIABLE]: folder.folder,
  };
}

/** The records of the launcher's `spec` file. */
export function taskSpec(lease: Lease, place: TaskPlace): [string, string][] {
  const { folder, cgroup } = place;
  return [
    ['cwd', folder.file('work')],
    ...lease.argv.map((text): [string, string] => ['arg', text]),
    ...Object.entries(environment(lease, place)).map(([name, value]): [string, string] => [
      'env',
      `${name}=${value}`,
    ]),
    ['stdout', folder.file('stdout')],
    ['stderr', folder.file('stderr')],
    ['timeLimitMs', String(lease.timeLimitMs)],
    ['graceMs', String(lease.graceMs)],
    ['memoryBytesMax', String(lease.resources.memoryBytes)],
    ['cgroup', cgroup],
    ['exit', folder.exitFile],
  ];
}
