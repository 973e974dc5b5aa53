import { Readable } from 'node:stream';
import { TASK_COUNT_MAX } from '@majorana/core';
import { CliError } from '../output.ts';
import type { TextSource } from './text-source.ts';
import { readLines } from './text-source.ts';

/** The limits of the job spec's schema, checked here so that an error can name its line. */
const VALUE_LENGTH_MAX = 65_536;
const LINE_LENGTH_MAX = 16 * 1024 * 1024;
const BATCH_LENGTH = 128 * 1024;
const TAKEN_NAMES = ['index', 'job', 'task_count'];
const fieldName = /^[A-Za-z_]\w{0,62}$/;

/** Where a record stands, for errors. */
type Where = () => string;

function checkName(name: string, where: Where): void {
  if (!fieldName.test(name))
    throw new CliError(
      `${where()}: "${name}" is no field name; letters, digits and "_" are, at most 63`,
    );
  if (TAKEN_NAMES.includes(name))
    throw new CliError(`${where()}: every task has a field ${name}; give this one another name`);
}

function checkValue(name: string, value: string, where: Where): void {
  if (value.length > VALUE_LENGTH_MAX)
    throw new CliError(`${where()}: ${name} is longer than ${VALUE_LENGTH_MAX} characters`);
  if (value.includes('\0')) throw new CliError(`${where()}: ${name} holds a NUL character`);
}

/** Joins lines to pieces worth sending, and counts them. */
class Batches {
  #text = '';
  #count = 0;
  readonly #name: string;

  constructor(name: string) {
    this.#name = name;
  }

  /** A piece when enough has come together. */
  add(line: string): string | undefined {
    if (++this.#count > TASK_COUNT_MAX)
      throw new CliError(`${this.#name}: more than ${TASK_COUNT_MAX} records, the most in one job`);
    this.#text += `${line}\n`;
    return this.#text.length < BATCH_LENGTH ? undefined : this.#take();
  }

  #take(): string {
    const text = this.#text;
    this.#text = '';
    return text;
  }

  end(): string {
    if (this.#count === 0) throw new CliError(`${this.#name}: holds no record`);
    return this.#take();
  }
}

/** One record for each line, as field `line`. */
export async function* lineRecords(source: TextSource): AsyncGenerator<string, void, undefined> {
  const batches = new Batches(source.name);
  for await (const { first, lines } of readLines(source, VALUE_LENGTH_MAX + 1)) {
    for (const [at, line] of lines.entries()) {
      checkValue('it', line, () => `${source.name}, line ${first + at}`);
      const piece = batches.add(`{"line":${JSON.stringify(line)}}`);
      if (piece !== undefined) yield piece;
    }
  }
  yield batches.end();
}

function readObject(line: string, where: Where): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (error) {
    throw new CliError(`${where()}: ${(error as Error).message}; each line is one JSON object`);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new CliError(`${where()}: each line is one JSON object, such as {"temperature": 300}`);
  return value as Record<string, unknown>;
}

/** Strings as they are, other values as JSON text; the fields are those of the first record. */
function readJsonRecord(
  line: string,
  names: readonly string[] | undefined,
  where: Where,
): Record<string, string> {
  const object = readObject(line, where);
  const record: Record<string, string> = {};
  for (const [name, value] of Object.entries(object)) {
    if (names === undefined) checkName(name, where);
    else if (!names.includes(name))
      throw new CliError(`${where()}: the field ${name} is not in the first record`);
    const text = typeof value === 'string' ? value : JSON.stringify(value);
    checkValue(name, text, where);
    record[name] = text;
  }
  const missing = names?.find((name) => !Object.hasOwn(record, name));
  if (missing !== undefined)
    throw new CliError(`${where()}: lacks the field ${missing}, which the first record has`);
  return record;
}

export async function* jsonRecords(source: TextSource): AsyncGenerator<string, void, undefined> {
  const batches = new Batches(source.name);
  let names: readonly string[] | undefined;
  for await (const { first, lines } of readLines(source, LINE_LENGTH_MAX)) {
    for (const [at, line] of lines.entries()) {
      if (line.trim() === '') continue;
      const record = readJsonRecord(line, names, () => `${source.name}, line ${first + at}`);
      names ??= Object.keys(record);
      const piece = batches.add(JSON.stringify(record));
      if (piece !== undefined) yield piece;
    }
  }
  yield batches.end();
}

function readHeader(cells: readonly string[], where: Where): string[] {
  for (const [column, name] of cells.entries()) {
    checkName(name, where);
    if (cells.indexOf(name) !== column)
      throw new CliError(`${where()}: the column ${name} comes twice`);
  }
  return [...cells];
}

/** CSV with a header; spaces around a value are dropped unless it is quoted. */
export async function* csvRecords(
  source: TextSource,
  delimiter: ',' | '\t',
): AsyncGenerator<string, void, undefined> {
  const { parse } = await import('csv-parse');
  const batches = new Batches(source.name);
  let names: string[] | undefined;
  // Lines of JSON are made while parsing: a million objects less than with `columns: true`.
  const toLine = (cells: string[], { lines }: { lines: number }): string[] | null => {
    const where = (): string => `${source.name}, line ${lines}`;
    if (names === undefined) {
      names = readHeader(cells, where);
      return null;
    }
    let line = '';
    for (const [column, value] of cells.entries()) {
      checkValue(names[column]!, value, where);
      line += `${column === 0 ? '{' : ','}"${names[column]!}":${JSON.stringify(value)}`;
    }
    return [`${line}}`];
  };
  const parser = parse({
    delimiter,
    trim: true,
    skip_empty_lines: true,
    max_record_size: LINE_LENGTH_MAX,
    on_record: toLine,
  });
  const input = Readable.from(source.chunks);
  input.on('error', (error) => parser.destroy(error));
  try {
    for await (const cells of input.pipe(parser)) {
      const piece = batches.add((cells as string[])[0]!);
      if (piece !== undefined) yield piece;
    }
  } catch (error) {
    if (error instanceof CliError) throw error;
    throw new CliError(`${source.name}: ${(error as Error).message}`);
  }
  yield batches.end();
}

/** What has been read to look at it is read again. */
async function* putBack(read: string, rest: AsyncIterator<string>): AsyncGenerator<string> {
  if (read !== '') yield read;
  for (;;) {
    const next = await rest.next();
    if (next.done === true) return;
    yield next.value;
  }
}

/** By the name's ending; without one that says it, JSON begins with a brace and CSV does not. */
export async function* paramRecords(
  file: string,
  source: TextSource,
): AsyncGenerator<string, void, undefined> {
  if (/\.(jsonl|ndjson|json)$/i.test(file)) yield* jsonRecords(source);
  else if (/\.csv$/i.test(file)) yield* csvRecords(source, ',');
  else if (/\.tsv$/i.test(file)) yield* csvRecords(source, '\t');
  else {
    const iterator = source.chunks[Symbol.asyncIterator]();
    let begin = '';
    while (begin.trim() === '') {
      const next = await iterator.next();
      if (next.done === true) break;
      begin += next.value;
    }
    const again = { name: source.name, chunks: putBack(begin, iterator) };
    if (begin.trimStart().startsWith('{')) yield* jsonRecords(again);
    else yield* csvRecords(again, ',');
  }
}
