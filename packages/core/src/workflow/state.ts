import type { TaskFields } from '../placeholder.ts';

/**
 * The life of a step's instance. Its path names it: `split`, `rounds[2].search`.
 *
 *   waiting -> deciding -> preparing -> submitting -> running -> succeeded | failed
 *      |          |            |                        |
 *      v          v            +-> succeeded (all of    +-> cancelling -> cancelled
 *   blocked    skipped             it was there)
 *
 * A nested workflow goes waiting -> deciding -> iterating <-> checking -> succeeded | failed; one
 * that is run for each of many elements … -> preparing -> spreading -> succeeded | failed.
 *
 * Invariants, checked by `checkRun`:
 *  1. Only `running` and `cancelling` have a job; a final state is never left.
 *  2. A step leaves `waiting` only when all that it takes from has ended well.
 *  3. What is inside a nested workflow has a state only from that one's first iteration on, and an
 *     iteration begins only when all of the one before is final.
 *  4. A run ends only when all its steps are final.
 */
export const FINAL_STEP_STATUSES = [
  'succeeded',
  'failed',
  'skipped',
  'blocked',
  'cancelled',
] as const;
export const STEP_STATUSES = [
  'waiting',
  'deciding',
  'preparing',
  'submitting',
  'running',
  'cancelling',
  'iterating',
  'checking',
  'spreading',
  ...FINAL_STEP_STATUSES,
] as const;
export type StepStatus = (typeof STEP_STATUSES)[number];

export const RUN_STATUSES = ['running', 'cancelling', 'succeeded', 'failed', 'cancelled'] as const;
export type RunStatus = (typeof RUN_STATUSES)[number];
export const isFinalRun = (status: RunStatus): boolean =>
  status === 'succeeded' || status === 'failed' || status === 'cancelled';

/** An element that did not succeed, for a person. */
export interface FailedElement {
  readonly position: number;
  readonly label: string;
  readonly taskId: string;
  readonly reason: string;
}

interface Prepared {
  readonly elementCount: number;
  /** Elements whose result was there already. */
  readonly reusedCount: number;
}
interface Ended extends Prepared {
  readonly failedCount: number;
  readonly jobId: number | null;
  readonly failed: readonly FailedElement[];
}
/** Of a nested fan-out: what `with` may name of each element. */
interface Spread {
  readonly elements: readonly TaskFields[];
}

export type StepState = { readonly startedAtMs: number; readonly sinceMs: number } & (
  | { readonly status: 'deciding' | 'preparing' }
  | ({ readonly status: 'submitting' } & Prepared)
  | ({ readonly status: 'running' | 'cancelling'; readonly jobId: number } & Prepared)
  | { readonly status: 'iterating' | 'checking'; readonly iteration: number }
  | ({ readonly status: 'spreading' } & Prepared & Spread)
  | { readonly status: 'succeeded'; readonly iteration: number }
  | ({ readonly status: 'succeeded' } & Ended & Partial<Spread>)
  | ({ readonly status: 'failed' | 'cancelled'; readonly reason: string } & Ended & Partial<Spread>)
  | {
      readonly status: 'failed' | 'skipped' | 'blocked' | 'cancelled';
      readonly reason: string;
    }
);
/** By path; a step that waits has no entry. */
export type RunSteps = Readonly<Record<string, StepState>>;

export interface RunState {
  readonly status: RunStatus;
  readonly steps: RunSteps;
}
export const NEW_RUN: RunState = { status: 'running', steps: {} };

const final: ReadonlySet<string> = new Set(FINAL_STEP_STATUSES);
export const isFinalStep = (state: StepState | undefined): boolean =>
  state !== undefined && final.has(state.status);

/** What was learned; each is about a command, and changes nothing when it comes again. */
export type Fact =
  | {
      readonly kind: 'decided';
      readonly path: string;
      /** After which iteration; null: before the step. */
      readonly iteration: number | null;
      readonly holds: boolean;
      readonly why: string;
    }
  | {
      readonly kind: 'prepared';
      readonly path: string;
      readonly elementCount: number;
      readonly reusedCount: number;
      /** Of a nested fan-out. */
      readonly elements?: readonly TaskFields[];
    }
  | { readonly kind: 'submitted'; readonly path: string; readonly jobId: number }
  /** The run was cancelled before there was a job, and there will be none. */
  | { readonly kind: 'withdrawn'; readonly path: string }
  | {
      readonly kind: 'ended';
      readonly path: string;
      readonly failedCount: number;
      readonly failed: readonly FailedElement[];
    }
  /** What was commanded cannot be done, and never will. */
  | { readonly kind: 'refused'; readonly path: string; readonly reason: string }
  | { readonly kind: 'cancel_requested' };

export type Command =
  /** Read what the condition looks at: `when` before the step, `until` after an iteration. */
  | { readonly kind: 'decide'; readonly path: string; readonly iteration: number | null }
  /** Find the elements, their keys, and which of them have a result. */
  | { readonly kind: 'prepare'; readonly path: string }
  | { readonly kind: 'submit'; readonly path: string }
  | { readonly kind: 'await'; readonly path: string; readonly jobId: number }
  | { readonly kind: 'cancel'; readonly path: string; readonly jobId: number };
