import path from 'node:path';
import { elementByNumber } from '../chemistry/elements.ts';
import { RecordFault } from '../reasons.ts';
import type { Content, SourceRecord } from '../source-record.ts';
import { faultOf, recordOf } from './draft.ts';
import type { LineQueue } from './line-queue.ts';
import type { Line } from './lines.ts';

const LINES_MAX = 200_000;

interface ChemicalJson {
  readonly name?: unknown;
  readonly atoms?: {
    readonly coords?: { readonly '3d'?: readonly unknown[] };
    readonly elements?: { readonly number?: readonly unknown[] };
  };
}

/** Its bonds are found from the geometry, as those of XYZ are. */
function contentOf({ atoms }: ChemicalJson): Content {
  const numbers = atoms?.elements?.number ?? [];
  const flat = atoms?.coords?.['3d'] ?? [];
  if (!Array.isArray(numbers) || !Array.isArray(flat) || numbers.length === 0)
    throw new RecordFault('broken-json', 'no atoms.elements.number');
  if (flat.length !== 3 * numbers.length)
    throw new RecordFault('broken-json', `${numbers.length} atoms and ${flat.length} coordinates`);
  return {
    kind: 'atoms',
    atoms: numbers.map((number, at) => {
      const element = elementByNumber(Number(number));
      const position = [0, 1, 2].map((axis) => Number(flat[3 * at + axis]));
      if (element === undefined || !position.every((value) => Math.abs(value) < 1e5))
        throw new RecordFault('broken-json', `atom ${at + 1} has no element or no coordinates`);
      return { element: element.symbol, position: position as [number, number, number] };
    }),
  };
}

function readObject(text: string): { content: Content; name: string } {
  try {
    const parsed = JSON.parse(text) as ChemicalJson | null;
    const { name } = parsed ?? {};
    return { content: contentOf(parsed ?? {}), name: typeof name === 'string' ? name : '' };
  } catch (error) {
    if (error instanceof RecordFault)
      return { content: { kind: 'fault', fault: error.plain }, name: '' };
    return { content: faultOf('broken-json', (error as Error).message.slice(0, 200)), name: '' };
  }
}

/** Chemical JSON (`.cjson`): one molecule in a file. */
export async function* readChemicalJson(
  file: string,
  queue: LineQueue,
): AsyncGenerator<SourceRecord> {
  const lines: Line[] = await queue.takeMany(LINES_MAX);
  const text = lines.map((line) => line.text).join('\n');
  if (text.trim() === '') return;
  const { content, name } = readObject(text);
  const stem = path.basename(file).replace(/\.cjson(\.gz)?$/i, '');
  yield recordOf({ file, lines, content, name: name || stem });
}
