import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { Readable } from 'node:stream';
import { buffer, text } from 'node:stream/consumers';
import { afterAll, expect, test } from 'vitest';
import type { ObjectStore } from './object-store.ts';
import { ObjectDamagedError, ObjectMissingError } from './object-store.ts';

export interface StoreUnderTest {
  readonly store: ObjectStore;
  /** Replaces what is kept of an object behind the store's back. */
  readonly damage: (object: string, content: string) => Promise<void>;
  /** Sets when an object was last used. */
  readonly age: (object: string, usedAtMs: number) => Promise<void>;
}

const sha256 = (content: string | Buffer): string =>
  createHash('sha256').update(content).digest('hex');
const stream = (content: string): Readable => Readable.from([Buffer.from(content)]);
const ABSENT = sha256('nobody has put this');
const MEBIBYTE = 1024 ** 2;
const GIBIBYTE = 1024 ** 3;

async function* zeros(bytes: number): AsyncGenerator<Buffer> {
  const chunk = Buffer.alloc(MEBIBYTE);
  for (let left = bytes; left > 0; left -= chunk.length) yield chunk.subarray(0, left);
}

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = [];
  for await (const item of items) list.push(item);
  return list;
}

/** What every object store must do; each implementation calls this in its own test file. */
export function testObjectStore(make: () => Promise<StoreUnderTest>): void {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'objects-test-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  test('an object is named by the SHA-256 of its content, however it was put', async () => {
    const { store } = await make();
    const file = path.join(folder, 'file');
    writeFileSync(file, 'content');
    const stored = { object: sha256('content'), sizeBytes: 7 };
    expect(await store.putStream(stream('content'))).toEqual(stored);
    expect(await store.putFile(file)).toEqual(stored);
    expect(await text(await store.read(stored.object))).toBe('content');
    expect(await store.has(stored.object)).toBe(true);
    expect(await store.stat(stored.object)).toMatchObject(stored);
    expect(await collect(store.list())).toMatchObject([stored]);
  });

  test('an empty object is an object', async () => {
    const { store } = await make();
    const { object } = await store.putStream(Readable.from([]));
    expect(await store.stat(object)).toMatchObject({ object: sha256(''), sizeBytes: 0 });
    expect(await text(await store.read(object))).toBe('');
  });

  test('a range holds its first and its last byte, and ends with the object', async () => {
    const { store } = await make();
    const { object } = await store.putStream(stream('0123456789'));
    const range = async (start?: number, end?: number): Promise<string> =>
      text(await store.read(object, start, end));
    expect(await range(2, 4)).toBe('234');
    expect(await range(0, 0)).toBe('0');
    expect(await range(7)).toBe('789');
    expect(await range(8, 1000)).toBe('89');
    expect(await range(10)).toBe('');
    await expect(store.read(object, 4, 2)).rejects.toThrow(RangeError);
  });

  test('an object that is not there is an error that names it', async () => {
    const { store } = await make();
    const target = path.join(folder, 'absent');
    expect(await store.has(ABSENT)).toBe(false);
    for (const attempt of [
      () => store.stat(ABSENT),
      () => store.read(ABSENT),
      () => store.copyTo(ABSENT, target),
      () => store.stat('../../etc/passwd'),
    ]) {
      await expect(attempt()).rejects.toThrow(ObjectMissingError);
    }
    await expect(store.read(ABSENT)).rejects.toThrow(ABSENT);
    expect(existsSync(target)).toBe(false);
  });

  test('a damaged object is found by a full read and by a copy, and named', async () => {
    const { store, damage } = await make();
    const { object } = await store.putStream(stream('the truth'));
    await damage(object, 'the trust');
    const target = path.join(folder, 'damaged');
    await expect(text(await store.read(object))).rejects.toThrow(ObjectDamagedError);
    await expect(store.copyTo(object, target)).rejects.toThrow(object);
    expect(existsSync(target)).toBe(false);
  });

  test('what was cut short is whole again after the next put', async () => {
    const { store, damage } = await make();
    const { object } = await store.putStream(stream('a long content'));
    await damage(object, 'a long');
    await store.putStream(stream('a long content'));
    expect(await text(await store.read(object))).toBe('a long content');
  });

  test('a copy is its own: who edits it harms nobody', async () => {
    const { store } = await make();
    const { object } = await store.putStream(stream('original'));
    const target = path.join(folder, 'deep', 'copy');
    await store.copyTo(object, target);
    writeFileSync(target, 'edited');
    expect(await text(await store.read(object))).toBe('original');
    await store.copyTo(object, target);
    expect(readFileSync(target, 'utf8')).toBe('original');
  });

  test('puts of the same content at once give one whole object', async () => {
    const { store } = await make();
    const content = 'x'.repeat(300_000);
    const puts = await Promise.all(
      Array.from({ length: 20 }, () => store.putStream(stream(content))),
    );
    expect(new Set(puts.map(({ object }) => object))).toEqual(new Set([sha256(content)]));
    expect(await collect(store.list())).toHaveLength(1);
    expect(await text(await store.read(sha256(content)))).toBe(content);
  });

  test('a source that fails leaves nothing', async () => {
    const { store } = await make();
    const source = Readable.from(
      (async function* () {
        yield Buffer.from('some');
        throw new Error('the line broke');
      })(),
    );
    await expect(store.putStream(source)).rejects.toThrow('the line broke');
    expect(await collect(store.list())).toEqual([]);
  });

  test('a touch spares what is there, and tells what is not', async () => {
    const { store, age } = await make();
    const { object } = await store.putStream(stream('touched'));
    const longAgo = Date.now() - 1_000_000;
    await age(object, longAgo);
    expect(await store.touch(object)).toBe(true);
    expect(await store.remove(object, longAgo + 2000)).toBe(false);
    expect(await store.touch('0'.repeat(64))).toBe(false);
  });

  test('a removal spares what has been put again since', async () => {
    const { store, age } = await make();
    const { object } = await store.putStream(stream('used'));
    const longAgo = Date.now() - 1_000_000;
    await age(object, longAgo);
    expect((await store.stat(object)).usedAtMs).toBeLessThan(longAgo + 2000);
    await store.putStream(stream('used'));
    expect(await store.remove(object, longAgo + 2000)).toBe(false);
    expect(await text(await store.read(object))).toBe('used');
    await age(object, longAgo);
    expect(await store.remove(object, longAgo + 2000)).toBe(true);
    expect(await store.has(object)).toBe(false);
    expect(await store.remove(object, longAgo)).toBe(true);
  });

  test('a removal and a put at once leave the object', async () => {
    const { store, age } = await make();
    for (let round = 0; round < 50; round += 1) {
      const { object } = await store.putStream(stream('contested'));
      await age(object, 1000);
      await Promise.all([
        store.remove(object, 2000),
        store.putStream(stream('contested')),
        store.remove(object, 2000),
      ]);
      expect(await text(await store.read(object)), `round ${round}`).toBe('contested');
    }
  });

  test('an object of 1 GB passes through bounded memory', async () => {
    const { store } = await make();
    // What is loaded and compiled at the first use is no part of an object.
    const first = await store.putStream(Readable.from(zeros(9 * MEBIBYTE)));
    await buffer(await store.read(first.object));
    const before = process.memoryUsage().rss;
    let highest = before;
    const watch = setInterval(() => {
      highest = Math.max(highest, process.memoryUsage().rss);
    }, 20);
    const { object, sizeBytes } = await store.putStream(Readable.from(zeros(GIBIBYTE)));
    expect(sizeBytes).toBe(GIBIBYTE);
    let readBytes = 0;
    for await (const chunk of await store.read(object)) readBytes += (chunk as Buffer).length;
    clearInterval(watch);
    expect(readBytes).toBe(GIBIBYTE);
    expect(await buffer(await store.read(object, GIBIBYTE - 2))).toHaveLength(2);
    expect(highest - before).toBeLessThan(100_000_000);
  });
}
