import { parse } from 'csv-parse/sync';
import { InputError } from '../reasons.ts';
import type { SourceRecord } from '../source-record.ts';
import { faultOf, recordOf } from './draft.ts';
import type { LineQueue } from './line-queue.ts';
import type { Line } from './lines.ts';

/** A quoted value that spans more lines than this is a lost quote: it must not swallow the file. */
const ROW_LINES_MAX = 50;
const SMILES_NAME = /(^|[^a-z])smiles?([^a-z]|$)|^structure$/i;
const NAME_NAME =
  /^(name|title|compound|compound[ _-]*name|molecule|id|compound[ _-]*id|identifier|.*_id)$/i;

interface Row {
  readonly lines: readonly Line[];
  readonly cells: readonly string[] | undefined;
  readonly error?: string;
}

function cellsOf(text: string, delimiter: string): string[] | 'open' | Error {
  try {
    const rows = parse(text, {
      delimiter,
      relax_column_count: true,
      relax_quotes: true,
      trim: true,
    }) as string[][];
    return rows[0] ?? [];
  } catch (error) {
    return (error as { code?: string }).code === 'CSV_QUOTE_NOT_CLOSED' ? 'open' : (error as Error);
  }
}

/** One row: a line, or as many as its quotes span. */
async function takeRow(queue: LineQueue, delimiter: string): Promise<Row | undefined> {
  const first = await queue.peek();
  if (first === undefined) return undefined;
  let text = first.text;
  for (let count = 1; ; count++) {
    const cells = cellsOf(text, delimiter);
    if (cells !== 'open') {
      const lines = await queue.takeMany(count);
      return cells instanceof Error
        ? { lines, cells: undefined, error: cells.message }
        : { lines, cells };
    }
    const next = count < ROW_LINES_MAX ? await queue.peek(count) : undefined;
    if (next === undefined) break;
    text += `\n${next.text}`;
  }
  return {
    lines: await queue.takeMany(1),
    cells: undefined,
    error: 'a quote is opened and not closed',
  };
}

/** The delimiter that the header has most of. */
function delimiterOf(header: string): string {
  const count = (one: string): number => header.split(one).length;
  return [',', '\t', ';'].toSorted((a, b) => count(b) - count(a))[0]!;
}

function findColumn(header: readonly string[], asked: string | undefined, file: string): number {
  const names = header.map((name) => name.trim());
  const at =
    asked === undefined
      ? names.findIndex((name) => SMILES_NAME.test(name))
      : names.findIndex((name) => name.toLowerCase() === asked.toLowerCase());
  if (at >= 0) return at;
  const shown = names
    .slice(0, 12)
    .map((name) => name.slice(0, 40))
    .join(', ');
  throw new InputError(
    asked === undefined
      ? `${file}: no column is named SMILES (there are ${shown}); name it with --smiles-column`
      : `${file}: there is no column ${asked} (there are ${shown})`,
  );
}

export async function* readCsvFile(
  file: string,
  queue: LineQueue,
  smilesColumn: string | undefined,
): AsyncGenerator<SourceRecord> {
  let first = await queue.peek();
  while (first?.text.trim() === '') {
    await queue.take();
    first = await queue.peek();
  }
  const delimiter = delimiterOf(first?.text ?? '');
  const header = (await takeRow(queue, delimiter))?.cells ?? [];
  const smilesAt = findColumn(header, smilesColumn, file);
  const nameAt = header.findIndex((name, at) => at !== smilesAt && NAME_NAME.test(name.trim()));
  for (
    let row = await takeRow(queue, delimiter);
    row !== undefined;
    row = await takeRow(queue, delimiter)
  ) {
    const { lines, cells } = row;
    if (lines.length === 1 && lines[0]!.text.trim() === '') continue;
    if (cells === undefined) {
      yield recordOf({ file, lines, content: faultOf('broken-csv', row.error ?? 'no row') });
      continue;
    }
    if (cells.length <= smilesAt) {
      const words = `${cells.length} values, and the SMILES is column ${smilesAt + 1}`;
      yield recordOf({ file, lines, content: faultOf('broken-csv', words) });
      continue;
    }
    const others = header.flatMap((name, at) =>
      at === smilesAt || at === nameAt ? [] : [[name, cells[at] ?? '']],
    );
    yield recordOf({
      file,
      lines,
      name: cells[nameAt] ?? '',
      // ChemAxon and others put an extension behind a space: CCO |w:1|
      content: { kind: 'smiles', smiles: cells[smilesAt]!.trim().split(/\s/)[0]! },
      properties: Object.fromEntries(others) as Record<string, string>,
    });
  }
}
