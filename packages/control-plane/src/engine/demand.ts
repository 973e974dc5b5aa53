import type { Prices, TaskDemand } from '@majorana/core';
import { costOf, dataCostOf } from '@majorana/core';
import type { Explanation } from '@majorana/protocol';
import type { JobRecord } from '@majorana/store';
import type { AgentState } from './agent-state.ts';
import { upstreamOf } from './dependencies.ts';
import type { EngineState } from './state.ts';

const HOUR_MS = 3_600_000;

/** What a task is taken to run when nothing tells: the means of two grid traces are 2.2 and 2.4 h. */
const RUN_MS_UNKNOWN = 2 * HOUR_MS;

function expectedRunMs(state: EngineState, { jobId, spec }: JobRecord): number {
  const known = state.meanRunMs.get(jobId) ?? spec.place?.predictedMs;
  if (known !== undefined) return Math.max(1, known);
  return spec.timeLimitMs > 0 ? Math.min(spec.timeLimitMs, RUN_MS_UNKNOWN) : RUN_MS_UNKNOWN;
}

function inputBytesOf(state: EngineState, { spec }: JobRecord): number {
  let bytes = spec.inputBytes ?? 0;
  for (const { jobId } of spec.inputsFromJobs)
    if (spec.after.some((one) => one.jobId === jobId))
      bytes += upstreamOf(state, jobId)?.outputBytes ?? 0;
  return bytes;
}

/** Of one task of a job: its own if known, else as the job's others were so far. */
export function demandOf(state: EngineState, job: JobRecord): TaskDemand {
  const { resources, gang } = job.spec;
  const nodes = gang?.nodes ?? 1;
  const cores = (resources.cpuMillis / 1000) * nodes;
  const endedCount = job.counts.succeeded + job.counts.failed;
  const outputBytes = endedCount > 0 ? job.outputBytes / endedCount : 0;
  return {
    coreHours: (cores * expectedRunMs(state, job)) / HOUR_MS,
    // Inputs are laid in on each node; only the head's outputs are kept.
    dataBytes: inputBytesOf(state, job) * nodes + outputBytes,
  };
}

export const pricesOf = (state: EngineState, agent: AgentState): Prices => ({
  corePricePerHour: agent.corePricePerHour,
  dataPricePerGb: state.clusters.get(agent.agentId)?.dataPricePerGb ?? 0,
});

/** What a task is expected to cost where it may run, the least first; without prices nothing. */
export function expectedCosts(
  state: EngineState,
  job: JobRecord,
): NonNullable<Explanation['costs']> {
  const { container, cluster } = job.spec;
  const demand = demandOf(state, job);
  return [...state.agents.values()]
    .filter(({ agentId }) => cluster === undefined || cluster === agentId)
    .filter(({ offers }) => (offers === undefined) === (container === undefined))
    .map((agent) => {
      const prices = pricesOf(state, agent);
      const [cost, dataCost] = [costOf(demand, prices), dataCostOf(demand, prices)];
      return { agentId: agent.agentId, cost, dataCost, dataBytes: Math.round(demand.dataBytes) };
    })
    .filter(({ cost }) => cost < Infinity)
    .toSorted((a, b) => a.cost - b.cost || (a.agentId < b.agentId ? -1 : 1));
}
