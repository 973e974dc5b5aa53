import { ConformerGenerator, ForceFieldMMFF94, type Molecule as OclMolecule } from 'openchemlib';
import { elementOf } from './elements.ts';
import { energyOf, hasLinearCentre, minimiseLinear } from './linear-geometry.ts';
import { positionsIn, setPosition } from './mmff94-charges.ts';
import { mix } from './sobol.ts';
import { superpose } from './superpose.ts';
import { distance, type Vector3 } from './vector.ts';

/** Bonds of a sound geometry are within these parts of the sum of covalent radii. */
const BOND_PARTS = [0.65, 1.35] as const;

function isSound(molecule: OclMolecule): boolean {
  const positions = positionsIn(molecule);
  if (positions.flat().some((value) => !Number.isFinite(value))) return false;
  const radius = (atom: number) => elementOf(molecule.getAtomicNo(atom)).covalentRadiusAngstrom;
  const isBonded = new Set<string>();
  for (let bond = 0; bond < molecule.getAllBonds(); bond++) {
    const [a, b] = [molecule.getBondAtom(0, bond), molecule.getBondAtom(1, bond)];
    isBonded.add(`${Math.min(a, b)},${Math.max(a, b)}`);
    const part = distance(positions[a]!, positions[b]!) / (radius(a) + radius(b));
    if (part < BOND_PARTS[0] || part > BOND_PARTS[1]) return false;
  }
  return positions.every((p, i) =>
    positions.every((q, j) => j <= i || isBonded.has(`${i},${j}`) || distance(p, q) > 1.2),
  );
}

/** The flat drawing, out of the plane a little: where the conformer generator fails. */
function spread(molecule: OclMolecule, seed: number): OclMolecule {
  const copy = molecule.getCompactCopy();
  copy.inventCoordinates();
  positionsIn(copy).forEach(([x, y], atom) => {
    const part = (axis: number) => mix(seed * 7919 + atom * 31 + axis) / 2 ** 32 - 0.5;
    setPosition(copy, atom, [x + 0.3 * part(0), y + 0.3 * part(1), part(2)]);
  });
  return copy;
}

export interface Conformer {
  molecule: OclMolecule;
  energyKcalPerMol: number;
}

export function minimised(start: OclMolecule): Conformer | undefined {
  if (!positionsIn(start).flat().every(Number.isFinite)) return undefined;
  new ForceFieldMMFF94(start, 'MMFF94s').minimise({
    maxIts: 20_000,
    gradTol: 1e-6,
    funcTol: 1e-10,
  });
  if (hasLinearCentre(start)) minimiseLinear(start);
  if (!isSound(start)) return undefined;
  const energyKcalPerMol = energyOf(start);
  return Number.isFinite(energyKcalPerMol) ? { molecule: start, energyKcalPerMol } : undefined;
}

export const KJ_PER_KCAL = 4.184;

/** Conformers of equal energy are one conformer, or its mirror image. */
const ENERGY_TOLERANCE_KCAL = 0.01;

/** Turns bonds that move hydrogen only: the generator leaves those where it first put them. */
function scattered(molecule: OclMolecule, seed: number): OclMolecule {
  const copy = molecule.getCompactCopy();
  positionsIn(copy).forEach((position, atom) => {
    const size = copy.getAtomicNo(atom) === 1 ? 1.6 : 0.1;
    const part = (axis: number) => size * (mix(seed * 104_729 + atom * 31 + axis) / 2 ** 32 - 0.5);
    setPosition(copy, atom, [position[0] + part(0), position[1] + part(1), position[2] + part(2)]);
  });
  return copy;
}

/** Minimising with numerical derivatives is slow, and linear molecules have few conformers. */
const LINEAR_STARTS_MAX = 6;

function add(found: Conformer[], conformer: Conformer | undefined): void {
  if (!conformer) return;
  const isKnown = found.some(
    (other) =>
      Math.abs(other.energyKcalPerMol - conformer.energyKcalPerMol) < ENERGY_TOLERANCE_KCAL,
  );
  if (!isKnown) found.push(conformer);
}

/** One conformer from each seed of the generator. */
export function conformers(molecule: OclMolecule, starts: number): Conformer[] {
  const found: Conformer[] = [];
  const startsMax = hasLinearCentre(molecule) ? Math.min(starts, LINEAR_STARTS_MAX) : starts;
  for (let seed = 1; seed <= startsMax; seed++) {
    const generated = new ConformerGenerator(seed).getOneConformerAsMolecule(
      molecule.getCompactCopy(),
    );
    const base = generated && isSound(generated) ? generated : spread(molecule, seed);
    add(found, minimised(seed % 2 ? base : scattered(base, seed)));
  }
  return found.toSorted((a, b) => a.energyKcalPerMol - b.energyKcalPerMol);
}

/** The same, and the conformers of the likely torsions of its rotatable bonds. */
export function allConformers(molecule: OclMolecule, starts: number): Conformer[] {
  const found = conformers(molecule, starts);
  const generator = new ConformerGenerator(1);
  generator.initializeConformers(molecule.getCompactCopy());
  for (let count = 0; count < starts; count++) {
    const next = generator.getNextConformerAsMolecule(undefined);
    if (!next) break;
    add(found, minimised(next.getCompactCopy()));
    add(found, minimised(scattered(next, count + 1)));
  }
  return found.toSorted((a, b) => a.energyKcalPerMol - b.energyKcalPerMol);
}

/** Geometries nearer to each other than this, or to a mirror image, are searched once. */
const DIVERSE_ANGSTROM = 0.2;

function mirrored(positions: readonly Vector3[]): Vector3[] {
  return positions.map(([x, y, z]): Vector3 => [-x, y, z]);
}

/** The lowest in energy that are unlike each other: a crystal holds a mirror image as well. */
export function diverse(
  found: readonly Conformer[],
  countMax: number,
  windowKjPerMol: number,
): Conformer[] {
  const kept: Conformer[] = [];
  const lowest = found[0]?.energyKcalPerMol ?? 0;
  for (const conformer of found) {
    if ((conformer.energyKcalPerMol - lowest) * KJ_PER_KCAL > windowKjPerMol) break;
    if (kept.length === countMax) break;
    const own = positionsIn(conformer.molecule);
    const isNew = kept.every(({ molecule }) => {
      const other = positionsIn(molecule);
      return [own, mirrored(own)].every(
        (image) => superpose(image, other).rmsdAngstrom > DIVERSE_ANGSTROM,
      );
    });
    if (isNew) kept.push(conformer);
  }
  return kept;
}
