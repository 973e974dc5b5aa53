import { z } from 'zod';
import { artifactSchema } from './agent-messages.ts';

const timeMs = z.number().int().describe('milliseconds since 1970, UTC');
const count = z.number().int().min(0);
const texts = z.record(z.string(), z.string());

export const lineageObjectSchema = z.object({
  kind: z.literal('object'),
  id: z.string().describe('SHA-256 of its content'),
  sizeBytes: count.nullable(),
  dataset: z.string().nullable().describe('NAME@3/PATH that holds it'),
  makerCount: count.describe(
    'attempts that stored the same content, up to 100; 0: it was uploaded',
  ),
});
export type LineageObject = z.output<typeof lineageObjectSchema>;

export const lineageTaskSchema = z.object({
  kind: z.literal('task'),
  id: z.string().describe('job_42.17.2, an attempt; or job_42: all its tasks read the file'),
  name: z.string(),
  taskCount: count.describe('1, or that of the job'),
  argv: z.array(z.string()).describe('program and arguments'),
  image: z.string().nullable().describe('of its container; null: it had none'),
  env: texts,
  parameters: texts.describe('what placeholders were filled with'),
  tools: texts.describe('versions that the step of a workflow declares'),
  step: z.string().nullable().describe('run_7/search: the step of a workflow that it was'),
  agentId: z.string().nullable().describe('where'),
  startedAtMs: timeMs.nullable(),
  endedAtMs: timeMs.nullable(),
  outcome: z.string().nullable(),
  inputCount: count,
  isCut: z.boolean().describe('more inputs or outputs than are told'),
});
export type LineageTask = z.output<typeof lineageTaskSchema>;

export const lineageDatasetSchema = z.object({
  kind: z.literal('dataset'),
  id: z.string().describe('NAME@3'),
  user: z.string().describe('who put it'),
  message: z.string(),
  source: z.string().nullable(),
  createdAtMs: timeMs,
  fileCount: count,
  isCut: z.boolean(),
});
export type LineageDataset = z.output<typeof lineageDatasetSchema>;

export const lineageNodeSchema = z.discriminatedUnion('kind', [
  lineageObjectSchema,
  lineageTaskSchema,
  lineageDatasetSchema,
]);
export type LineageNode = z.output<typeof lineageNodeSchema>;

/** What comes from something names it: data flows from `from` to `to`. */
export const lineageEdgeSchema = z.object({
  from: z.string(),
  to: z.string(),
  path: z.string().describe('of the file where it is read or stored'),
  role: z.union([z.enum(['input', 'held']), artifactSchema.shape.role]),
});
export type LineageEdge = z.output<typeof lineageEdgeSchema>;

export const lineageSchema = z.object({
  roots: z.array(z.string()),
  direction: z.enum(['up', 'down']),
  nodes: z.array(lineageNodeSchema),
  edges: z.array(lineageEdgeSchema),
  isCut: z.boolean().describe('the depth or the number of nodes ended it'),
});
export type LineageGraph = z.output<typeof lineageSchema>;

const fileNameAndObject = z.object({ path: z.string(), object: z.string() });
/** What the executions of one step of a run have in common. */
export const runInstanceSchema = z.object({
  path: z.string(),
  stepName: z.string().describe('the path without iterations'),
  argv: z.array(z.string()).describe('placeholders of elements unfilled'),
  tools: texts,
  inputs: z.array(fileNameAndObject).describe('files that all its elements have'),
  elementCount: count,
  reusedCount: count,
});
export type RunInstance = z.output<typeof runInstanceSchema>;
export const runInstancesSchema = z.object({ instances: z.array(runInstanceSchema) });

export const executionSchema = z.object({
  path: z.string().describe('of the step'),
  position: count,
  key: z.string(),
  isReused: z.boolean(),
  isSuccess: z.boolean(),
  argv: z.array(z.string()),
  env: texts,
  parameters: texts,
  inputs: z.array(fileNameAndObject).describe('its own, beside those of its step'),
  outputs: z.array(fileNameAndObject.extend({ sizeBytes: count })),
  attemptId: z.string().nullable().describe('null: its job is not kept, or it never began'),
  agentId: z.string().nullable(),
  startedAtMs: timeMs.nullable(),
  endedAtMs: timeMs.nullable(),
  reason: z.string().nullable(),
  peakMemoryBytes: count.nullable(),
  cpuTimeMs: count.nullable(),
});
export type Execution = z.output<typeof executionSchema>;
export const executionPageSchema = z.object({
  executions: z.array(executionSchema),
  next: z.string().nullable().describe('value of `cursor` for the next page'),
});
export type ExecutionPage = z.output<typeof executionPageSchema>;
