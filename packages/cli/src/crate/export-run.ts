import { createWriteStream } from 'node:fs';
import { mkdir, readdir, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Client } from '@majorana/client';
import type { Execution } from '@majorana/protocol';
import { CliError } from '../output.ts';
import { fetchFiles } from '../results.ts';
import type { CrateFile, CrateOptions } from './entities.ts';
import { CrateBuilder, WORKFLOW_FILE } from './entities.ts';

const PAGE_SIZE = 1000;

async function* executions(client: Client, id: string): AsyncGenerator<Execution> {
  for (let cursor: string | undefined; ;) {
    const page = await client.executions(id, { cursor, limit: PAGE_SIZE });
    yield* page.executions;
    if (page.next === null) return;
    cursor = page.next;
  }
}

const PIECE_LENGTH = 256 * 1024;

/** A stream takes as long for ten letters as for thousands. */
function* inPieces(texts: Iterable<string>): Generator<string> {
  let piece = '';
  for (const text of texts) {
    piece += text;
    if (piece.length < PIECE_LENGTH) continue;
    yield piece;
    piece = '';
  }
  yield piece;
}

/** Of a run that failed there may be none. */
async function outputsOf(client: Client, id: string, isWhole: boolean): Promise<CrateFile[]> {
  return isWhole ? (await client.runFiles(id)).files : [];
}

/** A file that is not kept any more stays without a size. */
async function measure(client: Client, crate: CrateBuilder): Promise<void> {
  const unsized = crate.unsized();
  for (let first = 0; first < unsized.length; first += PAGE_SIZE) {
    const some = await client.statObjects(unsized.slice(first, first + PAGE_SIZE));
    for (const { object, sizeBytes } of some) crate.setSize(object, sizeBytes);
  }
}

async function emptyFolder(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  if ((await readdir(folder)).length > 0)
    throw new CliError(`${folder}: is not empty; name a new folder`);
}

export interface ExportReport {
  readonly executionCount: number;
  readonly fileCount: number;
}

/** A run's latest round as an RO-Crate below a folder. */
export async function exportRun(
  client: Client,
  id: string,
  folder: string,
  options: CrateOptions,
): Promise<ExportReport> {
  const run = await client.run(id);
  const round = run.rounds.at(-1)!;
  const { instances } = await client.runInstances(id);
  if (instances.length === 0) throw new CliError(`${id} has run no step yet: nothing to export`);
  await emptyFolder(folder);
  const crate = new CrateBuilder(run, options);
  for (const instance of instances) crate.addInstance(instance);
  let executionCount = 0;
  for await (const execution of executions(client, id)) {
    crate.addExecution(execution);
    executionCount += 1;
  }
  const isWhole = round.status === 'succeeded';
  crate.addRun(round.inputs, await outputsOf(client, id, isWhole));
  await measure(client, crate);
  const { stringify } = await import('yaml');
  await writeFile(path.join(folder, WORKFLOW_FILE), stringify(round.definition));
  const metadata = createWriteStream(path.join(folder, 'ro-crate-metadata.json'));
  await pipeline(Readable.from(inPieces(crate.document())), metadata);
  if (options.hasData) await fetchFiles(client, crate.files, folder);
  return { executionCount, fileCount: crate.files.length };
}

/** Everything below a folder as one archive; it is read file by file. */
export async function zipFolder(folder: string, file: string): Promise<void> {
  const { ZipFile } = await import('yazl');
  const zip = new ZipFile();
  for (const name of (await readdir(folder, { recursive: true })).toSorted()) {
    const at = path.join(folder, name);
    if ((await stat(at)).isFile()) zip.addFile(at, name.split(path.sep).join('/'));
  }
  zip.end();
  await pipeline(zip.outputStream, createWriteStream(file, { flags: 'wx' }));
}
