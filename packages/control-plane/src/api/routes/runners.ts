import {
  objectIdSchema,
  runnerGangAnswerSchema,
  runnerGangNewsSchema,
  runnerLinkSchema,
  runnerOrdersSchema,
  runnerTaskSchema,
  runnerUploadsSchema,
  runnerUploadTargetsSchema,
  storedObjectSchema,
} from '@majorana/protocol';
import type { TaskRecord } from '@majorana/store';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { bearerToken, RUNNER_PREFIX } from '../auth.ts';
import type { Api, ApiContext } from '../context.ts';
import { findHeldTask } from '../held-task.ts';
import { ProblemError } from '../problem.ts';
import { presignGet, runnerTask, uploadTarget } from '../runner-task.ts';
import { bodyOf } from '../body.ts';
import type { RefuseToken } from '../token-refusal.ts';

const PATH = `${RUNNER_PREFIX}attempts/:attemptId` as const;
/** A second and attempt: one that fetches a gather's files one by one is not slowed. */
const REQUESTS_PER_SECOND = 1000;
/** Whose inputs are remembered: those that fetch them just now. */
const INPUT_SETS_MAX = 16;

const attemptParams = z.object({ attemptId: z.string().max(64).describe('such as job_42.17.2') });
const objectParams = attemptParams.extend({ object: objectIdSchema });

const attemptIdOf = (request: FastifyRequest): string =>
  (request.params as { attemptId?: string }).attemptId ?? '';

function heldTask(context: ApiContext, attemptId: string): TaskRecord {
  const task = findHeldTask(context.engine, attemptId);
  if (task !== undefined) return task;
  throw new ProblemError(
    410,
    'attempt_over',
    `${attemptId} has ended or was fenced by a later one`,
  );
}

/**
 * Each of these routes asks first for the token, which opens its own attempt and that only, and then
 * whether the attempt is still the task's. Only then is it counted: nobody uses up another's share.
 */
function guardOf(context: ApiContext, refuseToken: RefuseToken) {
  return {
    config: {
      rateLimit: {
        max: REQUESTS_PER_SECOND,
        timeWindow: 1000,
        keyGenerator: (request: FastifyRequest) => `runner ${attemptIdOf(request)}`,
      },
    },
    onRequest: async (request: FastifyRequest) => {
      const token = bearerToken(request);
      const attemptId = attemptIdOf(request);
      if (token === undefined || !(await context.runnerTokens.isOf(token, attemptId)))
        await refuseToken(request, 'send the token of this attempt’s runner');
      heldTask(context, attemptId);
    },
  };
}

type Guard = ReturnType<typeof guardOf>;

/** The objects that attempts may read: their inputs, made of their leases. */
class InputSets {
  readonly #context: ApiContext;
  readonly #setById = new Map<string, Promise<ReadonlySet<string>>>();

  constructor(context: ApiContext) {
    this.#context = context;
  }

