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
  /** One pod of cores and memory. */
  readonly isCommon: Uint8Array;
  /** The same, which may run wherever no taint is. */
  readonly isPlain: Uint8Array;
  readonly priority: Float64Array;
  /** It has waited so long that a node may be kept for it. */
  readonly isAged: Uint8Array;
}

export function readAsked(groups: readonly PlacementGroup[], nowMs: number): Asked {
  const asked = {
    cpuMillis: new Float64Array(groups.length),
    memoryBytes: new Float64Array(groups.length),
    endsAtMs: new Float64Array(groups.length),
    isCommon: new Uint8Array(groups.length),
    isPlain: new Uint8Array(groups.length),
    priority: new Float64Array(groups.length),
    isAged: new Uint8Array(groups.length),
  };
  for (let at = 0; at < groups.length; at += 1) {
    const group = groups[at]!;
    const resources = withRequestFloor(group.resources);
    asked.cpuMillis[at] = resources.cpuMillis;
    asked.memoryBytes[at] = resources.memoryBytes;
    asked.endsAtMs[at] = nowMs + (group.expectedDurationMs ?? Infinity);
    const isCommon = group.podsPerTask === 1 && isCommonDemand(resources);
    asked.isCommon[at] = Number(isCommon);
    asked.isPlain[at] = Number(isCommon && isPlain(group));
    asked.priority[at] = group.priority;
    asked.isAged[at] = Number(nowMs - group.waitingSinceMs > RESERVE_AFTER_MS);
  }
  return asked;
}

const isPlain = (group: PlacementGroup): boolean =>
  group.image === undefined && group.gang === undefined && isUnconstrained(group);
