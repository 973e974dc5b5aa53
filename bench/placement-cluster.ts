import type { NodePicture, PlacementGroup, Resources } from '@majorana/core';
import { GIBIBYTE, MEBIBYTE } from '@majorana/core';

/** The same numbers in each run: a figure that moves is the code's doing. */
export function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

export const amounts = (cpuMillis: number, memoryBytes: number): Resources => ({
  cpuMillis,
  memoryBytes,
  scratchBytes: 0,
  shmBytes: 0,
  gpuCount: 0,
  countable: {},
});

/** A daemon set's share, as on a managed cluster. */
const SYSTEM = amounts(250, 512 * MEBIBYTE);

export const benchNode = (number: number, cores: number, gib: number): NodePicture => ({
  name: `node-${String(number).padStart(5, '0')}`,
  labels: { zone: `zone-${number % 3}` },
  taints: [],
  isSchedulable: true,
  allocatable: amounts(cores * 1000, gib * GIBIBYTE),
  podsMax: 110,
  held: SYSTEM,
  podCount: 3,
  images: new Set(),
  runningEnds: [],
});

export const benchGroup = (key: string, edit: Partial<PlacementGroup>): PlacementGroup => ({
  key,
  resources: amounts(1000, 2 * GIBIBYTE),
  podsPerTask: 1,
  nodeSelector: {},
  tolerations: [],
  priority: 0,
  waitingSinceMs: 0,
  count: 1,
  policy: 'pack',
  ...edit,
});
