import type { WorkflowBody, WorkflowDefinition } from '@majorana/core';
import { formatRunId, isNested, parseReference, parseRunId, rootScope } from '@majorana/core';
import type { RunInputs, SentWorkflow, StepExplanation } from '@majorana/protocol';
import {
  explainRunSchema,
  nameSchema,
  resumeRequestSchema,
  runDetailSchema,
  runFilesSchema,
  runPageSchema,
  runRequestSchema,
} from '@majorana/protocol';
import type { RoundRecord, RunRecord } from '@majorana/store';
import type { FastifyRequest } from 'fastify';
import { z } from 'zod';
import { explainRound } from '../../workflow/explain-run.ts';
import type { RunSettings } from '../../workflow/step-job.ts';
import { RefusedError, Sources } from '../../workflow/sources.ts';
import type { TroubleOf } from '../../workflow/views.ts';
import { roundView, runView } from '../../workflow/views.ts';
import { checkFits } from '../check-spec.ts';
import type { Api, ApiContext } from '../context.ts';
import { INT32_MAX, limitSchema } from '../context.ts';
import type { Issue } from '../problem.ts';
import { ProblemError } from '../problem.ts';
import { projectOf } from '../project.ts';

const runParams = z.object({ id: z.string().max(64).describe('such as run_7') });
const stepPath = z.string().max(2000).describe('such as search or rounds[2].search');

/** A run that the caller may see; to others it is not there. */
export async function findRun(
  { workflows }: ApiContext,
  request: FastifyRequest,
  text: string,
): Promise<RunRecord> {
  const runId = parseRunId(text);
  const run = runId === undefined ? undefined : await workflows.runs.find(runId);
  const { project } = request.access;
  if (run === undefined || (project !== null && run.project !== project)) {
    throw new ProblemError(404, 'not_found', `there is no ${text}; runs look like run_7`);
  }
  return run;
}

type Declared = WorkflowDefinition['inputs'][string];

/** What is wrong with what was given for one declared input; empty: nothing. */
function wrongWith(declared: Declared, name: string, inputs: RunInputs): string {
  const fileCount = inputs.files[name]?.length ?? 0;
  if (declared.kind === 'value') {
    const isGiven = Object.hasOwn(inputs.values, name) || declared.default !== undefined;
    return isGiven ? '' : 'a value is needed';
  }
  if (fileCount === 0) return 'a file is needed';
  return declared.kind === 'file' && fileCount > 1 ? 'one file is expected' : '';
}

/** What is given must be what is declared. */
function checkGiven(definition: WorkflowDefinition, inputs: RunInputs): void {
  const issues: Issue[] = [];
  for (const [name, declared] of Object.entries(definition.inputs)) {
    const what = wrongWith(declared, name, inputs);
    const where = `inputs.${declared.kind === 'value' ? 'values' : 'files'}.${name}`;
    if (what !== '') issues.push({ where, what });
  }
  for (const kind of ['values', 'files'] as const) {
    const known = Object.entries(definition.inputs)
      .filter(([, declared]) => (declared.kind === 'value') === (kind === 'values'))
      .map(([name]) => name);
    for (const name of Object.keys(inputs[kind])) {
      const what = `the workflow has no such input among its ${kind}`;
      if (!known.includes(name)) issues.push({ where: `inputs.${kind}.${name}`, what });
    }
  }
  if (issues.length === 0) return;
  const detail = issues.map(({ where, what }) => `${where}: ${what}`).join('; ');
  throw new ProblemError(422, 'wrong_inputs', detail, issues);
}

/** Objects that are named must be there, and tasks fit some agent. */
async function checkSteps(context: ApiContext, body: WorkflowBody): Promise<void> {
  for (const [name, step] of Object.entries(body.steps)) {
    if (isNested(step)) {
      await checkSteps(context, step.workflow);
      continue;
    }
    checkFits(step as unknown as RunSettings, context.engine.capacities());
    for (const input of step.inputs) {
      if ('object' in input) await checkObject(context, `step ${name}`, input.object);
    }
  }
}

