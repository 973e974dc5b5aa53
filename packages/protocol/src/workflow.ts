import type { WorkflowDefinition } from '@majorana/core';
import { checkWorkflow, RUN_STATUSES, STEP_STATUSES } from '@majorana/core';
import { z } from 'zod';
import {
  fieldNameSchema,
  inputSchema,
  jobSpecSchema,
  nameSchema,
  objectIdSchema,
  withoutContainer,
} from './job-spec.ts';

/** Records that stand in a definition; more of them come as lines of a file. */
const RECORDS_MAX = 10_000;
const STEPS_MAX = 20_000;
const ITERATIONS_MAX = 1000;

const reference = z
  .string()
  .max(1024)
  .regex(/^[A-Za-z_]\w{0,62}(\/[^\0]+)?$/, 'a reference: an input, a step, or STEP/FILE');
const text = z.string().max(65_536);

const comparison = {
  equals: z.union([text, z.number()]).optional(),
  notEquals: z.union([text, z.number()]).optional(),
  above: z.number().optional(),
  below: z.number().optional(),
  atLeast: z.number().optional(),
  atMost: z.number().optional(),
};
const conditionSchema = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('value'), value: text, ...comparison }),
  z.strictObject({ kind: z.literal('text'), from: reference, ...comparison }),
  z.strictObject({
    kind: z.literal('json'),
    from: reference,
    pointer: z.string().regex(/^(\/.*)?$/, 'a JSON pointer, such as /new/count'),
    ...comparison,
  }),
  z.strictObject({ kind: z.literal('lines'), from: reference, ...comparison }),
  z.strictObject({ kind: z.literal('files'), from: reference, ...comparison }),
]);

const eachSchema = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('values'), values: z.array(text).min(1).max(RECORDS_MAX) }),
  z.strictObject({ kind: z.literal('range'), range: z.string().max(65_536) }),
  z.strictObject({
    kind: z.literal('records'),
    records: z.array(z.record(fieldNameSchema, text)).min(1).max(RECORDS_MAX),
  }),
  z.strictObject({ kind: z.literal('lines'), from: reference }),
  z.strictObject({ kind: z.literal('files'), from: reference }),
]);

const inputDeclarationSchema = z
  .strictObject({
    kind: z.enum(['value', 'file', 'files']).default('value'),
    default: text.optional(),
  })
  .refine((one) => one.kind === 'value' || one.default === undefined, 'only a value has a default');

const job = jobSpecSchema.shape;
const taskOnly = {
  argv: job.argv.optional(),
  env: job.env,
  each: eachSchema.optional(),
  values: z.record(fieldNameSchema, reference).default({}),
  outputs: job.outputs,
  tools: z.record(nameSchema, text).default({}),
  isRepeatable: z.boolean().default(true),
  successPercentMin: z.number().min(0).max(100).default(100),
  predictedMs: z.number().min(0).optional(),
  resources: job.resources,
  retry: job.retry,
  timeLimitMs: job.timeLimitMs,
  graceMs: job.graceMs,
  checkpoint: job.checkpoint,
  parallelMax: job.parallelMax,
  container: job.container,
  gang: job.gang,
  cluster: job.cluster,
  labels: job.labels,
  queue: nameSchema.optional().describe("absent: the workflow's"),
  priority: job.priority.unwrap().optional().describe("absent: the workflow's"),
};
const repeatSchema = z.strictObject({
  until: conditionSchema,
  iterationsMax: z.number().int().min(1).max(ITERATIONS_MAX),
  carry: z.record(fieldNameSchema, reference).default({}),
});
const nestedOnly = {
  with: z.record(fieldNameSchema, text).default({}),
  repeat: repeatSchema.optional(),
};

/** As sent, an input names an object; as written, also a file of this machine. */
const sentInput = z.strictObject({
  path: inputSchema.shape.path,
  object: objectIdSchema.optional(),
  from: reference.optional(),
  isOptional: z.boolean().default(false),
});
const writtenInput = sentInput.extend({
  path: inputSchema.shape.path.optional(),
  file: z.string().min(1).optional(),
});

/** How tasks are run is said where they are: silently ignored it would be missed too late. */
const NOT_NESTED = [
  'checkpoint',
  'parallelMax',
  'container',
  'gang',
  'cluster',
  'queue',
  'priority',
  'predictedMs',
];

