/**
 * The life of a task.
 *
 *   pending -> queued -> leased -> starting -> running -> succeeded | failed | cancelled
 *                ^________________________________|  retry (counted), requeue (not counted)
 *
 * Invariants, checked by `checkTask` after every step of the simulator:
 *  1. A task in leased, starting or running has exactly one open attempt, the latest.
 *  2. A task in any other state has no open attempt.
 *  3. attemptNumber only grows; an event of an earlier attempt changes nothing.
 *  4. A terminal state is left only by a user's retry.
 *  5. retryCount <= attemptNumber, and requeues never raise it.
 */
export const TASK_STATES = [
  'pending',
  'queued',
  'leased',
  'starting',
  'running',
  'suspended',
  'succeeded',
  'failed',
  'cancelled',
] as const;
export type TaskState = (typeof TASK_STATES)[number];

export const TERMINAL_STATES = ['succeeded', 'failed', 'cancelled'] as const satisfies TaskState[];
export const HELD_STATES = ['leased', 'starting', 'running'] as const satisfies TaskState[];

const terminal: ReadonlySet<TaskState> = new Set(TERMINAL_STATES);
const held: ReadonlySet<TaskState> = new Set(HELD_STATES);
export const isTerminal = (state: TaskState): boolean => terminal.has(state);
export const isHeld = (state: TaskState): boolean => held.has(state);

export type StateCounts = Readonly<Record<TaskState, number>>;
export const ZERO_COUNTS: StateCounts = {
  pending: 0,
  queued: 0,
  leased: 0,
  starting: 0,
  running: 0,
  suspended: 0,
  succeeded: 0,
  failed: 0,
  cancelled: 0,
};

/** Why an attempt ended. `lost`, `preempted` and `reclaimed` are nobody's failure and cost no retry. */
export const OUTCOME_KINDS = [
  'succeeded',
  'exit_code',
  'signal',
  'out_of_memory',
  'time_limit',
  'start_error',
  'cancelled',
  'lost',
  'preempted',
  'reclaimed',
] as const;
export type OutcomeKind = (typeof OUTCOME_KINDS)[number];

export interface AttemptOutcome {
  readonly kind: OutcomeKind;
  readonly exitCode?: number | undefined;
  readonly signal?: number | undefined;
  /** One sentence for a person. */
  readonly reason: string;
  /** The machine that broke under it, which the task may have done. */
  readonly faultyNode?: string | undefined;
}

export type TaskEvent =
  | { readonly kind: 'dependencies_met' }
  | { readonly kind: 'leased'; readonly agentId: string }
  | { readonly kind: 'starting' }
  | { readonly kind: 'running' }
  | { readonly kind: 'ended'; readonly outcome: AttemptOutcome; readonly next: NextState }
  | { readonly kind: 'cancel'; readonly reason: string }
  | { readonly kind: 'retry'; readonly reason: string };

/** What becomes of the task after its attempt ended, as the retry policy decided. */
export type NextState = 'succeeded' | 'failed' | 'cancelled' | 'queued';

export type Transition =
  | { readonly ok: true; readonly to: TaskState; readonly reason: string }
  | { readonly ok: false; readonly why: string };

/** From which states each event may come. */
const ALLOWED: Readonly<Record<TaskEvent['kind'], readonly TaskState[]>> = {
  dependencies_met: ['pending'],
  leased: ['queued'],
  starting: ['leased'],
  running: ['leased', 'starting'],
  ended: HELD_STATES,
  cancel: ['pending', 'queued', 'suspended'],
  retry: TERMINAL_STATES,
};

function target(event: TaskEvent): { to: TaskState; reason: string } {
  switch (event.kind) {
    case 'dependencies_met':
      return { to: 'queued', reason: 'dependencies met' };
    case 'leased':
      return { to: 'leased', reason: `leased to ${event.agentId}` };
    case 'starting':
      return { to: 'starting', reason: 'accepted by the agent' };
    case 'running':
      return { to: 'running', reason: 'program started' };
    case 'ended':
      return { to: event.next, reason: event.outcome.reason };
    case 'cancel':
      return { to: 'cancelled', reason: event.reason };
    case 'retry':
      return { to: 'queued', reason: event.reason };
  }
}

/** The only place where a task's state may change. A refused transition says why. */
export function transition(from: TaskState, event: TaskEvent): Transition {
  if (!ALLOWED[event.kind].includes(from)) {
    return { ok: false, why: `${event.kind} is not possible in ${from}` };
  }
  return { ok: true, ...target(event) };
}