async function checkObject(context: ApiContext, where: string, object: string): Promise<void> {
  if (await context.objects.touch(object)) return;
  const what = `there is no object ${object}; upload it first`;
  throw new ProblemError(422, 'no_such_object', `${where}: ${what}`, [{ where, what }]);
}

async function acceptDefinition(
  context: ApiContext,
  sent: SentWorkflow,
  inputs: RunInputs,
): Promise<WorkflowDefinition> {
  const definition = sent as unknown as WorkflowDefinition;
  checkGiven(definition, inputs);
  await checkSteps(context, definition);
  for (const [name, files] of Object.entries(inputs.files)) {
    for (const { object } of files) await checkObject(context, `inputs.files.${name}`, object);
  }
  return definition;
}

function addRuns(app: Api, context: ApiContext): void {
  const { workflows } = context;
  app.post(
    '/api/v1/runs',
    {
      schema: {
        summary: 'Run a workflow; durable before the answer',
        body: runRequestSchema,
        response: { 201: z.object({ id: z.string(), isNew: z.boolean() }) },
      },
    },
    async (request, reply) => {
      const { definition: sent, inputs, idempotencyKey } = request.body;
      const project = await projectOf(context, request, sent.project);
      const definition = await acceptDefinition(context, sent, inputs);
      const { user } = request.access;
      const run = { project, user, definition, inputs, idempotencyKey };
      const { runId, isNew } = await workflows.runs.create(run, Date.now());
      workflows.loop.wake(runId);
      request.log.info({ runId, user, isNew }, 'workflow run');
      return reply.code(201).send({ id: formatRunId(runId), isNew });
    },
  );
  app.get(
    '/api/v1/runs',
    {
      schema: {
        summary: 'Runs of workflows, the latest first',
        querystring: z.object({
          before: z.coerce.number().int().min(1).max(INT32_MAX).default(INT32_MAX),
          limit: limitSchema,
          project: nameSchema.optional(),
        }),
        response: { 200: runPageSchema },
      },
    },
    async (request) => {
      const { before, limit, project } = request.query;
      const visible = request.access.project ?? project;
      const runs = await workflows.runs.list(before, limit, visible);
      const next = runs.length === limit ? runs.at(-1)!.runId : null;
      return { runs: runs.map(runView), next };
    },
  );
  app.get(
    '/api/v1/runs/:id',
    {
      schema: {
        summary: 'One run, with its steps in each of its rounds',
        params: runParams,
        response: { 200: runDetailSchema },
      },
    },
    async (request) => {
      const run = await findRun(context, request, request.params.id);
      const rounds = await workflows.runs.rounds(run.runId);
      const troubleOf: TroubleOf = (path) => workflows.loop.troubleOf(run.runId, path);
      const views = rounds.map((round) =>
        roundView(round, round.round === run.round ? troubleOf : () => undefined),
      );
      return { ...runView(run), rounds: views };
    },
  );
}

function addActions(app: Api, context: ApiContext): void {
  const { workflows } = context;
  app.post(
    '/api/v1/runs/:id/cancel',
    {
      schema: {
        summary: 'End a run: its jobs are cancelled, its results stay',
        params: runParams,
        response: { 200: z.object({ id: z.string() }) },
      },
    },
    async (request) => {
      const { runId } = await findRun(context, request, request.params.id);
      await workflows.loop.cancel(runId);
      request.log.info({ runId, user: request.access.user }, 'workflow run cancelled');
      return { id: formatRunId(runId) };
    },
  );
  app.post(
    '/api/v1/runs/:id/resume',
    {
      schema: {
        summary: 'A new round of an ended run, mended or as it was; what has a result is not run',
        params: runParams,
        body: resumeRequestSchema.nullish(),
        response: { 200: z.object({ id: z.string(), round: z.number().int() }) },
      },
    },
    async (request) => {
      const { runId } = await findRun(context, request, request.params.id);
      const last = (await workflows.runs.latestRound(runId))!;
      const { definition: sent, inputs = last.inputs } = request.body ?? {};
      const kept = last.definition as unknown as SentWorkflow;
      const definition = await acceptDefinition(context, sent ?? kept, inputs);
      const change = { definition, inputs };
      if (!(await workflows.runs.resume(runId, change, Date.now()))) {
        const what = `${formatRunId(runId)} has not ended: cancel it first, or wait`;
        throw new ProblemError(409, 'run_is_open', what);
      }
      workflows.loop.wake(runId);
      request.log.info({ runId, user: request.access.user }, 'workflow run resumed');
      return { id: formatRunId(runId), round: last.round + 1 };
    },
  );
}

