import { isNested } from './definition.ts';
import { elementLabel } from './elements.ts';
import type { Scope } from './scope.ts';
import { begunScopes, elementsOf } from './scope.ts';
import type { FailedElement, RunSteps } from './state.ts';
import { isFinalStep } from './state.ts';

/** Failed elements that are named; the others are counted. */
export const NAMED_MAX = 20;

export type ElementStatus = 'waiting' | 'running' | 'succeeded' | 'failed' | 'cancelled';

/** Where an element of a nested fan-out stands: it follows from the steps inside. */
export function elementStatus({ body, prefix }: Scope, steps: RunSteps): ElementStatus {
  const inside = Object.keys(body.steps).map((name) => steps[prefix + name]);
  if (inside.every((state) => state === undefined)) return 'waiting';
  if (!inside.every(isFinalStep)) return 'running';
  const statuses = new Set(inside.map((state) => state!.status));
  if (statuses.has('failed')) return 'failed';
  return statuses.has('cancelled') || statuses.has('blocked') ? 'cancelled' : 'succeeded';
}

export const isWellDone = (scope: Scope, steps: RunSteps): boolean =>
  elementStatus(scope, steps) === 'succeeded';

/** Whether a task was run inside, and not every result was there already. */
function hasRun(scope: Scope, steps: RunSteps): boolean {
  return Object.entries(scope.body.steps).some(([name, step]) => {
    const state = steps[scope.prefix + name];
    if (state === undefined) return false;
    if (!isNested(step)) return 'jobId' in state && state.jobId !== null;
    return begunScopes({ scope, name, step }, steps).some((inner) => hasRun(inner, steps));
  });
}

interface Failure {
  readonly taskId: string;
  readonly reason: string;
}

/** The first task inside that failed, however deep; its path begins inside the element. */
function failureIn(scope: Scope, steps: RunSteps, from = scope.prefix.length): Failure {
  let blocked: Failure = { taskId: '', reason: 'the run was cancelled' };
  for (const [name, step] of Object.entries(scope.body.steps)) {
    const path = scope.prefix + name;
    const state = steps[path];
    if (state === undefined || !('reason' in state)) continue;
    const taskId = 'failed' in state ? (state.failed[0]?.taskId ?? '') : '';
    const reason = `${path.slice(from)}: ${state.reason}`;
    if (state.status !== 'failed') {
      if (state.status !== 'skipped') blocked = { taskId, reason };
      continue;
    }
    if (!isNested(step) || step.each !== undefined) return { taskId, reason };
    const last = begunScopes({ scope, name, step }, steps).at(-1);
    const isInside = last !== undefined && elementStatus(last, steps) === 'failed';
    return isInside ? failureIn(last, steps, from) : { taskId, reason };
  }
  return blocked;
}

export interface SpreadEnd {
  readonly elementCount: number;
  readonly reusedCount: number;
  readonly failedCount: number;
  readonly failed: readonly FailedElement[];
}

/** What became of the elements of a nested fan-out, when all of them have ended. */
export function spreadEnd(scopes: readonly Scope[], steps: RunSteps): SpreadEnd {
  const failed: FailedElement[] = [];
  let failedCount = 0;
  let reusedCount = 0;
  for (const [position, scope] of scopes.entries()) {
    if (!isWellDone(scope, steps)) {
      failedCount += 1;
      if (failed.length >= NAMED_MAX) continue;
      const { scope: outer, name } = scope.around!;
      const fields = elementsOf(steps, outer.prefix + name)[position] ?? {};
      failed.push({ position, label: elementLabel(fields), ...failureIn(scope, steps) });
    } else if (!hasRun(scope, steps)) reusedCount += 1;
  }
  return { elementCount: scopes.length, reusedCount, failedCount, failed };
}
