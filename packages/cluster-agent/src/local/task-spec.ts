import type { Lease } from '@majorana/protocol';
import { gpuVariables, taskVariables } from '@majorana/protocol';
import type { AttemptFolder } from './attempt-folder.ts';

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
  const inherited = INHERITED.flatMap((name) => {
    const value = process.env[name];
    return value === undefined ? [] : [[name, value] as const];
  });
  return {
    ...Object.fromEntries(inherited),
    HOME: folder.file('work'),
    TMPDIR: folder.file('scratch'),
    MAJORANA_SCRATCH: folder.file('scratch'),
    ...gpuVariables(gpuIndices),
    ...taskVariables(lease),
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
