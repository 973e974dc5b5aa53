import type { WaitingGroup } from '@majorana/core';
import { formatAttemptId, indexAt, isHeld, planDispatch } from '@majorana/core';
import type { Lease } from '@majorana/protocol';
import type { JobRecord, TaskRecord } from '@majorana/store';
import type { EngineState } from './state.ts';

/** Leases one agent may get in one turn: bounds the transaction and the answer's size. */
const LEASES_PER_TURN_MAX = 256;

export function indexAtPosition(job: JobRecord, position: number): number {
  return job.spec.array.kind === 'range' ? indexAt(job.spec.array.ranges, position)! : position;
}

const heldCount = (job: JobRecord): number =>
  job.counts.leased + job.counts.starting + job.counts.running;

interface Waiting {
  readonly ready: Map<number, TaskRecord[]>;
  readonly groups: WaitingGroup[];
}

/** Tasks with a row keep their own memory size, so each is a group of its own; the rest is one. */
function findWaiting(state: EngineState, nowMs: number): Waiting {
  const ready = new Map<number, TaskRecord[]>();
  const groups: WaitingGroup[] = [];
  for (const job of state.jobs.values()) {
    if (job.counts.queued === 0) continue;
    const open = (job.spec.parallelMax ?? Infinity) - heldCount(job);
    const { priority, resources } = job.spec;
    const base = { jobId: job.jobId, priority, submittedAtMs: job.submittedAtMs };
    const tasks: TaskRecord[] = [];
    for (const task of state.tasksByJob.get(job.jobId)?.values() ?? []) {
      if (tasks.length >= Math.min(open, LEASES_PER_TURN_MAX)) break;
      if (task.state === 'queued' && task.notBeforeMs <= nowMs) tasks.push(task);
    }
    for (const task of tasks) {
      groups.push({
        ...base,
        resources: { ...resources, memoryBytes: task.memoryBytes },
        count: 1,
      });
    }
    ready.set(job.jobId, tasks);
    if (job.untouchedState !== 'queued') continue;
    const untouched = Math.min(job.taskCount - job.nextPosition, open - tasks.length);
    if (untouched > 0) groups.push({ ...base, resources, count: untouched });
  }
  return { ready, groups };
}

function takeTask(
  state: EngineState,
  job: JobRecord,
  waiting: Waiting,
  memoryBytes: number,
): TaskRecord {
  const tasks = waiting.ready.get(job.jobId) ?? [];
  const position = tasks.findIndex((task) => task.memoryBytes === memoryBytes);
  if (position >= 0) return tasks.splice(position, 1)[0]!;
  const taskIndex = indexAtPosition(job, job.nextPosition);
  state.putJob({ ...job, nextPosition: job.nextPosition + 1 });
  return {
    jobId: job.jobId,
    taskIndex,
    state: 'queued',
    attemptNumber: 0,
    retryCount: 0,
    memoryBytes,
    notBeforeMs: 0,
    agentId: null,
    reason: '',
    exitCode: null,
  };
}

/** Gives waiting tasks to agents with room, and makes the rows of those that had none. */
export function dispatch(state: EngineState, nowMs: number): void {
  const agents = [...state.agents.values()].map(({ agentId, free }) => ({
    agentId,
    free,
    slots: LEASES_PER_TURN_MAX,
  }));
  if (agents.length === 0) return;
  const waiting = findWaiting(state, nowMs);
  for (const grant of planDispatch(waiting.groups, agents)) {
    const job = state.jobs.get(grant.jobId)!;
    const task = takeTask(state, job, waiting, grant.resources.memoryBytes);
    const attemptNumber = task.attemptNumber + 1;
    const { agentId } = grant;
    const reason = `leased to ${agentId}`;
    state.moveTask('queued', { ...task, state: 'leased', attemptNumber, agentId, reason }, nowMs);
    state.putAttempt({
      jobId: task.jobId,
      taskIndex: task.taskIndex,
      attemptNumber,
      agentId,
      leasedAtMs: nowMs,
      startedAtMs: null,
      endedAtMs: null,
      outcome: null,
      exitCode: null,
      signal: null,
      reason: null,
      peakMemoryBytes: null,
      cpuTimeMs: null,
    });
  }
}

/** The leases of an agent that it has not yet confirmed; sent until it has. */
export function openLeases(state: EngineState, agentId: string): Omit<Lease, 'inputs'>[] {
  const held = state.agents.get(agentId)?.held ?? new Set();
  const leases: Omit<Lease, 'inputs'>[] = [];
  for (const task of state.tasks.values()) {
    if (task.agentId !== agentId || !isHeld(task.state)) continue;
    const attemptId = formatAttemptId(task);
    if (held.has(attemptId)) continue;
    const { spec } = state.jobs.get(task.jobId)!;
    const fields = spec.array.kind === 'fields' ? (spec.array.records[task.taskIndex] ?? {}) : {};
    leases.push({
      attemptId,
      // An agent needs one task's fields, not the whole table.
      spec: { ...spec, array: { kind: 'range', ranges: [{ from: 0, to: 0, step: 1 }] } },
      fields: { index: String(task.taskIndex), job: String(task.jobId), ...fields },
      resources: { ...spec.resources, memoryBytes: task.memoryBytes },
    });
  }
  return leases;
}
