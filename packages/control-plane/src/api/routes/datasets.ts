import { Readable } from 'node:stream';
import type { DatasetFile, DatasetPutAnswer, DatasetRemoval } from '@majorana/protocol';
import {
  datasetCopyRequestSchema,
  datasetDetailSchema,
  datasetDiffSchema,
  datasetFilesSchema,
  datasetPageSchema,
  datasetPathSchema,
  datasetPutAnswerSchema,
  datasetPutQuerySchema,
  datasetRemovalSchema,
  nameSchema,
} from '@majorana/protocol';
import type { DatasetRecord, DatasetVersionRecord, NewVersion } from '@majorana/store';
import { DatasetContentError } from '@majorana/store';
import type { FastifyRequest } from 'fastify';
import { z } from 'zod';
import type { Api, ApiContext } from '../context.ts';
import { findJob, INT32_MAX, limitSchema } from '../context.ts';
import { readCursor, writeCursor } from '../cursor.ts';
import { jobFiles, sentFiles, storedFiles } from '../dataset-files.ts';
import { ProblemError } from '../problem.ts';
import { projectOf } from '../project.ts';
import { findRun, runFilesOf } from './workflows.ts';

const nameParams = z.object({ name: nameSchema });
const versionNumber = z.coerce.number().int().min(1).max(INT32_MAX);
const projectQuery = {
  project: nameSchema.optional().describe("default: the token's, or default"),
};
const pageQuery = {
  cursor: z.string().max(8192).optional().describe('`next` of the page before'),
  limit: limitSchema,
};
const textCursor = z.object({ after: z.string() });
const readAfter = (cursor: string | undefined): string =>
  readCursor(textCursor, cursor)?.after ?? '';
const nextOf = <T>(page: readonly T[], limit: number, key: (last: T) => string): string | null =>
  page.length < limit ? null : writeCursor({ after: key(page.at(-1)!) });

interface Named {
  readonly name: string;
  readonly project: string | undefined;
}

export async function findDataset(
  context: ApiContext,
  request: FastifyRequest,
  { name, project: named }: Named,
): Promise<DatasetRecord> {
  const project = await projectOf(context, request, named);
  const found = await context.datasets.find(project, name);
  if (found !== undefined) return found;
  throw new ProblemError(404, 'not_found', `there is no dataset ${name} in project ${project}`);
}

export async function findVersion(
  context: ApiContext,
  dataset: DatasetRecord,
  wanted: number | undefined,
): Promise<DatasetVersionRecord> {
  const number = wanted ?? dataset.latestVersion;
  const found =
    number === null ? undefined : await context.datasets.version(dataset.datasetId, number);
  if (found !== undefined) return found;
  const latest = dataset.latestVersion;
  const what = latest === null ? 'has no version' : `has no version ${number}; latest: ${latest}`;
  throw new ProblemError(404, 'not_found', `${dataset.name} ${what}`);
}

async function put(
  { datasets }: ApiContext,
  version: NewVersion,
  files: AsyncIterable<readonly DatasetFile[]>,
): Promise<DatasetPutAnswer> {
  try {
    const { version: made, isNew } = await datasets.put(version, files, Date.now());
    return { ...made, isNew };
  } catch (error) {
    if (!(error instanceof DatasetContentError)) throw error;
    throw new ProblemError(422, 'bad_dataset', error.message);
  }
}

/** The outputs that a source names, of the dataset's own project. */
async function sourceFiles(
  context: ApiContext,
  request: FastifyRequest,
  { source, project }: { readonly source: string; readonly project: string },
): Promise<AsyncIterable<DatasetFile> | readonly DatasetFile[]> {
  const slash = source.indexOf('/');
  const id = slash < 0 ? source : source.slice(0, slash);
  const refuse = (): never => {
    throw new ProblemError(422, 'bad_dataset', `${id} is not of the project ${project}`);
  };
  if (id.startsWith('job_')) {
    const job = await findJob(context, request, id);
    return job.spec.project === project ? jobFiles(context, job) : refuse();
  }
  const run = await findRun(context, request, id);
  if (run.project !== project) refuse();
  return runFilesOf(context, run, slash < 0 ? undefined : source.slice(slash + 1));
}

function addPuts(app: Api, context: ApiContext): void {
  app.post(
    '/api/v1/datasets/:name/versions',
    {
      schema: {
        summary: 'A version more, of files given one JSON object a line: path, object, sizeBytes',
        params: nameParams,
        querystring: datasetPutQuerySchema,
        consumes: ['application/x-ndjson'],
        response: { 201: datasetPutAnswerSchema },
      },
    },
    async (request, reply) => {
      const { project: named, message, description } = request.query;
      const project = await projectOf(context, request, named);
      const { body } = request;
      if (!(body instanceof Readable)) {
        throw new ProblemError(415, 'unsupported_media_type', 'send application/x-ndjson');
      }
      const { user } = request.access;
      const about = { project, ...request.params, user, message, description, source: null };
      const made = await put(context, about, storedFiles(context, sentFiles(body)));
      request.log.info(
        { dataset: about.name, project, user, version: made.version },
        'dataset put',
      );
      return reply.code(201).send(made);
    },
  );
  app.post(
    '/api/v1/datasets/:name/copies',
    {
      schema: {
        summary: 'A version more, of the outputs of a job or a run; no bytes move',
        params: nameParams,
        querystring: z.object(projectQuery),
        body: datasetCopyRequestSchema,
        response: { 201: datasetPutAnswerSchema },
      },
    },
    async (request, reply) => {
      const project = await projectOf(context, request, request.query.project);
      const { user } = request.access;
      const about = { project, ...request.params, user, description: undefined, ...request.body };
      const files = await sourceFiles(context, request, about);
      const made = await put(context, about, storedFiles(context, files));
      request.log.info(
        { dataset: about.name, project, user, version: made.version },
        'dataset put',
      );
      return reply.code(201).send(made);
    },
  );
}

