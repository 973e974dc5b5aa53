import { OUTCOME_KINDS, TASK_STATES } from '@majorana/core';
import { z } from 'zod';
import { artifactSchema } from './agent-messages.ts';
import { fieldNameSchema, nameSchema, resourcesSchema, storedJobSpecSchema } from './job-spec.ts';

/** What the HTTP API answers. The server checks with these, OpenAPI is made of them, the client is typed by them. */

const count = z.number().int();
const timeMs = z.number().int().describe('milliseconds since 1970, UTC');
const bytes = z.number().int().min(0);
const state = z.enum(TASK_STATES);

export const JOB_STATES = [
  'pending',
  'queued',
  'running',
  'succeeded',
  'failed',
  'cancelled',
] as const;

export const countsSchema = z.record(state, z.number().int());

export const jobViewSchema = z.object({
  id: z.string().describe('job_42'),
  name: z.string(),
  project: z.string(),
  queue: z.string(),
  priority: z.number().int(),
  labels: z.record(z.string(), z.string()),
  state: z.enum(JOB_STATES),
  taskCount: z.number().int(),
  counts: countsSchema,
  submittedAtMs: timeMs,
  endedAtMs: timeMs.nullable(),
});
export type JobView = z.output<typeof jobViewSchema>;

export const jobDetailSchema = jobViewSchema.extend({ spec: storedJobSpecSchema });
export type JobDetail = z.output<typeof jobDetailSchema>;

export const jobPageSchema = z.object({
  jobs: z.array(jobViewSchema),
  next: z.number().int().nullable().describe('value of `before` for the next page'),
});

export const taskViewSchema = z.object({
  id: z.string().describe('job_42.17'),
  index: z.number().int(),
  state,
  attemptNumber: z.number().int().describe('0: never leased'),
  retryCount: z.number().int(),
  agentId: z.string().nullable(),
  exitCode: z.number().int().nullable(),
  reason: z.string().describe('of the last transition; empty when there was none'),
  sinceMs: timeMs.describe('when it came into this state'),
});
export type TaskView = z.output<typeof taskViewSchema>;

export const taskPageSchema = z.object({
  tasks: z.array(taskViewSchema),
  next: z.string().nullable().describe('value of `cursor` for the next page'),
});
export type TaskPage = z.output<typeof taskPageSchema>;

export const artifactViewSchema = artifactSchema.extend({
  taskId: z.string(),
  taskIndex: z.number().int(),
  attemptNumber: z.number().int(),
});
export type ArtifactView = z.output<typeof artifactViewSchema>;
export const artifactPageSchema = z.object({
  artifacts: z.array(artifactViewSchema),
  next: z.string().nullable().describe('value of `cursor` for the next page'),
});
export type ArtifactPage = z.output<typeof artifactPageSchema>;

export const attemptViewSchema = z.object({
  id: z.string().describe('job_42.17.2'),
  agentId: z.string(),
  queuedAtMs: timeMs,
  leasedAtMs: timeMs,
  waitedFor: z.string().describe('what kept it waiting; empty: nothing'),
  startedAtMs: timeMs.nullable(),
  endedAtMs: timeMs.nullable(),
  outcome: z.enum(OUTCOME_KINDS).nullable(),
  exitCode: z.number().int().nullable(),
  signal: z.number().int().nullable(),
  reason: z.string().nullable(),
  peakMemoryBytes: bytes.nullable(),
  cpuTimeMs: z.number().int().nullable(),
});
export type AttemptView = z.output<typeof attemptViewSchema>;

export const transitionViewSchema = z.object({
  sequence: z.number().int(),
  taskId: z.string(),
  atMs: timeMs,
  fromState: state,
  toState: state,
  attemptNumber: z.number().int(),
  reason: z.string(),
});
export type TransitionView = z.output<typeof transitionViewSchema>;

/** Why a task waits or how it ended: a sentence, and the data it was made of. */
export const explanationSchema = z.object({
  sentence: z.string(),
  tasksAhead: z.number().int().optional().describe('waiting tasks that go first'),
  shortages: z
    .array(
      z.object({
        resource: z.string(),
        requested: z.number(),
        available: z.number(),
        agentCount: z.number().int().describe('agents that have too little of it'),
      }),
    )
    .optional(),
  waitsForJobs: z.array(z.string()).optional(),
  notBeforeMs: timeMs.optional(),
  estimatedStartMs: timeMs
    .optional()
    .describe(
      'when it would start as things go now; absent while nothing has ended to judge by, no cluster that takes leases could run it, or it is much larger than all that runs',
    ),
  costs: z
    .array(
      z.object({
        agentId: z.string(),
        cost: z.number().describe('expected, in the currency of the prices'),
        dataCost: z.number().describe('of that, for bringing data there and back'),
        dataBytes: count.describe('expected, of its inputs and results'),
      }),
    )
    .optional()
    .describe('of clusters with a price where it may run, the least first'),
});
export type Explanation = z.output<typeof explanationSchema>;

