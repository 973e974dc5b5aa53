import type { AttemptOutcome, ParsedId, TaskEvent, TaskState } from '@majorana/core';
import {
  countIndexes,
  decideRetry,
  formatAttemptId,
  isHeld,
  isTerminal,
  parseAttemptId,
  TERMINAL_STATES,
  transition,
  ZERO_COUNTS,
} from '@majorana/core';
import type { AgentSync, AttemptEvent, JobSpec } from '@majorana/protocol';
import type { JobRecord, TaskRecord } from '@majorana/store';
import type { EngineState } from './state.ts';
import { taskKey } from './state.ts';

/**
 * One function per thing that can happen to the engine. Each changes the state in memory, which
 * remembers what has to be written; none does I/O, reads a clock or draws a random number.
 */

/** An agent unheard of for so long has lost its leases. Local agents are restarted in seconds. */
export const LEASE_TTL_MS = 60_000;

export const taskCountOf = (spec: JobSpec): number =>
  spec.array.kind === 'range' ? countIndexes(spec.array.ranges) : spec.array.records.length;

export function onSubmit(
  state: EngineState,
  jobId: number,
  spec: JobSpec,
  nowMs: number,
): JobRecord {
  const taskCount = taskCountOf(spec);
  const untouchedState: TaskState = spec.after.length > 0 ? 'pending' : 'queued';
  const job: JobRecord = {
    jobId,
    spec,
    taskCount,
    nextPosition: 0,
    untouchedState,
    counts: { ...ZERO_COUNTS, [untouchedState]: taskCount },
    submittedAtMs: nowMs,
    endedAtMs: null,
  };
  state.putJob(job);
  return job;
}

/** Moves a task if the life-cycle allows it; false when the event came too late or twice. */
function apply(
  state: EngineState,
  task: TaskRecord,
  step: { readonly event: TaskEvent; readonly nowMs: number; readonly edit?: Partial<TaskRecord> },
): boolean {
  const { event, nowMs, edit } = step;
  const result = transition(task.state, event);
  if (!result.ok) return false;
  state.moveTask(task.state, { ...task, reason: result.reason, ...edit, state: result.to }, nowMs);
  return true;
}

export function onAttemptEnded(
  state: EngineState,
  task: TaskRecord,
  event: Pick<
    Extract<AttemptEvent, { kind: 'ended' }>,
    'outcome' | 'peakMemoryBytes' | 'cpuTimeMs'
  >,
  nowMs: number,
): boolean {
  const { outcome } = event;
  const job = state.jobs.get(task.jobId)!;
  const decision = decideRetry(job.spec.retry, outcome, task);
  const attempt = state.attempts.get(taskKey(task.jobId, task.taskIndex));
  if (attempt !== undefined) {
    state.putAttempt({
      ...attempt,
      endedAtMs: nowMs,
      outcome: outcome.kind,
      exitCode: outcome.exitCode ?? null,
      signal: outcome.signal ?? null,
      reason: outcome.reason,
      peakMemoryBytes: event.peakMemoryBytes,
      cpuTimeMs: event.cpuTimeMs,
    });
  }
  return apply(state, task, {
    event: { kind: 'ended', outcome, next: decision.next },
    nowMs,
    edit: {
      retryCount: task.retryCount + (decision.isCounted ? 1 : 0),
      memoryBytes: decision.memoryBytes,
      notBeforeMs: nowMs + decision.delayMs,
      exitCode: outcome.exitCode ?? null,
      reason: decision.reason,
    },
  });
}

function onAttemptEvent(state: EngineState, event: AttemptEvent, nowMs: number): void {
  const id = parseAttemptId(event.attemptId);
  const task = id && state.tasks.get(taskKey(id.jobId, id.taskIndex));
  if (id === undefined || task === undefined || task.attemptNumber !== id.attemptNumber) return;
  if (!isHeld(task.state)) return;
  if (event.kind === 'starting') {
    apply(state, task, { event, nowMs });
    return;
  }
  const attempt = state.attempts.get(taskKey(task.jobId, task.taskIndex));
  if (event.kind === 'running') {
    if (attempt !== undefined) state.putAttempt({ ...attempt, startedAtMs: event.atMs });
    apply(state, task, { event, nowMs });
    return;
  }
  if (!onAttemptEnded(state, task, event, nowMs)) return;
  state.addArtifacts(event.artifacts.map((artifact) => ({ ...artifact, ...id })));
}

/** What the agent must be told to end or forget, after its news has been taken in. */
export interface SyncVerdict {
  readonly endAttemptIds: string[];
  readonly forgetAttemptIds: string[];
}

function currentHolder(
  state: EngineState,
  attemptId: string,
  agentId: string,
): TaskRecord | undefined {
  const id = parseAttemptId(attemptId);
  const task = id && state.tasks.get(taskKey(id.jobId, id.taskIndex));
  return task?.attemptNumber === id?.attemptNumber && task?.agentId === agentId ? task : undefined;
}

