import type { TaskEvent } from '@majorana/core';
import { isTerminal, transition } from '@majorana/core';
import type { TaskRecord } from '@majorana/store';
import { areGatesOpen } from './dependencies.ts';
import type { EngineState } from './state.ts';

export interface Step {
  readonly event: TaskEvent;
  readonly nowMs: number;
  readonly edit?: Partial<TaskRecord>;
}

/** Moves a task if the life-cycle allows it; false when the event came too late or twice. */
export function step(state: EngineState, task: TaskRecord, { event, nowMs, edit }: Step): boolean {
  const result = transition(task.state, event);
  if (!result.ok) return false;
  const next = { ...task, reason: result.reason, ...edit, state: result.to, sinceMs: nowMs };
  state.moveTask(task, next, nowMs);
  if (isTerminal(result.to)) freeElements(state, next, nowMs);
  return true;
}

/** The tasks that wait for just this one, in arrays that wait task by task. */
function freeElements(state: EngineState, upstream: TaskRecord, nowMs: number): void {
  for (const jobId of state.dependents.get(upstream.jobId) ?? []) {
    const job = state.jobs.get(jobId)!;
    const dependency = job.spec.after.find((one) => one.each && one.jobId === upstream.jobId);
    if (dependency === undefined || job.untouchedState !== 'pending') continue;
    if (state.hasRow(job, upstream.position) || !areGatesOpen(state, job)) continue;
    const task = state.touch(job, upstream.position);
    const isMet = dependency.on === 'any' || upstream.state === 'succeeded';
    const reason = `the task it waited for ${upstream.state}`;
    step(
      state,
      task,
      isMet
        ? { event: { kind: 'dependencies_met' }, nowMs, edit: { reason } }
        : { event: { kind: 'cancel', reason }, nowMs },
    );
  }
}
