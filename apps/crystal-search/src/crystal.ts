import { latticeOf, type CellParameters } from './cell.ts';
import { elementOf } from './elements.ts';
import type { Molecule } from './molecule.ts';
import { spaceGroupOperations, type AtomicCell, type Operation } from './moyo.ts';
import {
  add,
  apply,
  inverse,
  multiply,
  rotationOf,
  transpose,
  type Matrix3,
  type Quaternion,
  type Vector3,
} from './vector.ts';

/** One rigid molecule in the asymmetric unit, and the operations that make the crystal of it. */
export interface RigidCrystal {
  /** Rows are the lattice vectors, in Angstrom. */
  lattice: Matrix3;
  operations: Operation[];
  /** Centroid of the molecule, fractional. */
  centre: Vector3;
  /** Turns the molecule of the molecule file into the one of the crystal. */
  orientation: Quaternion;
}

/** A crystal as files hold it. */
export interface CrystalRecord {
  id: string;
  spaceGroup: number;
  cell: CellParameters;
  centre: Vector3;
  orientation: Quaternion;
  /** Which conformer, from 1, when there are several. */
  conformer?: number;
}

export function rigidCrystalOf(record: CrystalRecord): RigidCrystal {
  return {
    lattice: latticeOf(record.cell),
    operations: spaceGroupOperations(record.spaceGroup),
    centre: record.centre,
    orientation: record.orientation,
  };
}

/** An operation's rotation in Cartesian axes; orthogonal when the cell fits the operation. */
export function cartesianRotation(lattice: Matrix3, rotation: Matrix3): Matrix3 {
  const columns = transpose(lattice);
  return multiply(multiply(columns, rotation), inverse(columns));
}

/** The atoms of each molecule of the cell, in the order of the molecule, Cartesian. */
export function moleculesOf(crystal: RigidCrystal, body: readonly Vector3[]): Vector3[][] {
  const columns = transpose(crystal.lattice);
  const turn = rotationOf(crystal.orientation);
  const turned = body.map((position) => apply(turn, position));
  return crystal.operations.map(({ rotation, translation }) => {
    const fractional = add(apply(rotation, crystal.centre), translation);
    const centre = apply(columns, fractional);
    const cartesian = cartesianRotation(crystal.lattice, rotation);
    return turned.map((position) => add(centre, apply(cartesian, position)));
  });
}

export function atomicCellOf(crystal: RigidCrystal, molecule: Molecule): AtomicCell {
  const body = molecule.atoms.map((atom) => atom.positionAngstrom);
  const toFractional = inverse(transpose(crystal.lattice));
  const molecules = moleculesOf(crystal, body);
  return {
    lattice: crystal.lattice,
    fractional: molecules.flatMap((atoms) => atoms.map((atom) => apply(toFractional, atom))),
    atomicNumbers: molecules.flatMap(() =>
      molecule.atoms.map((atom) => elementOf(atom.element).atomicNumber),
    ),
  };
}