  has(attemptId: string, object: string): Promise<boolean> {
    const known = this.#setById.get(attemptId);
    const set = known ?? this.#make(attemptId);
    if (known === undefined) {
      this.#setById.set(attemptId, set);
      set.catch(() => this.#setById.delete(attemptId));
    }
    const [oldest] = this.#setById.keys();
    if (this.#setById.size > INPUT_SETS_MAX) this.#setById.delete(oldest!);
    return set.then((objects) => objects.has(object));
  }

  async #make(attemptId: string): Promise<ReadonlySet<string>> {
    const lease = await this.#context.engine.leaseOf(heldTask(this.#context, attemptId));
    return new Set(lease.inputs.map((input) => input.object));
  }
}

function addTask(app: Api, context: ApiContext, guarded: Guard): void {
  app.get(
    `${PATH}/task`,
    {
      ...guarded,
      schema: {
        summary: 'For a runner: what to run',
        params: attemptParams,
        response: { 200: runnerTaskSchema },
      },
    },
    async (request) => {
      const task = heldTask(context, request.params.attemptId);
      return runnerTask(await context.engine.leaseOf(task), context.objects);
    },
  );
}

/** `bytes=N-`: what a runner asks for when a connection broke. */
const rangeStart = (header: string | undefined): number =>
  Number(/^bytes=(\d{1,15})-$/.exec(header ?? '')?.[1] ?? 0);

async function sendObject(
  context: ApiContext,
  object: string,
  start: number,
  reply: FastifyReply,
): Promise<FastifyReply> {
  const presigned = await presignGet(context.objects, object);
  if (presigned !== undefined) return reply.redirect(presigned.url, 307);
  const { sizeBytes } = await context.objects.stat(object);
  if (start > 0 && start < sizeBytes) {
    void reply.code(206).header('content-range', `bytes ${start}-${sizeBytes - 1}/${sizeBytes}`);
  }
  const from = start < sizeBytes ? start : 0;
  return reply
    .type('application/octet-stream')
    .header('content-length', sizeBytes - from)
    .send(await context.objects.read(object, from));
}

function addObjects(app: Api, context: ApiContext, guarded: Guard): void {
  const { objects } = context;
  const inputs = new InputSets(context);
  app.get(
    `${PATH}/objects/:object`,
    {
      ...guarded,
      schema: {
        summary: 'For a runner: the content of one of its inputs, from `Range: bytes=N-` on',
        params: objectParams,
        produces: ['application/octet-stream'],
      },
    },
    async (request, reply) => {
      const { attemptId, object } = request.params;
      if (!(await inputs.has(attemptId, object))) {
        throw new ProblemError(404, 'not_found', `${object} is no input of ${attemptId}`);
      }
      return sendObject(context, object, rangeStart(request.headers.range), reply);
    },
  );
  app.put(
    `${PATH}/objects/:object`,
    {
      ...guarded,
      schema: {
        summary: 'For a runner: keep a result, where the store has no URLs of its own',
        params: objectParams,
        consumes: ['application/octet-stream'],
        response: { 201: storedObjectSchema },
      },
    },
    async (request, reply) => {
      const { object } = request.params;
      const stored = await objects.putStream(bodyOf(request.body));
      // What came stays under its own name, where garbage collection finds it.
      if (stored.object === object) return reply.code(201).send(stored);
      throw new ProblemError(422, 'wrong_hash', `the content has the SHA-256 ${stored.object}`);
    },
  );
}

function addUploads(app: Api, context: ApiContext, guarded: Guard): void {
  app.post(
    `${PATH}/uploads`,
    {
      ...guarded,
      schema: {
        summary: 'For a runner: which results are there already, and where to put the others',
        params: attemptParams,
        body: runnerUploadsSchema,
        response: { 200: runnerUploadTargetsSchema },
      },
    },
    async (request) => ({
      uploads: await Promise.all(
        request.body.objects.map((content) => uploadTarget(context.objects, content)),
      ),
    }),
  );
}

function addLink(app: Api, context: ApiContext, guarded: Guard): void {
  app.post(
    `${PATH}/link`,
    {
      ...guarded,
      schema: {
        summary: 'For a runner: a long poll that says usage and hears orders',
        params: attemptParams,
        body: runnerLinkSchema,
        response: { 200: runnerOrdersSchema },
      },
    },
    (request, reply) => {
      const { attemptId } = request.params;
      const task = heldTask(context, attemptId);
      reply.raw.once('close', () => {
        if (!reply.raw.writableFinished) context.links.leave(task);
      });
      const isToEnd = (): boolean => heldTask(context, attemptId).isCancelling;
      return context.links.exchange(task, request.body, isToEnd);
    },
  );
}

function addGang(app: Api, context: ApiContext, guarded: Guard): void {
  app.post(
    `${PATH}/gang`,
    {
      ...guarded,
      schema: {
        summary: 'For the runners of one task on several pods: where each of them listens',
        params: attemptParams,
        body: runnerGangNewsSchema,
        response: { 200: runnerGangAnswerSchema },
      },
    },
    async (request) => {
      const { attemptId } = request.params;
      const { jobId } = heldTask(context, attemptId);
      const gang = context.engine.state.jobs.get(jobId)?.spec.gang;
      const { nodeRank } = request.body;
      if (gang === undefined || nodeRank >= gang.nodes) {
        const count = gang?.nodes ?? 1;
        const detail = `${attemptId} has no node ${nodeRank}: they are ${count}, from 0 on`;
        throw new ProblemError(422, 'invalid_input', detail);
      }
      return context.gangs.meet(attemptId, gang.nodes, request.body);
    },
  );
}

/** What runners talk to; docs/decisions/0010-kubernetes.md has the why. */
export function addRunnerRoutes(app: Api, context: ApiContext, refuseToken: RefuseToken): void {
  const guarded = guardOf(context, refuseToken);
  addTask(app, context, guarded);
  addObjects(app, context, guarded);
  addUploads(app, context, guarded);
  addLink(app, context, guarded);
  addGang(app, context, guarded);
}
