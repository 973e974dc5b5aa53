import type { AttemptOutcome } from '@majorana/core';
import {
  decideRetry,
  isHeld,
  isTerminal,
  keptReason,
  nextNodeFaults,
  parseAttemptId,
  ZERO_COUNTS,
} from '@majorana/core';
import type { AgentSync, AttemptEvent, EndedEvent, JobSpec } from '@majorana/protocol';
import type { AttemptRecord, JobRecord, QueueRecord, TaskRecord } from '@majorana/store';
import type { AgentState } from './agent-state.ts';
import { claimSession, endedByDrain, heldTasksOf, tasksToDrain, wakeDrained } from './clusters.ts';
import { settleWaiting } from './dependencies.ts';
import { positionOfIndex, taskCountOf } from './indexes.ts';
import { forsakenTasks, isGone, silenceWords } from './silence.ts';
import { learnHeldTime } from './start-estimate.ts';
import type { EngineState } from './state.ts';
import { taskKey, terminalCount, untouchedCount } from './state.ts';
import { step } from './step.ts';

/**
 * One function per thing that can happen to the engine. Each changes the state in memory, which
 * remembers what has to be written; none does I/O, reads a clock or draws a random number.
 */

export interface Submission {
  readonly jobId: number;
  readonly spec: JobSpec;
  /** Those of the jobs it comes after that had ended when it was read. */
  readonly endedUpstream: readonly JobRecord[];
}

/** The new job, or the open one that was submitted with the same key. */
export function onSubmit(state: EngineState, submission: Submission, nowMs: number): JobRecord {
  const { jobId, spec } = submission;
  const known = findByKey(state, spec);
  if (known !== undefined) return known;
  const taskCount = taskCountOf(spec);
  const untouchedState = spec.after.length > 0 ? 'pending' : 'queued';
  const job: JobRecord = {
    jobId,
    spec,
    taskCount,
    rowCount: 0,
    nextPosition: 0,
    untouchedState,
    counts: { ...ZERO_COUNTS, [untouchedState]: taskCount },
    submittedAtMs: nowMs,
    untouchedSinceMs: nowMs,
    endedAtMs: null,
    outputBytes: 0,
  };
  for (const upstream of submission.endedUpstream) {
    if (!state.jobs.has(upstream.jobId)) state.endedUpstream.set(upstream.jobId, upstream);
  }
  state.addJob(job);
  return job;
}

function findByKey(state: EngineState, spec: JobSpec): JobRecord | undefined {
  if (spec.idempotencyKey === undefined) return undefined;
  const jobId = state.jobIdByKey.get(`${spec.project}/${spec.idempotencyKey}`);
  return jobId === undefined ? undefined : state.jobs.get(jobId);
}

/**
 * An agent told to end what nobody cancelled was told so by a drain, or was fenced by a step that
 * did not get on record.
 */
function trueOutcome(
  state: EngineState,
  task: TaskRecord,
  outcome: AttemptOutcome,
): AttemptOutcome {
  if (outcome.kind !== 'cancelled' || task.isCancelling) return outcome;
  return (
    endedByDrain(state, task) ?? {
      kind: 'lost',
      reason: 'ended by its agent, and no cancel is on record',
    }
  );
}

export function onAttemptEnded(
  state: EngineState,
  task: TaskRecord,
  event: Pick<EndedEvent, 'outcome' | 'peakMemoryBytes' | 'cpuTimeMs' | 'startedAtMs'>,
  nowMs: number,
): boolean {
  const told = trueOutcome(state, task, event.outcome);
  const outcome = { ...told, reason: keptReason(told.reason) };
  const job = state.jobs.get(task.jobId)!;
  const attempt = state.attempts.get(taskKey(task.jobId, task.position));
  const startedAtMs = event.startedAtMs ?? attempt?.startedAtMs ?? nowMs;
  const faultyNodes = nextNodeFaults(state.nodeFaults.of(task), outcome, nowMs - startedAtMs);
  const decision = decideRetry(job.spec.retry, outcome, { ...task, faultyNodes });
  state.nodeFaults.set(task, decision.next === 'queued' ? faultyNodes : []);
  if (attempt !== undefined) {
    state.putAttempt({
      ...attempt,
      startedAtMs: event.startedAtMs ?? attempt.startedAtMs,
      endedAtMs: nowMs,
      outcome: outcome.kind,
      exitCode: outcome.exitCode ?? null,
      signal: outcome.signal ?? null,
      reason: outcome.reason,
      peakMemoryBytes: event.peakMemoryBytes,
      cpuTimeMs: event.cpuTimeMs,
    });
  }
  return step(state, task, {
    event: { kind: 'ended', outcome, next: decision.next },
    nowMs,
    edit: {
      retryCount: task.retryCount + (decision.isCounted ? 1 : 0),
      memoryBytes: decision.memoryBytes,
      notBeforeMs: decision.delayMs === 0 ? 0 : nowMs + decision.delayMs,
      exitCode: outcome.exitCode ?? null,
      reason: keptReason(decision.reason),
      isCancelling: false,
    },
  });
}

