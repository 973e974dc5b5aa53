import { createHash } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { Client } from '@majorana/client';
import type { RunFile } from '@majorana/protocol';
import { forEachConcurrently } from '../concurrent.ts';
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
  await forEachConcurrently(files, DOWNLOADS_AT_ONCE, async ({ path: name, object }) => {
    const target = pathBelow(folder, name);
    if (target === undefined) throw new CliError(`${name}: leads out of ${folder}`);
    const content = Buffer.from(await (await client.getObject(object)).arrayBuffer());
    const found = createHash('sha256').update(content).digest('hex');
    if (found !== object)
      throw new CliError(`${name}: came with the SHA-256 ${found}, not ${object}`);
    await mkdir(path.dirname(target), { recursive: true });
    await writeFile(target, content);
    written.push(target);
  });
  return written.toSorted();
}
