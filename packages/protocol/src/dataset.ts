import { z } from 'zod';
import { nameSchema, objectIdSchema } from './job-spec.ts';

const timeMs = z.number().int().describe('milliseconds since 1970, UTC');
const count = z.number().int().min(0);

/** Why a path cannot be one of a dataset; undefined: it can. */
export function wrongPath(path: string): string | undefined {
  if (path === '') return 'it is empty';
  if (path.length > 1024) return 'it is longer than 1024 characters';
  if (path.includes('\0')) return 'it has a NUL character';
  if (path.startsWith('/')) return 'it is absolute';
  const part = path.split('/').find((one) => one === '' || one === '.' || one === '..');
  return part === undefined ? undefined : `it has the part "${part}"`;
}

export const datasetPathSchema = z.string().superRefine((path, context) => {
  const why = wrongPath(path);
  if (why !== undefined) context.addIssue({ code: 'custom', message: `no path: ${why}` });
});

export const datasetFileSchema = z.strictObject({
  path: datasetPathSchema,
  object: objectIdSchema,
  sizeBytes: count.max(Number.MAX_SAFE_INTEGER),
});
export type DatasetFile = z.output<typeof datasetFileSchema>;

export const datasetVersionSchema = z.object({
  version: count.describe('from 1; the number of a removed version is not given again'),
  digest: z.string().describe('SHA-256 of the sorted paths and objects'),
  fileCount: count,
  sizeBytes: count,
  user: z.string().describe('who put it'),
  message: z.string(),
  source: z.string().nullable().describe('job_3, run_2 or run_2/STEP; null: files of a person'),
  createdAtMs: timeMs,
});
export type DatasetVersionView = z.output<typeof datasetVersionSchema>;

export const datasetSchema = z.object({
  name: nameSchema,
  project: z.string(),
  owner: z.string(),
  description: z.string(),
  createdAtMs: timeMs,
  latestVersion: count.nullable().describe('null: all its versions were removed'),
  fileCount: count.describe('of the latest version'),
  sizeBytes: count,
});
export type DatasetView = z.output<typeof datasetSchema>;

const next = z.string().nullable().describe('value of `cursor` for the next page');
export const datasetPageSchema = z.object({ datasets: z.array(datasetSchema), next });
export type DatasetPage = z.output<typeof datasetPageSchema>;
export const datasetDetailSchema = datasetSchema.extend({
  versions: z.array(datasetVersionSchema).describe('the latest first'),
  next: count.nullable().describe('value of `before` for the next page of versions'),
});
export type DatasetDetail = z.output<typeof datasetDetailSchema>;
export const datasetFilesSchema = z.object({
  version: datasetVersionSchema,
  files: z.array(datasetFileSchema),
  next,
});
export type DatasetFiles = z.output<typeof datasetFilesSchema>;

const fileOrNull = { object: objectIdSchema.nullable(), bytes: count.nullable() };
export const datasetDifferenceSchema = z.object({
  path: z.string(),
  change: z.enum(['added', 'removed', 'changed']),
  before: fileOrNull.object,
  now: fileOrNull.object,
  beforeBytes: fileOrNull.bytes,
  nowBytes: fileOrNull.bytes,
});
export type DatasetDifference = z.output<typeof datasetDifferenceSchema>;
export const datasetDiffSchema = z.object({
  from: datasetVersionSchema,
  to: datasetVersionSchema,
  differences: z.array(datasetDifferenceSchema),
  next,
});
export type DatasetDiff = z.output<typeof datasetDiffSchema>;

const aboutVersion = {
  message: z
    .string()
    .max(4096)
    .regex(/^[^\0]*$/, 'no NUL character')
    .default(''),
  description: z
    .string()
    .max(4096)
    .regex(/^[^\0]*$/, 'no NUL character')
    .optional()
    .describe('of the dataset; absent: as it was'),
};
export const datasetPutQuerySchema = z.object({
  project: nameSchema.optional(),
  ...aboutVersion,
});
export type DatasetPut = z.input<typeof datasetPutQuerySchema>;
export const datasetCopyRequestSchema = z.strictObject({
  source: z
    .string()
    .max(1100)
    .regex(/^(job_\d{1,10}|run_\d{1,9}(\/[^\0]+)?)$/, 'job_3, run_2, run_2/STEP or run_2/STEP/FILE')
    .describe('outputs of a job, or of a run or one of its steps'),
  ...aboutVersion,
});
export const datasetPutAnswerSchema = datasetVersionSchema.extend({
  isNew: z.boolean().describe('false: the latest version has the same content'),
});
export type DatasetPutAnswer = z.output<typeof datasetPutAnswerSchema>;

export const datasetRemovalSchema = z.object({
  versions: z.array(count),
  objectCount: count,
  keptCount: count.describe('objects that other versions, results or inputs of jobs still name'),
  freedBytes: count.describe('of the others; the next sweep frees them'),
});
export type DatasetRemoval = z.output<typeof datasetRemovalSchema>;

export const objectListSchema = z.strictObject({ objects: z.array(objectIdSchema).max(1000) });
