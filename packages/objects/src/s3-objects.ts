import { randomUUID } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, readFile, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { checked, CHUNK_BYTES, hashBytes, hashFile, meter } from './hashing.ts';
import type { ObjectStat, ObjectStore, PresignedRequest, StoredObject } from './object-store.ts';
import { ObjectMissingError } from './object-store.ts';
import type { S3Bucket } from './s3-bucket.ts';
import { PART_BYTES } from './s3-bucket.ts';
import type { Folder, ListedKey } from './s3-keys.ts';
import { Keys, nextGeneration, safeGeneration } from './s3-keys.ts';
import { presignGet, presignPut } from './s3-presign.ts';
import { openBody } from './s3-read.ts';
import { splitAt } from './split-stream.ts';

/** A mark older than this is written anew before its put answers. */
const MARK_AGE_MS = 10 * 60 * 1000;
/** Each round somebody else was first, or has doomed what was there. */
const ROUNDS_MAX = 20;

interface Placing {
  readonly key: string;
  /** Nothing is there yet, as far as is known. */
  readonly isNew: boolean;
}

/**
 * Objects in a bucket of S3, in folders as `s3-keys.ts` has them. Nothing but strong consistency is
 * asked of the server: a put marks first and looks then, a removal dooms first and looks then, so
 * that one of the two always sees the other.
 */
export class S3Objects implements ObjectStore {
  readonly #bucket: S3Bucket;
  readonly #keys: Keys;

  constructor(bucket: S3Bucket, prefix: string) {
    this.#bucket = bucket;
    this.#keys = new Keys(prefix);
  }

  get where(): string {
    return this.#bucket.where;
  }

  async #look(object: string): Promise<Folder> {
    if (!/^[0-9a-f]{64}$/.test(object)) throw new ObjectMissingError(object, this.where);
    const listed: ListedKey[] = [];
    for await (const one of this.#bucket.list(this.#keys.folder(object))) listed.push(one);
    return this.#keys.read(object, listed);
  }

  async has(object: string): Promise<boolean> {
    return (await this.#look(object)).generations.length > 0;
  }

  async stat(object: string): Promise<ObjectStat> {
    const folder = await this.#look(object);
    const [found] = folder.generations;
    if (found === undefined) throw new ObjectMissingError(object, this.where);
    return { object, sizeBytes: found.sizeBytes, usedAtMs: folder.usedAtMs };
  }

  async touch(object: string): Promise<boolean> {
    if (!(await this.has(object))) return false;
    await this.#mark(object);
    const folder = await this.#look(object);
    await this.#dropOldMarks(folder);
    return safeGeneration(folder) !== undefined;
  }

  async #mark(object: string): Promise<number> {
    const usedAtMs = Math.round(this.#bucket.nowMs());
    await this.#bucket.putMark(this.#keys.used(object, usedAtMs, randomUUID()));
    return usedAtMs;
  }

  async #dropOldMarks(folder: Folder): Promise<void> {
    const old = folder.marks.filter(
      ({ kind, value }) => kind === 'used' && value < folder.usedAtMs,
    );
    await this.#bucket.delete(old.map(({ key }) => key));
  }

  /** Where content is to be brought; undefined when it is there, whole and safe. */
  async #placing({ object, sizeBytes }: StoredObject): Promise<Placing | undefined> {
    const folder = await this.#look(object);
    const safe = safeGeneration(folder);
    if (safe?.sizeBytes === sizeBytes) {
      await this.#dropOldMarks(folder);
      return undefined;
    }
    const generation = safe?.generation ?? nextGeneration(folder);
    return { key: this.#keys.generation(object, generation), isNew: safe === undefined };
  }

