import { createHash, randomUUID } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { copyFile, mkdir, open, rename, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import type { Readable } from 'node:stream';
import { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';

export interface StoredObject {
  readonly object: string;
  readonly sizeBytes: number;
}

export class ObjectMissingError extends Error {
  override name = 'ObjectMissingError';
  readonly code = 'object_missing';
}

/** Content-addressed objects in a folder: `ab/cd…`, named by the SHA-256 of what they hold. */
export class FolderObjects {
  readonly folder: string;

  constructor(folder: string) {
    this.folder = folder;
  }

  pathOf(object: string): string {
    if (!/^[0-9a-f]{64}$/.test(object)) throw new ObjectMissingError(`${object} is no SHA-256`);
    return path.join(this.folder, object.slice(0, 2), object.slice(2));
  }

  async has(object: string): Promise<boolean> {
    return (await stat(this.pathOf(object)).catch(() => undefined)) !== undefined;
  }

  async putStream(source: Readable): Promise<StoredObject> {
    await mkdir(path.join(this.folder, 'incoming'), { recursive: true });
    const temporary = path.join(this.folder, 'incoming', randomUUID());
    const hash = createHash('sha256');
    let sizeBytes = 0;
    const meter = new Transform({
      transform(chunk: Buffer, _encoding, done) {
        hash.update(chunk);
        sizeBytes += chunk.length;
        done(null, chunk);
      },
    });
    try {
      await pipeline(source, meter, createWriteStream(temporary, { mode: 0o600, flush: true }));
      const object = hash.digest('hex');
      await mkdir(path.dirname(this.pathOf(object)), { recursive: true });
      await rename(temporary, this.pathOf(object));
      return { object, sizeBytes };
    } catch (error) {
      await rm(temporary, { force: true });
      throw error;
    }
  }

  putFile(file: string): Promise<StoredObject> {
    return this.putStream(createReadStream(file));
  }

  async read(object: string, start = 0, end?: number): Promise<Readable> {
    const handle = await open(this.pathOf(object)).catch(() => {
      throw new ObjectMissingError(`object ${object} is not in ${this.folder}`);
    });
    return handle.createReadStream({ start, ...(end === undefined ? {} : { end }) });
  }

  /** Lays an object at a path of its own, so that a task which edits it harms nobody else. */
  async copyTo(object: string, target: string): Promise<void> {
    await mkdir(path.dirname(target), { recursive: true });
    await copyFile(this.pathOf(object), target).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOENT') throw error;
      throw new ObjectMissingError(`object ${object} is not in ${this.folder}`);
    });
  }
}
