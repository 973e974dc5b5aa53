import { Readable } from 'node:stream';
import { formatAttemptId, isTerminal } from '@majorana/core';
import type { Explanation, RunnerLink } from '@majorana/protocol';
import { LOG_STREAMS, taskDetailSchema } from '@majorana/protocol';
import { z } from 'zod';
import { untouchedSentence } from '../../engine/explain.ts';
import { taskIndexOf } from '../../engine/indexes.ts';
import { fieldsOf } from '../../engine/lease.ts';
import type { Api, ApiContext, FoundTask } from '../context.ts';
import { findTask, idParams, mustNotBeOfRun } from '../context.ts';
import { readLog } from '../task-log.ts';
import { artifactView, attemptView, taskView, transitionView } from '../views.ts';

const BYTES_MAX = Number.MAX_SAFE_INTEGER;

async function describeFields(
  context: ApiContext,
  { job, position }: FoundTask,
): Promise<Record<string, string>> {
  const { array } = job.spec;
  const record =
    array.kind === 'range' ? {} : await context.store.loadFields(array.parameterSetId, position);
  return fieldsOf(job.spec, { jobId: job.jobId, position }, record);
}

/** Of a start its cluster knows more than the engine, and of what runs in a pod its runner. */
async function explainLive(
  context: ApiContext,
  found: FoundTask,
): Promise<Explanation | undefined> {
  const { job, position, task } = found;
  const live = context.engine.explain(job.jobId, position, task);
  const words = live === undefined ? undefined : await liveWords(context, found);
  return live !== undefined && words ? { ...live, sentence: `${live.sentence}: ${words}` } : live;
}

function liveWords(
  context: ApiContext,
  { job, position, task }: FoundTask,
): Promise<string | undefined> | string | undefined {
  const { agentId, state } = task ?? {};
  if (task === undefined || !agentId) return undefined;
  if (state === 'running' && job.spec.container !== undefined && !context.engine.isSilent(agentId))
    return RUNNER_WORDS[context.links.stateOf(task) ?? 'never'];
  if (state !== 'starting') return undefined;
  const attemptId = formatAttemptId({ ...task, taskIndex: taskIndexOf(job.spec, position) });
  return context.gateway.describeStart(agentId, attemptId);
}

/**
 * A pod runs from when its runner does; where it cannot reach us, that goes on for ever. What it said
 * last may be 25 s old, so only what stays true is told of it.
 */
const RUNNER_WORDS: Readonly<Record<RunnerLink['state'] | 'left' | 'never', string>> = {
  staging: '',
  running: '',
  storing: 'its program has ended, and its results are being stored',
  left: '',
  never:
    'its runner has not come to this control plane; unless that is a cut, see that pods reach the URL that its agent names them (--runner-url)',
};

function addDetail(app: Api, context: ApiContext): void {
  const { reads } = context;
  app.get(
    '/api/v1/tasks/:id',
    {
      schema: {
        summary: 'One task: why it waits or how it ended, its attempts, transitions and files',
        params: idParams,
        response: { 200: taskDetailSchema },
      },
    },
    async (request) => {
      const found = await findTask(context, request, request.params.id);
      const { job, position, task } = found;
      const isOver = isTerminal(task?.state ?? job.untouchedState);
      const [live, fields, attempts, transitions, artifacts] = await Promise.all([
        isOver ? undefined : explainLive(context, found),
        describeFields(context, found),
        reads.attempts(job.jobId, position),
        reads.transitions(job.jobId, position),
        reads.taskArtifacts(job.jobId, position),
      ]);
      return {
        task: taskView(job, position, task),
        explanation: live ?? { sentence: task?.reason ?? untouchedSentence(job) },
        fields,
        attempts: attempts.map((attempt) => attemptView(job, attempt)),
        transitions: transitions.map((transition) => transitionView(job, transition)),
        artifacts: artifacts.map((artifact) => artifactView(job, artifact)),
      };
    },
  );
}

function addLogs(app: Api, context: ApiContext): void {
  app.get(
    '/api/v1/tasks/:id/logs',
    {
      schema: {
        summary: 'What an attempt wrote, also while it runs',
        params: idParams,
        querystring: z.object({
          stream: z.enum(LOG_STREAMS).default('stdout'),
          offset: z.coerce.number().int().min(0).max(BYTES_MAX).default(0),
          bytesMax: z.coerce.number().int().min(0).max(BYTES_MAX).default(BYTES_MAX),
          /** Stay until the attempt has ended. */
          follow: z.enum(['true', 'false']).default('false'),
          attempt: z.coerce.number().int().min(1).max(2_147_483_647).optional(),
        }),
        produces: ['application/octet-stream'],
      },
    },
    async (request, reply) => {
      const found = await findTask(context, request, request.params.id);
      const { follow, ...query } = request.query;
      const log = readLog(context, found, { ...query, isFollowing: follow === 'true' });
      // A program may be silent for hours: the reader is told at once that it is heard.
      if (follow === 'true') setImmediate(() => reply.raw.flushHeaders());
      return reply.type('application/octet-stream').send(Readable.from(log));
    },
  );
}

function addActions(app: Api, context: ApiContext): void {
  const { engine } = context;
  app.post(
    '/api/v1/tasks/:id/cancel',
    {
      schema: {
        summary: 'Cancel one task',
        params: idParams,
        response: { 200: z.object({ cancelled: z.number().int() }) },
      },
    },
    async (request) => {
      const { job, position } = await findTask(context, request, request.params.id);
      return { cancelled: await engine.cancelTask(job.jobId, position) };
    },
  );
  app.post(
    '/api/v1/tasks/:id/retry',
    {
      schema: {
        summary: 'Queue one ended task again',
        params: idParams,
        response: { 200: z.object({ retried: z.number().int() }) },
      },
    },
    async (request) => {
      const { job, position } = await findTask(context, request, request.params.id);
      await mustNotBeOfRun(context, job);
      const states = ['failed', 'cancelled', 'succeeded'] as const;
      return { retried: await engine.retry(job.jobId, { states, position }) };
    },
  );
}

export function addTaskRoutes(app: Api, context: ApiContext): void {
  addDetail(app, context);
  addLogs(app, context);
  addActions(app, context);
}