function addReads(app: Api, context: ApiContext): void {
  const { datasets } = context;
  app.get(
    '/api/v1/datasets',
    {
      schema: {
        summary: 'Datasets by project and name',
        querystring: z.object({ ...projectQuery, ...pageQuery }),
        response: { 200: datasetPageSchema },
      },
    },
    async (request) => {
      const { project, cursor, limit } = request.query;
      const visible = request.access.project ?? project;
      const page = await datasets.list(readAfter(cursor), limit, visible);
      const key = (last: DatasetRecord): string => `${last.project}/${last.name}`;
      return { datasets: page, next: nextOf(page, limit, key) };
    },
  );
  app.get(
    '/api/v1/datasets/:name',
    {
      schema: {
        summary: 'One dataset, with its versions, the latest first',
        params: nameParams,
        querystring: z.object({
          ...projectQuery,
          before: versionNumber.default(INT32_MAX),
          limit: limitSchema,
        }),
        response: { 200: datasetDetailSchema },
      },
    },
    async (request) => {
      const { project, before, limit } = request.query;
      const dataset = await findDataset(context, request, { ...request.params, project });
      const versions = await datasets.versions(dataset.datasetId, before, limit);
      const next = versions.length < limit ? null : versions.at(-1)!.version;
      return { ...dataset, versions, next };
    },
  );
}

function addFiles(app: Api, context: ApiContext): void {
  const { datasets } = context;
  app.get(
    '/api/v1/datasets/:name/files',
    {
      schema: {
        summary: 'Files of a version by path',
        params: nameParams,
        querystring: z.object({
          ...projectQuery,
          ...pageQuery,
          version: versionNumber.optional().describe('default: the latest'),
          path: datasetPathSchema.optional().describe('only this file, or what is in this folder'),
        }),
        response: { 200: datasetFilesSchema },
      },
    },
    async (request) => {
      const { project, cursor, limit, version: wanted, path } = request.query;
      const dataset = await findDataset(context, request, { ...request.params, project });
      const version = await findVersion(context, dataset, wanted);
      const files = await datasets.files(version.versionId, readAfter(cursor), limit, path);
      const next = nextOf(files, limit, (last) => last.path);
      return { version, files, next };
    },
  );
  app.get(
    '/api/v1/datasets/:name/diff',
    {
      schema: {
        summary: 'Files that two versions do not have in common, by path',
        params: nameParams,
        querystring: z.object({
          ...projectQuery,
          ...pageQuery,
          from: versionNumber,
          to: versionNumber,
          toName: nameSchema.optional().describe('another dataset of the project'),
        }),
        response: { 200: datasetDiffSchema },
      },
    },
    async (request) => {
      const { project, cursor, limit, toName = request.params.name } = request.query;
      const before = await findDataset(context, request, { ...request.params, project });
      const now = await findDataset(context, request, { name: toName, project });
      const from = await findVersion(context, before, request.query.from);
      const to = await findVersion(context, now, request.query.to);
      const after = readAfter(cursor);
      const differences = await datasets.differences(from.versionId, to.versionId, after, limit);
      const next = nextOf(differences, limit, (last) => last.path);
      return { from, to, differences, next };
    },
  );
}

const removalQuery = z.object({
  ...projectQuery,
  dryRun: z.enum(['true', 'false']).default('false').describe('true: only say what it would do'),
});

async function remove(
  context: ApiContext,
  request: FastifyRequest & { readonly query: z.output<typeof removalQuery> },
  name: string,
  wanted: number | undefined,
): Promise<DatasetRemoval> {
  const { project, dryRun } = request.query;
  const { datasetId } = await findDataset(context, request, { name, project });
  await context.lineage.catchUp();
  const found = await context.datasets.removal(datasetId, wanted);
  const report = { ...found, versions: [...found.versions] };
  if (wanted !== undefined && report.versions.length === 0) {
    throw new ProblemError(404, 'not_found', `${name} has no version ${wanted}`);
  }
  if (dryRun === 'true') return report;
  await context.datasets.remove(datasetId, wanted);
  const { user } = request.access;
  request.log.info({ dataset: name, user, versions: report.versions }, 'dataset removed');
  return report;
}

function addRemovals(app: Api, context: ApiContext): void {
  app.delete(
    '/api/v1/datasets/:name',
    {
      schema: {
        summary: 'Remove a dataset with all its versions; says what of it is kept by others',
        params: nameParams,
        querystring: removalQuery,
        response: { 200: datasetRemovalSchema },
      },
    },
    (request) => remove(context, request, request.params.name, undefined),
  );
  app.delete(
    '/api/v1/datasets/:name/versions/:version',
    {
      schema: {
        summary: 'Remove one version; its number is not given again',
        params: nameParams.extend({ version: versionNumber }),
        querystring: removalQuery,
        response: { 200: datasetRemovalSchema },
      },
    },
    (request) => remove(context, request, request.params.name, request.params.version),
  );
}

export function addDatasetRoutes(app: Api, context: ApiContext): void {
  addPuts(app, context);
  addReads(app, context);
  addFiles(app, context);
  addRemovals(app, context);
}
