import type { StateCounts, TaskEvent, TaskState } from '@majorana/core';
import { isHeld, isTerminal, TASK_STATES, TERMINAL_STATES, transition } from '@majorana/core';
import type { AttemptRecord, JobRecord, TaskRecord, TransitionRecord } from '@majorana/store';

/**
 * The invariants numbered above core's task states, on the records of the store. Each check looks
 * at one task or one job and answers what is wrong, or undefined.
 */

const reason = '';
const outcome = { kind: 'lost', reason } as const;
const EVENTS: readonly TaskEvent[] = [
  { kind: 'dependencies_met' },
  { kind: 'leased', agentId: '' },
  { kind: 'starting' },
  { kind: 'running' },
  ...(['succeeded', 'failed', 'cancelled', 'queued'] as const).map((next): TaskEvent => ({
    kind: 'ended',
    outcome,
    next,
  })),
  { kind: 'cancel', reason },
  { kind: 'retry', reason },
];

/** `from>to` for every step that core's `transition` allows. */
const LEGAL: ReadonlySet<string> = new Set(
  TASK_STATES.flatMap((from) =>
    EVENTS.flatMap((event) => {
      const result = transition(from, event);
      return result.ok ? [`${from}>${result.to}`] : [];
    }),
  ),
);

export interface TaskStanding {
  readonly state: TaskState;
  readonly attemptNumber: number;
}

/** Follows a task through its new transitions; `isRetried`: a user asked for a retry of its job. */
export function followTransitions(
  before: TaskStanding,
  transitions: readonly TransitionRecord[],
  isRetried: boolean,
): { readonly after: TaskStanding; readonly wrong?: string } {
  let { state, attemptNumber } = before;
  for (const step of transitions) {
    const { fromState, toState, sequence } = step;
    const name = `transition ${sequence} (${fromState} to ${toState})`;
    const at = { after: { state, attemptNumber } };
    if (fromState !== state)
      return { ...at, wrong: `${name} begins in ${fromState}, not ${state}` };
    if (!LEGAL.has(`${fromState}>${toState}`)) return { ...at, wrong: `${name} is not legal` };
    const expected = attemptNumber + (toState === 'leased' ? 1 : 0);
    if (step.attemptNumber !== expected) {
      return {
        ...at,
        wrong: `invariant 3: ${name} has attempt ${step.attemptNumber}, not ${expected}`,
      };
    }
    if (isTerminal(fromState) && !isRetried) {
      return { ...at, wrong: `invariant 4: ${name} leaves an end that nobody retried` };
    }
    state = toState;
    attemptNumber = step.attemptNumber;
  }
  return { after: { state, attemptNumber } };
}

export function checkTask(
  job: JobRecord,
  task: TaskRecord,
  openAttempts: readonly number[],
): string | undefined {
  const open = openAttempts.join(', ');
  if (isHeld(task.state)) {
    if (open !== String(task.attemptNumber)) {
      return `invariant 1: ${task.state} with attempt ${task.attemptNumber}, but open are: ${open}`;
    }
    if (task.agentId === null) return `${task.state} by no agent`;
  } else {
    if (open !== '') return `invariant 2: ${task.state}, but attempts are open: ${open}`;
    if (task.isCancelling) return `${task.state} and still being cancelled`;
  }
  const { retryCount, attemptNumber, memoryBytes } = task;
  if (retryCount > attemptNumber) return `invariant 5: ${retryCount} retries in ${attemptNumber}`;
  if (retryCount > job.spec.retry.limit) return `${retryCount} retries of ${job.spec.retry.limit}`;
  if (task.position < 0 || task.position >= job.taskCount) return `no position of the job`;
  const { memoryBytesMax } = job.spec.retry;
  const most = Math.max(job.spec.resources.memoryBytes, memoryBytesMax);
  if (memoryBytes < job.spec.resources.memoryBytes || memoryBytes > most) {
    return `${memoryBytes} bytes of memory`;
  }
  return undefined;
}

const UNCOUNTED: ReadonlySet<string> = new Set(['lost', 'preempted', 'reclaimed']);

/** Invariant 5, second half; `ended`: the task's attempts that ended in the same write. */
export function checkRetryCount(
  before: TaskRecord | undefined,
  after: TaskRecord,
  ended: readonly AttemptRecord[],
  isRetried: boolean,
): string | undefined {
  const raised = after.retryCount - (before?.retryCount ?? 0);
  if (raised === 0) return undefined;
  if (raised < 0) return isRetried ? undefined : 'invariant 5: retries were forgotten';
  const counted = ended.filter((one) => one.outcome !== null && !UNCOUNTED.has(one.outcome));
  if (raised <= counted.length) return undefined;
  return `invariant 5: retryCount raised by ${raised}, but counted ends were ${counted.length}`;
}

const sum = (counts: StateCounts, states: readonly TaskState[]): number =>
  states.reduce((total, state) => total + counts[state], 0);

/** `rows`: how many of the job's rows are in each state. */
export function checkJob(job: JobRecord, rows: StateCounts): string | undefined {
  const rowCount = sum(rows, TASK_STATES);
  if (rowCount !== job.rowCount) return `rowCount is ${job.rowCount}, rows are ${rowCount}`;
  const untouched = job.taskCount - rowCount;
  if (untouched < 0) return `${rowCount} rows of ${job.taskCount} tasks`;
  for (const state of TASK_STATES) {
    const expected = rows[state] + (state === job.untouchedState ? untouched : 0);
    if (job.counts[state] !== expected) {
      return `counts say ${job.counts[state]} ${state}, tasks say ${expected}`;
    }
  }
  if (job.endedAtMs !== null && sum(job.counts, TERMINAL_STATES) !== job.taskCount) {
    return 'ended, but not all of its tasks have';
  }
  return undefined;
}

export const hasEnded = (job: JobRecord): boolean =>
  sum(job.counts, TERMINAL_STATES) === job.taskCount;
