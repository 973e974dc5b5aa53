import { Readable } from 'node:stream';
import type { S3Bucket } from './s3-bucket.ts';
import { explainS3Error, statusOf } from './s3-errors.ts';

/** So often in a row without a byte between, a broken body is asked for again. */
const BREAKS_MAX = 5;

export interface Range {
  readonly start: number;
  /** The last byte, or Infinity. */
  readonly end: number;
}

export interface OpenBody {
  readonly body: Readable;
  /** It is the whole object, whatever was asked for. */
  readonly isWhole: boolean;
}

const header = (start: number, end: number): string | undefined =>
  start === 0 && end === Infinity ? undefined : `bytes=${start}-${end === Infinity ? '' : end}`;

type Answer = NonNullable<Awaited<ReturnType<S3Bucket['get']>>>;

/** What comes before the end or the break of a line; the break is no error here. */
async function* untilBreak(body: Readable): AsyncGenerator<Buffer, void, undefined> {
  const chunks = body[Symbol.asyncIterator]() as AsyncIterator<Buffer, undefined>;
  const ended = { value: undefined, done: true } as const;
  try {
    for (;;) {
      // Only the line's own errors: what the reader throws in at the yield goes through.
      const { value } = await chunks.next().catch(() => ended);
      if (value === undefined) return;
      yield value;
    }
  } finally {
    await chunks.return?.();
  }
}

/** The bytes of an answer; where the line breaks, the rest of the same content is asked for. */
async function* bytesOf(
  bucket: S3Bucket,
  key: string,
  first: Answer,
  start: number,
): AsyncGenerator<Buffer, void, undefined> {
  const end = start + (first.ContentLength ?? 0);
  let position = start;
  let breaks = 0;
  for (let answer: Answer | undefined = first; position < end;) {
    for await (const chunk of untilBreak(answer.Body as Readable)) {
      position += chunk.length;
      breaks = 0;
      yield chunk;
    }
    if (position >= end) return;
    breaks += 1;
    const cut = Object.assign(new Error(`${key} was cut at ${position}`), { code: 'ECONNRESET' });
    if (breaks > BREAKS_MAX) throw explainS3Error(cut, bucket.where);
    answer = await bucket.get(key, header(position, end - 1), first.ETag);
    if (answer === undefined) throw new Error(`${key} was removed while it was read`);
  }
}

/** Undefined when the key is not there; bytes beyond the end are left out. */
export async function openBody(
  bucket: S3Bucket,
  key: string,
  { start, end }: Range,
): Promise<OpenBody | undefined> {
  try {
    const answer = await bucket.get(key, header(start, end));
    if (answer === undefined) return undefined;
    const total = Number(answer.ContentRange?.split('/')[1] ?? answer.ContentLength);
    const isWhole = start === 0 && answer.ContentLength === total;
    const bytes = bytesOf(bucket, key, answer, start);
    return { body: Readable.from(bytes, { objectMode: false }), isWhole };
  } catch (error) {
    // Beyond the end there is nothing; an empty object has no first byte.
    if (statusOf(error) !== 416) throw error;
    return { body: Readable.from([]), isWhole: false };
  }
}
