import type { Asked } from './asked.ts';
import { endClassOf } from './free-grid.ts';

/** The largest part that one task takes of the largest node. */
export interface Largest {
  readonly cpuMillis: number;
  readonly memoryBytes: number;
}

/** Durations within a factor of two are alike: their size decides. */
const CLASS_STEPS = 16;
const SIZE_STEPS = 4096;

/**
 * The positions of the groups in the order they are placed: by priority, what has waited too long
 * before the rest, the longest first, the largest first, then as given. The whole key is one
 * number, so that 100,000 groups are sorted without a comparison in JavaScript.
 */
export function orderGroups(asked: Asked, largest: Largest, nowMs: number): Float64Array {
  const rankOf = rankPriorities(asked.priority);
  const count = asked.priority.length;
  const keys = new Float64Array(count);
  for (let at = 0; at < count; at += 1) {
    const cpuPart = asked.cpuMillis[at]! / largest.cpuMillis;
    const size = Math.min(1, Math.max(cpuPart, asked.memoryBytes[at]! / largest.memoryBytes));
    let key = rankOf.get(asked.priority[at]!)! * 2 + 1 - asked.isAged[at]!;
    key = key * CLASS_STEPS + (CLASS_STEPS - 1 - endClassOf(asked.endsAtMs[at]!, nowMs));
    key = key * SIZE_STEPS + (SIZE_STEPS - 1 - Math.floor(size * (SIZE_STEPS - 1)));
    keys[at] = key * count + at;
  }
  keys.sort();
  return keys.map((key) => key % count);
}

function rankPriorities(priorities: Float64Array): Map<number, number> {
  const sorted = [...new Set(priorities)].toSorted((a, b) => b - a);
  return new Map(sorted.map((priority, rank) => [priority, rank]));
}
