import type { Resources, Shortage } from '@majorana/core';
import {
  CHEAPER_PATIENCE_MS,
  findShortages,
  formatJobId,
  formatQuantity,
  formatStartEstimate,
  isHeld,
} from '@majorana/core';
import type { Explanation, JobSpec, WaitingShape } from '@majorana/protocol';
import type { JobRecord, TaskRecord } from '@majorana/store';
import type { AgentState } from './agent-state.ts';
import { elementDependency, upstreamOf } from './dependencies.ts';
import { expectedCosts } from './demand.ts';
import { describeRequest, heldCount } from './dispatch.ts';
import { taskIndexOf } from './indexes.ts';
import { isAtLeast } from './full-shapes.ts';
import { shapeOf } from './shapes.ts';
import { isSilent, keptWords, leaseEndsAtMs, silenceWords } from './silence.ts';
import { countAhead, startEstimate } from './start-estimate.ts';
import type { EngineState } from './state.ts';

type Room = Pick<Explanation, 'sentence' | 'shortages'>;

const plural = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? '' : 's'}`;

function explainPending(state: EngineState, job: JobRecord, position: number): Explanation {
  const waiting = job.spec.after.flatMap(({ jobId, each }) => {
    const upstream = upstreamOf(state, jobId);
    if (each || upstream === undefined || upstream.endedAtMs !== null) return [];
    const { counts, taskCount } = upstream;
    const done = counts.succeeded + counts.failed + counts.cancelled;
    return [
      { id: formatJobId(jobId), text: `${formatJobId(jobId)} (${done} of ${taskCount} done)` },
    ];
  });
  if (waiting.length > 0) {
    return {
      sentence: `it waits for ${waiting.map((one) => one.text).join(', ')}`,
      waitsForJobs: waiting.map((one) => one.id),
    };
  }
  const element = elementDependency(job);
  const upstream = element && upstreamOf(state, element.jobId);
  if (upstream === undefined) return { sentence: 'it waits for the jobs it comes after' };
  const id = `${formatJobId(upstream.jobId)}.${taskIndexOf(upstream.spec, position)}`;
  return { sentence: `it waits for the task ${id}`, waitsForJobs: [formatJobId(upstream.jobId)] };
}

/** The resources that are short, each on how many agents, and the most that is free on one. */
function findShort(
  agents: readonly AgentState[],
  asked: Resources,
): NonNullable<Explanation['shortages']> {
  const byResource = new Map<string, Shortage & { agentCount: number }>();
  for (const agent of agents) {
    for (const shortage of findShortages(asked, agent.free)) {
      const known = byResource.get(shortage.resource);
      byResource.set(shortage.resource, {
        ...shortage,
        available: Math.max(shortage.available, known?.available ?? 0),
        agentCount: (known?.agentCount ?? 0) + 1,
      });
    }
  }
  return [...byResource.values()];
}

function explainQueued(
  state: EngineState,
  job: JobRecord,
  task: { readonly position: number; readonly memoryBytes: number; readonly notBeforeMs: number },
  nowMs: number,
): Explanation {
  const tasksAhead = countAhead(state, job, task.position);
  if (task.notBeforeMs > nowMs) {
    const seconds = Math.ceil((task.notBeforeMs - nowMs) / 1000);
    return {
      sentence: `it waits ${seconds} s more before its retry`,
      notBeforeMs: task.notBeforeMs,
      tasksAhead,
    };
  }
  if (state.queueOf(job.spec.queue).isPaused)
    return { sentence: `its queue ${job.spec.queue} is paused`, tasksAhead };
  const { sentence, shortages } =
    explainLimit(state, job) ??
    explainCheaper(state, job, task.memoryBytes) ??
    explainRoom(state, job.spec, { ...task, nowMs });
  const estimate = startEstimate(state, job, { ...task, nowMs });
  const first =
    estimate !== undefined
      ? `; it starts in ${formatStartEstimate(estimate)}`
      : tasksAhead > 0
        ? `; ${plural(tasksAhead, 'waiting task')} ${tasksAhead === 1 ? 'goes' : 'go'} first`
        : '';
  return {
    sentence: sentence + first,
    tasksAhead,
    ...(shortages && { shortages }),
    ...(estimate && { estimatedStartMs: Math.round(nowMs + estimate.waitMs) }),
  };
}

/** The limit that holds it; undefined: none does. */
function explainLimit(state: EngineState, job: JobRecord): Room | undefined {
  const queue = state.queueOf(job.spec.queue);
  const inQueue = state.heldByQueue.get(queue.name)?.count ?? 0;
  if (queue.parallelMax !== undefined && inQueue >= queue.parallelMax)
    return {
      sentence: `its queue ${queue.name} holds ${inQueue} of at most ${queue.parallelMax} tasks`,
    };
  const { parallelMax } = job.spec;
  if (parallelMax === undefined || heldCount(job) < parallelMax) return undefined;
  return {
    sentence: `its job runs ${heldCount(job)} tasks at once, as many as it may (%${parallelMax})`,
  };
}

/** The cheaper cluster that it waits for, though another has room; undefined: it waits for none. */
function explainCheaper(state: EngineState, job: JobRecord, memoryBytes: number): Room | undefined {
  if (state.waitReasons.get(job.jobId) !== 'cheaper_soon') return undefined;
  const key = shapeOf(job.spec, memoryBytes)?.key ?? '';
  const soon = expectedCosts(state, job)
    .map(({ agentId }) => state.agents.get(agentId)!)
    .find(({ offers }) => (offers?.get(key)?.soonCount ?? 0) > 0);
  if (soon === undefined) return undefined;
  const { soonCount, reason } = soon.offers!.get(key)!;
  const patience = `it waits no longer than ${CHEAPER_PATIENCE_MS / 1000} s before a dearer cluster takes it`;
  return {
    sentence: `${soon.agentId} is cheaper and has nodes for ${soonCount} more like it, but starts others first (${reason}); ${patience}`,
  };
}

/** What is short where it might run. */
function explainRoom(
  state: EngineState,
  spec: JobSpec,
  { memoryBytes, nowMs }: { readonly memoryBytes: number; readonly nowMs: number },
): Room {
  const { cluster } = spec;
  const agents = [...state.agents.values()].filter(
    (agent) => cluster === undefined || agent.agentId === cluster,
  );
  const shape = shapeOf(spec, memoryBytes);
  const able = agents.filter((agent) => (agent.offers === undefined) === (shape === undefined));
  if (able.length === 0) {
    const kind = shape === undefined ? 'agent' : 'agent that runs containers';
    const which = cluster === undefined ? kind : `${kind} by the name ${cluster}`;
    return { sentence: `no ${which} is connected` };
  }
  if (shape !== undefined) return { sentence: explainOffers(state, able, shape, nowMs) };
  const heard = able.filter(({ agentId }) => !isSilent(state, agentId, nowMs));
  if (heard.length === 0) {
    const silent = able.map(
      ({ agentId }) => `${agentId} has been ${silenceWords(state, agentId, nowMs)}`,
    );
    return { sentence: silent.join('; ') };
  }
  const asked = { ...spec.resources, memoryBytes };
  const shortages = findShort(heard, asked);
  const first = shortages[0];
  if (first === undefined) return { sentence: 'it is about to be leased', shortages };
  const free = formatQuantity(first.resource, first.available);
  const where = `is the most that is free on one of ${plural(heard.length, 'agent')}`;
  return { sentence: `it needs ${describeRequest(asked)}; ${free} ${where}`, shortages };
}

/** It has said nothing of this shape, though perhaps of a smaller one. */
function explainUnasked(
  state: EngineState,
  { agentId, offers }: Pick<AgentState, 'agentId' | 'offers'>,
  shape: WaitingShape,
): string {
  const less = state.waiting.shapes.find(
    (one) => offers?.get(one.key)?.isFull === true && isAtLeast(shape, one),
  );
  if (less === undefined) return `${agentId} has not been asked: others go first`;
  const { reason } = offers!.get(less.key)!;
  return `${agentId} has no room for one that needs less, ${describeRequest(less.resources)}: ${reason}`;
}

/** In the words of the agents that place it. */
function explainOffers(
  state: EngineState,
  agents: readonly AgentState[],
  shape: WaitingShape,
  nowMs: number,
): string {
  const reasons = agents.map(({ agentId, offers }) => {
    if (isSilent(state, agentId, nowMs))
      return `${agentId} has been ${silenceWords(state, agentId, nowMs)}`;
    const cluster = state.clusters.get(agentId);
    if (cluster !== undefined && cluster.state !== 'active')
      return `${agentId} is ${cluster.state}`;
    const offer = offers?.get(shape.key);
    if (offer === undefined) return explainUnasked(state, { agentId, offers }, shape);
    if (offer.count > 0) return `${agentId} has room, and it is about to be leased`;
    const lack = offer.isUnfit ? 'would have no room even if nothing ran there' : 'has no room';
    return `${agentId} ${lack}: ${offer.reason}`;
  });
  const each = shape.nodes === undefined ? '' : ` on each of ${plural(shape.nodes, 'node')}`;
  return `it needs ${describeRequest(shape.resources)}${each}; ${reasons.join('; ')}`;
}

/** Why a task of an open job is where it is. `task` is undefined while it has no row. */
export function explain(
  state: EngineState,
  job: JobRecord,
  at: { readonly position: number; readonly task: TaskRecord | undefined },
  nowMs: number,
): Explanation {
  const explanation = explainState(state, job, at, nowMs);
  const current = at.task?.state ?? job.untouchedState;
  const costs = current === 'queued' || isHeld(current) ? expectedCosts(state, job) : [];
  return costs.length === 0 ? explanation : { ...explanation, costs };
}

function explainState(
  state: EngineState,
  job: JobRecord,
  at: { readonly position: number; readonly task: TaskRecord | undefined },
  nowMs: number,
): Explanation {
  const { position, task } = at;
  const current = task?.state ?? job.untouchedState;
  if (current === 'pending') return explainPending(state, job, position);
  if (current === 'queued') {
    const untouched = { position, memoryBytes: job.spec.resources.memoryBytes, notBeforeMs: 0 };
    return explainQueued(state, job, task ?? untouched, nowMs);
  }
  if (task === undefined) return { sentence: untouchedSentence(job) };
  if (task.isCancelling) return { sentence: `${task.agentId} was told to end it` };
  if (!isHeld(current)) return { sentence: task.reason };
  const where = `it is ${current} on ${task.agentId}`;
  return { sentence: where + explainSilence(state, task, nowMs) + explainDearer(state, job, task) };
}

/** It had no room, or a price has changed since: only what is so now is known. */
function explainDearer(state: EngineState, job: JobRecord, { agentId }: TaskRecord): string {
  const costs = expectedCosts(state, job);
  const own = costs.find((one) => one.agentId === agentId);
  const least = costs[0];
  if (own === undefined || least === undefined || least.cost >= own.cost) return '';
  return `; ${least.agentId}, which costs less for it, could not take it then`;
}

function explainSilence(state: EngineState, task: TaskRecord, nowMs: number): string {
  const agentId = task.agentId ?? '';
  if (!isSilent(state, agentId, nowMs)) return '';
  const kept = keptWords(leaseEndsAtMs(state, task, nowMs), nowMs);
  return `, which has been ${silenceWords(state, agentId, nowMs)}; its lease is ${kept}`;
}

/** What happened to a task that never had a row of its own. */
export const untouchedSentence = (job: JobRecord): string =>
  job.untouchedState === 'cancelled' && job.spec.after.length > 0
    ? 'it was cancelled with its job, by a user or since a job it comes after did not end as asked'
    : `it was ${job.untouchedState} with its job`;
