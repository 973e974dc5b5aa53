import { RecordFault } from '../reasons.ts';
import type { Line } from './lines.ts';

interface Word {
  readonly text: string;
  readonly line: number;
  readonly isQuoted: boolean;
}

export interface CifLoop {
  readonly names: readonly string[];
  readonly rows: readonly (readonly string[])[];
  readonly line: number;
}

export interface CifBlock {
  readonly name: string;
  readonly items: ReadonlyMap<string, string>;
  readonly loops: readonly CifLoop[];
}

const WORD = /'(?:[^']|'(?=\S))*'(?=\s|$)|"(?:[^"]|"(?=\S))*"(?=\s|$)|\S+/g;

function* wordsOfLine({ text, number }: Line): Generator<Word> {
  for (const word of text.match(WORD) ?? []) {
    if (word.startsWith('#')) return;
    const isQuoted = word.length > 1 && /^(['"]).*\1$/.test(word);
    yield { text: isQuoted ? word.slice(1, -1) : word, line: number, isQuoted };
  }
}

function* wordsOf(lines: readonly Line[]): Generator<Word> {
  let field: { text: string[]; line: number } | undefined;
  for (const line of lines) {
    const isMark = line.text.startsWith(';');
    if (field !== undefined && isMark) {
      yield { text: field.text.join('\n'), line: field.line, isQuoted: true };
      field = undefined;
    } else if (field !== undefined) field.text.push(line.text);
    else if (isMark) field = { text: [line.text.slice(1)], line: line.number };
    else yield* wordsOfLine(line);
  }
  if (field !== undefined)
    throw new RecordFault('broken-cif', 'a text that begins with ";" has no end', field.line);
}

const isName = (word: Word | undefined): boolean =>
  word !== undefined && !word.isQuoted && word.text.startsWith('_');
const isEnd = (word: Word | undefined): boolean =>
  word === undefined ||
  isName(word) ||
  (!word.isQuoted && /^(loop_|data_|save_|global_|stop_)/i.test(word.text));

function readLoop(words: readonly Word[], begin: number): { loop: CifLoop; next: number } {
  let at = begin + 1;
  const names: string[] = [];
  while (isName(words[at])) names.push(words[at++]!.text.toLowerCase());
  const first = at;
  while (!isEnd(words[at])) at++;
  const { line } = words[begin]!;
  const count = at - first;
  if (names.length === 0) throw new RecordFault('broken-cif', 'a loop_ without names', line);
  if (count % names.length !== 0) {
    const what = `a loop of ${names.length} columns with ${count} values: ${count % names.length} too many`;
    throw new RecordFault('broken-cif', `${what} (${names[0]})`, line);
  }
  const rows = Array.from({ length: count / names.length }, (_, row) =>
    words
      .slice(first + row * names.length, first + (row + 1) * names.length)
      .map(({ text }) => text),
  );
  return { loop: { names, rows, line }, next: at };
}

/** The items and loops of the lines of one data block. */
export function readCifBlock(lines: readonly Line[]): CifBlock {
  const words = [...wordsOf(lines)];
  const items = new Map<string, string>();
  const loops: CifLoop[] = [];
  let name = '';
  for (let at = 0; at < words.length;) {
    const word = words[at]!;
    if (!word.isQuoted && /^data_/i.test(word.text)) {
      name = word.text.slice('data_'.length);
      at++;
    } else if (!word.isQuoted && /^loop_$/i.test(word.text)) {
      const { loop, next } = readLoop(words, at);
      loops.push(loop);
      at = next;
    } else if (isName(word)) {
      const hasValue = !isEnd(words[at + 1]);
      if (hasValue) items.set(word.text.toLowerCase(), words[at + 1]!.text);
      at += hasValue ? 2 : 1;
    } else at++;
  }
  return { name, items, loops };
}

export function cifColumn(block: CifBlock, ...names: readonly string[]): string[] | undefined {
  for (const name of names) {
    for (const loop of block.loops) {
      const at = loop.names.indexOf(name);
      if (at >= 0) return loop.rows.map((row) => row[at]!);
    }
  }
  return undefined;
}

/** A number without its standard uncertainty: 7.390(2). */
export function cifNumber(text: string | undefined, what: string): number {
  const value =
    text === undefined || text === '' ? Number.NaN : Number(text.replace(/\(\d*\)$/, ''));
  if (!Number.isFinite(value)) {
    throw new RecordFault(
      'broken-cif',
      `${what} is ${text === undefined ? 'not there' : `"${text.slice(0, 40)}"`}; a number is expected`,
    );
  }
  return value;
}
