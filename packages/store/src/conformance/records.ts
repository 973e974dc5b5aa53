import type { TaskState } from '@majorana/core';
import { isTerminal, TERMINAL_STATES, ZERO_COUNTS } from '@majorana/core';
import type { JobSpecInput } from '@majorana/protocol';
import { storedJobSpecSchema } from '@majorana/protocol';
import type {
  ArtifactRecord,
  AttemptRecord,
  BulkMove,
  Change,
  JobRecord,
  TaskRecord,
  TransitionRecord,
} from '../engine-store.ts';

export const QUEUED_MAX = 100;
export const NOW_MS = 1_700_000_000_000;
export const TERMINAL: readonly TaskState[] = TERMINAL_STATES;

export const change = (parts: Partial<Change>): Change => ({
  jobs: [],
  tasks: [],
  attempts: [],
  transitions: [],
  artifacts: [],
  queues: [],
  clusters: [],
  ...parts,
});

export function makeJob(
  jobId: number,
  taskCount: number,
  edit: Partial<Omit<JobRecord, 'spec'>> & { readonly spec?: Partial<JobSpecInput> } = {},
): JobRecord {
  const { spec, ...fields } = edit;
  const untouchedState = fields.untouchedState ?? 'queued';
  return {
    jobId,
    spec: storedJobSpecSchema.parse({
      argv: ['true'],
      array: { kind: 'range', ranges: [{ from: 0, to: taskCount - 1, step: 1 }] },
      ...spec,
    }),
    taskCount,
    rowCount: 0,
    nextPosition: 0,
    untouchedState,
    counts: { ...ZERO_COUNTS, [untouchedState]: taskCount },
    submittedAtMs: NOW_MS,
    untouchedSinceMs: NOW_MS,
    outputBytes: 0,
    endedAtMs: null,
    ...fields,
  };
}

export const makeTask = (
  jobId: number,
  position: number,
  state: TaskState,
  edit: Partial<TaskRecord> = {},
): TaskRecord => ({
  jobId,
  position,
  state,
  attemptNumber: state === 'queued' ? 0 : 1,
  retryCount: 0,
  memoryBytes: 2 ** 31,
  notBeforeMs: 0,
  sinceMs: NOW_MS,
  agentId: state === 'queued' ? null : 'agent-1',
  reason: `made ${state}`,
  exitCode: state === 'failed' ? 3 : null,
  isCancelling: false,
  ...edit,
});

export const makeAttempt = (
  jobId: number,
  position: number,
  edit: Partial<AttemptRecord> = {},
): AttemptRecord => ({
  jobId,
  position,
  attemptNumber: 1,
  agentId: 'agent-1',
  queuedAtMs: NOW_MS,
  leasedAtMs: NOW_MS + 1,
  waitedFor: '',
  startedAtMs: null,
  endedAtMs: null,
  outcome: null,
  exitCode: null,
  signal: null,
  reason: null,
  peakMemoryBytes: null,
  cpuTimeMs: null,
  ...edit,
});

export const makeTransition = (
  sequence: number,
  jobId: number,
  edit: Partial<TransitionRecord> = {},
): TransitionRecord => ({
  sequence,
  jobId,
  position: 0,
  atMs: NOW_MS,
  fromState: 'queued',
  toState: 'leased',
  attemptNumber: 1,
  reason: 'leased to agent-1',
  ...edit,
});

export const makeArtifact = (
  jobId: number,
  position: number,
  edit: Partial<ArtifactRecord> = {},
): ArtifactRecord => ({
  jobId,
  position,
  attemptNumber: 1,
  role: 'output',
  path: 'out.txt',
  object: 'a'.repeat(64),
  sizeBytes: 17,
  ...edit,
});

/** A job all of whose tasks have a row, in these states from position 0. */
export function makeRows(
  jobId: number,
  states: readonly TaskState[],
  spec?: Partial<JobSpecInput>,
): { job: JobRecord; tasks: TaskRecord[] } {
  const counts = { ...ZERO_COUNTS };
  for (const state of states) counts[state] += 1;
  const job = makeJob(jobId, states.length, {
    rowCount: states.length,
    nextPosition: states.length,
    counts,
    endedAtMs: states.every(isTerminal) ? NOW_MS : null,
    ...(spec === undefined ? {} : { spec }),
  });
  return { job, tasks: states.map((state, position) => makeTask(jobId, position, state)) };
}

export const move = (jobId: number, edit: Partial<BulkMove>): BulkMove => ({
  jobId,
  from: ['failed'],
  to: 'queued',
  because: 'retried by a user',
  nowMs: NOW_MS + 5000,
  lastSequence: 0,
  fromPosition: 0,
  limit: 1000,
  ...edit,
});

export const ascending = (a: number, b: number): number => a - b;
export const byJobAndPosition = (a: TaskRecord, b: TaskRecord): number =>
  a.jobId - b.jobId || a.position - b.position;
