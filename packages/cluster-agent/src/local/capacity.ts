import os from 'node:os';
import type { Resources } from '@majorana/core';

/** Left to the system and to Majorana's own processes. */
const MEMORY_SHARE = 0.9;

/** This machine's cores and memory, cgroup limits respected (Node reads both). */
export function detectCapacity(): Resources {
  const limit = process.constrainedMemory();
  const memoryBytes = limit > 0 && limit < os.totalmem() ? limit : os.totalmem();
  return {
    cpuMillis: os.availableParallelism() * 1000,
    memoryBytes: Math.floor(memoryBytes * MEMORY_SHARE),
    scratchBytes: 1024 ** 4,
    shmBytes: 0,
    gpuCount: 0,
    countable: {},
  };
}
