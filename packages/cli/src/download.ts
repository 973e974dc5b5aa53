import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, rename, rm, stat, truncate } from 'node:fs/promises';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import type { Client } from '@majorana/client';
import { downloadObject } from '@majorana/client';
import { CliError, EXIT } from './output.ts';

/** Less is not worth keeping for another try. */
const KEEP_BYTES = 1024 * 1024;

export interface Download {
  readonly object: string;
  readonly sizeBytes: number;
}

/** The same for the same content at the same place: a later command goes on with it. */
function partOf(target: string, object: string): string {
  const name = createHash('sha256')
    .update(`${path.basename(target)}/${object}`)
    .digest('hex');
  return path.join(path.dirname(target), `.majorana-${name.slice(0, 32)}.part`);
}

const sizeOf = async (file: string): Promise<number> =>
  (await stat(file).catch(() => undefined))?.size ?? 0;

/** Under its name stands a file only when all of it is there and right. */
export async function download(
  client: Client,
  { object, sizeBytes }: Download,
  target: string,
  onBytes?: (bytes: number) => void,
): Promise<void> {
  await mkdir(path.dirname(target), { recursive: true });
  const part = partOf(target, object);
  let position = await sizeOf(part);
  if (position > sizeBytes) await truncate(part, (position = 0));
  const hash = createHash('sha256');
  if (position > 0) for await (const chunk of createReadStream(part)) hash.update(chunk as Buffer);
  async function* metered(): AsyncGenerator<Uint8Array> {
    for await (const chunk of downloadObject(client, object, {
      start: position,
      size: sizeBytes,
    })) {
      hash.update(chunk);
      position += chunk.length;
      onBytes?.(position);
      yield chunk;
    }
  }
  try {
    await pipeline(metered, createWriteStream(part, { flags: 'a' }));
  } catch (error) {
    if ((await sizeOf(part)) < KEEP_BYTES) await rm(part, { force: true });
    throw error;
  }
  if (hash.digest('hex') === object) return rename(part, target);
  await rm(part, { force: true });
  const what = `${target}: what came is not what was stored; run the command again`;
  throw new CliError(what, EXIT.refused);
}
