import type { PlacementGroup } from './placement-group.ts';
import type { Asked } from './asked.ts';
import { isAged } from './asked.ts';
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
export function orderGroups(
  groups: readonly PlacementGroup[],
  asked: Asked,
  largest: Largest,
  nowMs: number,
): Float64Array {
  const rankOf = rankPriorities(groups);
  const keys = new Float64Array(groups.length);
  for (let at = 0; at < groups.length; at += 1) {
    const group = groups[at]!;
    const cpuPart = asked.cpuMillis[at]! / largest.cpuMillis;
    const size = Math.min(1, Math.max(cpuPart, asked.memoryBytes[at]! / largest.memoryBytes));
    let key = rankOf.get(group.priority)! * 2 + Number(!isAged(group, nowMs));
    key = key * CLASS_STEPS + (CLASS_STEPS - 1 - endClassOf(asked.endsAtMs[at]!, nowMs));
    key = key * SIZE_STEPS + (SIZE_STEPS - 1 - Math.floor(size * (SIZE_STEPS - 1)));
    keys[at] = key * groups.length + at;
  }
  keys.sort();
  return keys.map((key) => key % groups.length);
}

function rankPriorities(groups: readonly PlacementGroup[]): Map<number, number> {
  const priorities = new Set<number>();
  for (const { priority } of groups) priorities.add(priority);
  const sorted = [...priorities].toSorted((a, b) => b - a);
  return new Map(sorted.map((priority, rank) => [priority, rank]));
}
