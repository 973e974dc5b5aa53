import { DEFAULT_RESOURCES, DEFAULT_RETRY, OUTCOME_KINDS, TASK_COUNT_MAX } from '@majorana/core';
import { z } from 'zod';

const count = z.number().int().min(0);
const name = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/, 'letters, digits, ".", "_" and "-", at most 63');
const sha256 = z.string().regex(/^[0-9a-f]{64}$/, 'the 64 hexadecimal digits of a SHA-256');

export const resourcesSchema = z.strictObject({
  cpuMillis: z.number().int().min(1).max(1_024_000).default(DEFAULT_RESOURCES.cpuMillis),
  memoryBytes: z.number().int().min(1_048_576).default(DEFAULT_RESOURCES.memoryBytes),
  scratchBytes: count.default(DEFAULT_RESOURCES.scratchBytes),
  shmBytes: count.default(DEFAULT_RESOURCES.shmBytes),
  gpuCount: count.default(0),
  countable: z.record(name, z.number().int().min(1)).default({}),
});

export const retrySchema = z.strictObject({
  limit: z.number().int().min(0).max(100).default(DEFAULT_RETRY.limit),
  on: z.array(z.enum(OUTCOME_KINDS)).default([]),
  exitCodes: z.array(z.number().int().min(1).max(255)).default([]),
  backoffMs: count.default(DEFAULT_RETRY.backoffMs),
  backoffMsMax: count.default(DEFAULT_RETRY.backoffMsMax),
  memoryFactor: z.number().min(1).max(16).default(DEFAULT_RETRY.memoryFactor),
  memoryBytesMax: count.default(0),
});

export const arraySchema = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('range'),
    ranges: z
      .array(z.strictObject({ from: count, to: count, step: z.number().int().min(1) }))
      .min(1)
      .max(1000),
  }),
  z.strictObject({
    kind: z.literal('fields'),
    /** One record of named fields for each task; index 0 is the first. */
    records: z.array(z.record(z.string(), z.string())).min(1).max(TASK_COUNT_MAX),
  }),
]);

/** A file laid into the task's working directory before it starts. */
export const inputSchema = z.strictObject({
  /** Path inside the working directory; may contain placeholders. */
  path: z.string().min(1).max(1024),
  /** The object, or a placeholder of a field that holds it. */
  object: z.union([sha256, z.string().regex(/^\{\w+\}$/)]),
  sizeBytes: count.optional(),
});

export const jobSpecSchema = z.strictObject({
  name: z.string().min(1).max(200).default('job'),
  queue: name.default('default'),
  priority: z.number().int().min(-1000).max(1000).default(0),
  labels: z.record(name, z.string().max(256)).default({}),
  /** Program and arguments; no shell reads them. */
  argv: z.array(z.string().max(131_072)).min(1).max(10_000),
  env: z.record(z.string().regex(/^[A-Za-z_]\w*$/), z.string()).default({}),
  array: arraySchema.default({ kind: 'range', ranges: [{ from: 0, to: 0, step: 1 }] }),
  /** At most this many tasks held at once; absent: no limit. */
  parallelMax: z.number().int().min(1).optional(),
  resources: resourcesSchema.prefault({}),
  timeLimitMs: z.number().int().min(0).default(0),
  graceMs: z.number().int().min(0).max(3_600_000).default(10_000),
  inputs: z.array(inputSchema).max(10_000).default([]),
  /** Globs below the working directory. */
  outputs: z.array(z.string().min(1).max(1024)).max(1000).default([]),
  /** Every output object of these jobs is laid under `NAME/` in the working directory. */
  inputsFromJobs: z
    .array(z.strictObject({ jobId: count, path: name }))
    .max(100)
    .default([]),
  after: z
    .array(z.strictObject({ jobId: count, on: z.enum(['ok', 'any']) }))
    .max(100)
    .default([]),
  retry: retrySchema.prefault({}),
  idempotencyKey: z.string().min(1).max(200).optional(),
});

export type JobSpec = z.output<typeof jobSpecSchema>;
export type JobSpecInput = z.input<typeof jobSpecSchema>;
