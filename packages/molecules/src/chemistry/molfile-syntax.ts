import { RecordFault } from '../reasons.ts';
import { elementBySymbol } from './elements.ts';

/** Symbols of the molfile format that stand for no single element. */
const PLACEHOLDERS = /^(A|Q|\*|L|LP|R|R#|Pol|Du|X|M|AH|QH|XH|MH)$/;

function broken(words: string, line: number): RecordFault {
  return new RecordFault('broken-molfile', words, line);
}

function checkSymbol(symbol: string, line: number): void {
  if (PLACEHOLDERS.test(symbol)) {
    throw new RecordFault('not-a-molecule', `${symbol} is a placeholder, no atom`, line);
  }
  if (elementBySymbol(symbol) === undefined)
    throw broken(`there is no element ${symbol.slice(0, 10)}`, line);
}

function checkNumbers(texts: readonly (string | undefined)[], what: string, line: number): void {
  for (const text of texts) {
    const value = text === undefined || text.trim() === '' ? Number.NaN : Number(text);
    if (!(Math.abs(value) < 1e5)) {
      throw broken(`${what}: "${(text ?? '').trim().slice(0, 20)}" is no coordinate`, line);
    }
  }
}

function checkBond(numbers: readonly number[], atoms: number, line: number): void {
  const [from = 0, to = 0, order = 0] = numbers;
  for (const atom of [from, to]) {
    if (!Number.isInteger(atom) || atom < 1 || atom > atoms)
      throw broken(`a bond to atom ${atom} of ${atoms}`, line);
  }
  if (from === to) throw broken(`a bond of atom ${from} to itself`, line);
  if (!Number.isInteger(order) || order < 1 || order > 10)
    throw broken(
      `a bond of type ${order}; 1, 2, 3 and 4 are single, double, triple, aromatic`,
      line,
    );
}

function checkV2000(lines: readonly string[], first: number): number {
  const counts = lines[3]!;
  const [atoms, bonds] = [Number(counts.slice(0, 3)), Number(counts.slice(3, 6))];
  if (!Number.isInteger(atoms) || !Number.isInteger(bonds) || atoms < 0 || bonds < 0) {
    throw broken(`"${counts.slice(0, 40)}" is no counts line`, first + 3);
  }
  const end = lines.findIndex((line, at) => at > 3 && line.startsWith('M  END'));
  const last = end < 0 ? lines.length : end;
  if (4 + atoms + bonds > last) {
    throw broken(
      `the counts line says ${atoms} atoms and ${bonds} bonds; ${last - 4} lines follow it` +
        (end < 0 ? ', and no "M  END"' : ''),
      first + 3,
    );
  }
  for (let at = 4; at < 4 + atoms; at++) {
    const line = lines[at]!;
    checkNumbers(
      [line.slice(0, 10), line.slice(10, 20), line.slice(20, 30)],
      `atom ${at - 3}`,
      first + at,
    );
    checkSymbol(line.slice(31, 34).trim(), first + at);
  }
  const isPaired = new Set<string>();
  for (let at = 4 + atoms; at < 4 + atoms + bonds; at++) {
    const line = lines[at]!;
    const numbers = [line.slice(0, 3), line.slice(3, 6), line.slice(6, 9)].map(Number);
    checkBond(numbers, atoms, first + at);
    const pair = `${Math.min(numbers[0]!, numbers[1]!)},${Math.max(numbers[0]!, numbers[1]!)}`;
    if (isPaired.has(pair)) throw broken(`atoms ${pair} are bonded twice`, first + at);
    isPaired.add(pair);
  }
  if (end < 0) throw broken('ends without "M  END"', first + lines.length - 1);
  // More bonds than were counted would be lost in silence.
  const next = lines[4 + atoms + bonds];
  if (next !== undefined && /^( {0,2}\d{1,3}){3,7}\s*$/.test(next)) {
    throw broken(
      `more bonds than the ${bonds} that the counts line says`,
      first + 4 + atoms + bonds,
    );
  }
  return atoms;
}

interface Section {
  readonly rows: readonly { readonly words: readonly string[]; readonly line: number }[];
}

/** The rows of a V3000 block; a line that ends in "-" goes on in the next. */
function v3000Section(lines: readonly string[], first: number, name: string): Section {
  const begin = lines.findIndex((line) => line.startsWith(`M  V30 BEGIN ${name}`));
  const end = lines.findIndex((line) => line.startsWith(`M  V30 END ${name}`));
  if (begin < 0) return { rows: [] };
  if (end < begin) throw broken(`BEGIN ${name} without END ${name}`, first + begin);
  const rows: { words: string[]; line: number }[] = [];
  let open = '';
  for (let at = begin + 1; at < end; at++) {
    const text = open + lines[at]!.replace(/^M {2}V30 /, '');
    open = text.endsWith('-') ? text.slice(0, -1) : '';
    if (open === '') rows.push({ words: text.trim().split(/\s+/), line: first + at });
  }
  return { rows };
}

function checkV3000(lines: readonly string[], first: number): number {
  const at = lines.findIndex((line) => line.startsWith('M  V30 COUNTS'));
  if (at < 0) throw broken('no "M  V30 COUNTS" line', first + 3);
  const [atoms = -1, bonds = -1] = lines[at]!.slice(13).trim().split(/\s+/).map(Number);
  const atomRows = v3000Section(lines, first, 'ATOM').rows;
  const bondRows = v3000Section(lines, first, 'BOND').rows;
  if (atomRows.length !== atoms || bondRows.length !== bonds) {
    throw broken(
      `COUNTS says ${atoms} atoms and ${bonds} bonds; there are ${atomRows.length} and ${bondRows.length}`,
      first + at,
    );
  }
  const numberOf = new Map<number, number>();
  for (const { words, line } of atomRows) {
    checkNumbers(words.slice(2, 5), `atom ${words[0]}`, line);
    if (words.length < 5) throw broken(`atom ${words[0]} has no three coordinates`, line);
    checkSymbol(words[1]!, line);
    numberOf.set(Number(words[0]), numberOf.size + 1);
  }
  for (const { words, line } of bondRows) {
    const [from, to] = [numberOf.get(Number(words[2])), numberOf.get(Number(words[3]))];
    checkBond([from ?? 0, to ?? 0, Number(words[1])], atoms, line);
  }
  if (!lines.some((line) => line.startsWith('M  END'))) {
    throw broken('ends without "M  END"', first + lines.length - 1);
  }
  return atoms;
}

export interface MolfileFacts {
  readonly atomCount: number;
  /** As openchemlib should read it: with the chiral flag set. */
  readonly text: string;
  readonly isChiralFlagUnset: boolean;
}

/**
 * Openchemlib answers a broken molfile with an empty molecule; this says what is wrong, and in which
 * line. `first` is the number of the file's line that the molfile begins with.
 */
export function checkMolfile(given: readonly string[], first: number): MolfileFacts {
  const counts = given[3] ?? '';
  const isV3000 = /V3000/.test(counts);
  if (!isV3000 && !/^[ \d]{6}/.test(counts.padEnd(6))) {
    throw broken(
      `"${counts.slice(0, 40)}" is no counts line; it is the fourth of a molfile`,
      first + 3,
    );
  }
  const atomCount = isV3000 ? checkV3000(given, first) : checkV2000(given, first);
  const lines = [...given];
  let isChiralFlagUnset = false;
  // Flag 0 would make openchemlib forget every configuration, for writers seldom set it.
  if (isV3000) {
    const at = lines.findIndex((line) => line.startsWith('M  V30 COUNTS'));
    const words = lines[at]!.trim().split(/\s+/);
    isChiralFlagUnset = words[7] !== '1';
    while (words.length < 8) words.push('0');
    lines[at] = ['M  V30', ...words.slice(2, 7), '1', ...words.slice(8)].join(' ');
  } else {
    isChiralFlagUnset = counts.slice(12, 15).trim() !== '1';
    lines[3] = `${counts.slice(0, 12).padEnd(12)}  1${counts.slice(15)}`;
    if (!/V2000/.test(counts)) lines[3] = `${lines[3].padEnd(33)} V2000`;
  }
  return { atomCount, text: lines.join('\n'), isChiralFlagUnset };
}
