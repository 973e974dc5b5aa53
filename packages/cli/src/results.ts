import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import type { Client } from '@majorana/client';
import type { ArtifactView } from '@majorana/protocol';
import { forEachConcurrently } from './concurrent.ts';
import { CliError } from './output.ts';
import { download } from './download.ts';
import type { TransferProgress } from './transfer-progress.ts';

const PAGE_SIZE = 1000;
const DOWNLOADS_AT_ONCE = 8;

export interface ResultsOptions {
  readonly folder: string;
  readonly hasLogs: boolean;
  readonly progress?: TransferProgress;
}

export interface ResultsReport {
  written: number;
  /** There already, with the same content. */
  kept: number;
  bytes: number;
  /** Names that lead out of the folder; nothing is written for them. */
  refused: string[];
}

/** The files of each task's last attempt, page by page. */
export async function* jobArtifacts(
  client: Client,
  jobId: string,
  role?: ArtifactView['role'],
): AsyncGenerator<ArtifactView, void, undefined> {
  for (let cursor: string | undefined; ;) {
    const page = await client.artifacts(jobId, { cursor, limit: PAGE_SIZE, role });
    yield* page.artifacts;
    if (page.next === null) return;
    cursor = page.next;
  }
}

/** The path below a folder that a name means, or undefined when it leads out of it. */
export function pathBelow(folder: string, name: string): string | undefined {
  if (name === '' || name.includes('\0') || path.isAbsolute(name)) return undefined;
  const relative = path.normalize(name);
  const isOut = relative === '.' || relative === '..' || relative.startsWith(`..${path.sep}`);
  return isOut || relative.endsWith(path.sep) ? undefined : path.join(folder, relative);
}

const nameOf = (artifact: ArtifactView): string =>
  artifact.role === 'output' ? artifact.path : `${artifact.role}.log`;

type Stored = Pick<ArtifactView, 'object' | 'sizeBytes'>;

async function hasContent(file: string, artifact: Stored): Promise<boolean> {
  const there = await stat(file).catch(() => undefined);
  if (!there?.isFile() || there.size !== artifact.sizeBytes) return false;
  const hash = createHash('sha256');
  await pipeline(createReadStream(file), hash);
  return hash.digest('hex') === artifact.object;
}

/** Files by their names below a folder; what is there already with the same content is left alone. */
export async function fetchFiles(
  client: Client,
  files:
    | AsyncIterable<Stored & { readonly path: string }>
    | Iterable<Stored & { readonly path: string }>,
  folder: string,
): Promise<Omit<ResultsReport, 'refused'>> {
  const report = { written: 0, kept: 0, bytes: 0 };
  await forEachConcurrently(files, DOWNLOADS_AT_ONCE, async (file) => {
    const target = pathBelow(folder, file.path);
    if (target === undefined) throw new CliError(`${file.path}: leads out of ${folder}`);
    if (await hasContent(target, file)) report.kept += 1;
    else {
      await download(client, file, target);
      report.written += 1;
      report.bytes += file.sizeBytes;
    }
  });
  return report;
}

/** Writes artifacts below a folder; what is there already with the same content is left alone. */
export async function writeResults(
  client: Client,
  artifacts: AsyncIterable<ArtifactView> | Iterable<ArtifactView>,
  folderOf: (artifact: ArtifactView) => string,
  options: ResultsOptions,
): Promise<ResultsReport> {
  const report: ResultsReport = { written: 0, kept: 0, bytes: 0, refused: [] };
  await forEachConcurrently(artifacts, DOWNLOADS_AT_ONCE, async (artifact) => {
    if (!options.hasLogs && artifact.role !== 'output') return;
    const target = pathBelow(folderOf(artifact), nameOf(artifact));
    if (target === undefined) {
      report.refused.push(`${artifact.taskId}: ${artifact.path}`);
      return;
    }
    if (await hasContent(target, artifact)) report.kept += 1;
    else {
      const file = options.progress?.begin(artifact.sizeBytes);
      await download(client, artifact, target, file?.at);
      report.written += 1;
      report.bytes += artifact.sizeBytes;
    }
  });
  return report;
}

/** A job of one task has its files in the folder itself, an array one folder for each task. */
export async function fetchJobResults(
  client: Client,
  jobId: string,
  options: ResultsOptions,
): Promise<ResultsReport> {
  const { taskCount } = await client.job(jobId);
  const folderOf = (artifact: ArtifactView): string =>
    taskCount === 1 ? options.folder : path.join(options.folder, String(artifact.taskIndex));
  const role = options.hasLogs ? undefined : 'output';
  return writeResults(client, jobArtifacts(client, jobId, role), folderOf, options);
}

export async function fetchTaskResults(
  client: Client,
  taskId: string,
  options: ResultsOptions,
): Promise<ResultsReport> {
  const { artifacts, task } = await client.task(taskId);
  const last = artifacts.filter((artifact) => artifact.attemptNumber === task.attemptNumber);
  return writeResults(client, last, () => options.folder, options);
}
