import { RecordFault } from '../reasons.ts';
import type { Atom } from '../source-record.ts';
import { elementBySymbol } from './elements.ts';

type Triple = readonly [number, number, number];

export interface Site {
  readonly element: string;
  readonly fractional: Triple;
}

export interface Operation {
  readonly rows: readonly [Triple, Triple, Triple];
  readonly shift: Triple;
}

export interface Crystal {
  /** a, b, c in Angstrom; alpha, beta, gamma in degrees. */
  readonly cell: readonly number[];
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

/** Fractional to Cartesian: a along x, b in the xy plane. */
function matrixOf(cell: readonly number[]): readonly [Triple, Triple, Triple] {
  const [a = 0, b = 0, c = 0, ...angles] = cell;
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

interface CellAtom {
  readonly site: number;
  readonly fractional: Triple;
}

class Cell {
  readonly #matrix: readonly [Triple, Triple, Triple];
  readonly #crystal: Crystal;
  readonly atoms: CellAtom[] = [];

  constructor(crystal: Crystal) {
    this.#crystal = crystal;
    this.#matrix = matrixOf(crystal.cell);
    if (crystal.sites.length * crystal.operations.length > 4 * CELL_ATOMS_MAX) this.#tooMany();
    crystal.sites.forEach((site, index) => this.#expand(site, index));
  }

  #tooMany(): never {
    throw new RecordFault('too-large', `more than ${CELL_ATOMS_MAX} atoms in the cell`);
  }

  cartesian(fractional: Triple): Triple {
    return this.#matrix.map((row) => dot(row, fractional)) as unknown as Triple;
  }

  /** From one atom to the nearest image of another. */
  step(from: Triple, to: Triple): Triple {
    const near = to.map((value, k) => value - from[k]! - Math.round(value - from[k]!));
    return this.cartesian(near as unknown as Triple);
  }

  /** All images of a site; two operations that lead to one place make one atom. */
  #expand(site: Site, index: number): void {
    const begin = this.atoms.length;
    for (const { rows, shift } of this.#crystal.operations) {
      const at = rows.map((row, k) => {
        const value = dot(row, site.fractional) + shift[k]!;
        return value - Math.floor(value);
      }) as unknown as Triple;
      const isKnown = this.atoms
        .slice(begin)
        .some((other) => Math.hypot(...this.step(other.fractional, at)) < SAME_ATOM_ANGSTROM);
      if (!isKnown) this.atoms.push({ site: index, fractional: at });
    }
    if (this.atoms.length > CELL_ATOMS_MAX) this.#tooMany();
  }

  /** The atoms bonded to this one, with the way to each. */
  bonded(atom: number): { to: number; step: Triple }[] {
    const { sites } = this.#crystal;
    const own = this.atoms[atom]!;
    const element = sites[own.site]!.element;
    const radius = elementBySymbol(element)!.radius;
    return this.atoms.flatMap((other, to) => {
      const otherElement = sites[other.site]!.element;
      if (to === atom || (element === 'H' && otherElement === 'H')) return [];
      const step = this.step(own.fractional, other.fractional);
      const limit = radius + elementBySymbol(otherElement)!.radius + BOND_TOLERANCE_ANGSTROM;
      return Math.hypot(...step) < limit ? [{ to, step }] : [];
    });
  }
}

interface Piece {
  readonly atoms: readonly number[];
  readonly positions: readonly Triple[];
}

const plus = (a: Triple, b: Triple): Triple => [a[0] + b[0], a[1] + b[1], a[2] + b[2]];

function pieceFrom(cell: Cell, start: number): Piece {
  const atoms = [start];
  const positions: Triple[] = [cell.cartesian(cell.atoms[start]!.fractional)];
  const placeOf = new Map([[start, 0]]);
  for (let next = 0; next < atoms.length; next++) {
    for (const { to, step } of cell.bonded(atoms[next]!)) {
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

/** One of each molecule of a crystal, whole, and apart from each other. */
export function moleculesOf(crystal: Crystal): Atom[] {
  const cell = new Cell(crystal);
  const seen = new Set<number>();
  const kinds = new Set<string>();
  const found: Atom[] = [];
  let right = 0;
  for (const start of cell.atoms.keys()) {
    if (seen.has(start)) continue;
    const piece = pieceFrom(cell, start);
    for (const atom of piece.atoms) seen.add(atom);
    const kind = piece.atoms
      .map((atom) => cell.atoms[atom]!.site)
      .toSorted((a, b) => a - b)
      .join();
    if (kinds.has(kind)) continue;
    kinds.add(kind);
    const left = Math.min(...piece.positions.map(([x]) => x));
    const move = found.length === 0 ? 0 : right + GAP_ANGSTROM - left;
    piece.atoms.forEach((atom, at) => {
      const [x, y, z] = piece.positions[at]!;
      right = Math.max(right, x + move);
      found.push({
        element: crystal.sites[cell.atoms[atom]!.site]!.element,
        position: [x + move, y, z],
      });
    });
  }
  return found;
}
