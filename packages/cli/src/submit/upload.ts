import { createHash } from 'node:crypto';
import { createReadStream, openAsBlob } from 'node:fs';
import { stat } from 'node:fs/promises';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import type { Client } from '@majorana/client';
import { literal } from '@majorana/core';
import { uploadObject } from '@majorana/client';
import type { JobSpecInput } from '@majorana/protocol';
import { CliError } from '../output.ts';
import type { TransferProgress } from '../transfer-progress.ts';
import type { Draft, DraftArray, DraftInput, LocalArray, SpecArray } from './draft.ts';
import { isLocalArray } from './draft.ts';
import { lineRecords, paramRecords } from './records.ts';
import { openText } from './text-source.ts';

const UPLOADS_AT_ONCE = 8;
/** Up to here a file is sent in one request, and again when the line breaks. */
const SMALL_BYTES = 4 * 1024 * 1024;
const HASH_CHUNK_BYTES = 1024 * 1024;

type SpecInput = NonNullable<JobSpecInput['inputs']>[number];

export interface Destination {
  readonly client: Client;
  readonly progress?: TransferProgress | undefined;
}

async function hashOf(file: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(file, { highWaterMark: HASH_CHUNK_BYTES }), hash);
  return hash.digest('hex');
}

/**
 * The file as an object; bytes that are there already become the same object. A large one is named
 * first, so that what is there, of it or of an upload that broke off, is not sent again.
 */
export async function uploadFile(
  client: Client,
  file: string,
  progress?: TransferProgress,
): Promise<string> {
  const blob = await openAsBlob(file).catch((error: NodeJS.ErrnoException) => {
    throw new CliError(`${file}: cannot be read (${error.code ?? error.message})`);
  });
  if (blob.size <= SMALL_BYTES) return (await client.putObject(blob)).object;
  const object = await hashOf(file);
  const onProgress = progress?.begin(blob.size).at;
  await uploadObject(client, object, blob, onProgress === undefined ? {} : { onProgress });
  return object;
}

/** Results in the order of the items, `width` of them under way. */
export async function* mapInOrder<T, R>(
  items: readonly T[],
  width: number,
  act: (item: T) => Promise<R>,
): AsyncGenerator<R, void, undefined> {
  const begun: Promise<R>[] = [];
  for (const item of items) {
    const one = act(item);
    // Its turn to be awaited may come late; until then a failure is nobody's yet.
    one.catch(() => undefined);
    begun.push(one);
    if (begun.length >= width) yield await begun.shift()!;
  }
  while (begun.length > 0) yield await begun.shift()!;
}

/** One record for each file that matches, in the order of their paths. */
async function* fileRecords(to: Destination, pattern: string): AsyncGenerator<string> {
  const { glob } = await import('tinyglobby');
  const files = (await glob(pattern, { absolute: true, dot: false })).toSorted();
  if (files.length === 0) throw new CliError(`--files ${pattern}: no file matches`);
  const records = mapInOrder(files, UPLOADS_AT_ONCE, async (file) => ({
    file: path.basename(file),
    stem: path.parse(file).name,
    fileObject: await uploadFile(to.client, file, to.progress),
  }));
  for await (const record of records) yield `${JSON.stringify(record)}\n`;
}

async function openRecords(to: Destination, array: LocalArray): Promise<AsyncGenerator<string>> {
  if (array.kind === 'files') return fileRecords(to, array.glob);
  const source = await openText(array.file);
  return array.kind === 'each' ? lineRecords(source) : paramRecords(array.file, source);
}

/** Sends records as they are read; nothing is kept when one of them is wrong. */
async function createParameterSet(to: Destination, array: LocalArray): Promise<SpecArray> {
  const records = await openRecords(to, array);
  // The first piece is read before anything is sent: a wrong file costs no request.
  const begin = await records.next();
  const failures: unknown[] = [];
  async function* bytes(): AsyncGenerator<Uint8Array, void, undefined> {
    const encoder = new TextEncoder();
    if (begin.done !== true) yield encoder.encode(begin.value);
    try {
      for await (const piece of records) yield encoder.encode(piece);
    } catch (error) {
      failures.push(error);
      throw error;
    }
  }
  try {
    const set = await to.client.createParameterSet(ReadableStream.from(bytes()));
    return { kind: 'parameter_set', parameterSetId: set.parameterSetId };
  } catch (error) {
    // What is wrong with the file says more than that the request broke off.
    throw failures[0] ?? error;
  }
}

const resolveArray = async (to: Destination, array: DraftArray): Promise<SpecArray> =>
  isLocalArray(array) ? createParameterSet(to, array) : array;

async function resolveInput(
  to: Destination,
  input: DraftInput,
  project: string | undefined,
): Promise<SpecInput[]> {
  if ('dataset' in input) {
    const { datasetInputs } = await import('../data/inputs.ts');
    const at = { path: input.path, project };
    const files = await datasetInputs(to.client, input.dataset, at);
    return files.map((file) => ({ ...file, path: literal(file.path) }));
  }
  if (!('file' in input)) return [input];
  const object = await uploadFile(to.client, input.file, to.progress);
  return [{ path: input.path ?? path.basename(input.file), object }];
}

/** Every local file is looked at before the first byte is sent. */
async function checkFiles(inputs: readonly DraftInput[]): Promise<void> {
  for (const input of inputs) {
    if (!('file' in input)) continue;
    const there = await stat(input.file).catch((error: NodeJS.ErrnoException) => {
      throw new CliError(`input ${input.file}: cannot be read (${error.code ?? error.message})`);
    });
    if (!there.isFile()) throw new CliError(`input ${input.file}: is not a file`);
  }
}

/** Sends what a draft names on this machine; what comes out is a spec that the API takes. */
export async function resolveDraft(to: Destination, draft: Draft): Promise<JobSpecInput> {
  const { inputs: draftInputs = [], array: draftArray, ...rest } = draft;
  await checkFiles(draftInputs);
  const inputs: SpecInput[] = [];
  const resolved = mapInOrder(draftInputs, UPLOADS_AT_ONCE, (input) =>
    resolveInput(to, input, draft.project),
  );
  for await (const some of resolved) for (const input of some) inputs.push(input);
  const array = draftArray === undefined ? undefined : await resolveArray(to, draftArray);
  if (draftArray?.kind === 'files') inputs.push({ path: '{file}', object: '{fileObject}' });
  return { ...rest, inputs, ...(array === undefined ? {} : { array }) };
}
