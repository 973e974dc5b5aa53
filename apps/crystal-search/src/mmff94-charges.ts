import { ForceFieldMMFF94, Molecule as OclMolecule } from 'openchemlib';
import { InputError } from './errors.ts';
import { distance, dot, scale, unit, type Vector3 } from './vector.ts';

/**
 * MMFF94 partial charges (T. A. Halgren, J. Comput. Chem. 17 (1996) 490 and 520). OpenChemLib has
 * them inside but offers only the total energy, so they are measured: a sodium ion (charge 1 in
 * MMFF94) far away feels nothing but charges, and the library leaves out charge pairs more than
 * 100 Angstrom apart. Moved along a line, the ion takes in the atoms one by one, and each adds
 * 332.0716 q / (r + 0.05) kcal/mol. The charges depend on bonds alone, so the atoms are put on a
 * helix, where no two coincide and no three are in line whatever the molecule is.
 */
const CUTOFF_ANGSTROM = 100;
const COULOMB_KCAL = 332.0716;
const BUFFER_ANGSTROM = 0.05;
const SODIUM = 11;
/** Atoms must come within reach at distances that differ by more than this. */
const GAP_MIN_ANGSTROM = 1e-4;

const DIRECTIONS: readonly Vector3[] = [
  [0.36, 0.48, 0.8],
  [0.61, -0.37, 0.7],
  [-0.23, 0.91, 0.34],
  [0.83, 0.29, -0.47],
  [0.12, -0.67, 0.73],
  [0.51, 0.74, -0.44],
].map(([x, y, z]) => unit([x!, y!, z!]));

export function positionsIn(molecule: OclMolecule): Vector3[] {
  return Array.from({ length: molecule.getAllAtoms() }, (_, atom) => [
    molecule.getAtomX(atom),
    molecule.getAtomY(atom),
    molecule.getAtomZ(atom),
  ]);
}

export function setPosition(molecule: OclMolecule, atom: number, [x, y, z]: Vector3): void {
  molecule.setAtomX(atom, x);
  molecule.setAtomY(atom, y);
  molecule.setAtomZ(atom, z);
}

function helix(count: number): Vector3[] {
  return Array.from({ length: count }, (_, k) => [
    2 * Math.cos(0.7 * k),
    2 * Math.sin(0.7 * k),
    0.9 * k,
  ]);
}

/** A copy with the ion; hydrogen stays last, as the library wants it. */
function withIon(molecule: OclMolecule, positions: readonly Vector3[], at: Vector3): OclMolecule {
  const copy = new OclMolecule(molecule.getAllAtoms() + 1, molecule.getAllBonds() + 1);
  const atoms = positions.map((position, index) => ({ position, index }));
  const names = new Map<number, number>();
  const addAtom = (atomicNumber: number, charge: number, position: Vector3) => {
    const atom = copy.addAtom(atomicNumber);
    copy.setAtomCharge(atom, charge);
    setPosition(copy, atom, position);
    return atom;
  };
  const addAll = (isHydrogen: boolean) => {
    for (const { position, index } of atoms) {
      const atomicNumber = molecule.getAtomicNo(index);
      if ((atomicNumber === 1) !== isHydrogen) continue;
      names.set(index, addAtom(atomicNumber, molecule.getAtomCharge(index), position));
    }
  };
  addAll(false);
  addAtom(SODIUM, 1, at);
  addAll(true);
  for (let bond = 0; bond < molecule.getAllBonds(); bond++) {
    const from = names.get(molecule.getBondAtom(0, bond))!;
    const to = names.get(molecule.getBondAtom(1, bond))!;
    copy.setBondOrder(copy.addBond(from, to), molecule.getBondOrder(bond));
  }
  return copy;
}

/** Where on the line the ion has just taken in each atom, nearest atom first. */
function reaches(positions: readonly Vector3[], direction: Vector3) {
  return positions
    .map((position, atom) => {
      const along = dot(position, direction);
      const aside = dot(position, position) - along * along;
      return { atom, reach: along + Math.sqrt(CUTOFF_ANGSTROM ** 2 - aside) };
    })
    .toSorted((a, b) => b.reach - a.reach);
}

function bestDirection(positions: readonly Vector3[]) {
  const candidates = DIRECTIONS.map((direction) => {
    const order = reaches(positions, direction);
    const gaps = order.slice(1).map((entry, k) => order[k]!.reach - entry.reach);
    return { direction, order, gap: Math.min(...gaps, 1) };
  });
  return candidates.toSorted((a, b) => b.gap - a.gap)[0]!;
}

export function forceField(molecule: OclMolecule): ForceFieldMMFF94 {
  try {
    return new ForceFieldMMFF94(molecule, 'MMFF94');
  } catch (error) {
    const reason = (error as Error).message.replace(/^.*?: /, '').split('\n')[0];
    throw new InputError(`MMFF94 has no parameters for this molecule: ${reason}`);
  }
}

/** One charge for each atom, in units of the elementary charge; bonds must have orders. */
export function mmff94Charges(molecule: OclMolecule): number[] {
  const positions = helix(molecule.getAllAtoms());
  const { direction, order, gap } = bestDirection(positions);
  if (gap < GAP_MIN_ANGSTROM) throw new InputError('atoms in one place: no MMFF94 charges');
  const energyAt = (reach: number) =>
    forceField(withIon(molecule, positions, scale(direction, reach))).getTotalEnergy();
  const without = energyAt(order[0]!.reach + 2 * CUTOFF_ANGSTROM);
  const charges = positions.map(() => 0);
  order.forEach(({ reach }, index) => {
    const next = order[index + 1]?.reach ?? reach - 1;
    const at = (reach + Math.max(next, reach - 0.1)) / 2;
    const ion = scale(direction, at);
    let rest = (energyAt(at) - without) / COULOMB_KCAL;
    order.slice(0, index).forEach(({ atom }) => {
      rest -= charges[atom]! / (distance(positions[atom]!, ion) + BUFFER_ANGSTROM);
    });
    const { atom } = order[index]!;
    const charge = rest * (distance(positions[atom]!, ion) + BUFFER_ANGSTROM);
    // Bond charge increments have four decimals.
    charges[atom] = Math.round(charge * 1e4) / 1e4;
  });
  return charges;
}
