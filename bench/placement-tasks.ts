import { readFileSync } from 'node:fs';
import path from 'node:path';
import { gunzipSync } from 'node:zlib';
import { GIBIBYTE } from '@majorana/core';
import { randomFrom } from './placement-cluster.ts';
import type { BenchTask } from './placement-peers.ts';

export interface TaskMix {
  readonly name: string;
  readonly tasks: readonly BenchTask[];
}

const CORES_MAX = 32;

/** From a half to twice: as far as a mean of earlier runs is off in practice. */
const guess = (durationMs: number, random: () => number): number =>
  durationMs * 2 ** (2 * random() - 1);

/** A tenth of a core to four, half a GiB to eight for each core, a minute to eight hours. */
export function fractionalMix(count: number): TaskMix {
  const random = randomFrom(11);
  const between = (from: number, to: number): number => from * (to / from) ** random();
  const tasks = Array.from({ length: count }, (_, number): BenchTask => {
    const cores = between(0.1, 4);
    const durationMs = between(60_000, 8 * 3_600_000);
    return {
      key: `t${number}`,
      cpuMillis: Math.round(cores * 1000),
      memoryBytes: Math.round(cores * between(0.5, 8) * GIBIBYTE),
      durationMs,
      expectedDurationMs: guess(durationMs, random),
    };
  });
  return { name: 'fractional cores', tasks };
}

/**
 * Tasks of a trace in the Standard Workload Format, from its middle. Run times and cores are the
 * trace's; it has no memory, so each user gets an amount for each core, from 1 to 8 GiB.
 */
function traceMix(folder: string, file: string, count: number): TaskMix {
  const random = randomFrom(13);
  const memoryByUser = new Map<string, number>();
  const rows = gunzipSync(readFileSync(path.join(folder, file)))
    .toString()
    .split('\n')
    .filter((line) => line.trim() !== '' && !line.startsWith(';'))
    .map((line) => line.trim().split(/\s+/))
    .filter((row) => Number(row[3]) > 0 && Number(row[4]) > 0 && Number(row[4]) <= CORES_MAX);
  const from = Math.floor((rows.length - count) / 2);
  const tasks = rows.slice(from, from + count).map((row, number): BenchTask => {
    const [runSeconds, cores, user] = [Number(row[3]), Number(row[4]), row[11]!];
    if (!memoryByUser.has(user)) memoryByUser.set(user, 8 ** random());
    const durationMs = runSeconds * 1000;
    return {
      key: `t${number}`,
      cpuMillis: cores * 1000,
      memoryBytes: Math.round(cores * memoryByUser.get(user)! * GIBIBYTE),
      durationMs,
      expectedDurationMs: guess(durationMs, random),
    };
  });
  return { name: file.replace(/\.swf\.gz$/, ''), tasks };
}

const TRACES = ['LCG-2005-1.swf.gz', 'KTH-SP2-1996-2.1-cln.swf.gz'];

/** Traces are read from the folder that `MAJORANA_TRACES` names; none of them lies here. */
export function taskMixes(count: number): readonly TaskMix[] {
  const folder = process.env['MAJORANA_TRACES'];
  const traces = folder === undefined ? [] : TRACES.map((file) => traceMix(folder, file, count));
  return [fractionalMix(count), ...traces];
}
