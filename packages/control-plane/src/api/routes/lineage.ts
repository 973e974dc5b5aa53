import {
  isFinalStep,
  parseId,
  parseReference,
  resolveFiles,
  rootScope,
  stepPathsOf,
} from '@majorana/core';
import { lineageSchema, nameSchema } from '@majorana/protocol';
import type { StepMaker } from '@majorana/store';
import type { FastifyRequest } from 'fastify';
import { z } from 'zod';
import type { Root } from '../../lineage/graph.ts';
import { LineageWalk } from '../../lineage/graph.ts';
import type { Api, ApiContext } from '../context.ts';
import { findJob, findTask } from '../context.ts';
import { ProblemError } from '../problem.ts';
import { projectOf } from '../project.ts';
import { findDataset, findVersion } from './datasets.ts';
import { findRun, runFilesOf } from './workflows.ts';

interface Start {
  readonly project: string;
  readonly roots: readonly Root[];
}

/** Files of a step that are followed. */
const ROOTS_MAX = 100;

const notFound = (what: string): never => {
  throw new ProblemError(404, 'not_found', what);
};

/** `job_3.2`, `job_3.2.1`, or with `:PATH` one of its files; of a job of one task also `job_3`. */
async function fromTask(
  context: ApiContext,
  request: FastifyRequest,
  text: string,
): Promise<Start> {
  const colon = text.indexOf(':');
  const id = colon < 0 ? text : text.slice(0, colon);
  const parsed = parseId(id);
  const { spec, jobId, taskCount } = await findJob(context, request, id);
  const { project } = spec;
  if (parsed?.taskIndex === undefined && taskCount > 1) {
    if (colon < 0) return { project, roots: [{ kind: 'job', jobId }] };
    notFound(`${id} has ${taskCount} tasks: name one, such as ${id}.0:PATH`);
  }
  const position =
    parsed?.taskIndex === undefined ? 0 : (await findTask(context, request, id)).position;
  const attempts = await context.reads.attempts(jobId, position);
  const wanted = parsed?.attemptNumber ?? attempts.at(-1)?.attemptNumber;
  if (!attempts.some(({ attemptNumber }) => attemptNumber === wanted)) {
    notFound(`${id} has no such attempt: it made nothing`);
  }
  if (colon < 0) {
    return { project, roots: [{ kind: 'task', jobId, position, attemptNumber: wanted }] };
  }
  const path = text.slice(colon + 1);
  const artifacts = await context.reads.taskArtifacts(jobId, position);
  const made = artifacts.find((one) => one.path === path && one.attemptNumber === wanted);
  if (made === undefined) return notFound(`${id} has stored no ${path}`);
  const attemptNumber = made.attemptNumber;
  const maker = { jobId, position, attemptNumber, path, role: made.role };
  return { project, roots: [{ kind: 'object', object: made.object, maker }] };
}

/** `run_1/STEP`, `run_1/STEP/FILE`: the task is the one whose result the step has. */
async function fromRun(context: ApiContext, request: FastifyRequest, text: string): Promise<Start> {
  const slash = text.indexOf('/');
  const run = await findRun(context, request, slash < 0 ? text : text.slice(0, slash));
  const reference = slash < 0 ? undefined : text.slice(slash + 1);
  const files = await runFilesOf(context, run, reference);
  if (files.length === 0) notFound(`${text}: there is no such file`);
  const round = (await context.workflows.runs.latestRound(run.runId))!;
  const references =
    reference === undefined ? Object.values(round.definition.outputs) : [reference];
  const paths = references.flatMap((one) => {
    const { name } = parseReference(one);
    const isStep = Object.hasOwn(round.definition.steps, name);
    const { steps } = round.state;
    if (!isStep || !isFinalStep(steps[name])) return [];
    return stepPathsOf(resolveFiles(rootScope(round.definition), steps, one));
  });
  const shown = files.slice(0, ROOTS_MAX);
  const objects = shown.map(({ object }) => object);
  const makers = await stepMakers(context, run, { round: round.round, paths, objects });
  const roots = shown.map(({ object, path }): Root => {
    const maker = makers.get(object);
    const known = maker === undefined ? {} : { maker: { ...maker, path, role: 'output' as const } };
    return { kind: 'object', object, ...known };
  });
  return { project: run.project, roots };
}

