import { readFileSync } from 'node:fs';
import { performance } from 'node:perf_hooks';

/** What a stage took. In a file of its own: results of equal runs stay equal byte by byte. */
export interface TimingFile {
  format: 'crystal-search/timing/1';
  stage: string;
  /** Structures read or made, whichever the stage is about. */
  structures: number;
  cpuSeconds: number;
  wallSeconds: number;
}

/** Kernel ticks in a second, as Linux reports times in /proc on every architecture. */
const TICKS_PER_SECOND = 100;

/** Processor time of programs this process has run and waited for (Linux; 0 elsewhere). */
function childrenCpuSeconds(): number {
  try {
    // The name in brackets may hold spaces: fields are counted after it; these are 16 and 17.
    const fields = readFileSync('/proc/self/stat', 'utf8')
      .replace(/^.*\) /s, '')
      .split(' ');
    return (Number(fields[13]) + Number(fields[14])) / TICKS_PER_SECOND;
  } catch {
    return 0;
  }
}

/** Measures from the start of the process: starting Node is part of what a stage costs. */
export function timingOf(stage: string, structures: number): TimingFile {
  const { user, system } = process.cpuUsage();
  const round = (seconds: number) => Number(seconds.toFixed(3));
  return {
    format: 'crystal-search/timing/1',
    stage,
    structures,
    cpuSeconds: round((user + system) / 1e6 + childrenCpuSeconds()),
    wallSeconds: round(performance.now() / 1e3),
  };
}

export interface StageCost {
  stage: string;
  tasks: number;
  structures: number;
  cpuSeconds: number;
  wallSeconds: number;
}

export interface Cost {
  stages: StageCost[];
  cpuSeconds: number;
  coreHours: number;
  usdPerCoreHour: number;
  usd: number;
}

/** AWS c7a.2xlarge, on demand, us-east-1: 0.41056 USD an hour for eight whole cores. */
export const USD_PER_CORE_HOUR = 0.0513;

export const PRICE_SOURCE =
  'AWS c7a on demand in us-east-1, one core of it, from the price table of Karpenter';

const ORDER = ['molecule', 'search', 'relax', 'cluster', 'refine-one'];

export function costOf(timings: readonly TimingFile[], usdPerCoreHour: number): Cost {
  const stages = new Map<string, StageCost>();
  for (const { stage, structures, cpuSeconds, wallSeconds } of timings) {
    const sum = stages.get(stage) ?? {
      stage,
      tasks: 0,
      structures: 0,
      cpuSeconds: 0,
      wallSeconds: 0,
    };
    sum.tasks += 1;
    sum.structures += structures;
    sum.cpuSeconds += cpuSeconds;
    sum.wallSeconds += wallSeconds;
    stages.set(stage, sum);
  }
  const cpuSeconds = [...stages.values()].reduce((sum, stage) => sum + stage.cpuSeconds, 0);
  const coreHours = cpuSeconds / 3600;
  return {
    stages: [...stages.values()].toSorted(
      (a, b) => ORDER.indexOf(a.stage) - ORDER.indexOf(b.stage),
    ),
    cpuSeconds,
    coreHours,
    usdPerCoreHour,
    usd: coreHours * usdPerCoreHour,
  };
}
