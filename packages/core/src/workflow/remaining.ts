import type { Step, WorkflowBody } from './definition.ts';
import { isNested, parseReference, referencesOf } from './definition.ts';
import type { Located } from './scope.ts';

/** Of a step that says nothing: any will do, for then the number of steps ahead decides. */
const PREDICTED_MS = 60_000;

/** From each step's beginning to the end of its body, along the longest way. */
const remainingByBody = new WeakMap<WorkflowBody, ReadonlyMap<string, number>>();

const ownMs = (step: Step): number =>
  isNested(step)
    ? Math.max(0, ...remainingIn(step.workflow).values())
    : (step.predictedMs ?? PREDICTED_MS);

function remainingIn(body: WorkflowBody): ReadonlyMap<string, number> {
  const known = remainingByBody.get(body);
  if (known !== undefined) return known;
  const downstreamMs = new Map<string, number>();
  const remaining = new Map<string, number>();
  for (const name of upstreamLast(body)) {
    const step = body.steps[name]!;
    const ms = ownMs(step) + (downstreamMs.get(name) ?? 0);
    remaining.set(name, ms);
    for (const other of upstreamNames(body, step)) {
      downstreamMs.set(other, Math.max(ms, downstreamMs.get(other) ?? 0));
    }
  }
  remainingByBody.set(body, remaining);
  return remaining;
}

const upstreamNames = (body: WorkflowBody, step: Step): Set<string> => {
  const names = referencesOf(step).map((text) => parseReference(text).name);
  return new Set(names.filter((name) => Object.hasOwn(body.steps, name)));
};

/** Every step before all that it takes from. */
function upstreamLast(body: WorkflowBody): string[] {
  const openCounts = new Map<string, number>();
  for (const step of Object.values(body.steps)) {
    for (const name of upstreamNames(body, step)) {
      openCounts.set(name, (openCounts.get(name) ?? 0) + 1);
    }
  }
  const order = Object.keys(body.steps).filter((name) => !openCounts.has(name));
  for (const name of order) {
    for (const other of upstreamNames(body, body.steps[name]!)) {
      const left = openCounts.get(other)! - 1;
      openCounts.set(other, left);
      if (left === 0) order.push(other);
    }
  }
  return order;
}

/**
 * How long what begins with this step takes at least, to the end of the run. Of steps that wait for
 * room the one with most ahead of it goes first: it is the one that the run's end waits for.
 */
export function remainingMs({ scope, name, step }: Located): number {
  const here = remainingIn(scope.body).get(name) ?? ownMs(step);
  if (scope.around === undefined) return here;
  return here + remainingMs(scope.around) - ownMs(scope.around.step);
}
