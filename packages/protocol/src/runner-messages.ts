import { z } from 'zod';
import { artifactSchema, LOG_STREAMS, TIME_MS_MAX } from './agent-messages.ts';
import { gangSchema, objectIdSchema } from './job-spec.ts';

/**
 * What a runner and the control plane say to each other: `runner/` (Go) has the other half. Every
 * request may be repeated, and nothing but `uploads` and `objects` is needed once the program runs.
 */
const timeMs = z.number().int().min(0).max(TIME_MS_MAX);
const bytes = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER);

export const runnerTaskSchema = z.object({
  attemptId: z.string(),
  argv: z.array(z.string()),
  /** The task's and the job's variables; the runner adds what depends on its folders. */
  env: z.record(z.string(), z.string()),
  inputs: z.array(
    z.object({
      path: z.string(),
      object: objectIdSchema,
      url: z.string().optional().describe('where to get it; absent: from this API'),
      headers: z.record(z.string(), z.string()).optional(),
    }),
  ),
  outputs: z.array(z.string()).describe('globs below the working directory'),
  memoryBytes: bytes.describe('what the processes of the task may hold together'),
  timeLimitMs: timeMs.describe('0: none'),
  graceMs: timeMs.describe('from TERM to KILL'),
  checkpoint: z
    .object({ argv: z.array(z.string()), timeMs })
    .optional()
    .describe('run when the pod is to go, before the program hears of it'),
  gang: gangSchema.optional().describe('it has several pods, each with a runner'),
});
export type RunnerTask = z.output<typeof runnerTaskSchema>;

/** Of one question; a runner with more asks again. */
export const RUNNER_UPLOADS_MAX = 1000;

const storedSchema = z.strictObject({ object: objectIdSchema, sizeBytes: bytes });

export const runnerUploadsSchema = z.strictObject({
  objects: z.array(storedSchema).max(RUNNER_UPLOADS_MAX),
});

export const runnerUploadTargetsSchema = z.object({
  uploads: z.array(
    z.object({
      object: objectIdSchema,
      isStored: z.boolean().describe('nothing has to be sent'),
      url: z.string().optional().describe('where to put it; absent: to this API'),
      headers: z.record(z.string(), z.string()).optional().describe('to be sent as they are'),
    }),
  ),
});
export type RunnerUploadTargets = z.output<typeof runnerUploadTargetsSchema>;

/** Base64 makes 4 of 3 bytes: a chunk of 1 MiB. */
export const RUNNER_LOG_BYTES_MAX = 1024 * 1024;

export const runnerLinkSchema = z.strictObject({
  state: z.enum(['staging', 'running', 'storing']),
  usage: z.strictObject({ memoryBytes: bytes, peakMemoryBytes: bytes, cpuTimeMs: timeMs }),
  logChunks: z
    .array(z.strictObject({ requestId: z.string().max(64), dataBase64: z.base64().max(1_500_000) }))
    .max(100),
  /** How long the server may hold the answer when it has nothing to say. */
  waitMs: z.number().int().min(0).max(60_000),
});
export type RunnerLink = z.output<typeof runnerLinkSchema>;

export const runnerOrdersSchema = z.object({
  isToEnd: z.boolean().describe('a user has cancelled it'),
  logRequests: z.array(
    z.object({
      requestId: z.string(),
      stream: z.enum(LOG_STREAMS),
      offset: bytes,
      bytesMax: bytes,
    }),
  ),
});
export type RunnerOrders = z.output<typeof runnerOrdersSchema>;

/** A worker says where it listens, and again when it is answered; the head, of rank 0, asks where all do. */
export const runnerGangNewsSchema = z.strictObject({
  nodeRank: z.number().int().min(0).max(1023),
  address: z
    .string()
    .regex(/^[0-9A-Za-z.:[\]%-]{1,128}$/, 'HOST:PORT')
    .optional(),
  /** How long the server may hold the answer when not all have said theirs. */
  waitMs: z.number().int().min(0).max(60_000),
});
export type RunnerGangNews = z.output<typeof runnerGangNewsSchema>;

export const runnerGangAnswerSchema = z.object({
  addresses: z
    .array(z.string())
    .optional()
    .describe('for the head: by rank, its own empty; absent until all have said theirs'),
});
export type RunnerGangAnswer = z.output<typeof runnerGangAnswerSchema>;

export const exitRecordSchema = z.object({
  exitCode: z.number().int().min(0).max(255).optional(),
  signal: z.number().int().min(1).max(64).optional(),
  error: z.string().optional(),
  endedBy: z.enum(['cancel', 'term', 'time_limit', 'memory']).optional(),
  isOutOfMemory: z.boolean(),
  peakMemoryBytes: bytes,
  cpuTimeMs: timeMs,
  startedAtMs: timeMs,
  endedAtMs: timeMs,
  leftoverCount: z.number().int().min(0),
});

/** The termination message of a pod: less than 4096 bytes, or the kubelet cuts it. */
export const runnerEndSchema = z.discriminatedUnion('kind', [
  z.object({
    version: z.literal(1),
    kind: z.literal('ended'),
    attemptId: z.string(),
    exit: exitRecordSchema,
    /** Why its results are not all stored. */
    unstored: z.string().optional(),
    /** It is for the end of its pod, and might be stored another time. */
    isCutOff: z.boolean().optional(),
    /** Neither: none was stored. */
    artifacts: z.array(artifactSchema).optional(),
    manifest: storedSchema.optional(),
  }),
  z.object({
    version: z.literal(1),
    kind: z.enum(['not_started', 'fenced']),
    attemptId: z.string(),
    reason: z.string(),
  }),
]);
export type RunnerEnd = z.output<typeof runnerEndSchema>;

/** A program can write one too, and who reads it holds it: 100,000 files of 100 bytes each fit. */
export const MANIFEST_BYTES_MAX = 24 * 1024 * 1024;
/** The object that a message names when its artifacts do not fit. */
export const runnerManifestSchema = z.object({ artifacts: z.array(artifactSchema).max(100_000) });
