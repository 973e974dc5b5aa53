import type { JobRecord } from '@majorana/store';
import type { EngineState } from './state.ts';

export type Verdict = 'open' | 'met' | 'impossible';

export function upstreamOf(state: EngineState, jobId: number): JobRecord | undefined {
  return state.jobs.get(jobId) ?? state.endedUpstream.get(jobId);
}

/** What the jobs that the whole job waits for have come to; task-by-task ones do not count here. */
export function verdictOf(state: EngineState, job: JobRecord): Verdict {
  let verdict: Verdict = 'met';
  for (const { jobId, on, each } of job.spec.after) {
    if (each) continue;
    const upstream = upstreamOf(state, jobId);
    if (upstream === undefined) return 'impossible';
    if (upstream.endedAtMs === null) verdict = 'open';
    else if (on === 'ok' && upstream.counts.succeeded < upstream.taskCount) return 'impossible';
  }
  return verdict;
}

export const areGatesOpen = (state: EngineState, job: JobRecord): boolean =>
  verdictOf(state, job) === 'met';

export const elementDependency = (job: JobRecord): JobRecord['spec']['after'][number] | undefined =>
  job.spec.after.find((one) => one.each);

/**
 * Frees or cancels what waits without a row, as far as memory can tell; answers whether rows have
 * to be made in the store first, from upstream tasks that ended unseen.
 */
export function settleWaiting(
  state: EngineState,
  job: JobRecord,
  nowMs: number,
): 'settled' | 'needs_elements' {
  if (job.untouchedState !== 'pending') return 'settled';
  const verdict = verdictOf(state, job);
  if (verdict === 'open') return 'settled';
  if (verdict === 'impossible') {
    state.moveUntouched(job, 'cancelled', nowMs);
    return 'settled';
  }
  if (elementDependency(job) !== undefined) return 'needs_elements';
  state.moveUntouched(job, 'queued', nowMs);
  return 'settled';
}

/** After the rows have been made: what is left without one follows the upstream job's end. */
export function settleElements(state: EngineState, job: JobRecord, nowMs: number): void {
  const dependency = elementDependency(job);
  if (dependency === undefined || job.untouchedState !== 'pending') return;
  const upstream = upstreamOf(state, dependency.jobId);
  if (upstream !== undefined && upstream.endedAtMs === null) return;
  const isMet =
    upstream !== undefined &&
    (dependency.on === 'any' || upstream.counts.succeeded === upstream.taskCount);
  state.moveUntouched(job, isMet ? 'queued' : 'cancelled', nowMs);
}
