import type { DispatchPlan, Resources, WaitingGroup } from '@majorana/core';
import { compareGroups, hashText, RESERVE_AFTER_MS, timesResources } from '@majorana/core';
import type { JobSpec, WaitingShape, WaitingShapes } from '@majorana/protocol';
import { OFFERED_SHAPES_MAX } from '@majorana/protocol';

/** By spec and memory size: a spec is never changed, and a round asks for each of its groups. */
const known = new WeakMap<JobSpec, Map<number, WaitingShape>>();

function makeShape(spec: JobSpec, memoryBytes: number): WaitingShape {
  const { image, nodeSelector, tolerations, mounts } = spec.container!;
  const container = { image, nodeSelector, tolerations, mounts };
  const resources = { ...spec.resources, memoryBytes };
  const nodes = spec.gang && { nodes: spec.gang.nodes };
  const key = hashText(JSON.stringify([resources, container, nodes]));
  return { key, resources, container, ...nodes };
}

/** Of a job that runs in a container; undefined for one that does not. */
export function shapeOf(spec: JobSpec, memoryBytes: number): WaitingShape | undefined {
  if (spec.container === undefined) return undefined;
  const bySize = known.get(spec) ?? new Map<number, WaitingShape>();
  known.set(spec, bySize);
  const shape = bySize.get(memoryBytes) ?? makeShape(spec, memoryBytes);
  bySize.set(memoryBytes, shape);
  return shape;
}

/** What a task takes with a memory size that retries may have raised; of a gang, on all its nodes. */
export function askedFor(spec: JobSpec, memoryBytes: number): Resources {
  const { resources } = spec;
  const asked = resources.memoryBytes === memoryBytes ? resources : { ...resources, memoryBytes };
  return spec.gang === undefined ? asked : timesResources(asked, spec.gang.nodes);
}

/** Of shapes that have waited too long: the agents that they may go to; undefined: any. */
export type LateShapes = ReadonlyMap<string, ReadonlySet<string | undefined>>;

export interface ChosenShapes extends WaitingShapes {
  readonly late: LateShapes;
}

export const NOTHING_WAITS: ChosenShapes = { digest: '', shapes: [], late: new Map() };

/** What found no room for so long that nodes should be kept for it; a limit of its queue is no lack of room. */
export function lateShapes(
  { rest, refusals }: Pick<DispatchPlan, 'rest' | 'refusals'>,
  nowMs: number,
): LateShapes {
  const late = new Map<string, Set<string | undefined>>();
  for (const { shapeKey, jobId, agentId, waitingSinceMs } of rest) {
    if (shapeKey === undefined || nowMs - waitingSinceMs <= RESERVE_AFTER_MS) continue;
    if (refusals.get(jobId) !== 'no_room') continue;
    const agents = late.get(shapeKey) ?? new Set();
    late.set(shapeKey, agents.add(agentId));
  }
  return late;
}

/** As one agent is told of it. */
export const waitingFor = (
  { digest, shapes, late }: ChosenShapes,
  agentId: string,
): WaitingShapes => ({
  digest,
  shapes: shapes.map((shape) => {
    const agents = late.get(shape.key);
    const isLate = agents !== undefined && (agents.has(undefined) || agents.has(agentId));
    return isLate ? { ...shape, isLate } : shape;
  }),
});

const digestOf = (keys: readonly string[], late: LateShapes): string => {
  const lateKeys = keys.map((key) => [...(late.get(key) ?? [])].map((id) => id ?? '*').toSorted());
  return hashText(JSON.stringify([keys, lateKeys]));
};

/** Of the shapes asked for, so many are those that go first, whatever has been said of them. */
const FIRST_MAX = OFFERED_SHAPES_MAX / 2;

type Order = (a: WaitingGroup, b: WaitingGroup) => number;

/**
 * The best group of each of the first shapes in some order. Most of 100,000 groups are turned away
 * by one comparison with the last of these, which costs a tenth of sorting them.
 */
function firstByShape(
  groups: readonly WaitingGroup[],
  compare: Order,
  { count, isOut }: { readonly count: number; readonly isOut: (shapeKey: string) => boolean },
): string[] {
  const first: WaitingGroup[] = [];
  for (const group of groups) {
    const key = group.shapeKey;
    const isLate = first.length === count && compare(group, first.at(-1)!) >= 0;
    if (key === undefined || isLate || isOut(key)) continue;
    const known = first.findIndex(({ shapeKey }) => shapeKey === key);
    if (known >= 0 && compare(group, first[known]!) >= 0) continue;
    if (known >= 0) first.splice(known, 1);
    const at = first.findIndex((one) => compare(group, one) < 0);
    first.splice(at < 0 ? first.length : at, 0, group);
    if (first.length > count) first.pop();
  }
  return first.map(({ shapeKey }) => shapeKey!);
}

export interface Refusals {
  readonly atMs: ReadonlyMap<string, number>;
  /** Less than this found no room. */
  readonly isAboveFull: (shape: WaitingShape) => boolean;
}

/**
 * What clusters are asked for: half of it those that go first; the other half in turn, what has not
 * been refused yet and then what was refused longest ago, without what is larger than something
 * that finds no room. Else shapes for which there is no room would keep all behind them from being
 * asked for.
 */
export function chooseShapes(
  groups: readonly WaitingGroup[],
  shapes: ReadonlyMap<string, WaitingShape>,
  refusals: Refusals,
  late: LateShapes = new Map(),
): ChosenShapes {
  const isAll = shapes.size <= OFFERED_SHAPES_MAX;
  const count = isAll ? OFFERED_SHAPES_MAX : FIRST_MAX;
  const first = firstByShape(groups, compareGroups, { count, isOut: () => false });
  const refusedAt = ({ shapeKey = '' }: WaitingGroup): number => refusals.atMs.get(shapeKey) ?? 0;
  const inTurn: Order = (a, b) => refusedAt(a) - refusedAt(b) || compareGroups(a, b);
  const others = isAll
    ? []
    : firstByShape(groups, inTurn, {
        count: OFFERED_SHAPES_MAX - FIRST_MAX,
        isOut: (key) => first.includes(key) || refusals.isAboveFull(shapes.get(key)!),
      });
  const keys = [...first, ...others];
  if (keys.length === 0) return NOTHING_WAITS;
  return { digest: digestOf(keys, late), shapes: keys.map((key) => shapes.get(key)!), late };
}