export function onAgentSync(state: EngineState, sync: AgentSync, nowMs: number): SyncVerdict {
  const known = state.agents.get(sync.agentId);
  state.agents.set(sync.agentId, {
    agentId: sync.agentId,
    capacity: sync.capacity,
    free: known?.free ?? state.freeOf(sync.agentId, sync.capacity),
    lastSeenMs: nowMs,
    held: new Set(sync.heldAttemptIds),
  });
  const ended = new Set<string>();
  for (const event of sync.events) {
    onAttemptEvent(state, event, nowMs);
    if (event.kind === 'ended') ended.add(event.attemptId);
  }
  const stale = sync.heldAttemptIds.filter((attemptId) => {
    if (ended.has(attemptId)) return false;
    const task = currentHolder(state, attemptId, sync.agentId);
    return (
      task === undefined ||
      !isHeld(task.state) ||
      state.cancelling.has(taskKey(task.jobId, task.taskIndex))
    );
  });
  return { endAttemptIds: stale, forgetAttemptIds: [...ended] };
}

/** Leases of agents that have been silent for too long are lost; their tasks go back, uncounted. */
export function onTick(state: EngineState, nowMs: number, startedAtMs: number): void {
  for (const task of state.tasks.values()) {
    if (!isHeld(task.state) || task.agentId === null) continue;
    const lastSeenMs = state.agents.get(task.agentId)?.lastSeenMs ?? startedAtMs;
    if (nowMs - lastSeenMs <= LEASE_TTL_MS) continue;
    const outcome: AttemptOutcome = {
      kind: 'lost',
      reason: `agent ${task.agentId} has not been heard of for ${Math.round((nowMs - lastSeenMs) / 1000)} s`,
    };
    onAttemptEnded(state, task, { outcome, peakMemoryBytes: 0, cpuTimeMs: 0 }, nowMs);
  }
  for (const agent of state.agents.values()) {
    if (nowMs - agent.lastSeenMs > LEASE_TTL_MS) state.agents.delete(agent.agentId);
  }
}

const endOfCancelled: AttemptOutcome = { kind: 'cancelled', reason: 'cancelled before it started' };

/** Ends what waits at once; what runs is marked, and its agent told to end it. */
export function onCancel(state: EngineState, id: ParsedId, nowMs: number): number {
  const job = state.jobs.get(id.jobId);
  if (job === undefined) return 0;
  let count = 0;
  if (id.taskIndex === undefined) {
    const untouched = job.taskCount - job.nextPosition;
    const from = job.untouchedState;
    if (untouched > 0 && !isTerminal(from)) {
      const counts = { ...job.counts, [from]: job.counts[from] - untouched };
      state.putJob({
        ...job,
        untouchedState: 'cancelled',
        counts: { ...counts, cancelled: counts.cancelled + untouched },
      });
      count += untouched;
    }
  }
  for (const task of state.tasksByJob.get(id.jobId)?.values() ?? []) {
    if (id.taskIndex !== undefined && task.taskIndex !== id.taskIndex) continue;
    if (isTerminal(task.state)) continue;
    count += 1;
    if (task.state === 'leased' && !isHeldByAgent(state, task)) {
      onAttemptEnded(
        state,
        task,
        { outcome: endOfCancelled, peakMemoryBytes: 0, cpuTimeMs: 0 },
        nowMs,
      );
    } else if (isHeld(task.state)) {
      state.cancelling.add(taskKey(task.jobId, task.taskIndex));
    } else {
      apply(state, task, { event: { kind: 'cancel', reason: 'cancelled by a user' }, nowMs });
    }
  }
  return count;
}

function isHeldByAgent(state: EngineState, task: TaskRecord): boolean {
  if (task.agentId === null) return false;
  return state.agents.get(task.agentId)?.held.has(formatAttemptId(task)) ?? true;
}

/** Puts terminal tasks back in the queue with a fresh count of retries. */
export function onRetry(
  state: EngineState,
  job: JobRecord,
  tasks: readonly TaskRecord[],
  nowMs: number,
): number {
  if (!state.jobs.has(job.jobId)) state.putJob({ ...job, endedAtMs: null });
  let count = 0;
  for (const task of tasks) {
    const key = taskKey(task.jobId, task.taskIndex);
    if (state.tasks.has(key)) continue;
    const event = { kind: 'retry', reason: 'retried by a user' } as const;
    const edit = { retryCount: 0, notBeforeMs: 0, agentId: null };
    if (apply(state, task, { event, nowMs, edit })) count += 1;
  }
  return count;
}

const terminalCount = (job: JobRecord): number =>
  TERMINAL_STATES.reduce((sum, name) => sum + job.counts[name], 0);

/** Drops finished tasks from memory, ends finished jobs, and frees or fails those that waited for them. */
export function settle(state: EngineState, nowMs: number): void {
  for (const task of state.tasks.values()) {
    if (!isTerminal(task.state)) continue;
    state.cancelling.delete(taskKey(task.jobId, task.taskIndex));
    state.forgetTask(task);
  }
  for (const job of state.jobs.values()) {
    if (terminalCount(job) < job.taskCount) continue;
    state.closeJob({ ...job, endedAtMs: nowMs });
  }
}

/** A pending job becomes queued when all it waits for has ended well, cancelled when it cannot. */
export function onDependenciesKnown(
  state: EngineState,
  job: JobRecord,
  verdict: 'met' | 'impossible',
): void {
  if (job.untouchedState !== 'pending') return;
  const count = job.counts.pending;
  const to = verdict === 'met' ? 'queued' : 'cancelled';
  state.putJob({
    ...job,
    untouchedState: to,
    counts: { ...job.counts, pending: 0, [to]: job.counts[to] + count },
  });
}