/** Which of the two kinds of step it is, and nothing of the other. */
function checkKind(step: Readonly<Record<string, unknown>>, context: z.RefinementCtx): void {
  const add = (message: string, path: string[] = []): void =>
    context.addIssue({ code: 'custom', message, path, continue: false });
  const isNested = step['workflow'] !== undefined;
  if ((step['argv'] === undefined) !== isNested) add('a step has either "argv" or "workflow"');
  else if (!isNested && step['repeat'] !== undefined)
    add('only a nested workflow is repeated; one with a single step will do', ['repeat']);
  else if (step['each'] !== undefined && step['repeat'] !== undefined)
    add('a fan-out is not repeated as a whole; repeat a step of the workflow inside', ['repeat']);
  for (const name of NOT_NESTED.filter((one) => isNested && step[one] !== undefined))
    add('is of tasks; say it at the steps of the workflow inside', [name]);
  for (const { where, what } of isNested ? [] : withoutContainer(step)) add(what, [where]);
}

function checkInput(
  input: { object?: unknown; from?: unknown; file?: unknown; path?: unknown },
  context: z.RefinementCtx,
): void {
  const given = [input.object, input.from, input.file].filter((one) => one !== undefined);
  const add = (message: string): void => context.addIssue({ code: 'custom', message });
  if (given.length !== 1) add('an input has exactly one of "from", "file" and "object"');
  else if (input.path === undefined && input.file === undefined)
    add('"path" is missing: where it goes in the working directory');
}

const common = {
  when: conditionSchema.optional(),
  after: z.array(fieldNameSchema).max(100).default([]),
};
const bodyShape = <S extends z.ZodType>(step: S) => ({
  inputs: z.record(fieldNameSchema, inputDeclarationSchema).default({}),
  steps: z
    .record(fieldNameSchema, step)
    .refine((steps) => Object.keys(steps).length > 0, 'a workflow has a step')
    .refine((steps) => Object.keys(steps).length <= STEPS_MAX, `at most ${STEPS_MAX} steps`),
  outputs: z.record(fieldNameSchema, reference).default({}),
});

const sentParts = {
  ...common,
  ...taskOnly,
  ...nestedOnly,
  inputs: z.array(sentInput.superRefine(checkInput)).max(10_000).default([]),
};
const writtenParts = {
  ...sentParts,
  inputs: z.array(writtenInput.superRefine(checkInput)).max(10_000).default([]),
};
const writtenPartsSchema = z.strictObject(writtenParts);

/** A step as it is written; `workflow` is a nested one, or the file that holds it. */
export interface StepWritten extends z.input<typeof writtenPartsSchema> {
  readonly workflow?: string | BodyWritten | undefined;
}
export interface BodyWritten {
  readonly inputs?: Readonly<Record<string, z.input<typeof inputDeclarationSchema>>> | undefined;
  readonly steps: Readonly<Record<string, StepWritten>>;
  readonly outputs?: Readonly<Record<string, string>> | undefined;
}

const sentStep: z.ZodType<unknown, StepWritten> = z
  .strictObject({
    ...sentParts,
    get workflow() {
      return z.strictObject(bodyShape(sentStep)).optional();
    },
  })
  .superRefine(checkKind);
const writtenStep: z.ZodType<unknown, StepWritten> = z
  .strictObject({
    ...writtenParts,
    get workflow() {
      return z.union([z.string().min(1), z.strictObject(bodyShape(writtenStep))]).optional();
    },
  })
  .superRefine(checkKind);

const head = {
  name: nameSchema,
  project: nameSchema.optional(),
  queue: nameSchema.default('default'),
  priority: job.priority,
};

/** A workflow as the API takes it. What each part means stands in docs/workflows.md. */
export const workflowSchema = z
  .strictObject({ ...head, ...bodyShape(sentStep) })
  .superRefine((definition, context) => {
    for (const { path, what } of checkWorkflow(definition as unknown as WorkflowDefinition))
      context.addIssue({ code: 'custom', message: what, path: [...path] });
  });
/** As a person writes it in a file: it may name files of this machine. */
export const writtenBodySchema = z.strictObject(bodyShape(writtenStep));
export const writtenWorkflowSchema = z.strictObject({ ...head, ...bodyShape(writtenStep) });

