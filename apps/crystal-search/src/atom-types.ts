import { elementOf } from './elements.ts';
import { InputError } from './errors.ts';
import type { Molecule } from './molecule.ts';
import {
  HYDROGEN_SHIFT_ANGSTROM,
  POTENTIALS,
  type Exp6,
  type PotentialName,
} from './potential-tables.ts';
import { add, scale, subtract, unit, type Vector3 } from './vector.ts';

function neighboursOf(molecule: Molecule): number[][] {
  const neighbours: number[][] = molecule.atoms.map(() => []);
  for (const [a, b] of molecule.bonds) {
    neighbours[a]!.push(b);
    neighbours[b]!.push(a);
  }
  return neighbours;
}

function isCarboxyl(molecule: Molecule, neighbours: number[][], oxygen: number): boolean {
  return neighbours[oxygen]!.some(
    (carbon) =>
      molecule.atoms[carbon]!.element === 'C' &&
      neighbours[carbon]!.some(
        (other) =>
          other !== oxygen &&
          molecule.atoms[other]!.element === 'O' &&
          neighbours[other]!.length === 1,
      ),
  );
}

function w99Hydrogen(molecule: Molecule, neighbours: number[][], atom: number): string {
  const parent = neighbours[atom]![0];
  const element = parent === undefined ? 'C' : molecule.atoms[parent]!.element;
  if (element === 'N') return 'H4';
  if (element !== 'O') return 'H1';
  return isCarboxyl(molecule, neighbours, parent!) ? 'H3' : 'H2';
}

function w99Nitrogen(molecule: Molecule, bonded: readonly number[]): string {
  if (bonded.length === 1) return 'N1';
  const hydrogens = bonded.filter((other) => molecule.atoms[other]!.element === 'H').length;
  return `N${2 + Math.min(hydrogens, 2)}`;
}

function typeOf(
  molecule: Molecule,
  neighbours: number[][],
  atom: number,
  name: PotentialName,
): string {
  const { element } = molecule.atoms[atom]!;
  const bonded = neighbours[atom]!;
  if (name === 'fit') {
    const polar = element === 'H' && ['N', 'O'].includes(molecule.atoms[bonded[0]!]?.element ?? '');
    return polar ? 'Hp' : element;
  }
  if (element === 'H') return w99Hydrogen(molecule, neighbours, atom);
  if (element === 'C') return `C${Math.min(Math.max(bonded.length, 2), 4)}`;
  if (element === 'N') return w99Nitrogen(molecule, bonded);
  if (element === 'O') return `O${Math.min(Math.max(bonded.length, 1), 2)}`;
  return element;
}

function atomTypes(molecule: Molecule, name: PotentialName): string[] {
  const neighbours = neighboursOf(molecule);
  return molecule.atoms.map((_, atom) => typeOf(molecule, neighbours, atom, name));
}

/** What the potential sees of a molecule: sites, charges and exp-6 parameters, atom by atom. */
export interface Sites {
  positionsAngstrom: Vector3[];
  charges: number[];
  types: string[];
  exp6: Exp6[];
}

export function sitesOf(molecule: Molecule, name: PotentialName): Sites {
  const types = atomTypes(molecule, name);
  const neighbours = neighboursOf(molecule);
  const shift = HYDROGEN_SHIFT_ANGSTROM[name];
  const positionsAngstrom = molecule.atoms.map((atom, index) => {
    const parent = neighbours[index]![0];
    if (atom.element !== 'H' || parent === undefined || shift === 0) return atom.positionAngstrom;
    const bond = subtract(molecule.atoms[parent]!.positionAngstrom, atom.positionAngstrom);
    return add(atom.positionAngstrom, scale(unit(bond), shift));
  });
  const exp6 = types.map((type, index) => {
    const found = POTENTIALS[name].get(type);
    if (!found) {
      throw new InputError(`${name} has no parameters for ${molecule.atoms[index]!.element}`);
    }
    return found;
  });
  return { positionsAngstrom, charges: molecule.atoms.map((atom) => atom.charge), types, exp6 };
}

export function molecularMassDalton(molecule: Molecule): number {
  return molecule.atoms.reduce((sum, atom) => sum + elementOf(atom.element).massDalton, 0);
}
