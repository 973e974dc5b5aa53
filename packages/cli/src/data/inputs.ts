import path from 'node:path';
import type { Client } from '@majorana/client';
import { isPattern } from '@majorana/core';
import { parseDatasetReference, pinVersion, referencedFiles } from './reference.ts';

const PREFIX = 'dataset:';

/** What follows `dataset:`; undefined: it is a file of this machine. */
export const datasetOf = (text: string): string | undefined =>
  text.startsWith(PREFIX) ? text.slice(PREFIX.length) : undefined;

export interface LaidFile {
  readonly path: string;
  readonly object: string;
}

/**
 * The files of a reference as they are laid in: one file at a path, a folder or a version below it.
 * They are named by content from here on, so that a later version changes nothing.
 */
export async function datasetInputs(
  client: Client,
  text: string,
  at: { readonly path: string | undefined; readonly project: string | undefined },
): Promise<LaidFile[]> {
  const reference = parseDatasetReference(text);
  const version = await pinVersion(client, reference, at.project);
  const { name, path: wanted } = reference;
  const isFolder = wanted !== undefined && !isPattern(wanted);
  const own = isFolder ? path.posix.basename(wanted) : name;
  const files: LaidFile[] = [];
  for await (const file of referencedFiles(client, { ...reference, version }, at.project)) {
    const isIt = file.path === wanted;
    // Without a folder of its own a file still has its name.
    const below = isIt
      ? at.path === ''
        ? own
        : ''
      : isFolder
        ? file.path.slice(wanted.length + 1)
        : file.path;
    files.push({ path: path.posix.join(at.path ?? own, below), object: file.object });
  }
  return files;
}
