import { DEFAULT_RESOURCES, DEFAULT_RETRY, OUTCOME_KINDS } from '@majorana/core';
import { z } from 'zod';
import { containerSchema } from './container.ts';

const INT32_MAX = 2_147_483_647;
const count = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER);
const index = z.number().int().min(0).max(INT32_MAX);
/** Of a job's name, in characters. */
export const NAME_LENGTH_MAX = 200;

/** PostgreSQL keeps no NUL in text, and neither does an argument vector. */
const text = (max: number): z.ZodString =>
  z
    .string()
    .max(max)
    .regex(/^[^\0]*$/, 'no NUL character');
export const nameSchema = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/, 'letters, digits, ".", "_" and "-", at most 63');
export const objectIdSchema = z
  .string()
  .regex(/^[0-9a-f]{64}$/, 'the 64 hexadecimal digits of a SHA-256');
export const fieldNameSchema = z
  .string()
  .regex(/^[A-Za-z_]\w{0,62}$/, 'a field name: letters, digits and "_", at most 63');

/** Records that travel inside a job spec; more of them go through a parameter set. */
export const INLINE_RECORDS_MAX = 10_000;
/** Files laid into one task: those of a whole fan-out, gathered. */
const INPUTS_MAX = 100_000;

/** A resource of any name; those of Kubernetes have a domain before them, such as nvidia.com/gpu. */
const resourceNameSchema = z
  .string()
  .max(317)
  .regex(
    /^([a-z0-9][a-z0-9.-]{0,251}\/)?[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/,
    'letters, digits, ".", "_" and "-", at most 63, behind a domain if any',
  );

/** Of an agent, which may be a whole cluster of thousands of nodes. */
export const resourcesSchema = z.strictObject({
  /** Thousandths of a core. */
  cpuMillis: count.default(DEFAULT_RESOURCES.cpuMillis),
  memoryBytes: count.default(DEFAULT_RESOURCES.memoryBytes),
  scratchBytes: count.default(DEFAULT_RESOURCES.scratchBytes),
  /** Size of /dev/shm. */
  shmBytes: count.default(DEFAULT_RESOURCES.shmBytes),
  gpuCount: count.default(0),
  /** Any other countable resource by name, such as licences. */
  countable: z.record(resourceNameSchema, count).default({}),
});

/** What a task asks for on one node; an agent's capacity may hold zeros, a request may not. */
export const requestSchema = resourcesSchema.extend({
  cpuMillis: z.number().int().min(1).max(1_024_000).default(DEFAULT_RESOURCES.cpuMillis),
  memoryBytes: count.min(1_048_576).default(DEFAULT_RESOURCES.memoryBytes),
  gpuCount: z.number().int().min(0).max(10_000).default(0),
  countable: z.record(resourceNameSchema, z.number().int().min(1).max(INT32_MAX)).default({}),
});

export const retrySchema = z.strictObject({
  /** Counted new attempts after the first. */
  limit: z.number().int().min(0).max(100).default(DEFAULT_RETRY.limit),
  /** Kinds of end that are retried; empty: every failure. */
  on: z.array(z.enum(OUTCOME_KINDS)).max(20).default([]),
  /** Of exit_code, only these; empty: all. */
  exitCodes: z.array(z.number().int().min(1).max(255)).max(255).default([]),
  /** Of signal, only these; empty: all. */
  signals: z.array(z.number().int().min(1).max(64)).max(64).default([]),
  backoffMs: count.default(DEFAULT_RETRY.backoffMs),
  backoffMsMax: count.default(DEFAULT_RETRY.backoffMsMax),
  /** Memory of the next attempt after out-of-memory, as a multiple. */
  memoryFactor: z.number().min(1).max(16).default(DEFAULT_RETRY.memoryFactor),
  /** Up to this; 0: memory stays as it is. */
  memoryBytesMax: count.default(0),
});

const rangesSchema = z
  .array(z.strictObject({ from: index, to: index, step: z.number().int().min(1).max(INT32_MAX) }))
  .min(1)
  .max(1000);

const rangeArraySchema = z.strictObject({ kind: z.literal('range'), ranges: rangesSchema });

/** As submitted: records of named fields stand in the spec or in a parameter set. */
export const arraySchema = z.discriminatedUnion('kind', [
  rangeArraySchema,
  z.strictObject({
    kind: z.literal('records'),
    /** One record for each task; the first is index 0. All have the same fields. */
    records: z
      .array(z.record(fieldNameSchema, text(65_536)))
      .min(1)
      .max(INLINE_RECORDS_MAX),
  }),
  z.strictObject({ kind: z.literal('parameter_set'), parameterSetId: index }),
]);

/** As kept: records are in the parameter set, however they came. */
export const storedArraySchema = z.discriminatedUnion('kind', [
  rangeArraySchema,
  z.strictObject({
    kind: z.literal('parameter_set'),
    parameterSetId: index,
    recordCount: z.number().int().min(1),
    fieldNames: z.array(fieldNameSchema),
  }),
]);

/** A file laid into the task's working directory before it starts. */
export const inputSchema = z.strictObject({
  /** Path inside the working directory; may contain placeholders. */
  path: text(1024).min(1),
  /** The object, or a placeholder of a field that holds it. */
  object: z.union([objectIdSchema, z.string().regex(/^\{\w{1,63}\}$/, 'an object or {field}')]),
});

/** One task on several pods, which start together or not at all; its resources are those of each. */
export const gangSchema = z.strictObject({
  nodes: z.number().int().min(1).max(1024),
  /** Processes that an MPI launcher starts on each. */
  ranksPerNode: z.number().int().min(1).max(1024).default(1),
});
export type Gang = z.output<typeof gangSchema>;

/** Run when the task is to go, before its program hears of it; what it writes can be an output. */
export const checkpointSchema = z.strictObject({
  /** Program and arguments; no shell reads them. */
  argv: z.array(text(131_072)).min(1).max(1000),
  /** It is left behind after this. */
  timeMs: z.number().int().min(1).max(3_600_000).default(30_000),
});
export type Checkpoint = z.output<typeof checkpointSchema>;

const CONTAINER_ONLY = {
  checkpoint: 'only tasks in containers have one',
  gang: 'only tasks in containers have several nodes',
} as const;

/** What only the runner in a container does, and is asked for without one. */
export function withoutContainer(
  asked: Readonly<Record<string, unknown>>,
): { readonly where: string; readonly what: string }[] {
  if (asked['container'] !== undefined) return [];
  return Object.entries(CONTAINER_ONLY)
    .filter(([where]) => asked[where] !== undefined)
    .map(([where, why]) => ({ where, what: `${why}; name an image in "container"` }));
}

const spec = z.strictObject({
  name: text(NAME_LENGTH_MAX).min(1).default('job'),
  project: nameSchema.default('default'),
  queue: nameSchema.default('default'),
  /** Higher goes first within a queue. */
  priority: z.number().int().min(-1000).max(1000).default(0),
  labels: z.record(nameSchema, text(256)).default({}),
  /** Program and arguments; no shell reads them. */
  argv: z.array(text(131_072)).min(1).max(10_000),
  env: z
    .record(z.string().regex(/^[A-Za-z_]\w{0,254}$/, 'a variable name'), text(131_072))
    .default({}),
  array: arraySchema.default({ kind: 'range', ranges: [{ from: 0, to: 0, step: 1 }] }),
  /** At most this many tasks held at once; absent: no limit. */
  parallelMax: z.number().int().min(1).max(INT32_MAX).optional(),
  resources: requestSchema.prefault({}),
  /** Absent: the program is one of the agent's machine. */
  container: containerSchema.optional(),
  /** Needs a container. */
  gang: gangSchema.optional(),
  /** Only this agent, by its id; absent: any that can. */
  cluster: nameSchema.optional(),
  /** 0: none. */
  timeLimitMs: count.default(0),
  graceMs: z.number().int().min(0).max(3_600_000).default(10_000),
  /** Of tasks in containers only. */
  checkpoint: checkpointSchema.optional(),
  inputs: z.array(inputSchema).max(INPUTS_MAX).default([]),
  /** Globs below the working directory. */
  outputs: z.array(text(1024).min(1)).max(1000).default([]),
  /** Every output object of these jobs is laid under `PATH/INDEX/` in the working directory. */
  inputsFromJobs: z
    .array(z.strictObject({ jobId: index, path: nameSchema }))
    .max(100)
    .default([]),
  after: z
    .array(
      z.strictObject({
        jobId: index,
        on: z.enum(['ok', 'any']),
        /** Task by task: the n-th task waits for the n-th of the other array, of equal size. */
        each: z.boolean().default(false),
      }),
    )
    .max(100)
    .default([])
    .refine((list) => list.filter((one) => one.each).length <= 1, 'at most one with "each"'),
  retry: retrySchema.prefault({}),
  idempotencyKey: text(200).min(1).optional(),
});

export const jobSpecSchema = spec;
export type JobSpecInput = z.input<typeof jobSpecSchema>;
export type SubmittedJobSpec = z.output<typeof jobSpecSchema>;

/** Where a run's step stands in line; the platform says it, not a user. */
const place = z.strictObject({
  sinceMs: z.number().describe('the beginning of its run'),
  remainingMs: z.number().describe('the longest way from it to the end of the run'),
  predictedMs: z.number().optional().describe('of one task, when the workflow says it'),
});
export const storedJobSpecSchema = spec.extend({
  array: storedArraySchema,
  place: place.optional(),
  inputBytes: count.optional().describe('of the inputs of one task, a mean; of jobs in containers'),
});
/** A job's spec as the engine, the store and the API's answers hold it. */
export type JobSpec = z.output<typeof storedJobSpecSchema>;