/** Where an attempt of an open job stands; undefined for what no open job has. */
function locate(
  state: EngineState,
  attemptId: string,
):
  | { readonly jobId: number; readonly position: number; readonly attemptNumber: number }
  | undefined {
  const id = parseAttemptId(attemptId);
  const job = id && state.jobs.get(id.jobId);
  const position = job && positionOfIndex(job.spec, id!.taskIndex);
  if (id === undefined || position === undefined) return undefined;
  return { jobId: id.jobId, position, attemptNumber: id.attemptNumber };
}

/** The task of an attempt, while the attempt is its latest and held. */
export function heldTask(state: EngineState, attemptId: string): TaskRecord | undefined {
  const at = locate(state, attemptId);
  const task = at && state.tasks.get(taskKey(at.jobId, at.position));
  const isCurrent = task !== undefined && task.attemptNumber === at?.attemptNumber;
  return isCurrent && isHeld(task.state) ? task : undefined;
}

/** What memory says of the attempt may not be so: the write can still fail. */
export function isBeingWritten(state: EngineState, attemptId: string): boolean {
  const at = locate(state, attemptId);
  return at !== undefined && !state.isWritten(at.jobId, at.position);
}

function currentHolder(
  state: EngineState,
  attemptId: string,
  agentId: string,
): TaskRecord | undefined {
  const task = heldTask(state, attemptId);
  return task?.agentId === agentId ? task : undefined;
}

function onAttemptEvent(
  state: EngineState,
  event: AttemptEvent,
  agentId: string,
  nowMs: number,
): void {
  const task = currentHolder(state, event.attemptId, agentId);
  if (task === undefined) return;
  if (event.kind === 'starting') {
    step(state, task, { event, nowMs });
    return;
  }
  if (event.kind === 'running') {
    const attempt = state.attempts.get(taskKey(task.jobId, task.position));
    if (attempt !== undefined) state.putAttempt({ ...attempt, startedAtMs: event.atMs });
    step(state, task, { event, nowMs });
    return;
  }
  const attempt = state.attempts.get(taskKey(task.jobId, task.position));
  if (!onAttemptEnded(state, task, event, nowMs)) return;
  if (event.startedAtMs !== undefined) {
    learnRunTime(state, task.jobId, event.atMs - event.startedAtMs);
    if (attempt !== undefined) learnHeld(state, attempt, event.startedAtMs, nowMs);
  }
  const { jobId, position, attemptNumber } = task;
  state.addArtifacts(
    event.artifacts.map((artifact) => ({ ...artifact, jobId, position, attemptNumber })),
  );
  learnOutputs(state, jobId, event);
}

function learnOutputs(state: EngineState, jobId: number, { artifacts }: EndedEvent): void {
  const job = state.jobs.get(jobId)!;
  const storedBytes = artifacts.reduce(
    (sum, { role, sizeBytes }) => sum + (role === 'output' ? sizeBytes : 0),
    0,
  );
  // Sizes are what an agent says: their sum has to stay a number that can be kept.
  const outputBytes = Math.min(Number.MAX_SAFE_INTEGER, job.outputBytes + storedBytes);
  if (storedBytes > 0) state.putJob({ ...job, outputBytes });
}

/** The latest weighs an eighth: a job whose tasks become longer is known within a dozen of them. */
function learnRunTime(state: EngineState, jobId: number, runMs: number): void {
  const before = state.meanRunMs.get(jobId) ?? runMs;
  if (state.jobs.has(jobId)) state.meanRunMs.set(jobId, before + (runMs - before) / 8);
}

