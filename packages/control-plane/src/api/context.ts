import type { IncomingMessage, ServerResponse } from 'node:http';
import type { ObjectStore } from '@majorana/objects';
import type {
  Access,
  AccessStore,
  Datasets,
  EngineStore,
  JobRecord,
  Lineage,
  Reads,
  TaskRecord,
} from '@majorana/store';
import type { FastifyBaseLogger, FastifyInstance, FastifyRequest, RawServerDefault } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import type { Pool } from 'pg';
import { formatRunId, parseId } from '@majorana/core';
import { z } from 'zod';
import type { Engine } from '../engine/engine.ts';
import { positionOfIndex } from '../engine/indexes.ts';
import type { EngineEvents } from '../events.ts';
import type { Workflows } from '../workflow/index.ts';
import type { AgentGateway } from './agent-gateway.ts';
import { ProblemError } from './problem.ts';
import type { GangRoll } from './gang-roll.ts';
import type { RunnerLinks } from './runner-links.ts';
import type { RunnerTokens } from './runner-tokens.ts';
import type { Uploads } from './uploads.ts';

export interface ApiContext {
  /** Whether this server is the one engine, and knows its tokens. */
  readonly isReady: () => boolean;
  readonly engine: Engine;
  readonly gateway: Pick<AgentGateway, 'exchange' | 'readLog' | 'describeStart'>;
  readonly clusters: Pick<AgentGateway, 'reportOf' | 'readNodes' | 'forget' | 'hangUp'>;
  readonly links: RunnerLinks;
  readonly gangs: GangRoll;
  readonly runnerTokens: RunnerTokens;
  readonly events: EngineEvents;
  readonly store: Pick<EngineStore, 'loadFields'>;
  readonly reads: Reads;
  readonly access: AccessStore;
  readonly objects: ObjectStore;
  readonly uploads: Uploads;
  readonly pool: Pool;
  readonly workflows: Workflows;
  readonly datasets: Datasets;
  readonly lineage: Lineage;
}

export type Api = FastifyInstance<
  RawServerDefault,
  IncomingMessage,
  ServerResponse,
  FastifyBaseLogger,
  ZodTypeProvider
>;

declare module 'fastify' {
  interface FastifyRequest {
    /** Whose token came with the request; set before any handler runs. */
    access: Access;
  }
}

export const INT32_MAX = 2_147_483_647;
export const idParams = z.object({
  id: z.string().max(64).describe('such as job_42 or job_42.17'),
});
export const limitSchema = z.coerce.number().int().min(1).max(10_000).default(100);

function readId(text: string): NonNullable<ReturnType<typeof parseId>> {
  const id = parseId(text);
  if (id === undefined || id.jobId > INT32_MAX || (id.taskIndex ?? 0) > INT32_MAX) {
    const what = `"${text}" is no job or task id; they look like job_42 and job_42.17`;
    throw new ProblemError(404, 'not_found', what);
  }
  return id;
}

/** A job that the caller may see; to others it is not there. */
export async function findJob(
  context: ApiContext,
  request: FastifyRequest,
  text: string,
): Promise<JobRecord> {
  const job = await context.reads.job(readId(text).jobId);
  const { project } = request.access;
  if (job === undefined || (project !== null && job.spec.project !== project)) {
    throw new ProblemError(404, 'not_found', `there is no ${text}`);
  }
  return job;
}

/**
 * A step takes the results of its job when that ends, once: what is retried later would run for
 * nothing. While the job is open the run waits for it anyhow.
 */
export async function mustNotBeOfRun(context: ApiContext, job: JobRecord): Promise<void> {
  if (job.endedAtMs === null) return;
  const found = await context.workflows.runs.runOfJob(job.jobId);
  if (found === undefined) return;
  const run = formatRunId(found.runId);
  const what = `job_${job.jobId} was the step ${found.path} of ${run}, which has taken its results: "majorana workflow resume ${run}" runs again what failed`;
  throw new ProblemError(409, 'job_of_run', what);
}

export interface FoundTask {
  readonly job: JobRecord;
  readonly position: number;
  /** Undefined while it has no row. */
  readonly task: TaskRecord | undefined;
}

export async function findTask(
  context: ApiContext,
  request: FastifyRequest,
  text: string,
): Promise<FoundTask> {
  const job = await findJob(context, request, text);
  const { taskIndex } = readId(text);
  if (taskIndex === undefined) {
    throw new ProblemError(404, 'not_found', `${text} is a job; a task is ${text}.0`);
  }
  const position = positionOfIndex(job.spec, taskIndex);
  if (position === undefined) {
    throw new ProblemError(404, 'not_found', `job_${job.jobId} has no task ${taskIndex}`);
  }
  return { job, position, task: await context.reads.task(job.jobId, position) };
}
