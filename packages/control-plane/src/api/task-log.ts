import type { LogStream } from '@majorana/protocol';
import type { ApiContext, FoundTask } from './context.ts';
import { findHeldTask } from './held-task.ts';

/** One answer of an agent. */
const CHUNK_BYTES = 1024 * 1024;
/** A reader of a live log waits this long for new lines; half a second in all with the agent's way. */
const POLL_MS = 250;

export interface LogQuery {
  readonly stream: LogStream;
  readonly offset: number;
  readonly bytesMax: number;
  readonly isFollowing: boolean;
  readonly attempt?: number | undefined;
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** A stored log, or undefined when the attempt has not ended or wrote nothing. */
async function* storedLog(
  context: ApiContext,
  object: string,
  offset: number,
  bytesMax: number,
): AsyncGenerator<Buffer> {
  let left = bytesMax;
  for await (const chunk of await context.objects.read(object, offset)) {
    const data = (chunk as Buffer).subarray(0, left);
    yield data;
    left -= data.length;
    if (left <= 0) return;
  }
}

/**
 * The log of a task's attempt, from the object store once it has ended and from its agent while it
 * runs. Following stays until the attempt has ended, and waits for one that has not begun.
 */
export async function* readLog(
  context: ApiContext,
  { job, position }: FoundTask,
  query: LogQuery,
): AsyncGenerator<Buffer> {
  let { offset, bytesMax } = query;
  while (bytesMax > 0) {
    const attempts = await context.reads.attempts(job.jobId, position);
    const attempt =
      query.attempt === undefined
        ? attempts.at(-1)
        : attempts.find((one) => one.attemptNumber === query.attempt);
    if (attempt !== undefined && attempt.endedAtMs !== null) {
      const artifacts = await context.reads.taskArtifacts(job.jobId, position);
      const stored = artifacts.find(
        (one) => one.attemptNumber === attempt.attemptNumber && one.role === query.stream,
      );
      if (stored !== undefined) yield* storedLog(context, stored.object, offset, bytesMax);
      return;
    }
    const data = attempt && (await liveChunk(context, { job, position }, query, offset));
    if (data !== undefined && data.length > 0) {
      const taken = data.subarray(0, bytesMax);
      yield taken;
      offset += taken.length;
      bytesMax -= taken.length;
      continue;
    }
    if (!query.isFollowing || (await isOver(context, job.jobId))) return;
    await pause(POLL_MS);
  }
}

async function isOver(context: ApiContext, jobId: number): Promise<boolean> {
  const job = await context.reads.job(jobId);
  return job === undefined || job.endedAtMs !== null;
}

async function liveChunk(
  context: ApiContext,
  { job, position }: Pick<FoundTask, 'job' | 'position'>,
  query: LogQuery,
  offset: number,
): Promise<Buffer | undefined> {
  const attempt = context.engine.heldAttempt(job.jobId, position);
  if (attempt === undefined) return undefined;
  const { agentId, attemptId } = attempt;
  const request = { attemptId, stream: query.stream, offset, bytesMax: CHUNK_BYTES };
  // Whoever is there: a runner speaks for itself, a local task's agent for it.
  const task = findHeldTask(context.engine, attemptId);
  if (task !== undefined && context.links.has(task)) return context.links.readLog(task, request);
  return context.gateway.readLog(agentId, request);
}