function learnHeld(
  state: EngineState,
  { jobId, leasedAtMs }: AttemptRecord,
  startedAtMs: number,
  nowMs: number,
): void {
  if (!state.jobs.has(jobId)) return;
  const heldMs = Math.max(1, nowMs - leasedAtMs);
  // The agent's clock may be another one.
  const startMs = Math.min(heldMs, Math.max(0, startedAtMs - leasedAtMs));
  state.heldTimes.set(jobId, learnHeldTime(state.heldTimes.get(jobId), { heldMs, startMs }));
}

export interface NewsTaken {
  /** Their end is on record now. */
  readonly endedAttemptIds: readonly string[];
  /** The agent holds something else than what is known of it: it should say all of it. */
  readonly wantsHeldAttemptIds: boolean;
  /** Another agent of its name acts, or none may: nothing of it was taken. */
  readonly isStandby?: boolean;
}

const NO_NEWS: NewsTaken = { endedAttemptIds: [], wantsHeldAttemptIds: false };

/** What an agent says it holds: all of it, or what is new with a digest of all. */
function onHeld(
  state: EngineState,
  agent: AgentState,
  sync: AgentSync,
  endedAttemptIds: readonly string[],
): boolean {
  const { heldAttemptIds, held } = sync;
  if (heldAttemptIds !== undefined) agent.clearReport();
  for (const attemptId of heldAttemptIds ?? held?.addedAttemptIds ?? []) {
    const task = currentHolder(state, attemptId, agent.agentId);
    agent.report(attemptId, task && taskKey(task.jobId, task.position));
  }
  for (const attemptId of endedAttemptIds) agent.unreport(attemptId);
  return held !== undefined && held.digest !== agent.digest;
}

/** An agent's news; that of one that may not act is not taken. */
export function onAgentSync(state: EngineState, sync: AgentSync, nowMs: number): NewsTaken {
  const { session, agentId } = sync;
  if (session !== undefined) {
    const verdict = claimSession(state, agentId, session, nowMs);
    if (verdict === 'standby') return { ...NO_NEWS, isStandby: true };
    if (session.phase === 'claim') return NO_NEWS;
  }
  const agent =
    state.agents.get(sync.agentId) ?? state.addAgent(sync.agentId, sync.capacity, nowMs);
  agent.resize(sync.capacity);
  agent.lastSeenMs = nowMs;
  agent.offer(sync.offer);
  agent.corePricePerHour = sync.corePricePerHour ?? Infinity;
  const endedAttemptIds: string[] = [];
  for (const event of sync.events) {
    onAttemptEvent(state, event, sync.agentId, nowMs);
    if (event.kind === 'ended') endedAttemptIds.push(event.attemptId);
  }
  const wantsHeldAttemptIds = onHeld(state, agent, sync, endedAttemptIds);
  return { endedAttemptIds, wantsHeldAttemptIds };
}

/**
 * Attempts an agent must end: held ones that were fenced by a later epoch, and leases that a user
 * cancelled or a drain takes back. The latter are named also when the agent has not reported them: an old message would
 * not name what is held by now, so nothing follows from its silence.
 */
export function endOrders(state: EngineState, agentId: string, nowMs: number): string[] {
  const agent = state.agents.get(agentId);
  if (agent === undefined) return [];
  const stale = [...agent.stale].filter((attemptId) => {
    const at = locate(state, attemptId);
    return at === undefined || state.isWritten(at.jobId, at.position);
  });
  const drained = tasksToDrain(state, agent, nowMs);
  const ended = onRecord(state, new Set([...agent.cancelling, ...drained]));
  return [...stale, ...ended.map((task) => state.attemptIdOf(task))];
}

/** Leases of an agent that it has not yet confirmed; sent until it has, cancelled ones too. */
export function unconfirmedLeases(state: EngineState, agentId: string): TaskRecord[] {
  return onRecord(state, state.agents.get(agentId)?.unconfirmed ?? []);
}

/** Of others nobody is told. */
const onRecord = (state: EngineState, keys: Iterable<string>): TaskRecord[] =>
  [...keys]
    .map((key) => state.tasks.get(key)!)
    .filter((task) => state.isWritten(task.jobId, task.position));

