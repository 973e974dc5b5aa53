import type { ApiContext } from './context.ts';
import { jobView, transitionView } from './views.ts';

/** Transitions in one read. */
const BATCH = 1000;
/** At most ten pictures of a job a second. */
const PACE_MS = 100;
/** Proxies close what is silent for a minute. */
const KEEP_ALIVE_MS = 15_000;

interface EventQuery {
  /** The last transition's sequence that the reader has. */
  readonly after: number;
  readonly withTransitions: boolean;
}

const event = (name: string, data: object, id?: number): string =>
  `${id === undefined ? '' : `id: ${id}\n`}event: ${name}\ndata: ${JSON.stringify(data)}\n\n`;

/** A job's events from a point on, until it has ended; a reader that comes back misses none. */
export async function* jobEvents(
  context: ApiContext,
  jobId: number,
  query: EventQuery,
): AsyncGenerator<string> {
  const { reads, events } = context;
  let after = query.after;
  let lastCounts = '';
  for (;;) {
    // Asked before reading, so that a change in between is not slept through.
    const change = events.nextChange(jobId, KEEP_ALIVE_MS);
    const job = await reads.job(jobId);
    if (job === undefined) return;
    let rest = query.withTransitions ? BATCH : 0;
    while (rest === BATCH) {
      const transitions = await reads.transitionsAfter(jobId, after, BATCH);
      for (const one of transitions)
        yield event('transition', transitionView(job, one), one.sequence);
      after = transitions.at(-1)?.sequence ?? after;
      rest = transitions.length;
    }
    const counts = JSON.stringify(job.counts);
    if (counts !== lastCounts) yield event('job', jobView(job));
    else yield ': still here\n\n';
    lastCounts = counts;
    if (job.endedAtMs !== null) {
      yield event('end', jobView(job));
      return;
    }
    await change;
    await new Promise((resolve) => setTimeout(resolve, PACE_MS));
  }
}
