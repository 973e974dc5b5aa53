import type { StateRun } from '@majorana/client';
import type { TaskState } from '@majorana/core';
import { TASK_STATES } from '@majorana/core';

/** Each state has a sign of its own, so that the picture can be read without colours too. */
const SIGNS: Readonly<Record<TaskState, { sign: string; colour: number }>> = {
  pending: { sign: '·', colour: 90 },
  queued: { sign: '░', colour: 90 },
  leased: { sign: '▒', colour: 36 },
  starting: { sign: '▒', colour: 36 },
  running: { sign: '▓', colour: 34 },
  suspended: { sign: 's', colour: 35 },
  succeeded: { sign: '█', colour: 32 },
  failed: { sign: 'x', colour: 31 },
  cancelled: { sign: '-', colour: 33 },
};

/** Where a cell stands for many tasks, what needs a look wins over what is more. */
const URGENT = ['failed', 'running', 'starting', 'leased'] as const satisfies TaskState[];

export interface PictureSize {
  readonly width: number;
  readonly height: number;
  readonly hasColour: boolean;
}

/** The state that each cell shows: equal shares of the tasks, in their order. */
export function cellStates(runs: readonly StateRun[], cellCount: number): TaskState[] {
  const taskCount = runs.reduce((sum, run) => sum + run.count, 0);
  const cells = Math.min(cellCount, taskCount);
  const states: TaskState[] = [];
  let run = 0;
  let left = runs[0]?.count ?? 0;
  for (let cell = 0; cell < cells; cell += 1) {
    let open =
      Math.floor(((cell + 1) * taskCount) / cells) - Math.floor((cell * taskCount) / cells);
    const counts = new Map<TaskState, number>();
    while (open > 0) {
      const taken = Math.min(open, left);
      const { state } = runs[run]!;
      counts.set(state, (counts.get(state) ?? 0) + taken);
      open -= taken;
      left -= taken;
      if (left === 0) left = runs[++run]?.count ?? 0;
    }
    states.push(shownState(counts));
  }
  return states;
}

function shownState(counts: ReadonlyMap<TaskState, number>): TaskState {
  const urgent = URGENT.find((state) => counts.has(state));
  if (urgent !== undefined) return urgent;
  return [...counts].reduce((most, next) => (next[1] > most[1] ? next : most))[0];
}

const paint = (state: TaskState, text: string, hasColour: boolean): string =>
  hasColour ? `\u001B[${SIGNS[state].colour}m${text}\u001B[0m` : text;

/** Lines of signs, one colour code for each run of equal ones. */
export function drawPicture(runs: readonly StateRun[], size: PictureSize): string[] {
  const states = cellStates(runs, size.width * size.height);
  const lines: string[] = [];
  for (let start = 0; start < states.length; start += size.width) {
    const row = states.slice(start, start + size.width);
    let line = '';
    for (let at = 0; at < row.length;) {
      const state = row[at]!;
      let end = at;
      while (row[end] === state) end += 1;
      line += paint(state, SIGNS[state].sign.repeat(end - at), size.hasColour);
      at = end;
    }
    lines.push(line);
  }
  return lines;
}

/** What the signs mean, and how many tasks each stands for, in lines no longer than the width. */
export function drawLegend(runs: readonly StateRun[], size: Omit<PictureSize, 'height'>): string[] {
  const counts = new Map<TaskState, number>();
  for (const { state, count } of runs) counts.set(state, (counts.get(state) ?? 0) + count);
  const lines: string[] = [];
  let length = size.width;
  for (const state of TASK_STATES.filter((one) => counts.has(one))) {
    const words = ` ${counts.get(state)} ${state}`;
    const entry = paint(state, SIGNS[state].sign, size.hasColour) + words;
    if (length + words.length + 3 > size.width) {
      lines.push(entry);
      length = words.length + 1;
    } else {
      lines.push(`${lines.pop()}  ${entry}`);
      length += words.length + 3;
    }
  }
  return lines;
}
