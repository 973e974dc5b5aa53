import type { Client } from '@majorana/client';
import type { RunFile } from '@majorana/protocol';
import { forEachConcurrently } from '../concurrent.ts';
import { download } from '../download.ts';
import { CliError } from '../output.ts';
import { pathBelow } from '../results.ts';

const DOWNLOADS_AT_ONCE = 8;

/** Fetches files into a folder, each checked against its SHA-256. */
export async function fetchRunFiles(
  client: Client,
  files: readonly RunFile[],
  folder: string,
): Promise<string[]> {
  const written: string[] = [];
  await forEachConcurrently(files, DOWNLOADS_AT_ONCE, async (file) => {
    const { path: name } = file;
    const target = pathBelow(folder, name);
    if (target === undefined) throw new CliError(`${name}: leads out of ${folder}`);
    await download(client, file, target);
    written.push(target);
  });
  return written.toSorted();
}
