import { stat } from 'node:fs/promises';
import { InputError } from '../reasons.ts';
import type { SourceRecord } from '../source-record.ts';
import { readChemicalJson } from './chemical-json.ts';
import { readCifFile } from './cif.ts';
import { readCsvFile } from './csv.ts';
import { faultOf, recordOf } from './draft.ts';
import { LineQueue } from './line-queue.ts';
import { readLines } from './lines.ts';
import { readSdfFile } from './sdf.ts';
import { readSmilesFile } from './smiles.ts';
import { readXyzFile } from './xyz.ts';

export type Format = 'smiles' | 'csv' | 'sdf' | 'xyz' | 'cif' | 'cjson';

const BY_ENDING: Readonly<Record<string, Format>> = {
  smi: 'smiles',
  smiles: 'smiles',
  can: 'smiles',
  ism: 'smiles',
  csv: 'csv',
  tsv: 'csv',
  tab: 'csv',
  sdf: 'sdf',
  sd: 'sdf',
  mol: 'sdf',
  mdl: 'sdf',
  xyz: 'xyz',
  extxyz: 'xyz',
  cif: 'cif',
  cjson: 'cjson',
};

export const KNOWN_ENDINGS = Object.keys(BY_ENDING);

export function formatByName(file: string): Format | undefined {
  const ending = /\.([a-z]+)(?:\.gz)?$/i.exec(file)?.[1]?.toLowerCase();
  return ending === undefined ? undefined : BY_ENDING[ending];
}

const LOOK_LINES = 60;

const looksLikeXyz = (lines: readonly string[]): boolean =>
  /^\s*\d+\s*$/.test(lines[0] ?? '') &&
  /^\s*[A-Za-z]{1,2}(\s+-?\d+\.?\d*(e[-+]?\d+)?){3}/i.test(lines[2] ?? '');

const looksLikeCif = (lines: readonly string[]): boolean =>
  lines.some((text) => /^data_\S/i.test(text)) && lines.some((text) => /^(loop_|_\w+)/i.test(text));

const looksLikeCsv = (lines: readonly string[]): boolean =>
  /[,;\t]/.test(lines[0] ?? '') && /\b(smiles?)\b/i.test(lines[0] ?? '');

/** Nearly all lines begin with a word of SMILES letters, and none with what JSON and XML begin with. */
function looksLikeSmiles(lines: readonly string[]): boolean {
  const hits = lines.filter((text) => /^[A-Za-z0-9@+\-[\]()=#$:/\\.%*]+(\s|$)/.test(text.trim()));
  const isOther = lines.some((text) => /^[{<"]|^\[\s*$/.test(text.trim()));
  return !isOther && hits.length > 0 && hits.length >= 0.8 * lines.length;
}

/** For a name that says nothing, such as `.txt`: what the first lines look like. */
async function formatByContent(queue: LineQueue): Promise<Format | undefined> {
  const lines: string[] = [];
  for (let at = 0; at < LOOK_LINES; at++) {
    const line = await queue.peek(at);
    if (line === undefined) break;
    lines.push(line.text);
  }
  if (/V[23]000\s*$/.test(lines[3] ?? '')) return 'sdf';
  if (looksLikeCif(lines)) return 'cif';
  if (looksLikeXyz(lines)) return 'xyz';
  const filled = lines.filter((text) => text.trim() !== '' && !/^#\s/.test(text));
  if (looksLikeCsv(filled)) return 'csv';
  return looksLikeSmiles(filled) ? 'smiles' : undefined;
}

export interface ReadOptions {
  readonly smilesColumn?: string;
}

function recordsOf(
  format: Format,
  file: string,
  queue: LineQueue,
  options: ReadOptions,
): AsyncGenerator<SourceRecord> {
  switch (format) {
    case 'smiles':
      return readSmilesFile(file, queue);
    case 'csv':
      return readCsvFile(file, queue, options.smilesColumn);
    case 'sdf':
      return readSdfFile(file, queue);
    case 'xyz':
      return readXyzFile(file, queue);
    case 'cif':
      return readCifFile(file, queue);
    case 'cjson':
      return readChemicalJson(file, queue);
  }
}

const wordsOf = (error: unknown): string =>
  error instanceof Error ? error.message : String(error);

/**
 * The records of one file, broken ones among them. A file that cannot be read to its end gives what it
 * held before, and one broken record that says so.
 */
export async function* readRecords(
  file: string,
  options: ReadOptions = {},
): AsyncGenerator<SourceRecord> {
  let line = 1;
  let queue: LineQueue | undefined;
  try {
    if (!(await stat(file)).isFile()) throw new InputError(`${file}: is no file`);
    queue = new LineQueue(readLines(file));
    const format = formatByName(file) ?? (await formatByContent(queue));
    if (format === undefined) {
      throw new InputError(
        `${file}: its format cannot be told; known endings: .${KNOWN_ENDINGS.join(' .')}, also with .gz`,
      );
    }
    for await (const record of recordsOf(format, file, queue, options)) {
      ({ line } = record);
      yield record;
    }
  } catch (error) {
    const words =
      error instanceof InputError ? wordsOf(error).replace(`${file}: `, '') : wordsOf(error);
    const at = { number: line, text: '', isLatin1: false };
    yield recordOf({ file, lines: [at], content: faultOf('unreadable', words) });
  } finally {
    await queue?.close();
  }
}
