import type { CellParameters, Crystal, Operation, Site } from '../chemistry/crystal.ts';
import { moleculesOf } from '../chemistry/crystal.ts';
import { elementBySymbol } from '../chemistry/elements.ts';
import type { Reason } from '../reasons.ts';
import { RecordFault } from '../reasons.ts';
import type { Content, SourceRecord } from '../source-record.ts';
import type { CifBlock } from './cif-syntax.ts';
import { cifColumn, cifNumber, readCifBlock } from './cif-syntax.ts';
import { recordOf } from './draft.ts';
import type { LineQueue } from './line-queue.ts';
import type { Line } from './lines.ts';

/** Reflections and refinement logs make blocks long; the atoms stand before them. */
const BLOCK_LINES_MAX = 200_000;
const CELL = [
  '_cell_length_a',
  '_cell_length_b',
  '_cell_length_c',
  '_cell_angle_alpha',
  '_cell_angle_beta',
  '_cell_angle_gamma',
];
const isUnknown = (value: string | undefined): boolean =>
  value === undefined || value === '?' || value === '.';

/** "1/2-x, y, -z" as an operation. */
export function readOperation(text: string): Operation {
  const parts = text.toLowerCase().replaceAll(/\s/g, '').split(',');
  const isPart = (part: string): boolean =>
    /^([+-]?(\d+(\.\d*)?|\.\d+)?(\/\d+)?[xyz]?)+$/.test(part) && part.length < 40;
  if (parts.length !== 3 || !parts.every(isPart)) {
    throw new RecordFault('broken-cif', `"${text.slice(0, 40)}" is no symmetry operation`);
  }
  const read = parts.map((part) => {
    const row: [number, number, number] = [0, 0, 0];
    let shift = 0;
    for (const [, sign, value, axis] of part.matchAll(/([+-]?)(?:([\d./]+)|([xyz]))/g)) {
      const factor = sign === '-' ? -1 : 1;
      const [top = 0, bottom = 1] = (value ?? '').split('/').map(Number);
      if (axis === undefined) shift += (factor * top) / bottom;
      else row['xyz'.indexOf(axis)]! += factor;
    }
    return { row, shift };
  });
  const [x, y, z] = read as [(typeof read)[0], (typeof read)[0], (typeof read)[0]];
  if (![x, y, z].every(({ shift }) => Number.isFinite(shift)))
    throw new RecordFault('broken-cif', `"${text.slice(0, 40)}" is no symmetry operation`);
  return { rotation: [x.row, y.row, z.row], translation: [x.shift, y.shift, z.shift] };
}

function operationsOf(block: CifBlock): Operation[] {
  const names = ['_space_group_symop_operation_xyz', '_symmetry_equiv_pos_as_xyz'];
  const single = names.map((name) => block.items.get(name)).find((value) => value !== undefined);
  const texts = cifColumn(block, ...names) ?? (single === undefined ? undefined : [single]);
  if (texts !== undefined) return texts.map(readOperation);
  const group =
    block.items.get('_symmetry_space_group_name_h-m') ??
    block.items.get('_space_group_name_h-m_alt');
  if (!isUnknown(group) && group!.replaceAll(' ', '') !== 'P1') {
    throw new RecordFault(
      'broken-cif',
      `no symmetry operations, and the space group ${group!.slice(0, 20)} is not P 1`,
    );
  }
  return [readOperation('x,y,z')];
}

interface Sites {
  readonly sites: readonly Site[];
  readonly dropped: number;
}

/** The major part of a disordered crystal: the first group of each assembly, and half-filled sites or fuller. */
function isMajor(occupancy: string | undefined, group: string | undefined): boolean {
  if (!isUnknown(group) && group !== '0') return Math.abs(Number(group)) === 1;
  return isUnknown(occupancy) || cifNumber(occupancy, '_atom_site_occupancy') >= 0.5;
}

