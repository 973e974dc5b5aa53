import type { SourceRecord } from '../source-record.ts';
import { recordOf } from './draft.ts';
import type { LineQueue } from './line-queue.ts';

const HEADER = /^(canonical[_ ]?|isomeric[_ ]?)?smiles?\b/i;

/** A SMILES in each line, then perhaps a name; lines that begin with "#" and a space are comments. */
export async function* readSmilesFile(
  file: string,
  queue: LineQueue,
): AsyncGenerator<SourceRecord> {
  let isFirst = true;
  for (let line = await queue.take(); line !== undefined; line = await queue.take()) {
    const text = line.text.trim();
    if (text === '' || /^#(\s|$)/.test(text)) continue;
    const isHeader = isFirst && HEADER.test(text);
    isFirst = false;
    if (isHeader) continue;
    const [, smiles = '', name = ''] = /^(\S+)(?:\s+([\s\S]*))?$/.exec(text)!;
    yield recordOf({ file, lines: [line], name, content: { kind: 'smiles', smiles } });
  }
}