function roundOf(rounds: readonly RoundRecord[], round: number | undefined): RoundRecord {
  const found = round === undefined ? rounds.at(-1) : rounds.find((one) => one.round === round);
  if (found !== undefined) return found;
  throw new ProblemError(404, 'not_found', `the run has no round ${round}`);
}

function addReads(app: Api, context: ApiContext): void {
  const { workflows } = context;
  app.get(
    '/api/v1/runs/:id/explain',
    {
      schema: {
        summary:
          'Why each step was reused, run or neither: key parts against the nearest earlier result',
        params: runParams,
        querystring: z.object({
          step: stepPath.optional(),
          round: z.coerce.number().int().min(1).max(INT32_MAX).optional(),
          limit: z.coerce.number().int().min(1).max(1000).default(5).describe('elements of a step'),
        }),
        response: { 200: explainRunSchema },
      },
    },
    async (request): Promise<{ steps: StepExplanation[] }> => {
      const run = await findRun(context, request, request.params.id);
      const { step: path, limit } = request.query;
      const round = roundOf(await workflows.runs.rounds(run.runId), request.query.round);
      const only = { path, limit };
      return { steps: await explainRound(workflows.results, round, run.project, only) };
    },
  );
  app.get(
    '/api/v1/runs/:id/files',
    {
      schema: {
        summary:
          'Files of the outputs of a run, or what a reference such as STEP or STEP/FILE names',
        params: runParams,
        querystring: z.object({ from: z.string().max(1024).optional() }),
        response: { 200: runFilesSchema },
      },
    },
    async (request) => {
      const run = await findRun(context, request, request.params.id);
      return { files: await runFilesOf(context, run, request.query.from) };
    },
  );
}

/** Files of a run's outputs, or those that a reference names. */
export async function runFilesOf(
  { workflows, objects }: ApiContext,
  run: RunRecord,
  from: string | undefined,
): Promise<NamedFile[]> {
  const round = roundOf(await workflows.runs.rounds(run.runId), undefined);
  const sources = new Sources({ run, round }, workflows.results, objects);
  return filesOf(sources, round, from);
}

type NamedFile = z.output<typeof runFilesSchema>['files'][number];

async function filesOf(
  sources: Sources,
  { definition }: RoundRecord,
  from: string | undefined,
): Promise<NamedFile[]> {
  const { name: wantedName } = parseReference(from ?? '');
  const isThere = [definition.inputs, definition.steps].some((all) =>
    Object.hasOwn(all, wantedName),
  );
  if (from !== undefined && !isThere) {
    throw new ProblemError(422, 'no_such_file', `there is no step and no input ${wantedName}`);
  }
  const wanted = from === undefined ? Object.entries(definition.outputs) : [['', from] as const];
  const named: NamedFile[] = [];
  for (const [name, reference] of wanted) {
    try {
      const found = await sources.files(rootScope(definition), reference);
      for (const { position, path, ...file } of found.files) {
        const under = [name, position === null ? '' : String(position), path];
        const { object, sizeBytes = 0 } = file as { object: string; sizeBytes?: number };
        named.push({ path: under.filter((part) => part !== '').join('/'), object, sizeBytes });
      }
    } catch (error) {
      if (!(error instanceof RefusedError)) throw error;
      throw new ProblemError(422, 'no_such_file', error.message);
    }
  }
  return named;
}

export function addWorkflowRoutes(app: Api, context: ApiContext): void {
  addRuns(app, context);
  addActions(app, context);
  addReads(app, context);
}
