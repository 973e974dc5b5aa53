import type { SourceRecord } from '../source-record.ts';
import { faultOf, recordOf } from './draft.ts';
import type { LineQueue } from './line-queue.ts';
import type { Line } from './lines.ts';

/** 2,000 atoms take about 4,000 lines; what is longer has lost its end. */
const RECORD_LINES_MAX = 50_000;

const isCountsLine = (text: string): boolean => /^.{30,40}V[23]000\s*$/.test(text);

/** Lines up to `$$$$`, or up to the header of the next molfile where that line was lost. */
async function takeRecord(queue: LineQueue): Promise<{ lines: Line[]; isDelimited: boolean }> {
  const lines: Line[] = [];
  let hasEnded = false;
  for (;;) {
    if (hasEnded && isCountsLine((await queue.peek(3))?.text ?? ''))
      return { lines, isDelimited: false };
    const line = await queue.take();
    if (line === undefined) return { lines, isDelimited: false };
    if (line.text.startsWith('$$$$')) return { lines, isDelimited: true };
    if (line.text.startsWith('M  END')) hasEnded = true;
    if (lines.length < RECORD_LINES_MAX) lines.push(line);
  }
}

/** `> <name>` and the lines below it up to an empty one. */
function readProperties(lines: readonly Line[]): Record<string, string> {
  const properties: Record<string, string> = {};
  let name: string | undefined;
  for (const { text } of lines) {
    const head = /^>.*<([^>]{1,200})>/.exec(text)?.[1];
    if (head !== undefined) {
      name = head;
      Object.defineProperty(properties, name, {
        value: '',
        writable: true,
        enumerable: true,
        configurable: true,
      });
    } else if (text.trim() === '') name = undefined;
    else if (name !== undefined)
      properties[name] = properties[name] ? `${properties[name]}\n${text}` : text;
  }
  return properties;
}

/** MOL and SDF, V2000 and V3000. A molfile alone has no `$$$$`. */
export async function* readSdfFile(file: string, queue: LineQueue): AsyncGenerator<SourceRecord> {
  for (let count = 0; (await queue.peek()) !== undefined; count++) {
    const { lines, isDelimited } = await takeRecord(queue);
    const isBlank = lines.every(({ text }) => text.trim() === '');
    if (isBlank && !isDelimited) continue;
    if (isBlank) {
      const at = lines.length > 0 ? lines : [{ number: 1, text: '$$$$', isLatin1: false }];
      yield recordOf({ file, lines: at, content: faultOf('empty', 'nothing before $$$$') });
      continue;
    }
    const end = lines.findIndex(({ text }) => text.startsWith('M  END'));
    const molfile = end < 0 ? lines : lines.slice(0, end + 1);
    const isLast = (await queue.peek()) === undefined;
    const isLost = !isDelimited && !(isLast && count === 0);
    const properties = readProperties(end < 0 ? [] : lines.slice(end + 1));
    yield recordOf({
      file,
      lines,
      name: lines[0]!.text,
      content: { kind: 'molfile', lines: molfile.map(({ text }) => text) },
      notes: isLost
        ? [{ code: 'missing-delimiter', words: `ends in line ${lines.at(-1)!.number}` }]
        : [],
      properties,
    });
  }
}
