import type {
  DispatchPlan,
  FreeAgent,
  PlaceInLine,
  QueueShare,
  Refusal,
  Resources,
  Taken,
  WaitingGroup,
} from '@majorana/core';
import {
  aheadPerSlot,
  formatQuantity,
  isAheadFair,
  NO_RESOURCES,
  planAhead,
  planDispatch,
} from '@majorana/core';
import type { WaitingShape } from '@majorana/protocol';
import type { JobRecord, TaskRecord } from '@majorana/store';
import type { AgentState } from './agent-state.ts';
import { demandOf, pricesOf } from './demand.ts';
import { kindOf } from './full-shapes.ts';
import { askedFor, chooseShapes, lateShapes, shapeOf } from './shapes.ts';
import { openAgents } from './silence.ts';
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
  readonly ready: Map<number, ReadonlyMap<number, TaskRecord[]>>;
  readonly groups: WaitingGroup[];
  readonly shapes: Map<string, WaitingShape>;
}

const NO_ROWS: ReadonlyMap<number, TaskRecord[]> = new Map();

function readyRows(
  state: EngineState,
  job: JobRecord,
  nowMs: number,
): ReadonlyMap<number, TaskRecord[]> {
  const window = state.windows.get(job.jobId);
  if (window === undefined) return NO_ROWS;
  const byMemory = new Map<number, TaskRecord[]>();
  let count = 0;
  for (const task of window.values()) {
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

/** What has waited long may have nodes kept for it: nothing else takes of these. */
const roomKind = ({ waiting }: EngineState, shape: WaitingShape): string =>
  waiting.late.has(shape.key) ? shape.key : kindOf(shape);

/** Tasks of one job and one memory size are one group, however many. */
function findWaiting(state: EngineState, nowMs: number): Waiting {
  const ready = new Map<number, ReadonlyMap<number, TaskRecord[]>>();
  const groups: WaitingGroup[] = [];
  const shapes = new Map<string, WaitingShape>();
  for (const job of state.jobs.values()) {
    if (job.counts.queued === 0 || state.isFrozen(job.jobId)) continue;
    let open = (job.spec.parallelMax ?? Infinity) - heldCount(job);
    if (open <= 0) continue;
    const { queue, resources, place } = job.spec;
    // A job of one task has no earlier one to go by: its workflow may say what to expect.
    const ahead = aheadPerSlot(state.meanRunMs.get(job.jobId) ?? place?.predictedMs);
    const { cluster } = job.spec;
    const { coreHours, dataBytes } = demandOf(state, job);
    const { jobId, priority, submittedAtMs, remainingMs } = placeInLine(job);
    // One literal, no spread: 100,000 jobs make as many groups in each turn.
    const add = (count: number, waitingSinceMs: number, memoryBytes: number): void => {
      const shape = shapeOf(job.spec, memoryBytes);
      if (shape !== undefined) shapes.set(shape.key, shape);
      groups.push({
        jobId,
        queue,
        priority,
        submittedAtMs,
        remainingMs,
        aheadPerSlot: ahead,
        coreHours,
        dataBytes,
        agentId: cluster,
        shapeKey: shape?.key,
        shapeKind: shape && roomKind(state, shape),
        waitingSinceMs,
        resources: askedFor(job.spec, memoryBytes),
        count,
      });
    };
    const rows = readyRows(state, job, nowMs);
    if (rows.size > 0) ready.set(job.jobId, rows);
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
    case 'cheaper_soon':
      return 'a cheaper cluster, which was starting others first';
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

/** The leases it had not heard of when it made its offers. */
function takenSince(state: EngineState, { unconfirmed }: AgentState): Taken[] {
  return [...unconfirmed].map((taskKey) => {
    const { jobId, memoryBytes } = state.tasks.get(taskKey)!;
    const { spec } = state.jobs.get(jobId)!;
    const shape = shapeOf(spec, memoryBytes);
    const shapeKind = shape && roomKind(state, shape);
    return { shapeKey: shape?.key, shapeKind, resources: askedFor(spec, memoryBytes), count: 1 };
  });
}

/** Each shape is offered all that may start, whatever else is. */
function openRoom(state: EngineState, { room, unconfirmed }: AgentState): number {
  if (room === Infinity) return room;
  let left = room;
  for (const taskKey of unconfirmed) {
    const { jobId } = state.tasks.get(taskKey)!;
    left -= state.jobs.get(jobId)!.spec.gang?.nodes ?? 1;
  }
  return left;
}

/** An agent answers within a round trip; one that does not answer keeps others waiting no longer. */
const OFFER_PATIENCE_MS = 1000;

function unansweredBy(
  state: EngineState,
  { offers }: AgentState,
  nowMs: number,
): ReadonlySet<string> {
  const unanswered = [...state.askedSinceMs].filter(
    ([key, sinceMs]) => offers?.has(key) === false && nowMs - sinceMs >= OFFER_PATIENCE_MS,
  );
  return new Set(unanswered.map(([key]) => key));
}

const soonOf = (offers: NonNullable<AgentState['offers']>): Map<string, number> =>
  new Map([...offers].map(([key, { soonCount }]) => [key, soonCount]));

function freeAgent(state: EngineState, agent: AgentState, nowMs: number): FreeAgent {
  const { agentId, capacity, free, stale } = agent;
  const isOpen = stale.size === 0;
  return {
    agentId,
    capacity,
    free,
    slots: isOpen ? Math.min(state.limits.leasesPerTurnMax, openRoom(state, agent)) : 0,
    ...pricesOf(state, agent),
    ...(agent.offers && {
      offers: new Map([...agent.offers].map(([key, { count }]) => [key, count])),
      taken: takenSince(state, agent),
      unanswered: unansweredBy(state, agent, nowMs),
      ...(isOpen && { soon: soonOf(agent.offers) }),
    }),
  };
}

/** A shape keeps its place among those asked for so long; then one that has no room yields it. */
const ASK_MS = 1000;

/** Which of the shapes asked for all who answered have refused, and which of them for want of a node. */
function learnRefusals(state: EngineState, shapes: Waiting['shapes'], nowMs: number): void {
  const agents = openAgents(state, nowMs);
  const [full, roomy]: [WaitingShape[], WaitingShape[]] = [[], []];
  for (const [key, sinceMs] of state.askedSinceMs) {
    const answers = agents.flatMap(({ offers }) => offers?.get(key) ?? []);
    const isRefused = answers.every(({ count, soonCount }) => count === 0 && soonCount === 0);
    if (!isRefused) state.refusedAtMs.delete(key);
    else if (answers.length > 0 && nowMs - sinceMs >= ASK_MS) state.refusedAtMs.set(key, nowMs);
    const shape = shapes.get(key);
    if (shape === undefined) continue;
    if (!isRefused) roomy.push(shape);
    else if (answers.length > 0 && answers.every(({ isFull }) => isFull)) full.push(shape);
  }
  state.fullShapes.learn(full, roomy, nowMs);
  for (const key of state.refusedAtMs.keys()) if (!shapes.has(key)) state.refusedAtMs.delete(key);
}

/** Tells the agents that offer when something else waits than before. */
function askForOffers(
  state: EngineState,
  { shapes }: Waiting,
  plan: Pick<DispatchPlan, 'rest' | 'refusals'>,
  nowMs: number,
): void {
  learnRefusals(state, shapes, nowMs);
  const late = lateShapes(plan, nowMs);
  const refusals = { atMs: state.refusedAtMs, isAboveFull: state.fullShapes.above() };
  state.waiting = chooseShapes(plan.rest, shapes, refusals, late);
  const offering = [...state.agents.values()].filter(({ offers }) => offers !== undefined);
  if (offering.length > 0 && shapes.size > state.waiting.shapes.length)
    state.nextReadyMs = Math.min(state.nextReadyMs, nowMs + ASK_MS);
  state.askedSinceMs = new Map(
    state.waiting.shapes.map(({ key }) => [key, state.askedSinceMs.get(key) ?? nowMs]),
  );
  for (const { agentId, waitingDigest } of offering)
    if (waitingDigest !== state.waiting.digest) state.agentsToWake.add(agentId);
}

const NOTHING_PLANNED = { rest: [], refusals: new Map() };

/** Gives waiting tasks to agents with room, and makes the rows of those that had none. */
export function dispatch(state: EngineState, nowMs: number): void {
  state.nextReadyMs = Infinity;
  const waiting = findWaiting(state, nowMs);
  if (waiting.groups.length === 0) {
    askForOffers(state, waiting, NOTHING_PLANNED, nowMs);
    return;
  }
  const agents = openAgents(state, nowMs).map((agent) => freeAgent(state, agent, nowMs));
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
  state.waitReasons = plan.refusals;
  state.nextReadyMs = Math.min(state.nextReadyMs, plan.patienceEndsMs);
  askForOffers(state, waiting, plan, nowMs);
}
