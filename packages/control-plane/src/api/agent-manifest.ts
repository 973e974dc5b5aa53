import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import type { ObjectStore } from '@majorana/objects';
import { MANIFEST_BYTES_MAX, runnerManifestSchema } from '@majorana/protocol';
import { ProblemError } from './problem.ts';

const refusal = (object: string): ProblemError =>
  new ProblemError(403, 'forbidden', `${object} is no list of results; an agent reads only those`);

function isManifest(content: Buffer): boolean {
  try {
    return runnerManifestSchema.safeParse(JSON.parse(content.toString())).success;
  } catch {
    return false;
  }
}

/**
 * The list of results that a runner stored and its pod's last word names: all that an agent needs
 * of the store, so that its token opens nobody's data.
 */
export async function readManifest(objects: ObjectStore, object: string): Promise<Readable> {
  const { sizeBytes } = await objects.stat(object);
  if (sizeBytes > MANIFEST_BYTES_MAX) throw refusal(object);
  const content = await buffer(await objects.read(object));
  if (!isManifest(content)) throw refusal(object);
  return Readable.from([content]);
}
