import type { ReasonCode } from '../reasons.ts';
import type { Content, SourceRecord } from '../source-record.ts';
import { beginningOf } from '../source-record.ts';
import type { Line } from './lines.ts';

interface Draft {
  readonly file: string;
  readonly lines: readonly Line[];
  readonly name?: string;
  readonly content: Content;
  readonly text?: string;
  readonly notes?: SourceRecord['notes'];
  readonly properties?: Readonly<Record<string, string>>;
}

const NAME_LENGTH_MAX = 200;

/** A record of what stands in these lines. */
export function recordOf({
  file,
  lines,
  name = '',
  content,
  text,
  notes = [],
  properties = {},
}: Draft): SourceRecord {
  const latin1 = lines.find(({ isLatin1 }) => isLatin1);
  return {
    file,
    line: lines[0]?.number ?? 1,
    name: beginningOf(name.trim()).slice(0, NAME_LENGTH_MAX),
    content,
    text: beginningOf(
      text ??
        lines
          .slice(0, 3)
          .map((line) => line.text.trim())
          .join(' ⏎ '),
    ),
    notes:
      latin1 === undefined
        ? notes
        : [...notes, { code: 'encoding', words: `line ${latin1.number}` }],
    properties,
  };
}

export const faultOf = (code: ReasonCode, words: string, line?: number): Content => ({
  kind: 'fault',
  fault: { code, message: words, line },
});