/** Leases of agents that have been silent for too long are lost; their tasks go back, uncounted. */
export function onTick(state: EngineState, nowMs: number): void {
  for (const task of forsakenTasks(state, nowMs)) {
    const agentId = task.agentId!;
    const reason = `agent ${agentId} has been ${silenceWords(state, agentId, nowMs)}`;
    const outcome: AttemptOutcome = { kind: 'lost', reason };
    onAttemptEnded(state, task, { outcome, peakMemoryBytes: 0, cpuTimeMs: 0 }, nowMs);
  }
  wakeDrained(state, nowMs);
  for (const agentId of state.agents.keys())
    if (isGone(state, agentId, nowMs)) state.agents.delete(agentId);
}

/** A cluster that is gone for good: what its agent holds is run elsewhere, fenced by the next epoch. */
export function onClusterRemoved(state: EngineState, name: string, nowMs: number): void {
  const outcome: AttemptOutcome = { kind: 'lost', reason: `cluster ${name} was removed` };
  for (const task of heldTasksOf(state, name))
    onAttemptEnded(state, task, { outcome, peakMemoryBytes: 0, cpuTimeMs: 0 }, nowMs);
  state.agents.delete(name);
}

const BY_USER = { kind: 'cancel', reason: 'cancelled by a user' } as const;

/** Ends a waiting task at once; marks a held one, whose agent is told to end it. */
function cancelTask(state: EngineState, task: TaskRecord, nowMs: number): number {
  if (!isHeld(task.state)) return step(state, task, { event: BY_USER, nowMs }) ? 1 : 0;
  if (task.isCancelling) return 0;
  state.markTask({ ...task, isCancelling: true });
  return 1;
}

/** What of a job memory holds; queued rows beyond its window are the store's. */
export function onCancelJob(state: EngineState, jobId: number, nowMs: number): number {
  const job = state.jobs.get(jobId);
  if (job === undefined) return 0;
  let count = 0;
  if (!isTerminal(job.untouchedState) && untouchedCount(job) > 0) {
    count += untouchedCount(job);
    state.moveUntouched(job, 'cancelled', nowMs);
  }
  const held = [...(state.heldByJob.get(jobId) ?? [])].map((position) =>
    state.tasks.get(taskKey(jobId, position))!,
  );
  for (const task of [...(state.windows.get(jobId)?.values() ?? []), ...held]) {
    count += cancelTask(state, task, nowMs);
  }
  return count;
}

export function onCancelTask(
  state: EngineState,
  jobId: number,
  position: number,
  nowMs: number,
): number {
  const job = state.jobs.get(jobId);
  if (job === undefined || position >= job.taskCount) return 0;
  const known = state.tasks.get(taskKey(jobId, position));
  if (known !== undefined) return cancelTask(state, known, nowMs);
  if (state.hasRow(job, position) || isTerminal(job.untouchedState)) return 0;
  return cancelTask(state, state.touch(job, position), nowMs);
}

export function onQueue(state: EngineState, queue: QueueRecord): void {
  state.putQueue(queue);
}

/** Ends jobs whose tasks have all ended; answers with those that come after them. */
function closeFinished(state: EngineState, nowMs: number): Set<number> {
  const dependents = new Set<number>();
  for (const jobId of state.changedJobIds) {
    const job = state.jobs.get(jobId)!;
    if (terminalCount(job.counts) < job.taskCount) continue;
    for (const id of state.dependents.get(jobId) ?? []) dependents.add(id);
    state.closeJob({ ...job, endedAtMs: nowMs });
  }
  return dependents;
}

/**
 * Ends finished jobs, and frees or cancels those that waited for them, until nothing moves.
 * Answers with the jobs whose rows have to be made in the store first.
 */
export function settle(state: EngineState, nowMs: number): number[] {
  const needsElements = new Set<number>();
  for (;;) {
    const freed = [...closeFinished(state, nowMs)].filter((id) => state.jobs.has(id));
    if (freed.length === 0) return [...needsElements].filter((id) => state.jobs.has(id));
    for (const id of freed) {
      const verdict = settleWaiting(state, state.jobs.get(id)!, nowMs);
      if (verdict === 'needs_elements') needsElements.add(id);
    }
  }
}
