import type { Structure } from './cif.ts';
import { elementOf } from './elements.ts';
import { bondsOf } from './molecule.ts';
import { add, apply, centroid, norm, subtract, transpose, type Vector3 } from './vector.ts';

/** A molecule of a crystal: atoms in one piece, Cartesian, and where they stand in the cell. */
export interface CellMolecule {
  elements: string[];
  positionsAngstrom: Vector3[];
  atomIndex: number[];
  bonds: [number, number][];
  centre: Vector3;
}

const BOND_TOLERANCE_ANGSTROM = 0.4;

interface Link {
  to: number;
  step: Vector3;
}

/** For each atom the atoms it is bonded to, with the vector from it to their nearest images. */
function links(structure: Structure): Link[][] {
  const columns = transpose(structure.lattice);
  const radii = structure.elements.map((element) => elementOf(element).covalentRadiusAngstrom);
  return structure.fractional.map((a, i) =>
    structure.fractional.flatMap((b, j) => {
      if (i === j || (structure.elements[i] === 'H' && structure.elements[j] === 'H')) return [];
      const d = subtract(b, a);
      const near: Vector3 = [
        d[0] - Math.round(d[0]),
        d[1] - Math.round(d[1]),
        d[2] - Math.round(d[2]),
      ];
      const step = apply(columns, near);
      const limit = radii[i]! + radii[j]! + BOND_TOLERANCE_ANGSTROM;
      return norm(step) < limit ? [{ to: j, step }] : [];
    }),
  );
}

/** The atoms in one piece with `start`, each next to one that came before it. */
function pieceFrom(start: number, at: Vector3, bonded: readonly Link[][]) {
  const atomIndex = [start];
  const positionsAngstrom = [at];
  for (let next = 0; next < atomIndex.length; next++) {
    for (const { to, step } of bonded[atomIndex[next]!]!) {
      if (atomIndex.includes(to)) continue;
      atomIndex.push(to);
      positionsAngstrom.push(add(positionsAngstrom[next]!, step));
    }
  }
  return { atomIndex, positionsAngstrom };
}

export function moleculesInCell(structure: Structure): CellMolecule[] {
  const columns = transpose(structure.lattice);
  const bonded = links(structure);
  const seen = new Set<number>();
  const molecules: CellMolecule[] = [];
  structure.fractional.forEach((fractional, start) => {
    if (seen.has(start)) return;
    const piece = pieceFrom(start, apply(columns, fractional), bonded);
    for (const atom of piece.atomIndex) seen.add(atom);
    const elements = piece.atomIndex.map((index) => structure.elements[index]!);
    molecules.push({
      ...piece,
      elements,
      bonds: bondsOf(elements, piece.positionsAngstrom),
      centre: centroid(piece.positionsAngstrom),
    });
  });
  return molecules;
}
