import type {
  FreeAgent,
  PlaceInLine,
  QueueShare,
  Refusal,
  Resources,
  WaitingGroup,
} from '@majorana/core';
import {
  aheadPerSlot,
  compareGroups,
  formatQuantity,
  isAheadFair,
  NO_RESOURCES,
  planAhead,
  planDispatch,
} from '@majorana/core';
import type { WaitingShape } from '@majorana/protocol';
import type { JobRecord, TaskRecord } from '@majorana/store';
import type { AgentState } from './agent-state.ts';
import { takesLeases } from './clusters.ts';
import { askedFor, shapeOf, waitingShapes } from './shapes.ts';
import { isSilent } from './silence.ts';
import type { EngineState } from './state.ts';
import { untouchedCount } from './state.ts';
import { step } from './step.ts';

export const heldCount = (job: JobRecord): number =>
  job.counts.leased + job.counts.starting + job.counts.running;

/** A run stands in line since its beginning: its steps do not go back behind younger jobs. */
export const placeInLine = ({ jobId, spec, submittedAtMs }: JobRecord): PlaceInLine => ({
  jobId,
  priority: spec.priority,
  submittedAtMs: spec.place?.sinceMs ?? submittedAtMs,
  remainingMs: spec.place?.remainingMs ?? 0,
});

interface Waiting {
  /** Queued rows by job and memory size; an untouched task is taken when there is none. */
  readonly ready: Map<number, Map<number, TaskRecord[]>>;
  readonly groups: WaitingGroup[];
  readonly shapes: Map<string, WaitingShape>;
}

function readyRows(state: EngineState, job: JobRecord, nowMs: number): Map<number, TaskRecord[]> {
  const byMemory = new Map<number, TaskRecord[]>();
  let count = 0;
  for (const task of state.windows.get(job.jobId)?.values() ?? []) {
    if (task.notBeforeMs > nowMs) {
      state.nextReadyMs = Math.min(state.nextReadyMs, task.notBeforeMs);
      continue;
    }
    const list = byMemory.get(task.memoryBytes);
    if (list === undefined) byMemory.set(task.memoryBytes, [task]);
    else list.push(task);
    count += 1;
    if (count >= state.limits.readyPerJobMax) break;
  }
  return byMemory;
}

/** Tasks of one job and one memory size are one group, however many. */
function findWaiting(state: EngineState, nowMs: number): Waiting {
  const ready = new Map<number, Map<number, TaskRecord[]>>();
  const groups: WaitingGroup[] = [];
  const shapes = new Map<string, WaitingShape>();
  for (const job of state.jobs.values()) {
    if (job.counts.queued === 0 || state.isFrozen(job.jobId)) continue;
    let open = (job.spec.parallelMax ?? Infinity) - heldCount(job);
    if (open <= 0) continue;
    const { queue, resources, place } = job.spec;
    // A job of one task has no earlier one to go by: its workflow may say what to expect.
    const ahead = aheadPerSlot(state.meanRunMs.get(job.jobId) ?? place?.predictedMs);
    const base = {
      ...placeInLine(job),
      queue,
      aheadPerSlot: ahead,
      ...(job.spec.cluster === undefined ? {} : { agentId: job.spec.cluster }),
    };
    const add = (count: number, waitingSinceMs: number, memoryBytes: number): void => {
      const shape = shapeOf(job.spec, memoryBytes);
      const shapeKey = shape?.key;
      if (shape !== undefined) shapes.set(shape.key, shape);
      groups.push({
        ...base,
        ...(shapeKey === undefined ? {} : { shapeKey }),
        waitingSinceMs,
        resources: askedFor(job.spec, memoryBytes),
        count,
      });
    };
    const rows = readyRows(state, job, nowMs);
    ready.set(job.jobId, rows);
    for (const [memoryBytes, tasks] of rows) {
      const count = Math.min(tasks.length, open);
      if (count <= 0) break;
      add(count, tasks[0]!.sinceMs, memoryBytes);
      open -= count;
    }
    if (job.untouchedState !== 'queued') continue;
    const count = Math.min(untouchedCount(job), open);
    if (count > 0) add(count, job.untouchedSinceMs, resources.memoryBytes);
  }
  return { ready, groups, shapes };
}

