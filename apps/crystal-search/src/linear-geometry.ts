import { ForceFieldMMFF94, type Molecule as OclMolecule } from 'openchemlib';
import { minimise } from './minimise.ts';
import { positionsIn, setPosition } from './mmff94-charges.ts';
import { distance } from './vector.ts';

/**
 * OpenChemLib's MMFF94 has no derivative where three bonded atoms are exactly in line, so its
 * minimiser may stop anywhere near. Molecules with such an atom are minimised here, from energies
 * alone. Its bond lengths there can be wrong as well (CO2 1.405 Angstrom, C-C of cyanogen 1.551):
 * bonds of linear carbon are held at lengths measured in the gas phase.
 */
const STEP_ANGSTROM = 5e-4;

/**
 * Gas phase, CRC Handbook of Chemistry and Physics, "Structure of free molecules": acetylene,
 * HCN, CO2, CS2, allene, methyl isocyanate, cyanogen and butadiyne.
 */
const LINEAR_BONDS_ANGSTROM: Readonly<Record<string, number>> = {
  C3C: 1.203,
  C3N: 1.157,
  C2O: 1.163,
  C2S: 1.553,
  C2C: 1.308,
  C2N: 1.202,
  C1C: 1.384,
};
/** Far stiffer than any bond of the force field. */
const HOLD_KCAL = 50_000;

interface Held {
  atoms: readonly [number, number];
  lengthAngstrom: number;
}

function bondsAround(molecule: OclMolecule): number[][] {
  const around: number[][] = Array.from({ length: molecule.getAllAtoms() }, () => []);
  for (let bond = 0; bond < molecule.getAllBonds(); bond++) {
    for (const end of [0, 1] as const) around[molecule.getBondAtom(end, bond)]!.push(bond);
  }
  return around;
}

/** Atoms with two neighbours, and a triple bond or two double bonds. */
function linearCentres(molecule: OclMolecule): boolean[] {
  return bondsAround(molecule).map((around) => {
    const orders = around.map((bond) => molecule.getBondOrder(bond));
    const doubles = orders.filter((order) => order === 2).length;
    return orders.length === 2 && (orders.includes(3) || doubles === 2);
  });
}

export function hasLinearCentre(molecule: OclMolecule): boolean {
  return linearCentres(molecule).includes(true);
}

function heldBonds(molecule: OclMolecule): Held[] {
  const isLinear = linearCentres(molecule);
  const held: Held[] = [];
  for (let bond = 0; bond < molecule.getAllBonds(); bond++) {
    const atoms = [molecule.getBondAtom(0, bond), molecule.getBondAtom(1, bond)] as const;
    const order = molecule.getBondOrder(bond);
    // A single bond is shorter only between two linear carbons.
    if (order === 1 ? !atoms.every((a) => isLinear[a]) : !atoms.some((a) => isLinear[a])) continue;
    const names = atoms.map((atom) => molecule.getAtomLabel(atom)).toSorted();
    const lengthAngstrom = LINEAR_BONDS_ANGSTROM[names.join(String(order))];
    if (lengthAngstrom !== undefined) held.push({ atoms, lengthAngstrom });
  }
  return held;
}

function place(molecule: OclMolecule, flat: ArrayLike<number>): void {
  for (let atom = 0; atom < molecule.getAllAtoms(); atom++) {
    setPosition(molecule, atom, [flat[3 * atom]!, flat[3 * atom + 1]!, flat[3 * atom + 2]!]);
  }
}

/** In kcal/mol; atoms exactly in line are moved off it by a hundred-thousandth of an Angstrom. */
export function energyOf(molecule: OclMolecule): number {
  const energy = new ForceFieldMMFF94(molecule, 'MMFF94s').getTotalEnergy();
  if (Number.isFinite(energy)) return energy;
  const bent = molecule.getCompactCopy();
  positionsIn(bent).forEach(([x, y, z], atom) => {
    const off = 1e-5 * ((atom * 7) % 5);
    setPosition(bent, atom, [x + off, y - off * (atom % 2), z + off * (atom % 3)]);
  });
  return new ForceFieldMMFF94(bent, 'MMFF94s').getTotalEnergy();
}

/** Minimises in place with central differences of the energy. */
export function minimiseLinear(molecule: OclMolecule): void {
  const probe = molecule.getCompactCopy();
  const held = heldBonds(molecule);
  const energyAt = (flat: ArrayLike<number>) => {
    place(probe, flat);
    const positions = positionsIn(probe);
    return held.reduce((energy, { atoms: [a, b], lengthAngstrom }) => {
      const off = distance(positions[a]!, positions[b]!) - lengthAngstrom;
      return energy + HOLD_KCAL * off * off;
    }, energyOf(probe));
  };
  const objective = (variables: Float64Array, gradient: Float64Array) => {
    const moved = variables.slice();
    for (let k = 0; k < variables.length; k++) {
      moved[k] = variables[k]! + STEP_ANGSTROM;
      const above = energyAt(moved);
      moved[k] = variables[k]! - STEP_ANGSTROM;
      gradient[k] = (above - energyAt(moved)) / (2 * STEP_ANGSTROM);
      moved[k] = variables[k]!;
    }
    return energyAt(variables);
  };
  const start = Float64Array.from(positionsIn(molecule).flat(), (value, k) => {
    // Off the line, so that a bent start can find its way back to it.
    return value + 0.02 * (((k * 13) % 7) / 6 - 0.5);
  });
  const { variables } = minimise(objective, start, {
    iterationsMax: 300,
    energyTolerance: 1e-7,
    gradientTolerance: 0.01,
    stepMax: 0.1,
  });
  place(molecule, variables);
}