export interface WorkflowInput extends BodyWritten {
  readonly name: string;
  readonly project?: string | undefined;
  readonly queue?: string | undefined;
  readonly priority?: number | undefined;
}
export type SentWorkflow = z.output<typeof workflowSchema>;

const timeMs = z.number().int().describe('milliseconds since 1970, UTC');
const count = z.number().int().min(0);
const namedFile = z.strictObject({
  path: z.string().min(1).max(1024).describe('its name'),
  object: objectIdSchema,
});

/** What a workflow's inputs are in one run. */
export const runInputsSchema = z.strictObject({
  values: z.record(fieldNameSchema, text).default({}),
  files: z.record(fieldNameSchema, z.array(namedFile).max(100_000)).default({}),
});
export type RunInputs = z.output<typeof runInputsSchema>;

export const runRequestSchema = z.strictObject({
  definition: workflowSchema,
  inputs: runInputsSchema.prefault({}),
  idempotencyKey: z.string().min(1).max(200).optional(),
});
export type RunRequest = z.input<typeof runRequestSchema>;

export const resumeRequestSchema = z.strictObject({
  definition: workflowSchema.optional().describe('absent: the one of the round before'),
  inputs: runInputsSchema.optional().describe('absent: those of the round before'),
});
export type ResumeRequest = z.input<typeof resumeRequestSchema>;

export const runViewSchema = z.object({
  id: z.string().describe('run_7'),
  name: z.string(),
  project: z.string(),
  user: z.string(),
  status: z.enum(RUN_STATUSES),
  round: count.describe('from 1; each resume is a new one'),
  createdAtMs: timeMs,
  endedAtMs: timeMs.nullable(),
});
export type RunView = z.output<typeof runViewSchema>;
export const runPageSchema = z.object({
  runs: z.array(runViewSchema),
  next: z.number().int().nullable().describe('value of `before` for the next page'),
});

export const stepViewSchema = z.object({
  path: z
    .string()
    .describe('search, rounds[2].search inside a nested workflow, fan[*].search in all elements'),
  status: z.enum(STEP_STATUSES),
  reason: z.string(),
  startedAtMs: timeMs.nullable(),
  endedAtMs: timeMs.nullable(),
  iteration: count.nullable().describe('of a nested workflow: the one it is in'),
  countsByStatus: z
    .record(z.string(), count)
    .nullable()
    .describe(
      'of a fan-out of nested workflows: its elements; of a step inside, as fan[*].step: it in each',
    ),
  elementCount: count,
  reusedCount: count.describe('elements whose result was there already'),
  failedCount: count,
  failed: z
    .array(
      z.object({
        position: count,
        label: z.string(),
        taskId: z.string(),
        reason: z.string(),
      }),
    )
    .describe('the first of them'),
  jobId: z.string().nullable(),
});
export type StepView = z.output<typeof stepViewSchema>;

export const roundViewSchema = z.object({
  round: count,
  status: z.enum(RUN_STATUSES),
  startedAtMs: timeMs,
  endedAtMs: timeMs.nullable(),
  definition: z.unknown().describe('as it was in this round'),
  inputs: runInputsSchema,
  steps: z.array(stepViewSchema),
});
export type RoundView = z.output<typeof roundViewSchema>;
export const runDetailSchema = runViewSchema.extend({ rounds: z.array(roundViewSchema) });
export type RunDetail = z.output<typeof runDetailSchema>;

export const elementExplanationSchema = z.object({
  position: count,
  label: z.string(),
  key: z.string(),
  isReused: z.boolean(),
  origin: z.string().nullable().describe('the run and step that made the result'),
  nearest: z.string().nullable().describe('of a run one: the earlier result it is compared with'),
  differences: z.array(
    z.object({ part: z.string(), before: z.string().nullable(), now: z.string().nullable() }),
  ),
});
export const stepExplanationSchema = z.object({
  path: z.string(),
  elementCount: count,
  reusedCount: count,
  sentence: z.string(),
  elements: z.array(elementExplanationSchema).describe('those that were run first'),
});
export type StepExplanation = z.output<typeof stepExplanationSchema>;
export const explainRunSchema = z.object({ steps: z.array(stepExplanationSchema) });

export const runFileSchema = z.object({
  path: z.string(),
  object: objectIdSchema,
  sizeBytes: count,
});
export const runFilesSchema = z.object({ files: z.array(runFileSchema) });
export type RunFile = z.output<typeof runFileSchema>;