function queueShares(state: EngineState): QueueShare[] {
  const names = new Set([...state.jobs.values()].map((job) => job.spec.queue));
  return [...names].map((name) => {
    const { weight, parallelMax, isPaused } = state.queueOf(name);
    const { resources, count } = state.heldByQueue.get(name) ?? {
      resources: NO_RESOURCES,
      count: 0,
    };
    const slots = isPaused ? 0 : (parallelMax ?? Infinity) - count;
    return { name, weight, held: resources, slots };
  });
}

function takeTask(
  state: EngineState,
  job: JobRecord,
  waiting: Waiting,
  memoryBytes: number,
): TaskRecord {
  const row = waiting.ready.get(job.jobId)?.get(memoryBytes)?.shift();
  return row ?? state.touch(job, job.nextPosition);
}

/** What a task had to wait for, in the words of its attempt's record. */
export function waitedFor(refusal: Refusal | undefined, asked: Resources): string {
  switch (refusal) {
    case 'no_agent':
      return 'an agent';
    case 'queue_limit':
      return 'its queue: paused, or at its limit';
    case 'no_room':
    case undefined:
      return `room: ${describeRequest(asked)}`;
  }
}

export function describeRequest(asked: Resources): string {
  const parts = [
    formatQuantity('cpuMillis', asked.cpuMillis),
    formatQuantity('memoryBytes', asked.memoryBytes),
  ];
  if (asked.gpuCount > 0) parts.push(formatQuantity('gpuCount', asked.gpuCount));
  for (const [name, count] of Object.entries(asked.countable)) parts.push(`${count} ${name}`);
  return parts.join(', ');
}