  async #settle(
    stored: StoredObject,
    bring: (placing: Placing) => Promise<void>,
  ): Promise<StoredObject> {
    const { object } = stored;
    let markedAtMs = await this.#mark(object);
    for (let round = 0; round < ROUNDS_MAX; round += 1) {
      if (this.#bucket.nowMs() - markedAtMs > MARK_AGE_MS) markedAtMs = await this.#mark(object);
      const placing = await this.#placing(stored);
      if (placing === undefined) return stored;
      await bring(placing);
    }
    throw new Error(`object ${object} does not stay in ${this.where}: who else writes there?`);
  }

  #putBytes(content: Buffer): Promise<StoredObject> {
    const stored = hashBytes(content);
    return this.#settle(stored, ({ key, isNew }) =>
      this.#bucket.putBytes(key, content, stored.object, isNew),
    );
  }

  async putFile(file: string): Promise<StoredObject> {
    const { size } = await stat(file);
    if (size <= PART_BYTES) return this.#putBytes(await readFile(file));
    const known = await hashFile(file);
    const open = (): Readable => {
      const { through } = meter(({ object }) =>
        object === known.object ? null : new Error(`${file} has changed while it was stored`),
      );
      const source = createReadStream(file, { highWaterMark: CHUNK_BYTES });
      pipeline(source, through).catch(() => undefined);
      return through;
    };
    return this.#settle(known, ({ key, isNew }) =>
      this.#bucket.upload(key, open, known.sizeBytes, isNew),
    );
  }

  /** What one part holds is put at once; the rest goes to a key of its own until its hash is known. */
  async putStream(source: Readable): Promise<StoredObject> {
    const { head, rest } = await splitAt(source, PART_BYTES);
    if (rest === undefined) return this.#putBytes(head);
    const incoming = `${this.#keys.incoming}${randomUUID()}`;
    const { through, stored } = meter();
    pipeline(rest, through).catch(() => undefined);
    try {
      await this.#bucket.upload(incoming, () => through, undefined, false);
      const known = stored();
      return await this.#settle(known, ({ key }) =>
        this.#bucket.copy(incoming, key, known.sizeBytes),
      );
    } finally {
      await this.#bucket.delete([incoming]);
    }
  }

  async read(object: string, start = 0, end = Infinity): Promise<Readable> {
    if (start < 0 || end < start) throw new RangeError(`no range of bytes: ${start} to ${end}`);
    if (!/^[0-9a-f]{64}$/.test(object)) throw new ObjectMissingError(object, this.where);
    const range = { start, end };
    const found =
      (await openBody(this.#bucket, this.#keys.generation(object, 0), range)) ??
      (await openBody(this.#bucket, await this.#contentKey(object), range));
    if (found === undefined) throw new ObjectMissingError(object, this.where);
    return found.isWhole ? checked(found.body, object, this.where) : found.body;
  }

  async #contentKey(object: string): Promise<string> {
    const folder = await this.#look(object);
    const found = safeGeneration(folder) ?? folder.generations[0];
    if (found === undefined) throw new ObjectMissingError(object, this.where);
    return this.#keys.generation(object, found.generation);
  }

  async copyTo(object: string, target: string): Promise<void> {
    const source = await this.read(object);
    await mkdir(path.dirname(target), { recursive: true });
    try {
      await pipeline(source, createWriteStream(target));
    } catch (error) {
      await rm(target, { force: true });
      throw error;
    }
  }

  /** In the order of their names, as S3 lists them; keys of one folder stand together. */
  async *#folders(): AsyncGenerator<Folder> {
    let object: string | undefined;
    let listed: ListedKey[] = [];
    for await (const one of this.#bucket.list(this.#keys.objects)) {
      const next = this.#keys.objectOf(one.key);
      if (next === undefined) continue;
      if (object !== undefined && next !== object) {
        yield this.#keys.read(object, listed);
        listed = [];
      }
      object = next;
      listed.push(one);
    }
    if (object !== undefined) yield this.#keys.read(object, listed);
  }

  async *list(): AsyncIterable<ObjectStat> {
    for await (const { object, generations, usedAtMs } of this.#folders()) {
      const [found] = generations;
      if (found !== undefined) yield { object, sizeBytes: found.sizeBytes, usedAtMs };
    }
  }

  async remove(object: string, usedBeforeMs: number): Promise<boolean> {
    const before = await this.#look(object);
    if (before.generations.length === 0) return true;
    if (before.usedAtMs >= usedBeforeMs) return false;
    const highest = before.generations.at(-1)!.generation;
    const doom = this.#keys.doomed(object, highest, randomUUID());
    await this.#bucket.putMark(doom);
    const after = await this.#look(object);
    if (after.usedAtMs >= usedBeforeMs) {
      await this.#bucket.delete([doom]);
      return false;
    }
    const doomed = after.generations.filter(({ generation }) => generation <= highest);
    const contents = doomed.map(({ generation }) => this.#keys.generation(object, generation));
    const isSettled = await this.#bucket.delete(contents);
    const used = after.marks.filter(({ kind }) => kind === 'used');
    await this.#bucket.delete(used.map(({ key }) => key));
    // A deletion that was repeated may still be on its way once: what it may take stays doomed.
    if (isSettled) await this.#bucket.delete([doom]);
    return true;
  }

  async removeLeftovers(writtenBeforeMs: number): Promise<void> {
    await this.#bucket.abortUploads(this.#keys.incoming, writtenBeforeMs);
    await this.#bucket.abortUploads(this.#keys.objects, writtenBeforeMs);
    for await (const { key, writtenAtMs } of this.#bucket.list(this.#keys.incoming)) {
      if (writtenAtMs < writtenBeforeMs) await this.#bucket.delete([key]);
    }
    for await (const { generations, marks } of this.#folders()) {
      const isEmpty = generations.length === 0;
      const stale = marks.filter(
        ({ kind, writtenAtMs }) => (isEmpty || kind === 'doomed') && writtenAtMs < writtenBeforeMs,
      );
      await this.#bucket.delete(stale.map(({ key }) => key));
    }
  }

  async presignGet(object: string, expiresInSeconds: number): Promise<PresignedRequest> {
    return presignGet(this.#bucket, await this.#contentKey(object), expiresInSeconds);
  }

  async presignPut(
    content: StoredObject,
    expiresInSeconds: number,
  ): Promise<PresignedRequest | undefined> {
    await this.#mark(content.object);
    const placing = await this.#placing(content);
    if (placing === undefined) return undefined;
    return presignPut(this.#bucket, placing.key, content, expiresInSeconds);
  }
}
