import { isUtf8 } from 'node:buffer';
import { createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
import { createGunzip } from 'node:zlib';
import { InputError } from '../reasons.ts';

export interface Line {
  /** From 1. */
  readonly number: number;
  readonly text: string;
  /** Not UTF-8, and read as Latin-1. */
  readonly isLatin1: boolean;
}

const CHUNK_BYTES = 256 * 1024;
/** A longer line is cut: no record of ours is that long, and memory must hold it. */
export const LINE_LENGTH_MAX = 1024 * 1024;

async function firstBytes(file: string): Promise<Buffer> {
  const handle = await open(file);
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(4096), 0, 4096, 0);
    return buffer.subarray(0, bytesRead);
  } finally {
    await handle.close();
  }
}

function encodingOf(begin: Buffer): 'utf-16le' | 'utf-16be' | 'bytes' {
  if (begin[0] === 0xff && begin[1] === 0xfe) return 'utf-16le';
  if (begin[0] === 0xfe && begin[1] === 0xff) return 'utf-16be';
  return 'bytes';
}

function checkText(begin: Buffer, file: string): void {
  const control = begin.filter(
    (byte) => byte === 0 || (byte < 32 && ![9, 10, 12, 13].includes(byte)),
  );
  if (control.length > begin.length / 100) {
    throw new InputError(`${file}: is no text file; SMILES, SDF, MOL, XYZ, CIF and CSV are`);
  }
}

async function* decoded(chunks: AsyncIterable<Buffer>, encoding: string): AsyncGenerator<Buffer> {
  const decoder = new TextDecoder(encoding);
  for await (const chunk of chunks) yield Buffer.from(decoder.decode(chunk, { stream: true }));
}

/** The bytes of a file, unpacked when it is gzip and turned to UTF-8 when it is UTF-16. */
async function openBytes(file: string): Promise<AsyncIterable<Buffer>> {
  const begin = await firstBytes(file);
  const stream = createReadStream(file, { highWaterMark: CHUNK_BYTES });
  if (begin[0] === 0x1f && begin[1] === 0x8b) {
    const unpacked = createGunzip();
    stream.on('error', (error) => unpacked.destroy(error));
    return stream.pipe(unpacked);
  }
  const encoding = encodingOf(begin);
  if (encoding !== 'bytes') return decoded(stream, encoding);
  checkText(begin, file);
  return stream;
}

const stripped = (text: string): string => (text.endsWith('\r') ? text.slice(0, -1) : text);

/** Splits bytes at line feeds; one line that is not UTF-8 leaves the others as they are. */
function* splitLines(whole: Buffer, first: number): Generator<Line> {
  if (isUtf8(whole)) {
    let number = first;
    for (const text of whole.toString('utf8').split('\n')) {
      yield { number: number++, text: stripped(text), isLatin1: false };
    }
    return;
  }
  let number = first;
  for (let begin = 0; begin <= whole.length;) {
    const end = whole.indexOf(0x0a, begin);
    const bytes = whole.subarray(begin, end < 0 ? whole.length : end);
    const isLatin1 = !isUtf8(bytes);
    yield {
      number: number++,
      text: stripped(bytes.toString(isLatin1 ? 'latin1' : 'utf8')),
      isLatin1,
    };
    begin += bytes.length + 1;
  }
}

/** The lines of a file in batches of one chunk, however large the file is. */
export async function* readLines(file: string): AsyncGenerator<Line, void, undefined> {
  let rest: Buffer = Buffer.alloc(0);
  let number = 1;
  let isFirst = true;
  for await (const chunk of await openBytes(file)) {
    let bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    if (isFirst && bytes.length >= 3) {
      if (bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf) bytes = bytes.subarray(3);
      isFirst = false;
    }
    const end = bytes.lastIndexOf(0x0a);
    if (end < 0) {
      rest = bytes.subarray(0, LINE_LENGTH_MAX);
      continue;
    }
    for (const line of splitLines(bytes.subarray(0, end), number)) {
      yield line;
      number = line.number + 1;
    }
    rest = Buffer.from(bytes.subarray(end + 1));
  }
  if (rest.length > 0) yield* splitLines(rest, number);
}