function lease(state: EngineState, task: TaskRecord, agentId: string, nowMs: number): void {
  const attemptNumber = task.attemptNumber + 1;
  const refusal = state.waitReasons.get(task.jobId);
  // A back-off is no wait, and less than this no more than the time of one turn.
  const queuedAtMs = Math.max(task.sinceMs, task.notBeforeMs);
  const hasWaited = nowMs - queuedAtMs >= 100;
  step(state, task, {
    event: { kind: 'leased', agentId },
    nowMs,
    edit: { attemptNumber, agentId },
  });
  state.putAttempt({
    jobId: task.jobId,
    position: task.position,
    attemptNumber,
    agentId,
    queuedAtMs,
    leasedAtMs: nowMs,
    waitedFor: hasWaited ? waitedFor(refusal, state.askedBy(task)) : '',
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

/** The cheaper first, then the one with more room: what can be had anywhere goes there. */
const compareAgents = (a: AgentState, b: AgentState): number =>
  a.corePricePerHour - b.corePricePerHour || b.free.cpuMillis - a.free.cpuMillis;

/** An agent answers within a round trip; one that does not answer keeps others waiting no longer. */
const OFFER_PATIENCE_MS = 1000;
/**
 * A cluster with room starts 32 pods at once, and twice as many every second or two: thousands in
 * this time. What waits longer is held up by its pace, and may be dear.
 */
const PACE_PATIENCE_MS = 30_000;

/** Who answers first, or starts faster, must not take what a cheaper one may have room for. */
function mustWaitFor(
  state: EngineState,
  cheaper: readonly AgentState[],
  key: string,
  nowMs: number,
): boolean {
  const askedForMs = nowMs - (state.askedSinceMs.get(key) ?? nowMs);
  return cheaper.some(({ offers, stale }) => {
    if (offers === undefined) return false;
    const offer = offers.get(key);
    if (offer === undefined) return askedForMs < OFFER_PATIENCE_MS;
    return offer.soonCount > 0 && stale.size === 0 && askedForMs < PACE_PATIENCE_MS;
  });
}

/** What it offered, less the leases it had not heard of when it did. */
function openOffers(
  state: EngineState,
  agent: AgentState,
  cheaper: readonly AgentState[],
  nowMs: number,
): ReadonlyMap<string, number> {
  const offers = new Map<string, number>();
  for (const [key, { count }] of agent.offers ?? [])
    offers.set(key, mustWaitFor(state, cheaper, key, nowMs) ? 0 : count);
  for (const taskKey of agent.unconfirmed) {
    const task = state.tasks.get(taskKey)!;
    const { spec } = state.jobs.get(task.jobId)!;
    const key = shapeOf(spec, task.memoryBytes)?.key ?? '';
    offers.set(key, (offers.get(key) ?? 0) - 1);
  }
  return offers;
}

function freeAgents(state: EngineState, nowMs: number): FreeAgent[] {
  const agents = [...state.agents.values()]
    .filter(({ agentId }) => !isSilent(state, agentId, nowMs))
    .toSorted(compareAgents);
  return agents.map((agent) => {
    const { agentId, capacity, free, stale, corePricePerHour } = agent;
    const cheaper = agents.filter(
      (one) => one.corePricePerHour < corePricePerHour && takesLeases(state, one.agentId),
    );
    const isOpen = stale.size === 0 && takesLeases(state, agentId);
    const slots = isOpen ? state.limits.leasesPerTurnMax : 0;
    const offers = agent.offers && openOffers(state, agent, cheaper, nowMs);
    return { agentId, capacity, free, slots, ...(offers && { offers }) };
  });
}

/** Tells the agents that offer when something else waits than before. */
function askForOffers(
  state: EngineState,
  waiting: Waiting,
  rest: readonly WaitingGroup[],
  nowMs: number,
): void {
  const inOrder = rest.toSorted(compareGroups).flatMap(({ shapeKey }) => {
    const shape = waiting.shapes.get(shapeKey ?? '');
    return shape === undefined ? [] : [shape];
  });
  state.waiting = waitingShapes(inOrder);
  state.askedSinceMs = new Map(
    state.waiting.shapes.map(({ key }) => [key, state.askedSinceMs.get(key) ?? nowMs]),
  );
  for (const agent of state.agents.values())
    if (agent.waitingDigest !== state.waiting.digest && agent.offers !== undefined)
      state.agentsToWake.add(agent.agentId);
}

/** Gives waiting tasks to agents with room, and makes the rows of those that had none. */
export function dispatch(state: EngineState, nowMs: number): void {
  state.nextReadyMs = Infinity;
  const waiting = findWaiting(state, nowMs);
  if (waiting.groups.length === 0) {
    askForOffers(state, waiting, [], nowMs);
    return;
  }
  const agents = freeAgents(state, nowMs);
  const shares = queueShares(state);
  const plan = planDispatch(waiting.groups, agents, shares, nowMs);
  const held = agents.reduce((sum, { agentId }) => sum + state.agents.get(agentId)!.leased.size, 0);
  const ahead = isAheadFair(plan.rest, held, agents.length)
    ? planAhead(plan, agents, shares, nowMs)
    : [];
  for (const grant of [...plan.grants, ...ahead]) {
    for (let count = 0; count < grant.count; count += 1) {
      const job = state.jobs.get(grant.jobId)!;
      const memoryBytes = grant.resources.memoryBytes / (job.spec.gang?.nodes ?? 1);
      lease(state, takeTask(state, job, waiting, memoryBytes), grant.agentId, nowMs);
    }
  }
  state.waitReasons.clear();
  for (const [jobId, refusal] of plan.refusals) state.waitReasons.set(jobId, refusal);
  askForOffers(state, waiting, plan.rest, nowMs);
}
