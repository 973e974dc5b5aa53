import type { Client, JobEvent } from '@majorana/client';
import { ApiError, sleep } from '@majorana/client';
import type { JobView } from '@majorana/protocol';

const POLL_MS = 300;
/** Many jobs are asked one after the other: a stream for each would use up the connections. */
const STREAMS_MAX = 8;
const MANY_POLL_MS = 1000;

export interface FollowOptions {
  readonly signal: AbortSignal;
  /** All jobs as they are known now, in the order of their ids. */
  readonly onChange: (jobs: readonly JobView[]) => void;
}

interface Streams {
  /** False once the server has said that it has no streams: then it is asked again and again. */
  areThere: boolean;
}

/** What a stream tells, until it breaks: true when it told anything. */
async function listen(
  events: AsyncIterable<JobEvent>,
  onJob: (job: JobView) => void,
): Promise<boolean> {
  let hasTold = false;
  for await (const event of events) {
    hasTold = true;
    if (event.kind === 'job') onJob(event.job);
    if (event.kind === 'end') return true;
  }
  return hasTold;
}

async function untilNews(
  client: Client,
  id: string,
  streams: Streams,
  turn: { signal: AbortSignal; onJob: (job: JobView) => void },
): Promise<void> {
  const { signal, onJob } = turn;
  if (streams.areThere) {
    try {
      if (await listen(client.events(id, { signal, transitions: false }), onJob)) return;
    } catch (error) {
      signal.throwIfAborted();
      // A stream that breaks is no harm: the job itself is asked, and a new stream opened.
      if (error instanceof ApiError && !error.isPassing) streams.areThere = false;
    }
  }
  await sleep(POLL_MS, signal);
}

async function followOne(
  client: Client,
  id: string,
  streams: Streams,
  turn: { signal: AbortSignal; onJob: (job: JobView) => void },
): Promise<void> {
  for (;;) {
    const job = await client.job(id, { signal: turn.signal });
    turn.onJob(job);
    if (job.endedAtMs !== null) return;
    await untilNews(client, id, streams, turn);
  }
}

async function pollAll(
  client: Client,
  ids: readonly string[],
  turn: { signal: AbortSignal; onJob: (job: JobView) => void },
): Promise<void> {
  const open = new Set(ids);
  for (;;) {
    for (const id of open) {
      const job = await client.job(id, { signal: turn.signal });
      turn.onJob(job);
      if (job.endedAtMs !== null) open.delete(id);
    }
    if (open.size === 0) return;
    await sleep(MANY_POLL_MS, turn.signal);
  }
}

/** Follows jobs until all have ended or the signal comes; answers with what is known of them. */
export async function followJobs(
  client: Client,
  ids: readonly string[],
  options: FollowOptions,
): Promise<JobView[]> {
  const known = new Map<string, JobView>();
  const current = (): JobView[] => ids.flatMap((id) => known.get(id) ?? []);
  // One that fails for good (no such job) ends the others too.
  const failed = new AbortController();
  const signal = AbortSignal.any([options.signal, failed.signal]);
  const onJob = (job: JobView): void => {
    known.set(job.id, job);
    options.onChange(current());
  };
  const streams: Streams = { areThere: true };
  try {
    if (ids.length > STREAMS_MAX) await pollAll(client, ids, { signal, onJob });
    else await Promise.all(ids.map((id) => followOne(client, id, streams, { signal, onJob })));
  } catch (error) {
    failed.abort();
    if (!options.signal.aborted) throw error;
  }
  return current();
}
