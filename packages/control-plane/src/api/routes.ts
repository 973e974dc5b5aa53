import type { Readable } from 'node:stream';
import { parseId, TASK_STATES } from '@majorana/core';
import type { FolderObjects } from '@majorana/objects';
import type { AgentSync } from '@majorana/protocol';
import { jobSpecSchema } from '@majorana/protocol';
import type { JobRecord, Reads } from '@majorana/store';
import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import type { Engine } from '../engine/engine.ts';
import { checkFits, checkPlaceholders } from './check-spec.ts';
import { parseInput, ProblemError } from './problem.ts';
import { attemptView, jobView, taskView } from './views.ts';

export interface ApiContext {
  readonly engine: Engine;
  readonly reads: Reads;
  readonly objects: FolderObjects;
}

const limitSchema = z.coerce.number().int().min(1).max(10_000).default(100);
const listJobsSchema = z.object({
  before: z.coerce.number().int().min(1).default(2_147_483_647),
  limit: limitSchema,
});
const listTasksSchema = z.object({
  from: z.coerce.number().int().min(0).max(2_147_483_647).default(0),
  limit: limitSchema,
  state: z.enum(TASK_STATES).optional(),
});
const retrySchema = z.object({
  states: z
    .array(z.enum(['failed', 'cancelled', 'succeeded']))
    .min(1)
    .default(['failed', 'cancelled']),
});

const INT32_MAX = 2_147_483_647;

function readId(text: string): NonNullable<ReturnType<typeof parseId>> {
  const id = parseId(text);
  if (id === undefined || id.jobId > INT32_MAX || (id.taskIndex ?? 0) > INT32_MAX) {
    throw new ProblemError(
      404,
      'not_found',
      `"${text}" is no job or task id; they look like job_42 and job_42.17`,
    );
  }
  return id;
}

async function readJob(context: ApiContext, text: string): Promise<JobRecord> {
  const job = await context.reads.job(readId(text).jobId);
  if (job === undefined) throw new ProblemError(404, 'not_found', `there is no ${text}`);
  return job;
}

export function jobRoutes(app: FastifyInstance, context: ApiContext): void {
  const { engine, reads } = context;
  app.post('/api/v1/jobs', async (request, reply) => {
    const spec = parseInput(jobSpecSchema, request.body);
    checkPlaceholders(spec);
    checkFits(spec, engine.capacities());
    const jobId = await engine.submit(spec);
    return reply.code(201).send({ id: `job_${jobId}` });
  });
  app.get('/api/v1/jobs', async (request) => {
    const { before, limit } = parseInput(listJobsSchema, request.query);
    const jobs = await reads.listJobs(before, limit);
    const next = jobs.length === limit ? jobs.at(-1)!.jobId : null;
    return { jobs: jobs.map(jobView), next };
  });
  app.get<{ Params: { id: string } }>('/api/v1/jobs/:id', async (request) =>
    jobView(await readJob(context, request.params.id)),
  );
  app.get<{ Params: { id: string } }>('/api/v1/jobs/:id/tasks', async (request) => {
    const job = await readJob(context, request.params.id);
    const { from, limit, state } = parseInput(listTasksSchema, request.query);
    const tasks = await reads.tasks(job.jobId, from, limit, state);
    const next = tasks.length === limit ? tasks.at(-1)!.taskIndex + 1 : null;
    const untouched = {
      state: job.untouchedState,
      count: job.taskCount - job.nextPosition,
      firstIndex: reads.untouchedIndex(job) ?? null,
    };
    return { tasks: tasks.map(taskView), untouched, next };
  });
  app.get<{ Params: { id: string } }>('/api/v1/jobs/:id/state-map', async (request) => ({
    runs: await reads.stateMap(await readJob(context, request.params.id)),
  }));
  app.get<{ Params: { id: string } }>('/api/v1/jobs/:id/failures', async (request) => ({
    groups: await reads.failures((await readJob(context, request.params.id)).jobId),
  }));
  app.get<{ Params: { id: string } }>('/api/v1/jobs/:id/artifacts', async (request) => ({
    artifacts: await reads.artifacts((await readJob(context, request.params.id)).jobId),
  }));
  app.post<{ Params: { id: string } }>('/api/v1/jobs/:id/cancel', async (request) => {
    await readJob(context, request.params.id);
    return { cancelled: await engine.cancel(readId(request.params.id)) };
  });
  app.post<{ Params: { id: string } }>('/api/v1/jobs/:id/retry', async (request) => {
    const job = await readJob(context, request.params.id);
    const { states } = parseInput(retrySchema, request.body ?? {});
    return { retried: await engine.retry(job.jobId, states) };
  });
}

export function taskRoutes(app: FastifyInstance, context: ApiContext): void {
  const { reads, engine } = context;
  app.get<{ Params: { id: string } }>('/api/v1/tasks/:id', async (request) => {
    const job = await readJob(context, request.params.id);
    const { taskIndex } = readId(request.params.id);
    if (taskIndex === undefined) {
      throw new ProblemError(
        404,
        'not_found',
        `${request.params.id} is a job; a task is ${request.params.id}.0`,
      );
    }
    const task = (await reads.tasks(job.jobId, taskIndex, 1)).find(
      (row) => row.taskIndex === taskIndex,
    );
    return {
      task: task === undefined ? null : taskView(task),
      state: task?.state ?? job.untouchedState,
      attempts: (await reads.attempts(job.jobId, taskIndex)).map(attemptView),
      transitions: await reads.transitions(job.jobId, taskIndex),
      artifacts: await reads.artifacts(job.jobId, taskIndex),
    };
  });
  app.post('/api/v1/agents/sync', (request) => engine.sync(request.body as AgentSync));
}

export function objectRoutes(app: FastifyInstance, context: ApiContext): void {
  const { objects } = context;
  app.addContentTypeParser('application/octet-stream', (_request, payload, done) =>
    done(null, payload),
  );
  app.post('/api/v1/objects', async (request, reply) =>
    reply.code(201).send(await objects.putStream(request.body as Readable)),
  );
  app.get<{ Params: { object: string } }>('/api/v1/objects/:object', async (request, reply) =>
    reply.type('application/octet-stream').send(await objects.read(request.params.object)),
  );
}
