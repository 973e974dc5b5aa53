import { latticeOf, type CellParameters } from './cell.ts';
import { elementOf } from './elements.ts';
import { InputError } from './errors.ts';
import type { AtomicCell, Operation } from './moyo.ts';
import { add, apply, norm, subtract, transpose, type Matrix3, type Vector3 } from './vector.ts';

/** Atoms closer than this are the same atom made by two operations. */
const SAME_ATOM_ANGSTROM = 0.25;

function tokens(text: string): string[] {
  const found: string[] = [];
  const withoutBlocks = text.replace(/^;[\s\S]*?^;/gm, ' . ');
  for (const line of withoutBlocks.split('\n')) {
    const words = line.match(/'(?:[^']|'(?=\S))*'(?=\s|$)|"[^"]*"|\S+/g) ?? [];
    for (const word of words) {
      if (word.startsWith('#')) break;
      found.push(word);
    }
  }
  return found;
}

function unquoted(word: string): string {
  return /^(['"]).*\1$/.test(word) ? word.slice(1, -1) : word;
}

interface Block {
  items: Map<string, string>;
  loops: { names: string[]; rows: string[][] }[];
}

/** The items and loops of the first data block that has a cell. */
function readBlock(text: string): Block {
  const words = tokens(text);
  let block: Block = { items: new Map(), loops: [] };
  const isName = (word: string | undefined) => word?.startsWith('_') ?? false;
  const isEnd = (word: string | undefined) =>
    word === undefined || isName(word) || /^(loop_|data_|save_)/i.test(word);
  for (let at = 0; at < words.length;) {
    const word = words[at]!;
    if (/^data_/i.test(word)) {
      if (block.items.has('_cell_length_a')) break;
      block = { items: new Map(), loops: [] };
      at++;
    } else if (/^loop_/i.test(word)) {
      at++;
      const names: string[] = [];
      while (isName(words[at])) names.push(words[at++]!.toLowerCase());
      const rows: string[][] = [];
      while (!isEnd(words[at])) {
        rows.push(words.slice(at, at + names.length).map(unquoted));
        at += names.length;
      }
      block.loops.push({ names, rows });
    } else if (isName(word)) {
      block.items.set(word.toLowerCase(), unquoted(words[at + 1] ?? ''));
      at += 2;
    } else at++;
  }
  return block;
}

/** A number without its standard uncertainty: 7.390(2). */
function numberOf(text: string | undefined, what: string): number {
  const value = Number((text ?? '').replace(/\(.*\)$/, ''));
  if (text === undefined || !Number.isFinite(value)) throw new InputError(`CIF: no number ${what}`);
  return value;
}

function column(block: Block, names: readonly string[]): string[] | undefined {
  for (const loop of block.loops) {
    const at = loop.names.findIndex((name) => names.includes(name));
    if (at >= 0) return loop.rows.map((row) => row[at] ?? '');
  }
  return undefined;
}

/** "1/2-x, y, -z" as an operation. */
export function parseOperation(text: string): Operation {
  const parts = text.toLowerCase().replace(/\s/g, '').split(',');
  if (parts.length !== 3) throw new InputError(`CIF: operation ${text}`);
  const rows = parts.map((part) => {
    const row: [number, number, number] = [0, 0, 0];
    let shift = 0;
    for (const [, sign, value, axis] of part.matchAll(/([+-]?)(?:([\d./]+)|([xyz]))/g)) {
      const factor = sign === '-' ? -1 : 1;
      if (axis) row['xyz'.indexOf(axis)]! += factor;
      else {
        const [top, bottom] = value!.split('/').map(Number);
        shift += (factor * top!) / (bottom ?? 1);
      }
    }
    return { row, shift };
  });
  const [x, y, z] = rows as [(typeof rows)[0], (typeof rows)[0], (typeof rows)[0]];
  return { rotation: [x.row, y.row, z.row], translation: [x.shift, y.shift, z.shift] };
}

export interface Structure extends AtomicCell {
  name: string;
  elements: string[];
}

interface Site {
  element: string;
  fractional: Vector3;
}

function sites(block: Block): Site[] {
  const coordinate = (axis: string) => column(block, [`_atom_site_fract_${axis}`]);
  const [xs, ys, zs] = [coordinate('x'), coordinate('y'), coordinate('z')];
  const symbols = column(block, ['_atom_site_type_symbol']) ?? column(block, ['_atom_site_label']);
  if (!xs || !ys || !zs || !symbols) throw new InputError('CIF: no fractional coordinates');
  return symbols.flatMap((symbol, index) => {
    if ([xs[index], ys[index], zs[index]].some((value) => value === '?' || value === '.'))
      return [];
    const element = elementOf(symbol.replace(/^([A-Za-z]{1,2}).*$/, '$1').replace(/^D$/, 'H'));
    return [
      {
        element: element.symbol,
        fractional: [
          numberOf(xs[index], 'x'),
          numberOf(ys[index], 'y'),
          numberOf(zs[index], 'z'),
        ] as Vector3,
      },
    ];
  });
}

function fraction(value: number): number {
  return value - Math.floor(value + 1e-9);
}

/** All atoms of the cell; atoms that two operations put at one place count once. */
function expand(asymmetric: readonly Site[], operations: readonly Operation[], columns: Matrix3) {
  const all: Site[] = [];
  for (const site of asymmetric) {
    for (const { rotation, translation } of operations) {
      const image = add(apply(rotation, site.fractional), translation);
      const at: Vector3 = [fraction(image[0]), fraction(image[1]), fraction(image[2])];
      const isKnown = all.some((other) => {
        const d = subtract(other.fractional, at);
        const near: Vector3 = [
          d[0] - Math.round(d[0]),
          d[1] - Math.round(d[1]),
          d[2] - Math.round(d[2]),
        ];
        return norm(apply(columns, near)) < SAME_ATOM_ANGSTROM;
      });
      if (!isKnown) all.push({ element: site.element, fractional: at });
    }
  }
  return all;
}

export function readCif(text: string, name: string): Structure {
  const block = readBlock(text);
  const item = (key: string) => numberOf(block.items.get(key), key);
  const cell: CellParameters = [
    item('_cell_length_a'),
    item('_cell_length_b'),
    item('_cell_length_c'),
    item('_cell_angle_alpha'),
    item('_cell_angle_beta'),
    item('_cell_angle_gamma'),
  ];
  const single = block.items.get('_symmetry_equiv_pos_as_xyz');
  const texts = column(block, [
    '_symmetry_equiv_pos_as_xyz',
    '_space_group_symop_operation_xyz',
  ]) ?? [single ?? 'x,y,z'];
  const lattice = latticeOf(cell);
  const all = expand(sites(block), texts.map(parseOperation), transpose(lattice));
  return {
    name,
    lattice,
    fractional: all.map((site) => site.fractional),
    elements: all.map((site) => site.element),
    atomicNumbers: all.map((site) => elementOf(site.element).atomicNumber),
  };
}
