import { elementByNumber, elementBySymbol } from '../chemistry/elements.ts';
import { RecordFault } from '../reasons.ts';
import type { Atom, Content, SourceRecord } from '../source-record.ts';
import { faultOf, recordOf } from './draft.ts';
import type { LineQueue } from './line-queue.ts';
import type { Line } from './lines.ts';

const ATOMS_MAX = 100_000;
const isCount = (text: string): boolean => /^\s*\d{1,9}\s*$/.test(text);

function readAtom({ text, number }: Line): Atom {
  const [symbol = '', ...rest] = text.trim().split(/\s+/);
  const element = /^\d+$/.test(symbol)
    ? elementByNumber(Number(symbol))
    : elementBySymbol(symbol.replace(/\d+$/, ''));
  if (element === undefined)
    throw new RecordFault('broken-xyz', `there is no element ${symbol.slice(0, 20)}`, number);
  const position = rest.slice(0, 3).map(Number);
  if (position.length < 3 || !position.every((value) => Math.abs(value) < 1e5))
    throw new RecordFault(
      'broken-xyz',
      `"${text.trim().slice(0, 60)}" has no three coordinates`,
      number,
    );
  return { element: element.symbol, position: position as [number, number, number] };
}

function contentOf(rows: readonly Line[], count: number, countLine: Line): Content {
  try {
    if (rows.length < count)
      throw new RecordFault(
        'broken-xyz',
        `${count} atoms are announced and ${rows.length} lines follow`,
        countLine.number,
      );
    return { kind: 'atoms', atoms: rows.map(readAtom) };
  } catch (error) {
    if (error instanceof RecordFault) return { kind: 'fault', fault: error.plain };
    throw error;
  }
}

/** Atom lines of a frame; a line with a number alone where an atom should be begins the next one. */
async function takeRows(queue: LineQueue, count: number): Promise<Line[]> {
  const rows: Line[] = [];
  while (rows.length < count) {
    const next = await queue.peek();
    if (next === undefined || isCount(next.text)) break;
    rows.push((await queue.take())!);
  }
  return rows;
}

/** Frames one after the other: a count, a comment, and that many lines of atoms. */
export async function* readXyzFile(file: string, queue: LineQueue): AsyncGenerator<SourceRecord> {
  for (let head = await queue.take(); head !== undefined; head = await queue.take()) {
    if (head.text.trim() === '') continue;
    if (!isCount(head.text)) {
      const lines = [head];
      for (
        let next = await queue.peek();
        next !== undefined && !isCount(next.text);
        next = await queue.peek()
      )
        lines.push((await queue.take())!);
      const words = `"${head.text.trim().slice(0, 40)}" is no number of atoms`;
      yield recordOf({
        file,
        lines: lines.slice(0, 3),
        content: faultOf('broken-xyz', words, head.number),
      });
      continue;
    }
    const count = Number(head.text);
    if (count > ATOMS_MAX) {
      yield recordOf({
        file,
        lines: [head],
        content: faultOf('broken-xyz', `${count} atoms; at most ${ATOMS_MAX}`),
      });
      continue;
    }
    const comment =
      count === 0 || (await queue.peek()) === undefined ? undefined : await queue.take();
    const rows = await takeRows(queue, count);
    const content: Content =
      count === 0 ? faultOf('empty', 'zero atoms') : contentOf(rows, count, head);
    const lines = [head, ...(comment ? [comment] : []), ...rows];
    const title = comment?.text ?? '';
    const name =
      /\bname="?([^"=]+?)"?(\s|$)/i.exec(title)?.[1] ?? (title.includes('=') ? '' : title);
    yield recordOf({ file, lines, name, content });
  }
}
