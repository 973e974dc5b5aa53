import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import {
  analyze_cell,
  initSync,
  operations_from_number,
  space_group_type,
  type MoyoDataset,
  type MoyoOperation,
  type MoyoSpaceGroupType,
} from '@spglib/moyo-wasm';
import { uprightMonoclinic, withMetricOf } from './standard-cell.ts';
import type { Matrix3, Vector3 } from './vector.ts';

let isReady = false;

function ready(): void {
  if (isReady) return;
  const script = createRequire(import.meta.url).resolve('@spglib/moyo-wasm');
  initSync({ module: readFileSync(script.replace(/\.js$/, '_bg.wasm')) });
  isReady = true;
}

/** In fractional coordinates: x becomes rotation x + translation. */
export interface Operation {
  rotation: Matrix3;
  translation: Vector3;
}

function operationOf({ rotation, translation }: MoyoOperation): Operation {
  const [a, b, c, d, e, f, g, h, i] = rotation;
  // The library gives rotations column by column; threefold axes show the difference.
  return {
    rotation: [
      [a, d, g],
      [b, e, h],
      [c, f, i],
    ],
    translation,
  };
}

export function spaceGroupOperations(spaceGroup: number): Operation[] {
  ready();
  return operations_from_number(spaceGroup, { type: 'Standard' }, false).map(operationOf);
}

export function spaceGroupType(spaceGroup: number): MoyoSpaceGroupType {
  ready();
  return space_group_type(spaceGroup);
}

export interface AtomicCell {
  /** Rows are the lattice vectors, in Angstrom. */
  lattice: Matrix3;
  fractional: Vector3[];
  atomicNumbers: number[];
}

export interface SymmetryReport {
  spaceGroup: number;
  symbol: string;
  /** Of the cell as given. */
  operations: Operation[];
  /** The conventional cell in the standard setting. */
  standard: AtomicCell;
}

function cellOf(cell: MoyoDataset['std_cell']): AtomicCell {
  const [a, b, c, d, e, f, g, h, i] = cell.lattice.basis;
  return {
    lattice: [
      [a, b, c],
      [d, e, f],
      [g, h, i],
    ],
    fractional: cell.positions,
    atomicNumbers: cell.numbers,
  };
}

/** The library keeps the measured lattice; the mean of its images fits the symmetry exactly. */
function withIdealLattice(cell: AtomicCell, spaceGroup: number): AtomicCell {
  const rotations = spaceGroupOperations(spaceGroup).map((operation) => operation.rotation);
  return { ...cell, lattice: withMetricOf(cell.lattice, rotations) };
}

/** Throws what the library says when it finds no consistent symmetry at this tolerance. */
export function findSymmetry(cell: AtomicCell, toleranceAngstrom: number): SymmetryReport {
  ready();
  const input = {
    lattice: { basis: cell.lattice.flat() },
    positions: cell.fractional,
    numbers: cell.atomicNumbers,
  };
  const dataset = analyze_cell(JSON.stringify(input), toleranceAngstrom, 'Standard');
  const standard = withIdealLattice(cellOf(dataset.std_cell), dataset.number);
  const isMonoclinic = dataset.number >= 3 && dataset.number <= 15;
  return {
    spaceGroup: dataset.number,
    symbol: dataset.hm_symbol,
    operations: dataset.operations.map(operationOf),
    standard: isMonoclinic ? uprightMonoclinic(standard, dataset.hm_symbol) : standard,
  };
}
