import { randomUUID } from 'node:crypto';
import type { Stats } from 'node:fs';
import { constants, createWriteStream } from 'node:fs';
import {
  chmod,
  copyFile,
  link,
  mkdir,
  open,
  opendir,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  utimes,
  writeFile,
} from 'node:fs/promises';
import path from 'node:path';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { checked, chunkBytesFor, hashBytes, hashFile, meter } from './hashing.ts';
import type { ObjectStat, ObjectStore, StoredObject } from './object-store.ts';
import { ObjectDamagedError, ObjectMissingError } from './object-store.ts';

/** Up to here a file is read whole: most are logs of a few lines, and many of those are the same. */
const SMALL_BYTES = 64 * 1024;
const isCode = (error: unknown, code: string): boolean =>
  (error as NodeJS.ErrnoException).code === code;

/** A file that is gone was used before any time. */
function absent(error: unknown): { readonly mtimeMs: number } {
  if (!isCode(error, 'ENOENT')) throw error;
  return { mtimeMs: -Infinity };
}

async function syncPath(target: string): Promise<void> {
  const handle = await open(target);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/**
 * Objects in a folder: `ab/cd…`, named by the SHA-256 of what they hold.
 *
 * A put writes below `incoming`, forces the content to the disk, renames it into place and forces
 * the folder: results are told to the server when the put has answered, and the server's record
 * of them must not outlive them. Content that is there already is only touched.
 */
export class FolderObjects implements ObjectStore {
  readonly folder: string;
  readonly #incoming: string;
  #ready: Promise<void> | undefined;

  constructor(folder: string) {
    this.folder = folder;
    this.#incoming = path.join(folder, 'incoming');
  }

  pathOf(object: string): string {
    if (!/^[0-9a-f]{64}$/.test(object)) throw new ObjectMissingError(object, this.folder);
    return path.join(this.folder, object.slice(0, 2), object.slice(2));
  }

  async #stats(object: string): Promise<Stats> {
    const file = this.pathOf(object);
    return stat(file).catch((error: unknown) => this.#fail(object, error));
  }

  #fail(object: string, error: unknown): never {
    if (isCode(error, 'ENOENT')) throw new ObjectMissingError(object, this.folder);
    throw error;
  }

  async has(object: string): Promise<boolean> {
    return this.stat(object).then(
      () => true,
      (error: unknown) => {
        if (error instanceof ObjectMissingError) return false;
        throw error;
      },
    );
  }

  async stat(object: string): Promise<ObjectStat> {
    const { size, mtimeMs } = await this.#stats(object);
    return { object, sizeBytes: size, usedAtMs: mtimeMs };
  }

  async touch(object: string): Promise<boolean> {
    const now = new Date();
    return utimes(this.pathOf(object), now, now).then(
      () => true,
      (error: unknown) => {
        if (isCode(error, 'ENOENT')) return false;
        throw error;
      },
    );
  }

  /** A file below `incoming` that is gone when the work has ended, whatever its end. */
  async #withTemporary<T>(work: (temporary: string) => Promise<T>): Promise<T> {
    this.#ready ??= this.#prepare();
    await this.#ready.catch((error: unknown) => {
      this.#ready = undefined;
      throw error;
    });
    const temporary = path.join(this.#incoming, randomUUID());
    try {
      return await work(temporary);
    } finally {
      await rm(temporary, { force: true });
    }
  }

  async #prepare(): Promise<void> {
    await mkdir(this.#incoming, { recursive: true, mode: 0o700 });
  }

  async removeLeftovers(writtenBeforeMs: number): Promise<void> {
    for (const name of await readdir(this.#incoming).catch(() => [])) {
      const file = path.join(this.#incoming, name);
      const { mtimeMs } = await stat(file).catch(() => ({ mtimeMs: Infinity }));
      if (mtimeMs < writtenBeforeMs) await rm(file, { force: true });
    }
  }

  putStream(source: Readable): Promise<StoredObject> {
    return this.#withTemporary(async (temporary) => {
      const { through, stored } = meter();
      await pipeline(source, through, createWriteStream(temporary, { mode: 0o600 }));
      return this.#settle(temporary, stored());
    });
  }

  async putFile(file: string): Promise<StoredObject> {
    const { size } = await stat(file);
    return size <= SMALL_BYTES ? this.#putSmall(await readFile(file)) : this.#putLarge(file);
  }

  async #putSmall(content: Buffer): Promise<StoredObject> {
    const stored = hashBytes(content);
    if (await this.#touch(stored)) return stored;
    return this.#withTemporary(async (temporary) => {
      await writeFile(temporary, content, { mode: 0o600 });
      return this.#settle(temporary, stored);
    });
  }

  /** The copy is hashed, not the file, which may change meanwhile; file systems that can share it. */
  #putLarge(file: string): Promise<StoredObject> {
    return this.#withTemporary(async (temporary) => {
      await copyFile(file, temporary, constants.COPYFILE_FICLONE);
      await chmod(temporary, 0o600);
      return this.#settle(temporary, await hashFile(temporary));
    });
  }

  async #settle(temporary: string, stored: StoredObject): Promise<StoredObject> {
    if (await this.#touch(stored)) return stored;
    const target = this.pathOf(stored.object);
    const folder = path.dirname(target);
    const made = await mkdir(folder, { recursive: true, mode: 0o700 });
    await syncPath(temporary);
    await rename(temporary, target);
    await syncPath(folder);
    if (made !== undefined) await syncPath(this.folder);
    return stored;
  }

  /**
   * Refreshes what is there; false when it is not, or not whole. The put that brought it may not
   * have forced the folder yet.
   */
  async #touch({ object, sizeBytes }: StoredObject): Promise<boolean> {
    const target = this.pathOf(object);
    try {
      if ((await stat(target)).size !== sizeBytes) return false;
      const now = new Date();
      await utimes(target, now, now);
      await syncPath(path.dirname(target));
      return true;
    } catch (error) {
      if (isCode(error, 'ENOENT')) return false;
      throw error;
    }
  }

  async read(object: string, start = 0, end = Infinity): Promise<Readable> {
    if (start < 0 || end < start) throw new RangeError(`no range of bytes: ${start} to ${end}`);
    const handle = await open(this.pathOf(object)).catch((error: unknown) =>
      this.#fail(object, error),
    );
    const { size } = await handle.stat();
    const source = handle.createReadStream({ start, end, highWaterMark: chunkBytesFor(size) });
    return start > 0 || end < size - 1 ? source : checked(source, object, this.folder);
  }

  async copyTo(object: string, target: string): Promise<void> {
    const source = this.pathOf(object);
    await this.#stats(object);
    await mkdir(path.dirname(target), { recursive: true });
    await copyFile(source, target, constants.COPYFILE_FICLONE);
    const found = (await hashFile(target)).object;
    if (found === object) return;
    await rm(target, { force: true });
    throw new ObjectDamagedError(object, this.folder, found);
  }

  async *list(): AsyncIterable<ObjectStat> {
    const names = await readdir(this.folder).catch(() => []);
    for (const prefix of names.filter((name) => /^[0-9a-f]{2}$/.test(name)).toSorted()) {
      for await (const { name } of await opendir(path.join(this.folder, prefix))) {
        const found = await this.stat(prefix + name).catch(() => undefined);
        if (found !== undefined) yield found;
      }
    }
  }

  /**
   * Moved away first and looked at then: a put either touches it before the move, which is seen
   * here, or finds nothing after it and brings its own copy.
   */
  remove(object: string, usedBeforeMs: number): Promise<boolean> {
    return this.#withTemporary(async (temporary) => {
      const source = this.pathOf(object);
      const { mtimeMs } = await stat(source).catch(absent);
      if (mtimeMs >= usedBeforeMs) return false;
      const isMoved = await rename(source, temporary).then(() => true, absent);
      if (isMoved !== true || (await stat(temporary)).mtimeMs < usedBeforeMs) return true;
      await link(temporary, source).catch((error: unknown) => {
        if (!isCode(error, 'EEXIST')) throw error;
      });
      return false;
    });
  }
}
