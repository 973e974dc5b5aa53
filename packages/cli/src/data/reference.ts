import type { Client } from '@majorana/client';
import { isPattern, matchesPattern } from '@majorana/core';
import type { DatasetFile } from '@majorana/protocol';
import { CliError } from '../output.ts';

const PAGE_SIZE = 5000;

/** `NAME`, `NAME@3`, `NAME@3/folder/file`, `NAME/*.xyz`; without a version: the latest. */
export interface DatasetReference {
  readonly name: string;
  readonly version: number | undefined;
  readonly path: string | undefined;
}

export function parseDatasetReference(text: string): DatasetReference {
  const match = /^([^@/]+)(?:@(\d{1,9}))?(?:\/(.*))?$/.exec(text);
  if (match === null)
    throw new CliError(`"${text}" is no dataset; it looks like NAME, NAME@3 or NAME@3/PATH`);
  const [, name = '', version, path] = match;
  return {
    name,
    version: version === undefined ? undefined : Number(version),
    path: path === undefined || path === '' ? undefined : path,
  };
}

export const formatReference = (name: string, version: number): string => `${name}@${version}`;

/** The version that a reference means now: what comes after names it by number. */
export async function pinVersion(
  client: Client,
  reference: DatasetReference,
  project: string | undefined,
): Promise<number> {
  const { name, version } = reference;
  if (version !== undefined) return version;
  const { latestVersion } = await client.dataset(name, { project });
  if (latestVersion !== null) return latestVersion;
  throw new CliError(`the dataset ${name} has no version: all were removed`);
}

/** Files of a version, page by page: one file, those of a folder, or those that match a pattern. */
export async function* referencedFiles(
  client: Client,
  reference: DatasetReference & { readonly version: number },
  project: string | undefined,
): AsyncGenerator<DatasetFile, void, undefined> {
  const { name, version, path } = reference;
  const hasPattern = path !== undefined && isPattern(path);
  const below = hasPattern ? undefined : path;
  let count = 0;
  for (let cursor: string | undefined; ;) {
    const which = { project, version, path: below, cursor, limit: PAGE_SIZE };
    const page = await client.datasetFiles(name, which);
    for (const file of page.files) {
      if (hasPattern && !matchesPattern(path, file.path)) continue;
      count += 1;
      yield file;
    }
    if (page.next === null) break;
    cursor = page.next;
  }
  if (count === 0)
    throw new CliError(`${formatReference(name, version)} has no file ${path ?? ''}`.trimEnd());
}
