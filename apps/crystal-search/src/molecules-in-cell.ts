import { piecesOf } from '@majorana/molecules/chemistry/crystal';
import type { Structure } from './cif.ts';
import { asInput } from './errors.ts';
import { bondsOf } from './molecule.ts';
import { centroid, transpose, type Vector3 } from './vector.ts';

/** A molecule of a crystal: atoms in one piece, Cartesian, and where they stand in the cell. */
export interface CellMolecule {
  elements: string[];
  positionsAngstrom: readonly Vector3[];
  atomIndex: readonly number[];
  bonds: [number, number][];
  centre: Vector3;
}

export function moleculesInCell(structure: Structure): CellMolecule[] {
  const { name, lattice, fractional, elements } = structure;
  const atoms = elements.map((element, index) => ({ element, fractional: fractional[index]! }));
  const pieces = asInput(name, () => piecesOf({ columns: transpose(lattice), atoms }));
  return pieces.map(({ atoms: atomIndex, positions: positionsAngstrom }) => {
    const own = atomIndex.map((index) => elements[index]!);
    return {
      elements: own,
      positionsAngstrom,
      atomIndex,
      bonds: bondsOf(own, positionsAngstrom),
      centre: centroid(positionsAngstrom),
    };
  });
}
