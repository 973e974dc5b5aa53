import { readFile, statfs } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import type { Resources } from '@majorana/core';
import { GIBIBYTE } from '@majorana/core';
import type { Cgroup } from './cgroup.ts';
import { ownCgroup, withParents } from './cgroup.ts';
import { detectGpuCount } from './gpus.ts';

/** Left to the system and to Majorana's own processes. */
const MEMORY_SHARE = 0.9;
/** Of the free disk; logs, staged inputs and the database need room beside what tasks ask for. */
const SCRATCH_SHARE = 0.9;
const SCRATCH_RESERVE_BYTES = 1 * GIBIBYTE;

export interface CapacityOptions {
  readonly cores?: number | undefined;
  readonly memoryBytes?: number | undefined;
  readonly gpuCount?: number | undefined;
  readonly scratchBytes?: number | undefined;
  readonly countable: Readonly<Record<string, number>>;
}

const readNumbers = async (file: string): Promise<number[]> =>
  (await readFile(file, 'utf8').catch(() => ''))
    .trim()
    .split(/\s+/)
    .map((word) => (word === 'max' ? Infinity : Number(word || Number.NaN)));

async function coresOf(version: 1 | 2, folder: string): Promise<number> {
  const [quota = Number.NaN, period = Number.NaN] =
    version === 2
      ? await readNumbers(path.join(folder, 'cpu.max'))
      : [
          (await readNumbers(path.join(folder, 'cpu.cfs_quota_us')))[0],
          (await readNumbers(path.join(folder, 'cpu.cfs_period_us')))[0],
        ];
  // Version 1 writes -1 for no limit; the root of version 2 has no such file.
  return quota > 0 && period > 0 ? quota / period : Infinity;
}

async function memoryOf(version: 1 | 2, folder: string): Promise<number> {
  const name = version === 2 ? 'memory.max' : 'memory.limit_in_bytes';
  const [bytes = Number.NaN] = await readNumbers(path.join(folder, name));
  return bytes > 0 ? bytes : Infinity;
}

/** The lowest limit of a group and all above it. */
export async function lowestLimit(
  cgroup: Cgroup | undefined,
  limit: 'cores' | 'memory',
): Promise<number> {
  if (cgroup === undefined) return Infinity;
  const read = limit === 'cores' ? coresOf : memoryOf;
  const limits = withParents(cgroup).map((folder) => read(cgroup.version, folder));
  return Math.min(...(await Promise.all(limits)));
}

async function freeBytes(folder: string): Promise<number> {
  const { bavail, bsize } = await statfs(folder);
  return Math.max(0, Math.floor(bavail * bsize * SCRATCH_SHARE) - SCRATCH_RESERVE_BYTES);
}

/** What this machine has for tasks: what was asked for, else what is there within its limits. */
export async function detectCapacity(folder: string, options: CapacityOptions): Promise<Resources> {
  const cores = Math.min(
    os.availableParallelism(),
    await lowestLimit(await ownCgroup('cpu'), 'cores'),
  );
  const memoryBytes = Math.min(
    os.totalmem(),
    await lowestLimit(await ownCgroup('memory'), 'memory'),
  );
  return {
    cpuMillis: Math.floor((options.cores ?? cores) * 1000),
    memoryBytes: options.memoryBytes ?? Math.floor(memoryBytes * MEMORY_SHARE),
    scratchBytes: options.scratchBytes ?? (await freeBytes(folder)),
    shmBytes: 0,
    gpuCount: options.gpuCount ?? detectGpuCount(),
    countable: options.countable,
  };
}
