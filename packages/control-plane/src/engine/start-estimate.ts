import type { LineJob, Resources, StartEstimate } from '@majorana/core';
import {
  addResources,
  compareGroups,
  dominantShare,
  estimateStart,
  fits,
  NO_RESOURCES,
} from '@majorana/core';
import type { JobRecord } from '@majorana/store';
import { heldCount, placeInLine } from './dispatch.ts';
import type { AgentState } from './agent-state.ts';
import { askedFor, shapeOf } from './shapes.ts';
import { openAgents } from './silence.ts';
import type { EngineState } from './state.ts';

/** How the held time of a job's tasks is known: from lease to end, and to the program's start. */
export interface HeldTime {
  readonly count: number;
  readonly heldMs: number;
  readonly startMs: number;
}

/** The mean of the first so many, then one in which the latest weighs as one of them. */
const REMEMBERED = 32;

export function learnHeldTime(
  before: HeldTime | undefined,
  attempt: { readonly heldMs: number; readonly startMs: number },
): HeldTime {
  const { count, heldMs, startMs } = before ?? { count: 0, heldMs: 0, startMs: 0 };
  const weight = 1 / (Math.min(count, REMEMBERED) + 1);
  return {
    count: count + 1,
    heldMs: heldMs + (attempt.heldMs - heldMs) * weight,
    startMs: startMs + (attempt.startMs - startMs) * weight,
  };
}

const goesBefore = (other: JobRecord, job: JobRecord): boolean =>
  compareGroups(placeInLine(other), placeInLine(job)) < 0;

const isAtJobLimit = (job: JobRecord): boolean =>
  job.spec.parallelMax !== undefined && heldCount(job) >= job.spec.parallelMax;

function isAtQueueLimit(state: EngineState, name: string): boolean {
  const { isPaused, parallelMax } = state.queueOf(name);
  const held = state.heldByQueue.get(name)?.count ?? 0;
  return isPaused || (parallelMax !== undefined && held >= parallelMax);
}

/** Waiting tasks of a job that go before the one at a position. */
export function aheadInJob(job: JobRecord, position: number): number {
  const { counts, taskCount, nextPosition } = job;
  if (position >= nextPosition) return Math.max(0, counts.queued - (taskCount - position));
  // It came back: of those that did so too, itself not, no more than stand before it.
  const backCount = counts.queued - (taskCount - nextPosition);
  return Math.max(0, Math.min(backCount - 1, position));
}

function lineJob(
  state: EngineState,
  job: JobRecord,
  context: { readonly own: JobRecord; readonly position: number; readonly total: Resources },
): LineJob {
  const { own, position, total } = context;
  const { queue, resources } = job.spec;
  const asked = askedFor(job.spec, resources.memoryBytes);
  const time = state.heldTimes.get(job.jobId);
  const isAhead = queue === own.spec.queue && goesBefore(job, own);
  return {
    queue,
    weight: state.queueOf(queue).weight,
    share: dominantShare(asked, total),
    heldCount: heldCount(job),
    isWaiting: job.counts.queued > 0,
    aheadCount: job === own ? aheadInJob(job, position) : isAhead ? job.counts.queued : 0,
    ...(time && { meanHeldMs: time.heldMs, meanStartMs: time.startMs }),
  };
}

/**
 * Who competes with a job for the same agents: tasks in containers, or programs of machines. What a
 * limit of its own keeps back does not, and takes itself what it frees. A job at its own limit
 * competes with itself, and one whose queue is at its limit with that queue.
 */
function competitors(state: EngineState, own: JobRecord): JobRecord[] {
  if (isAtJobLimit(own)) return [own];
  const { queue, container, cluster } = own.spec;
  const isQueueFull = isAtQueueLimit(state, queue);
  return [...state.jobs.values()].filter((job) => {
    const { spec } = job;
    if (job === own) return true;
    if ((spec.container === undefined) !== (container === undefined)) return false;
    if (isQueueFull ? spec.queue !== queue : isAtQueueLimit(state, spec.queue)) return false;
    if (spec.cluster !== undefined && cluster !== undefined && spec.cluster !== cluster)
      return false;
    return !isAtJobLimit(job);
  });
}

/** Of those that run what it is, the only one that it may go to, or any. */
function canHold({ spec }: JobRecord, memoryBytes: number, agent: AgentState): boolean {
  if ((spec.container === undefined) !== (agent.offers === undefined)) return false;
  if (spec.cluster !== undefined && spec.cluster !== agent.agentId) return false;
  const key = shapeOf(spec, memoryBytes)?.key ?? '';
  const isUnfit = agent.offers?.get(key)?.isUnfit === true;
  return !isUnfit && fits(askedFor(spec, memoryBytes), agent.capacity);
}

/**
 * When a waiting task would start as things go now; undefined: there is nothing to judge by, or it
 * is more than any agent has when it is empty.
 */
export function startEstimate(
  state: EngineState,
  own: JobRecord,
  task: { readonly position: number; readonly memoryBytes: number; readonly nowMs: number },
): StartEstimate | undefined {
  const { position, memoryBytes, nowMs } = task;
  if (state.queueOf(own.spec.queue).isPaused) return undefined;
  const agents = openAgents(state, nowMs);
  if (!agents.some((agent) => canHold(own, memoryBytes, agent))) return undefined;
  const total = agents.reduce((all, { capacity }) => addResources(all, capacity), NO_RESOURCES);
  const jobs = competitors(state, own);
  const line = jobs.map((job) => lineJob(state, job, { own, position, total }));
  return estimateStart(line, line[jobs.indexOf(own)]!);
}

/** Waiting tasks that go first: of earlier jobs in the same queue, and earlier ones of this job. */
export function countAhead(state: EngineState, own: JobRecord, position: number): number {
  let ahead = aheadInJob(own, position);
  for (const job of state.jobs.values())
    if (job !== own && job.spec.queue === own.spec.queue && goesBefore(job, own))
      ahead += job.counts.queued;
  return ahead;
}
