import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import type { Client } from '@majorana/client';
import type { DatasetFile, DatasetPut, DatasetPutAnswer } from '@majorana/protocol';
import { wrongPath } from '@majorana/protocol';
import { forEachConcurrently } from '../concurrent.ts';
import { CliError } from '../output.ts';
import { mapInOrder, uploadFile } from '../submit/upload.ts';

/** As many objects as one question about them may name. */
const BATCH_FILES = 1000;
const HASHES_AT_ONCE = 4;
const UPLOADS_AT_ONCE = 8;

interface LocalFile {
  readonly file: string;
  readonly path: string;
}

export interface PutProgress {
  readonly fileCount: number;
  done: number;
  uploaded: number;
  uploadedBytes: number;
}

async function filesBelow(folder: string): Promise<LocalFile[]> {
  const { glob } = await import('tinyglobby');
  const names = await glob('**', { cwd: folder, dot: true });
  return names.map((name) => ({ file: path.join(folder, name), path: name }));
}

/** A file by its name, what is in a folder by its path below it; in the order of paths. */
export async function findFiles(words: readonly string[]): Promise<LocalFile[]> {
  const found: LocalFile[] = [];
  for (const word of words) {
    const there = await stat(word).catch((error: NodeJS.ErrnoException) => {
      throw new CliError(`${word}: cannot be read (${error.code ?? error.message})`);
    });
    const some = there.isDirectory()
      ? await filesBelow(word)
      : [{ file: word, path: path.basename(word) }];
    for (const one of some) found.push(one);
  }
  if (found.length === 0) throw new CliError(`${words.join(' ')}: no file is there`);
  const byPath = new Map<string, string>();
  for (const { file, path: name } of found) {
    const why = wrongPath(name);
    if (why !== undefined) throw new CliError(`${file}: cannot be in a dataset: ${why}`);
    const other = byPath.get(name);
    if (other !== undefined) throw new CliError(`${other} and ${file} would both be ${name}`);
    byPath.set(name, file);
  }
  return found.toSorted((a, b) => (a.path < b.path ? -1 : 1));
}

async function hashFile({ file, path: name }: LocalFile): Promise<DatasetFile & LocalFile> {
  const { size } = await stat(file);
  const hash = createHash('sha256');
  await pipeline(createReadStream(file), hash);
  return { file, path: name, object: hash.digest('hex'), sizeBytes: size };
}

/** Uploads those of a batch whose content is not there. */
async function uploadMissing(
  client: Client,
  batch: readonly (DatasetFile & LocalFile)[],
  onFile: (sizeBytes: number) => void,
): Promise<void> {
  const byObject = new Map(batch.map((one) => [one.object, one]));
  const there = await client.statObjects([...byObject.keys()]);
  const known = new Set(there.map(({ object }) => object));
  const missing = [...byObject.keys()].filter((object) => !known.has(object));
  await forEachConcurrently(missing, UPLOADS_AT_ONCE, async (object) => {
    const { file, sizeBytes } = byObject.get(object)!;
    if ((await uploadFile(client, file)) !== object)
      throw new CliError(`${file}: was changed while it was read; run the command again`);
    onFile(sizeBytes);
  });
}

/**
 * A version of files of this machine. What was uploaded stays there: run again after a break, only
 * the rest is sent.
 */
export async function putFiles(
  client: Client,
  name: string,
  what: { readonly words: readonly string[]; readonly about: DatasetPut },
  onProgress: (progress: PutProgress) => void,
): Promise<DatasetPutAnswer & { readonly uploaded: PutProgress }> {
  const files = await findFiles(what.words);
  const progress = { fileCount: files.length, done: 0, uploaded: 0, uploadedBytes: 0 };
  const lines: string[] = [];
  for (let first = 0; first < files.length; first += BATCH_FILES) {
    const some = files.slice(first, first + BATCH_FILES);
    const batch: (DatasetFile & LocalFile)[] = [];
    for await (const one of mapInOrder(some, HASHES_AT_ONCE, hashFile)) batch.push(one);
    await uploadMissing(client, batch, (sizeBytes) => {
      progress.uploaded += 1;
      progress.uploadedBytes += sizeBytes;
      onProgress(progress);
    });
    progress.done += batch.length;
    onProgress(progress);
    const entries = batch.map(({ path: at, object, sizeBytes }) => ({
      path: at,
      object,
      sizeBytes,
    }));
    lines.push(entries.map((one) => `${JSON.stringify(one)}\n`).join(''));
  }
  const encoder = new TextEncoder();
  const body = ReadableStream.from(lines.values().map((line) => encoder.encode(line)));
  return { ...(await client.putDataset(name, what.about, body)), uploaded: progress };
}
