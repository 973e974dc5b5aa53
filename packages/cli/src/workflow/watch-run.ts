import type { Client } from '@majorana/client';
import { isFinalRun } from '@majorana/core';
import type { JobView, RunDetail } from '@majorana/protocol';
import { Screen } from '../follow/screen.ts';
import { totals } from '../follow/progress.ts';
import { setBeforeNote } from '../output.ts';
import type { StepJobs } from './picture.ts';
import { drawRound } from './picture.ts';

const LOOK_MS = 400;
/** More jobs than this at once do not fit on a screen. */
const JOBS_MAX = 20;
/** Without a terminal a line now and then, not one for every change. */
const PLAIN_MS = 5000;

export const headLine = (run: RunDetail): string =>
  `${run.id} ${run.name}: ${run.status}${run.round > 1 ? `, round ${run.round}` : ''}`;

/** Shows a run until it has ended; the last state when it was left before. */
export async function watchRun(
  client: Client,
  id: string,
  options: { readonly signal: AbortSignal; readonly isQuiet: boolean },
): Promise<RunDetail> {
  const screen = new Screen(process.stderr);
  setBeforeNote(() => screen.finish());
  const told = new PlainLines(screen);
  for (;;) {
    const run = await client.run(id);
    if (!options.isQuiet) {
      const jobs = await openJobs(client, run);
      if (screen.isTerminal) draw(screen, run, jobs);
      else told.tell(run, jobs);
    }
    if (isFinalRun(run.status) || options.signal.aborted) {
      screen.finish();
      return run;
    }
    await pause(options.signal);
  }
}

const pause = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    const timer = setTimeout(resolve, LOOK_MS);
    signal.addEventListener('abort', () => {
      clearTimeout(timer);
      resolve();
    });
  });

/** The jobs of the fan-outs that run. */
async function openJobs(client: Client, run: RunDetail): Promise<StepJobs> {
  const running = run.rounds
    .at(-1)!
    .steps.filter((step) => step.status === 'running' && step.elementCount > 1);
  const jobs = new Map<string, JobView>();
  for (const { path, jobId } of running.slice(0, JOBS_MAX))
    if (jobId !== null) jobs.set(path, await client.job(jobId));
  return jobs;
}

function draw(screen: Screen, run: RunDetail, jobs: StepJobs): void {
  const lines = [headLine(run), ...drawRound(run.rounds.at(-1)!, screen.hasColour, jobs)];
  const cut = lines.length > screen.height ? lines.slice(0, screen.height - 1) : lines;
  screen.draw(cut.map((line) => (screen.hasColour ? line : line.slice(0, screen.width))));
}

/** Without a terminal: a line for each step that has come further. */
class PlainLines {
  readonly #screen: Screen;
  readonly #told = new Map<string, string>();
  #countsAtMs = Date.now();

  constructor(screen: Screen) {
    this.#screen = screen;
  }

  tell(run: RunDetail, jobs: StepJobs): void {
    for (const { path, status, reason } of run.rounds.at(-1)!.steps) {
      if (status === 'waiting' || this.#told.get(path) === status) continue;
      this.#told.set(path, status);
      this.#screen.write(`${run.id} ${path}: ${status}${reason === '' ? '' : ` (${reason})`}`);
    }
    if (Date.now() - this.#countsAtMs < PLAIN_MS) return;
    this.#countsAtMs = Date.now();
    for (const [path, job] of jobs) {
      const { done, taskCount, running } = totals([job]);
      this.#screen.write(`${run.id} ${path}: ${done}/${taskCount} done, ${running} running`);
    }
  }
}
