import { formatJobId, TASK_STATES } from '@majorana/core';
import {
  artifactPageSchema,
  failuresSchema,
  JOB_STATES,
  jobDetailSchema,
  jobPageSchema,
  jobSpecSchema,
  nameSchema,
  retryRequestSchema,
  stateMapSchema,
  taskPageSchema,
} from '@majorana/protocol';
import { z } from 'zod';
import { taskIndexOf } from '../../engine/indexes.ts';
import { acceptSpec } from '../check-spec.ts';
import type { Api, ApiContext } from '../context.ts';
import { findJob, idParams, INT32_MAX, limitSchema, mustNotBeOfRun } from '../context.ts';
import { readCursor, writeCursor } from '../cursor.ts';
import { ProblemError } from '../problem.ts';
import { artifactView, jobDetail, jobView, taskView } from '../views.ts';

const taskCursor = z.object({ position: z.number().int().min(0).max(INT32_MAX) });
const artifactCursor = z.object({
  position: z.number().int().min(-1).max(INT32_MAX),
  role: z.string(),
  path: z.string(),
});
const FIRST_ARTIFACT = { position: -1, role: '', path: '' };
const cursorSchema = z.string().max(8192).optional().describe('`next` of the page before');

function addJobs(app: Api, context: ApiContext): void {
  const { engine, reads } = context;
  app.post(
    '/api/v1/jobs',
    {
      schema: {
        summary: 'Submit a job of 1 to 1,000,000 tasks; durable before the answer',
        body: jobSpecSchema,
        response: { 201: z.object({ id: z.string(), isNew: z.boolean() }) },
      },
    },
    async (request, reply) => {
      const { project, user } = request.access;
      if (project !== null && request.body.project !== project) {
        throw new ProblemError(403, 'forbidden', `this token is for the project ${project}`);
      }
      const { jobId, isNew } = await engine.submit(await acceptSpec(context, request.body));
      request.log.info({ jobId, user, isNew }, 'job submitted');
      return reply.code(201).send({ id: formatJobId(jobId), isNew });
    },
  );
  app.get(
    '/api/v1/jobs',
    {
      schema: {
        summary: 'Jobs, the latest first',
        querystring: z.object({
          before: z.coerce.number().int().min(1).max(INT32_MAX).default(INT32_MAX),
          limit: limitSchema,
          state: z.enum(JOB_STATES).optional(),
          queue: nameSchema.optional(),
          project: nameSchema.optional(),
        }),
        response: { 200: jobPageSchema },
      },
    },
    async (request) => {
      const { project, ...filter } = request.query;
      const visible = request.access.project ?? project;
      const jobs = await reads.listJobs({ ...filter, project: visible });
      const next = jobs.length === filter.limit ? jobs.at(-1)!.jobId : null;
      return { jobs: jobs.map(jobView), next };
    },
  );
  app.get(
    '/api/v1/jobs/:id',
    {
      schema: {
        summary: 'One job, with its spec',
        params: idParams,
        response: { 200: jobDetailSchema },
      },
    },
    async (request) => jobDetail(await findJob(context, request, request.params.id)),
  );
}

function addPictures(app: Api, context: ApiContext): void {
  const { reads } = context;
  app.get(
    '/api/v1/jobs/:id/state-map',
    {
      schema: {
        summary: 'The state of every task by position, run-length encoded',
        params: idParams,
        response: { 200: stateMapSchema },
      },
    },
    async (request) => ({
      runs: await reads.stateMap(await findJob(context, request, request.params.id)),
    }),
  );
  app.get(
    '/api/v1/jobs/:id/failures',
    {
      schema: {
        summary: 'Failed tasks grouped by their reason, the most frequent first',
        params: idParams,
        response: { 200: failuresSchema },
      },
    },
    async (request) => {
      const job = await findJob(context, request, request.params.id);
      const groups = await reads.failures(job.jobId);
      return {
        groups: groups.map(({ firstPosition, ...group }) => ({
          ...group,
          firstTaskId: `${formatJobId(job.jobId)}.${taskIndexOf(job.spec, firstPosition)}`,
        })),
      };
    },
  );
}

function addPages(app: Api, context: ApiContext): void {
  const { reads } = context;
  app.get(
    '/api/v1/jobs/:id/tasks',
    {
      schema: {
        summary: 'Tasks by index, of one state or of all',
        params: idParams,
        querystring: z.object({
          cursor: cursorSchema,
          limit: limitSchema,
          state: z.enum(TASK_STATES).optional(),
        }),
        response: { 200: taskPageSchema },
      },
    },
    async (request) => {
      const job = await findJob(context, request, request.params.id);
      const { cursor, limit, state } = request.query;
      const from = readCursor(taskCursor, cursor)?.position ?? 0;
      const tasks = await reads.tasks(job, from, limit, state);
      const last = tasks.length === limit ? tasks.at(-1) : undefined;
      return {
        tasks: tasks.map(({ position, task }) => taskView(job, position, task)),
        next: last === undefined ? null : writeCursor({ position: last.position + 1 }),
      };
    },
  );
  app.get(
    '/api/v1/jobs/:id/artifacts',
    {
      schema: {
        summary: 'What the latest attempts of the tasks have stored: outputs and logs',
        params: idParams,
        querystring: z.object({
          cursor: cursorSchema,
          limit: limitSchema,
          role: z.enum(['output', 'stdout', 'stderr']).optional(),
        }),
        response: { 200: artifactPageSchema },
      },
    },
    async (request) => {
      const job = await findJob(context, request, request.params.id);
      const { cursor, limit, role } = request.query;
      const after = readCursor(artifactCursor, cursor) ?? FIRST_ARTIFACT;
      const artifacts = await reads.artifacts(job.jobId, after, limit, role);
      const last = artifacts.length === limit ? artifacts.at(-1) : undefined;
      return {
        artifacts: artifacts.map((artifact) => artifactView(job, artifact)),
        next:
          last === undefined
            ? null
            : writeCursor({ position: last.position, role: last.role, path: last.path }),
      };
    },
  );
}

function addActions(app: Api, context: ApiContext): void {
  const { engine } = context;
  app.post(
    '/api/v1/jobs/:id/cancel',
    {
      schema: {
        summary: 'Cancel what waits, and end what runs',
        params: idParams,
        response: { 200: z.object({ cancelled: z.number().int() }) },
      },
    },
    async (request) => {
      const { jobId } = await findJob(context, request, request.params.id);
      const cancelled = await engine.cancelJob(jobId);
      request.log.info({ jobId, user: request.access.user, cancelled }, 'job cancelled');
      return { cancelled };
    },
  );
  app.post(
    '/api/v1/jobs/:id/retry',
    {
      schema: {
        summary: 'Queue ended tasks again, by state, exit code or reason',
        params: idParams,
        body: retryRequestSchema.nullish(),
        response: { 200: z.object({ retried: z.number().int() }) },
      },
    },
    async (request) => {
      const job = await findJob(context, request, request.params.id);
      await mustNotBeOfRun(context, job);
      const { jobId } = job;
      const retried = await engine.retry(jobId, retryRequestSchema.parse(request.body ?? {}));
      request.log.info({ jobId, user: request.access.user, retried }, 'job retried');
      return { retried };
    },
  );
}

export function addJobRoutes(app: Api, context: ApiContext): void {
  addJobs(app, context);
  addPictures(app, context);
  addPages(app, context);
  addActions(app, context);
}
