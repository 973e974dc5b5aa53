import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { pipeline, Transform } from 'node:stream';
import type { StoredObject } from './object-store.ts';
import { ObjectDamagedError } from './object-store.ts';

/** 64 kB, the default, spends half its time on the way to the thread pool. */
export const CHUNK_BYTES = 1024 * 1024;

/** A buffer no larger than the file: with 1 MiB for each of many small files, half the time is the collector's. */
export const chunkBytesFor = (sizeBytes: number): number =>
  Math.min(Math.max(sizeBytes, 1), CHUNK_BYTES);

export interface Meter {
  readonly through: Transform;
  /** What has passed; to be asked once, at the end. */
  readonly stored: () => StoredObject;
}

/** Passes bytes on, and knows at the end what they were. */
export function meter(check?: (stored: StoredObject) => Error | null): Meter {
  const hash = createHash('sha256');
  let sizeBytes = 0;
  const stored = (): StoredObject => ({ object: hash.digest('hex'), sizeBytes });
  const through = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      hash.update(chunk);
      sizeBytes += chunk.length;
      done(null, chunk);
    },
    flush: (done) => done(check?.(stored())),
  });
  return { through, stored };
}

export const hashBytes = (content: Buffer): StoredObject => ({
  object: createHash('sha256').update(content).digest('hex'),
  sizeBytes: content.length,
});

export async function hashFile(file: string): Promise<StoredObject> {
  const hash = createHash('sha256');
  let sizeBytes = 0;
  const highWaterMark = chunkBytesFor((await stat(file)).size);
  for await (const chunk of createReadStream(file, { highWaterMark })) {
    hash.update(chunk as Buffer);
    sizeBytes += (chunk as Buffer).length;
  }
  return { object: hash.digest('hex'), sizeBytes };
}

/** Fails at its end when what came is not the object. */
export function checked(source: Readable, object: string, where: string): Readable {
  const { through } = meter((found) =>
    found.object === object ? null : new ObjectDamagedError(object, where, found.object),
  );
  // An error reaches the reader through the last stream.
  return pipeline(source, through, () => undefined);
}
