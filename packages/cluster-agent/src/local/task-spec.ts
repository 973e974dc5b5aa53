import { fillPlaceholders, formatJobId, formatTaskId, parseAttemptId } from '@majorana/core';
import type { Lease } from '@majorana/protocol';
import type { AttemptFolder } from './attempt-folder.ts';

/** Libraries that take every core they see unless told. */
const THREAD_VARIABLES = [
  'OMP_NUM_THREADS',
  'OPENBLAS_NUM_THREADS',
  'MKL_NUM_THREADS',
  'BLIS_NUM_THREADS',
  'VECLIB_MAXIMUM_THREADS',
  'NUMEXPR_NUM_THREADS',
] as const;

/** Passed on from the agent's own environment; nothing else is, so no secret leaks into tasks. */
const INHERITED = ['PATH', 'LANG', 'LC_ALL', 'TZ', 'USER', 'LOGNAME', 'SHELL'] as const;

function environment(lease: Lease, folder: AttemptFolder): Record<string, string> {
  const id = parseAttemptId(lease.attemptId)!;
  const threads = String(Math.max(1, Math.floor(lease.resources.cpuMillis / 1000)));
  const inherited = INHERITED.flatMap((name) => {
    const value = process.env[name];
    return value === undefined ? [] : [[name, value] as const];
  });
  const own = Object.entries(lease.spec.env).map(
    ([name, value]) => [name, fillPlaceholders(value, lease.fields)] as const,
  );
  return Object.fromEntries([
    ...inherited,
    ['HOME', folder.file('work')],
    ...THREAD_VARIABLES.map((name) => [name, threads] as const),
    ['MAJORANA_JOB_ID', formatJobId(id.jobId)],
    ['MAJORANA_TASK_ID', formatTaskId(id)],
    ['MAJORANA_TASK_INDEX', String(id.taskIndex)],
    ['MAJORANA_ATTEMPT_NUMBER', String(id.attemptNumber)],
    ['MAJORANA_CPU_MILLIS', String(lease.resources.cpuMillis)],
    ['MAJORANA_MEMORY_BYTES', String(lease.resources.memoryBytes)],
    ...own,
  ]);
}

/** The records of the launcher's `spec` file. */
export function taskSpec(lease: Lease, folder: AttemptFolder): [string, string][] {
  return [
    ['cwd', folder.file('work')],
    ...lease.spec.argv.map((text): [string, string] => [
      'arg',
      fillPlaceholders(text, lease.fields),
    ]),
    ...Object.entries(environment(lease, folder)).map(([name, value]): [string, string] => [
      'env',
      `${name}=${value}`,
    ]),
    ['stdout', folder.file('stdout')],
    ['stderr', folder.file('stderr')],
    ['timeLimitMs', String(lease.spec.timeLimitMs)],
    ['graceMs', String(lease.spec.graceMs)],
    ['memoryBytesMax', String(lease.resources.memoryBytes)],
    ['cgroup', ''],
    ['exit', folder.exitFile],
  ];
}
