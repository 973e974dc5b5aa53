import { RESERVE_AFTER_MS } from '../dispatch.ts';
import { isUnconstrained } from './constraints.ts';
import { isCommonDemand, withRequestFloor } from './demand.ts';
import type { PlacementGroup } from './placement-group.ts';

/**
 * What groups ask for, as columns. Groups are read once in the order given, which is that of
 * memory; in the order of placement each would be fetched from afar, half of them to be refused.
 */
export interface Asked {
  readonly cpuMillis: Float64Array;
  readonly memoryBytes: Float64Array;
  /** Infinite when the duration is not known. */
  readonly endsAtMs: Float64Array;
  /** One pod of cores and memory that may run anywhere and has not waited too long. */
  readonly isPlain: Uint8Array;
}

export const isAged = (group: PlacementGroup, nowMs: number): boolean =>
  nowMs - group.waitingSinceMs > RESERVE_AFTER_MS;

export function readAsked(groups: readonly PlacementGroup[], nowMs: number): Asked {
  const asked = {
    cpuMillis: new Float64Array(groups.length),
    memoryBytes: new Float64Array(groups.length),
    endsAtMs: new Float64Array(groups.length),
    isPlain: new Uint8Array(groups.length),
  };
  for (let at = 0; at < groups.length; at += 1) {
    const group = groups[at]!;
    const resources = withRequestFloor(group.resources);
    asked.cpuMillis[at] = resources.cpuMillis;
    asked.memoryBytes[at] = resources.memoryBytes;
    asked.endsAtMs[at] = nowMs + (group.expectedDurationMs ?? Infinity);
    asked.isPlain[at] = Number(!isAged(group, nowMs) && isPlainGroup(group));
  }
  return asked;
}

const isPlainGroup = (group: PlacementGroup): boolean =>
  group.podsPerTask === 1 &&
  group.image === undefined &&
  group.gang === undefined &&
  isCommonDemand(group.resources) &&
  isUnconstrained(group);
