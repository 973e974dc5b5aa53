import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { CliError } from '../output.ts';

const CHUNK_BYTES = 256 * 1024;

export interface TextSource {
  /** As errors name it. */
  readonly name: string;
  readonly chunks: AsyncIterable<string>;
}

async function* decode(name: string, stream: AsyncIterable<Buffer>): AsyncGenerator<string> {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  let line = 1;
  for await (const bytes of stream) {
    let text: string;
    try {
      text = decoder.decode(bytes, { stream: true });
    } catch {
      throw new CliError(`${name}: not UTF-8, in line ${line} or soon after`);
    }
    for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1)) line += 1;
    if (text !== '') yield text;
  }
  try {
    decoder.decode();
  } catch {
    throw new CliError(`${name}: ends in the middle of a character, in line ${line}`);
  }
}

/** A file, or standard input for `-`, as UTF-8 text in chunks, however large it is. */
export async function openText(file: string): Promise<TextSource> {
  if (file === '-') {
    return { name: 'standard input', chunks: decode('standard input', process.stdin) };
  }
  const there = await stat(file).catch((error: NodeJS.ErrnoException) => {
    throw new CliError(`${file}: cannot be read (${error.code ?? error.message})`);
  });
  if (there.isDirectory()) throw new CliError(`${file}: is a folder; a file is expected`);
  return {
    name: file,
    chunks: decode(file, createReadStream(file, { highWaterMark: CHUNK_BYTES })),
  };
}

export interface LineBatch {
  /** Number of the first line, from 1. */
  readonly first: number;
  readonly lines: readonly string[];
}

/** Lines in batches; each may end in LF or CRLF, the last in nothing. */
export async function* readLines(
  source: TextSource,
  lineLengthMax: number,
): AsyncGenerator<LineBatch, void, undefined> {
  let rest = '';
  let first = 1;
  const clean = (line: string): string => (line.endsWith('\r') ? line.slice(0, -1) : line);
  for await (const chunk of source.chunks) {
    const lines = (rest + chunk).split('\n');
    rest = lines.pop() ?? '';
    if (rest.length > lineLengthMax)
      throw new CliError(
        `${source.name}, line ${first + lines.length}: longer than ${lineLengthMax} characters`,
      );
    if (lines.length > 0) yield { first, lines: lines.map(clean) };
    first += lines.length;
  }
  if (rest !== '') yield { first, lines: [clean(rest)] };
}
