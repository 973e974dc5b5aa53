import type { Client } from '@majorana/client';
import { isFinalRun } from '@majorana/core';
import type { RunDetail } from '@majorana/protocol';
import { Screen } from '../follow/screen.ts';
import { setBeforeNote } from '../output.ts';
import { drawRound } from './picture.ts';

const LOOK_MS = 400;

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
  const told = new Map<string, string>();
  for (;;) {
    const run = await client.run(id);
    if (!options.isQuiet) show(screen, run, told);
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

function show(screen: Screen, run: RunDetail, told: Map<string, string>): void {
  const round = run.rounds.at(-1)!;
  if (screen.isTerminal) {
    const lines = [headLine(run), ...drawRound(round, screen.hasColour)];
    const cut = lines.length > screen.height ? lines.slice(0, screen.height - 1) : lines;
    screen.draw(cut.map((line) => (screen.hasColour ? line : line.slice(0, screen.width))));
    return;
  }
  // Without a terminal a line for each step that has come further.
  for (const { path, status, reason } of round.steps) {
    if (status === 'waiting' || told.get(path) === status) continue;
    told.set(path, status);
    screen.write(`${run.id} ${path}: ${status}${reason === '' ? '' : ` (${reason})`}`);
  }
}
