import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import type { DatasetFile } from '@majorana/protocol';
import { datasetFileSchema } from '@majorana/protocol';
import type { JobRecord } from '@majorana/store';
import { taskIndexOf } from '../engine/indexes.ts';
import type { ApiContext } from './context.ts';
import { ProblemError } from './problem.ts';

/** Files looked up together: one request to an object store each. */
const BATCH_FILES = 1000;
const LOOKUPS_AT_ONCE = 32;
const FILES_MAX = 1_000_000;

const refuse = (where: string, what: string): never => {
  throw new ProblemError(422, 'bad_dataset', `${where}: ${what}`, [{ where, what }]);
};

function readFile(line: string, number: number): DatasetFile {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (error) {
    refuse(`file ${number}`, (error as Error).message);
  }
  const checked = datasetFileSchema.safeParse(value);
  if (checked.success) return checked.data;
  const [issue] = checked.error.issues;
  return refuse(`file ${number}`, `${issue!.path.join('.') || 'it'}: ${issue!.message}`);
}

/** One JSON object a line, checked as it arrives. */
export async function* sentFiles(body: Readable): AsyncGenerator<DatasetFile> {
  let number = 0;
  for await (const line of createInterface({ input: body, crlfDelay: Infinity })) {
    if (line.trim() === '') continue;
    number += 1;
    if (number > FILES_MAX) refuse(`file ${number}`, `a version has at most ${FILES_MAX} files`);
    yield readFile(line, number);
  }
}

/** Outputs of a job as `majorana results` lays them out. */
export async function* jobFiles(
  { reads }: ApiContext,
  job: JobRecord,
): AsyncGenerator<DatasetFile> {
  let after = { position: -1, role: '', path: '' };
  for (;;) {
    const page = await reads.artifacts(job.jobId, after, BATCH_FILES, 'output');
    for (const { position, path, object, sizeBytes } of page) {
      const folder = job.taskCount === 1 ? '' : `${taskIndexOf(job.spec, position)}/`;
      yield { path: folder + path, object, sizeBytes };
    }
    if (page.length < BATCH_FILES) return;
    after = page.at(-1)!;
  }
}

/** The size is the store's own; garbage collection spares what was found. */
async function lookUp({ objects }: ApiContext, file: DatasetFile): Promise<DatasetFile> {
  if (!(await objects.touch(file.object))) {
    const what = `there is no object ${file.object}; upload it first`;
    throw new ProblemError(422, 'no_such_object', `${file.path}: ${what}`, [
      { where: file.path, what },
    ]);
  }
  return { ...file, sizeBytes: (await objects.stat(file.object)).sizeBytes };
}

async function lookUpAll(
  context: ApiContext,
  files: readonly DatasetFile[],
): Promise<DatasetFile[]> {
  const found: DatasetFile[] = [];
  let next = 0;
  const work = async (): Promise<void> => {
    while (next < files.length) {
      const at = next;
      next += 1;
      found[at] = await lookUp(context, files[at]!);
    }
  };
  await Promise.all(Array.from({ length: LOOKUPS_AT_ONCE }, work));
  return found;
}

/** Files in batches, each of them with its object there. */
export async function* storedFiles(
  context: ApiContext,
  files: AsyncIterable<DatasetFile> | Iterable<DatasetFile>,
): AsyncGenerator<DatasetFile[]> {
  let batch: DatasetFile[] = [];
  let count = 0;
  for await (const file of files) {
    batch.push(file);
    count += 1;
    if (batch.length < BATCH_FILES) continue;
    yield await lookUpAll(context, batch);
    batch = [];
  }
  if (count === 0) throw new ProblemError(422, 'bad_dataset', 'a version has a file at least');
  if (batch.length > 0) yield await lookUpAll(context, batch);
}