export const taskDetailSchema = z.object({
  task: taskViewSchema,
  explanation: explanationSchema,
  fields: z.record(z.string(), z.string()).describe('what placeholders are filled with'),
  attempts: z.array(attemptViewSchema),
  transitions: z.array(transitionViewSchema),
  artifacts: z.array(artifactViewSchema),
});
export type TaskDetail = z.output<typeof taskDetailSchema>;

export const stateMapSchema = z.object({
  runs: z.array(z.object({ state, count: z.number().int() })),
});

export const failureGroupSchema = z.object({
  reason: z.string(),
  exitCode: z.number().int().nullable(),
  count: z.number().int(),
  firstTaskId: z.string(),
});
export type FailureGroup = z.output<typeof failureGroupSchema>;
export const failuresSchema = z.object({ groups: z.array(failureGroupSchema) });

export const retryRequestSchema = z.strictObject({
  states: z
    .array(z.enum(['failed', 'cancelled', 'succeeded']))
    .min(1)
    .max(3)
    .default(['failed', 'cancelled']),
  /** Only tasks that ended with this exit code. */
  exitCode: z.number().int().min(0).max(255).optional(),
  /** Only tasks that failed with this reason, as /failures tells it. */
  reason: z.string().max(4096).optional(),
});
export type RetryRequest = z.input<typeof retryRequestSchema>;

export const parameterSetSchema = z.object({
  parameterSetId: z.number().int(),
  recordCount: z.number().int(),
  fieldNames: z.array(fieldNameSchema),
});
export type ParameterSetView = z.output<typeof parameterSetSchema>;

export const queueSettingsSchema = z.strictObject({
  /** Share against other queues when all have waiting work. */
  weight: z.number().min(0.001).max(1_000_000).default(1),
  /** At most this many tasks of the queue held at once; absent: no limit. */
  parallelMax: z.number().int().min(0).max(2_147_483_647).optional(),
  /** A paused queue keeps what it has and starts nothing. */
  isPaused: z.boolean().default(false),
});
export type QueueSettings = z.output<typeof queueSettingsSchema>;
export const queueViewSchema = queueSettingsSchema.extend({
  name: nameSchema,
  openJobs: z.number().int(),
  counts: countsSchema.describe('tasks of open jobs by state'),
});
export type QueueView = z.output<typeof queueViewSchema>;

export const agentViewSchema = z.object({
  id: z.string(),
  capacity: resourcesSchema,
  free: resourcesSchema,
  heldCount: z.number().int(),
  lastSeenMs: timeMs,
});
export type AgentView = z.output<typeof agentViewSchema>;

/** Each may do what the ones before it may; only `agent` may exchange, as the agent of its name. */
export const ROLES = ['viewer', 'member', 'operator', 'admin', 'agent'] as const;
export type Role = (typeof ROLES)[number];
export const tokenRequestSchema = z.strictObject({
  user: nameSchema,
  role: z.enum(ROLES).default('member'),
  /** The role holds in this project only; absent: in all. */
  project: nameSchema.optional(),
});
export type TokenRequest = z.input<typeof tokenRequestSchema>;
export const tokenViewSchema = z.object({
  id: z.number().int(),
  user: z.string(),
  role: z.enum(ROLES),
  project: z.string().nullable(),
  createdAtMs: timeMs,
});
export type TokenView = z.output<typeof tokenViewSchema>;
export const madeTokenSchema = tokenViewSchema.extend({ token: z.string() });
export type MadeToken = z.output<typeof madeTokenSchema>;

export const storedObjectSchema = z.object({ object: z.string(), sizeBytes: bytes });

export const uploadStateSchema = z.object({
  offsetBytes: bytes.describe('so much is here; the next piece begins there'),
  isStored: z.boolean().describe('the object is there, whole'),
});
export type UploadState = z.infer<typeof uploadStateSchema>;

export const problemSchema = z.object({
  type: z.string().describe('urn:majorana:CODE'),
  title: z.string().describe('the code'),
  status: z.number().int(),
  detail: z.string().describe('what is wrong, where, and what to do'),
  issues: z.array(z.object({ where: z.string(), what: z.string() })),
});
