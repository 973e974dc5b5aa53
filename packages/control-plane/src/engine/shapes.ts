import type { Resources } from '@majorana/core';
import { hashText, timesResources } from '@majorana/core';
import type { JobSpec, WaitingShape, WaitingShapes } from '@majorana/protocol';
import { OFFERED_SHAPES_MAX } from '@majorana/protocol';

/** By spec and memory size: a spec is never changed, and a round asks for each of its groups. */
const known = new WeakMap<JobSpec, Map<number, WaitingShape>>();

function makeShape(spec: JobSpec, memoryBytes: number): WaitingShape {
  const { image, nodeSelector, tolerations } = spec.container!;
  const container = { image, nodeSelector, tolerations };
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
  const asked = { ...spec.resources, memoryBytes };
  return spec.gang === undefined ? asked : timesResources(asked, spec.gang.nodes);
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
