import { RESERVE_AFTER_MS } from '../dispatch.ts';
import type { PlacementGroup } from './placement-group.ts';
import type { Request } from './round.ts';

/** The largest part that one task takes of the largest node. */
export interface Largest {
  readonly cpuMillis: number;
  readonly memoryBytes: number;
}

export const isAged = (group: PlacementGroup, nowMs: number): boolean =>
  nowMs - group.waitingSinceMs > RESERVE_AFTER_MS;

/** Durations within a factor of two are alike: their size decides. */
const CLASS_STEPS = 16;
const SIZE_STEPS = 4096;

/**
 * The positions of the requests in the order they are placed: by priority, what has waited too
 * long before the rest, the longest first, the largest first, then as given. The whole key is one
 * number, so that 100,000 groups are sorted without a comparison in JavaScript.
 */
export function orderRequests(
  requests: readonly Request[],
  largest: Largest,
  nowMs: number,
): Float64Array {
  const rankOf = rankPriorities(requests);
  const keys = new Float64Array(requests.length);
  for (let at = 0; at < requests.length; at += 1) {
    const { group, demand, endClass } = requests[at]!;
    const cpuPart = demand.amounts[0]! / largest.cpuMillis;
    const size = Math.min(1, Math.max(cpuPart, demand.amounts[1]! / largest.memoryBytes));
    let key = rankOf.get(group.priority)! * 2 + Number(!isAged(group, nowMs));
    key = key * CLASS_STEPS + (CLASS_STEPS - 1 - endClass);
    key = key * SIZE_STEPS + (SIZE_STEPS - 1 - Math.floor(size * (SIZE_STEPS - 1)));
    keys[at] = key * requests.length + at;
  }
  keys.sort();
  return keys.map((key) => key % requests.length);
}

function rankPriorities(requests: readonly Request[]): Map<number, number> {
  const priorities = new Set<number>();
  for (const { group } of requests) priorities.add(group.priority);
  const sorted = [...priorities].toSorted((a, b) => b - a);
  return new Map(sorted.map((priority, rank) => [priority, rank]));
}
