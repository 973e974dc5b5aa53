import { RecordFault } from '../reasons.ts';
import type { Atom } from '../source-record.ts';
import { elementBySymbol } from './elements.ts';

export type Triple = readonly [number, number, number];
type Matrix = readonly [Triple, Triple, Triple];

export interface Site {
  readonly element: string;
  readonly fractional: Triple;
}

/** In fractional coordinates: x becomes rotation x + translation. */
export interface Operation {
  readonly rotation: Matrix;
  readonly translation: Triple;
}

/** Lengths in Angstrom, angles in degrees. */
export type CellParameters = readonly [number, number, number, number, number, number];

export interface Crystal {
  readonly cell: CellParameters;
  readonly sites: readonly Site[];
  readonly operations: readonly Operation[];
}

/** Every pair of atoms in the cell is looked at. */
const CELL_ATOMS_MAX = 3000;
const SAME_ATOM_ANGSTROM = 0.25;
const BOND_TOLERANCE_ANGSTROM = 0.4;
/** Molecules of one record stand this far from each other, so that none is bonded to another. */
const GAP_ANGSTROM = 10;

const dot = (a: Triple, b: Triple): number => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
const plus = (a: Triple, b: Triple): Triple => [a[0] + b[0], a[1] + b[1], a[2] + b[2]];
const applied = (matrix: Matrix, v: Triple): Triple => [
  dot(matrix[0], v),
  dot(matrix[1], v),
  dot(matrix[2], v),
];

/** Fractional to Cartesian: a along x, b in the xy plane. */
function columnsOf(cell: CellParameters): Matrix {
  const [a, b, c, ...angles] = cell;
  const [alpha = 0, beta = 0, gamma = 0] = angles.map((angle) => (angle * Math.PI) / 180);
  const y = (Math.cos(alpha) - Math.cos(beta) * Math.cos(gamma)) / Math.sin(gamma);
  const z2 = 1 - Math.cos(beta) ** 2 - y * y;
  if (!(a > 0.5 && b > 0.5 && c > 0.5 && a < 1000 && b < 1000 && c < 1000 && z2 > 1e-6)) {
    throw new RecordFault('broken-cif', `no cell has the lengths and angles ${cell.join(' ')}`);
  }
  return [
    [a, b * Math.cos(gamma), c * Math.cos(beta)],
    [0, b * Math.sin(gamma), c * y],
    [0, 0, c * Math.sqrt(z2)],
  ];
}

export interface CellAtom {
  readonly element: string;
  readonly fractional: Triple;
}

/** The atoms of a whole cell. */
export interface FilledCell<A extends CellAtom = CellAtom> {
  /** Takes fractional coordinates to Cartesian ones; the lattice vectors are its columns. */
  readonly columns: Matrix;
  readonly atoms: readonly A[];
}

/** From one atom to the nearest image of another. */
function stepBetween(columns: Matrix, from: Triple, to: Triple): Triple {
  const near = (k: 0 | 1 | 2): number => to[k] - from[k] - Math.round(to[k] - from[k]);
  return applied(columns, [near(0), near(1), near(2)]);
}

interface SiteAtom extends CellAtom {
  readonly site: number;
}

/** All images of a site; two operations that lead to one place make one atom. */
function imagesOf({ fractional }: Site, { operations }: Crystal, columns: Matrix): Triple[] {
  const images: Triple[] = [];
  for (const { rotation, translation } of operations) {
    const [x, y, z] = plus(applied(rotation, fractional), translation);
    const at: Triple = [x - Math.floor(x), y - Math.floor(y), z - Math.floor(z)];
    const isKnown = images.some(
      (other) => Math.hypot(...stepBetween(columns, other, at)) < SAME_ATOM_ANGSTROM,
    );
    if (!isKnown) images.push(at);
  }
  return images;
}

export function fillCell(crystal: Crystal): FilledCell<SiteAtom> {
  const columns = columnsOf(crystal.cell);
  const { sites, operations } = crystal;
  const tooLarge = new RecordFault('too-large', `more than ${CELL_ATOMS_MAX} atoms in the cell`);
  if (sites.length * operations.length > 4 * CELL_ATOMS_MAX) throw tooLarge;
  const atoms = sites.flatMap((site, index) =>
    imagesOf(site, crystal, columns).map((fractional) => ({
      element: site.element,
      site: index,
      fractional,
    })),
  );
  if (atoms.length > CELL_ATOMS_MAX) throw tooLarge;
  return { columns, atoms };
}

/** The atoms bonded to this one, with the way to each. */
function bondedTo({ columns, atoms }: FilledCell, atom: number): { to: number; step: Triple }[] {
  const own = atoms[atom]!;
  const { radius } = elementBySymbol(own.element)!;
  return atoms.flatMap((other, to) => {
    if (to === atom || (own.element === 'H' && other.element === 'H')) return [];
    const step = stepBetween(columns, own.fractional, other.fractional);
    const limit = radius + elementBySymbol(other.element)!.radius + BOND_TOLERANCE_ANGSTROM;
    return Math.hypot(...step) < limit ? [{ to, step }] : [];
  });
}

/** A molecule in one piece: its atoms by their place in the cell, each next to one before it. */
export interface Piece {
  readonly atoms: readonly number[];
  /** Cartesian. */
  readonly positions: readonly Triple[];
}

function pieceFrom(cell: FilledCell, start: number): Piece {
  const atoms = [start];
  const positions: Triple[] = [applied(cell.columns, cell.atoms[start]!.fractional)];
  const placeOf = new Map([[start, 0]]);
  for (let next = 0; next < atoms.length; next++) {
    for (const { to, step } of bondedTo(cell, atoms[next]!)) {
      const position = plus(positions[next]!, step);
      const known = placeOf.get(to);
      if (known === undefined) {
        placeOf.set(to, atoms.length);
        atoms.push(to);
        positions.push(position);
      } else if (Math.hypot(...positions[known]!.map((value, k) => value - position[k]!)) > 0.5) {
        throw new RecordFault('not-a-molecule', 'the bonds go on from cell to cell without end');
      }
    }
  }
  return { atoms, positions };
}

/** Every molecule of the cell. */
export function piecesOf(cell: FilledCell): Piece[] {
  const seen = new Set<number>();
  const pieces: Piece[] = [];
  for (const start of cell.atoms.keys()) {
    if (seen.has(start)) continue;
    const piece = pieceFrom(cell, start);
    for (const atom of piece.atoms) seen.add(atom);
    pieces.push(piece);
  }
  return pieces;
}

/** One of each molecule of a crystal, whole, and apart from each other. */
export function moleculesOf(crystal: Crystal): Atom[] {
  const cell = fillCell(crystal);
  const kinds = new Set<string>();
  const found: Atom[] = [];
  let right = 0;
  for (const piece of piecesOf(cell)) {
    const sites = piece.atoms.map((atom) => cell.atoms[atom]!.site);
    const kind = sites.toSorted((a, b) => a - b).join();
    if (kinds.has(kind)) continue;
    kinds.add(kind);
    const left = Math.min(...piece.positions.map(([x]) => x));
    const move = found.length === 0 ? 0 : right + GAP_ANGSTROM - left;
    piece.atoms.forEach((atom, at) => {
      const [x, y, z] = piece.positions[at]!;
      right = Math.max(right, x + move);
      found.push({ element: cell.atoms[atom]!.element, position: [x + move, y, z] });
    });
  }
  return found;
}