/** For each object the task of the first of these steps that has it. */
async function stepMakers(
  { lineage }: ApiContext,
  run: { readonly runId: number; readonly project: string },
  of: {
    readonly round: number;
    readonly paths: readonly string[];
    readonly objects: readonly string[];
  },
): Promise<ReadonlyMap<string, StepMaker>> {
  const found = new Map<string, StepMaker>();
  for (const path of of.paths) {
    const missing = of.objects.filter((object) => !found.has(object));
    if (missing.length === 0) break;
    const at = { runId: run.runId, round: of.round, path };
    for (const one of await lineage.stepMakers(at, run.project, missing)) {
      found.set(one.object, one);
    }
  }
  return found;
}

/** `NAME`, `NAME@3`, `NAME@3/PATH`. */
async function fromDataset(
  context: ApiContext,
  request: FastifyRequest,
  of: { readonly text: string; readonly project: string | undefined; readonly width: number },
): Promise<Start> {
  const match = /^([^@/]+)(?:@(\d{1,9}))?(?:\/(.+))?$/.exec(of.text);
  const name = nameSchema.safeParse(match?.[1]);
  if (match === null || !name.success) {
    return notFound(
      `"${of.text}" is nothing that has a lineage: an object, job_3.2:PATH, run_1/STEP/FILE or NAME@3/PATH is expected`,
    );
  }
  const [, , version, path] = match;
  const dataset = await findDataset(context, request, { name: name.data, project: of.project });
  const found = await findVersion(context, dataset, version ? Number(version) : undefined);
  const files = await context.datasets.files(found.versionId, '', of.width, path);
  const { project } = dataset;
  if (path === undefined) {
    return { project, roots: [{ kind: 'dataset', name: name.data, version: found, files }] };
  }
  if (files.length === 0) notFound(`${name.data}@${found.version} has no ${path}`);
  return { project, roots: files.map(({ object }) => ({ kind: 'object', object })) };
}

async function findStart(
  context: ApiContext,
  request: FastifyRequest,
  of: { readonly text: string; readonly project: string | undefined; readonly width: number },
): Promise<Start> {
  const { text } = of;
  if (/^[0-9a-f]{64}$/.test(text)) {
    const project = await projectOf(context, request, of.project);
    return { project, roots: [{ kind: 'object', object: text }] };
  }
  if (/^job_\d+[.:]?|^\d+\.\d/.test(text)) return fromTask(context, request, text);
  if (/^run_\d+(\/|$)/.test(text)) return fromRun(context, request, text);
  return fromDataset(context, request, of);
}

export function addLineageRoutes(app: Api, context: ApiContext): void {
  app.get(
    '/api/v1/lineage',
    {
      schema: {
        summary: 'What made a file and from what, or what was made from it: a graph',
        querystring: z.object({
          of: z
            .string()
            .min(1)
            .max(2200)
            .regex(/^[^\0]*$/, 'no NUL character')
            .describe('an object, job_3.2:PATH, run_1/STEP/FILE or NAME@3/PATH'),
          direction: z.enum(['up', 'down']).default('up'),
          depth: z.coerce.number().int().min(1).max(1000).default(20).describe('steps to go'),
          width: z.coerce.number().int().min(1).max(1000).default(20).describe('files of a node'),
          project: nameSchema.optional(),
        }),
        response: { 200: lineageSchema },
      },
    },
    async (request) => {
      const { of: text, direction, depth, width, project: named } = request.query;
      const { project, roots } = await findStart(context, request, {
        text,
        project: named,
        width,
      });
      return new LineageWalk(context, project, { depth, width }).walk(roots, direction);
    },
  );
}
