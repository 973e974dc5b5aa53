import type { JobView } from '@majorana/protocol';
import type { Command } from 'commander';
import type { JsonOption } from '../command.ts';
import { addCommand, detachOnInterrupt } from '../command.ts';
import { connectPatiently } from '../connect.ts';
import { readJobId } from '../ids.ts';
import { EXIT, printJson } from '../output.ts';

interface WaitOptions extends JsonOption {
  readonly quiet?: boolean;
}

/** 1 when one of them failed or was cancelled; 130 when Ctrl-C came before the end. */
function exitCodeOf(jobs: readonly JobView[], isDetached: boolean): number {
  if (jobs.some((job) => job.endedAtMs === null) || jobs.length === 0)
    return isDetached ? EXIT.detached : EXIT.ok;
  return jobs.every((job) => job.state === 'succeeded') ? EXIT.ok : EXIT.jobFailed;
}

/** From here on Ctrl-C detaches. */
export const detachFrom = (ids: readonly string[]): AbortSignal =>
  detachOnInterrupt(ids.length === 1 ? `${ids[0]} goes on` : 'the jobs go on');

export async function waitFor(
  ids: readonly string[],
  options: WaitOptions,
  turn: { readonly signal?: AbortSignal; readonly hasPicture?: boolean } = {},
): Promise<void> {
  const unique = [...new Set(ids.map(readJobId))];
  const { signal = detachFrom(unique), hasPicture = false } = turn;
  const { watchJobs } = await import('../follow/watch.ts');
  const jobs = await watchJobs(connectPatiently(), unique, {
    signal,
    hasPicture,
    isQuiet: options.quiet === true,
  });
  if (options.json === true) printJson(jobs);
  process.exitCode = exitCodeOf(jobs, signal.aborted);
}

export function addWaitCommands(program: Command): void {
  addCommand(program, {
    usage: 'wait <jobs...>',
    description: 'return when the jobs have ended; Ctrl-C detaches and cancels nothing',
    examples: ['majorana wait job_1', 'majorana wait job_1 job_2 --json > ended.json'],
  })
    .option('--quiet', 'no progress')
    .action((ids: string[], options: WaitOptions) => waitFor(ids, options));
  addCommand(program, {
    usage: 'watch <jobs...>',
    description: 'show every task’s state until the jobs have ended; Ctrl-C detaches',
    examples: ['majorana watch job_1', 'NO_COLOR=1 majorana watch job_1'],
  }).action((ids: string[], options: WaitOptions) => waitFor(ids, options, { hasPicture: true }));
}