function sitesOf(block: CifBlock): Sites {
  const column = (name: string): string[] | undefined => cifColumn(block, `_atom_site_${name}`);
  const axes = ['x', 'y', 'z'].map((axis) => column(`fract_${axis}`));
  const symbols = column('type_symbol') ?? column('label');
  if (symbols === undefined || axes.some((axis) => axis === undefined)) {
    throw new RecordFault('not-a-molecule', 'a block without the coordinates of atoms');
  }
  const [occupancies, groups] = [column('occupancy'), column('disorder_group')];
  let dropped = 0;
  const sites = symbols.flatMap((symbol, index): Site[] => {
    if (axes.some((axis) => isUnknown(axis![index]))) return [];
    const element = elementBySymbol(
      /^[A-Za-z]{2}/.test(symbol) && elementBySymbol(symbol.slice(0, 2))
        ? symbol.slice(0, 2)
        : symbol.slice(0, 1),
    );
    if (element === undefined)
      throw new RecordFault('broken-cif', `there is no element ${symbol.slice(0, 20)}`);
    if (!isMajor(occupancies?.[index], groups?.[index])) {
      dropped++;
      return [];
    }
    const fractional = axes.map((axis, k) =>
      cifNumber(axis![index], `${'xyz'[k]} of ${symbol.slice(0, 10)}`),
    );
    if (fractional.some((value) => Math.abs(value) > 1000))
      throw new RecordFault(
        'broken-cif',
        `${symbol.slice(0, 10)} has a coordinate out of all bounds`,
      );
    return [{ element: element.symbol, fractional: fractional as [number, number, number] }];
  });
  if (sites.length === 0)
    throw new RecordFault('not-a-molecule', 'a block without the coordinates of atoms');
  return { sites, dropped };
}

/** H in `C9 H7 N7 O2 S`. */
function formulaHydrogens(block: CifBlock): number | undefined {
  const formula = block.items.get('_chemical_formula_sum');
  if (isUnknown(formula)) return undefined;
  const count = /(?:^|\s)[HD]([\d.]*)(?=\s|$)/.exec(formula!)?.[1];
  return count === undefined ? 0 : Number(count === '' ? 1 : count);
}

interface ReadCrystal {
  readonly crystal: Crystal;
  /** Atoms of minor parts, which are left out. */
  readonly dropped: number;
}

function crystalOf(block: CifBlock): ReadCrystal {
  const { sites, dropped } = sitesOf(block);
  const cell = CELL.map((name) => cifNumber(block.items.get(name), name));
  return {
    crystal: {
      cell: cell as readonly number[] as CellParameters,
      sites,
      operations: operationsOf(block),
    },
    dropped,
  };
}

function contentOf(block: CifBlock): { content: Content; notes: Reason[] } {
  const { crystal, dropped } = crystalOf(block);
  const atoms = moleculesOf(crystal);
  const hydrogensExpected = formulaHydrogens(block);
  const notes: Reason[] =
    dropped === 0 ? [] : [{ code: 'disorder', words: `${dropped} atoms of minor parts left out` }];
  return {
    content: {
      kind: 'atoms',
      atoms,
      ...(hydrogensExpected === undefined ? {} : { hydrogensExpected }),
    },
    notes,
  };
}

const isBlockBegin = (text: string): boolean => /^data_/i.test(text);

/** The crystal of the first block that has a cell. */
export function readFirstCrystal(text: string): ReadCrystal {
  const lines = text
    .split(/\r?\n/)
    .map((line, at): Line => ({ text: line, number: at + 1, isLatin1: false }));
  const begins = lines.flatMap((line, at) => (isBlockBegin(line.text) ? [at] : []));
  for (const [index, begin] of begins.entries()) {
    const block = readCifBlock(lines.slice(begin, begins[index + 1]));
    if (block.items.has(CELL[0]!)) return crystalOf(block);
  }
  throw new RecordFault('broken-cif', 'no data block with a cell');
}

function readBlock(file: string, lines: readonly Line[]): SourceRecord {
  const name = /^data_(\S*)/i.exec(lines[0]!.text)?.[1] ?? '';
  try {
    const block = readCifBlock(lines);
    return recordOf({ file, lines, name, ...contentOf(block) });
  } catch (error) {
    if (!(error instanceof RecordFault)) throw error;
    return recordOf({ file, lines, name, content: { kind: 'fault', fault: error.plain } });
  }
}

/** Each `data_` block is a record. What stands before the first one is a comment, or broken. */
export async function* readCifFile(file: string, queue: LineQueue): AsyncGenerator<SourceRecord> {
  let lines: Line[] = [];
  const isMeaningful = (): boolean =>
    lines.some(({ text }) => text.trim() !== '' && !text.startsWith('#'));
  for (let line = await queue.take(); line !== undefined; line = await queue.take()) {
    if (isBlockBegin(line.text)) {
      if (isMeaningful()) yield readBlock(file, lines);
      lines = [];
    }
    if (lines.length < BLOCK_LINES_MAX) lines.push(line);
  }
  if (isMeaningful()) yield readBlock(file, lines);
}
