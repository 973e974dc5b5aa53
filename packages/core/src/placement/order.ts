import type { Asked } from './asked.ts';
import { END_CLASSES } from './free-grid.ts';

/** The largest part that one task takes of the largest node. */
export interface Largest {
  readonly cpuMillis: number;
  readonly memoryBytes: number;
}

const SIZE_STEPS = 4096;

/**
 * The positions of the groups in the order they are placed: by priority, what has waited too long
 * before the rest, the longest first, the largest first, then as given. Durations within a factor
 * of two are alike: their size decides.
 */
export function orderGroups(asked: Asked, largest: Largest): Uint32Array {
  const { length } = asked;
  const given = new Uint32Array(length);
  const sizes = new Uint32Array(length);
  const urgencies = new Uint32Array(length);
  const rankOf = rankPriorities(asked);
  for (let at = 0; at < length; at += 1) {
    given[at] = at;
    const cpuPart = asked.cpuMillisAt(at) / largest.cpuMillis;
    const size = Math.min(1, Math.max(cpuPart, asked.memoryBytesAt(at) / largest.memoryBytes));
    sizes[at] = SIZE_STEPS - 1 - Math.floor(size * (SIZE_STEPS - 1));
    const late = 2 * rankOf.get(asked.priorityAt(at))! + 1 - Number(asked.isAgedAt(at));
    urgencies[at] = END_CLASSES * late + END_CLASSES - 1 - asked.endClassAt(at);
  }
  const bySize = sortByKey(given, sizes, SIZE_STEPS);
  return sortByKey(bySize, urgencies, 2 * END_CLASSES * rankOf.size);
}

/** By counting, so that 100,000 groups are sorted without a comparison; equal ones stay in order. */
function sortByKey(positions: Uint32Array, keys: Uint32Array, keyCount: number): Uint32Array {
  const next = new Uint32Array(keyCount + 1);
  for (const key of keys) next[key + 1]! += 1;
  for (let key = 1; key <= keyCount; key += 1) next[key]! += next[key - 1]!;
  const sorted = new Uint32Array(positions.length);
  for (const at of positions) {
    const key = keys[at]!;
    sorted[next[key]!] = at;
    next[key]! += 1;
  }
  return sorted;
}

function rankPriorities(asked: Asked): Map<number, number> {
  const priorities = new Set<number>();
  for (let at = 0; at < asked.length; at += 1) priorities.add(asked.priorityAt(at));
  const sorted = [...priorities].toSorted((a, b) => b - a);
  return new Map(sorted.map((priority, rank) => [priority, rank]));
}
