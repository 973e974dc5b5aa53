import type { Resources } from '@majorana/core';
import { hashText } from '@majorana/core';
import type { JobSpec, WaitingShape, WaitingShapes } from '@majorana/protocol';
import { OFFERED_SHAPES_MAX } from '@majorana/protocol';

/** By spec and memory size: a spec is never changed, and a round asks for each of its groups. */
const known = new WeakMap<JobSpec, Map<number, WaitingShape>>();

function makeShape(spec: JobSpec, resources: Resources): WaitingShape {
  const { image, nodeSelector, tolerations } = spec.container!;
  const container = { image, nodeSelector, tolerations };
  return { key: hashText(JSON.stringify([resources, container])), resources, container };
}

/** Of a job that runs in a container; undefined for one that does not. */
export function shapeOf(spec: JobSpec, resources: Resources): WaitingShape | undefined {
  if (spec.container === undefined) return undefined;
  const bySize = known.get(spec) ?? new Map<number, WaitingShape>();
  known.set(spec, bySize);
  const shape = bySize.get(resources.memoryBytes) ?? makeShape(spec, resources);
  bySize.set(resources.memoryBytes, shape);
  return shape;
}

export const NOTHING_WAITS: WaitingShapes = { digest: '', shapes: [] };

/** What clusters are asked for, the first of each shape in the order given. */
export function waitingShapes(inOrder: Iterable<WaitingShape>): WaitingShapes {
  const shapes = new Map<string, WaitingShape>();
  for (const shape of inOrder) {
    if (shapes.size === OFFERED_SHAPES_MAX) break;
    shapes.set(shape.key, shapes.get(shape.key) ?? shape);
  }
  if (shapes.size === 0) return NOTHING_WAITS;
  return { digest: hashText([...shapes.keys()].join()), shapes: [...shapes.values()] };
}
