import { Readable } from 'node:stream';

export interface Split {
  readonly head: Buffer;
  /** All of it, the head too; undefined when the head is all. */
  readonly rest: Readable | undefined;
}

/** Reads until more than so many bytes are there, or the end. */
export async function splitAt(source: Readable, bytes: number): Promise<Split> {
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  const iterator = source[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  while (sizeBytes <= bytes) {
    const { value, done } = await iterator.next();
    if (done === true) return { head: Buffer.concat(chunks), rest: undefined };
    chunks.push(value);
    sizeBytes += value.length;
  }
  async function* all(): AsyncGenerator<Buffer> {
    try {
      while (chunks.length > 0) yield chunks.shift()!;
      yield* { [Symbol.asyncIterator]: () => iterator };
    } finally {
      await iterator.return?.();
    }
  }
  return { head: Buffer.alloc(0), rest: Readable.from(all(), { objectMode: false }) };
}
