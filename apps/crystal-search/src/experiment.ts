import type { Structure } from './cif.ts';
import type { RigidCrystal } from './crystal.ts';
import { InputError } from './errors.ts';
import { mappings, type MoleculeGraph } from './isomorphism.ts';
import type { Molecule } from './molecule.ts';
import { moleculesInCell, type CellMolecule } from './molecules-in-cell.ts';
import { findSymmetry, type Operation } from './moyo.ts';
import { moved, superpose, type Superposition } from './superpose.ts';
import {
  add,
  apply,
  inverse,
  multiply,
  norm,
  quaternionOf,
  subtract,
  transpose,
  type Vector3,
} from './vector.ts';

const SYMMETRY_TOLERANCES_ANGSTROM = [0.05, 0.02, 0.1, 0.005];

function nearestShift(d: Vector3): Vector3 {
  return [d[0] - Math.round(d[0]), d[1] - Math.round(d[1]), d[2] - Math.round(d[2])];
}

/** Which molecule each operation takes each molecule to. */
function permutations(structure: Structure, molecules: CellMolecule[], operations: Operation[]) {
  const columns = transpose(structure.lattice);
  const toFractional = inverse(columns);
  const centres = molecules.map((molecule) => apply(toFractional, molecule.centre));
  return operations.map(({ rotation, translation }) =>
    centres.map((centre) => {
      const image = add(apply(rotation, centre), translation);
      return centres.findIndex(
        (other) => norm(apply(columns, nearestShift(subtract(other, image)))) < 0.3,
      );
    }),
  );
}

function productIndex(operations: readonly Operation[], a: number, b: number): number {
  const [first, second] = [operations[a]!, operations[b]!];
  const rotation = multiply(first.rotation, second.rotation).flat();
  const translation = add(apply(first.rotation, second.translation), first.translation);
  return operations.findIndex(
    (other) =>
      other.rotation.flat().every((value, k) => Math.abs(value - rotation[k]!) < 1e-3) &&
      norm(nearestShift(subtract(other.translation, translation))) < 0.02,
  );
}

function closure(generators: readonly number[], product: number[][], limit: number): number[] {
  const group = [0, ...generators.filter((g) => g !== 0)];
  for (let at = 0; at < group.length; at++) {
    for (const generator of generators) {
      const next = product[group[at]!]![generator]!;
      if (next < 0) return [];
      if (!group.includes(next)) group.push(next);
      if (group.length > limit) return [];
    }
  }
  return group;
}

/** None, one, two or three of the operations: enough to generate any small space group. */
function generatorSets(indices: readonly number[]): number[][] {
  const longer = (sets: number[][]) =>
    sets.flatMap((set) =>
      indices.filter((next) => next > (set.at(-1) ?? -1)).map((next) => [...set, next]),
    );
  const none: number[][] = [[]];
  const one = longer(none);
  const two = longer(one);
  return [...none, ...one, ...two, ...longer(two)];
}

/**
 * A subgroup whose operations make every molecule of the cell from the first exactly once: what is
 * needed to hold a crystal on special positions with one whole molecule in the asymmetric unit.
 */
function regularSubgroup(operations: Operation[], images: number[][]): Operation[] | undefined {
  const count = images[0]!.length;
  const product = operations.map((_, a) =>
    operations.map((__, b) => productIndex(operations, a, b)),
  );
  const identity = operations.findIndex(
    ({ rotation, translation }) =>
      rotation.flat().every((value, k) => Math.abs(value - (k % 4 === 0 ? 1 : 0)) < 1e-3) &&
      norm(nearestShift(translation)) < 1e-3,
  );
  const indices = operations.map((_, index) => index).filter((index) => index !== identity);
  for (const generators of generatorSets(indices)) {
    const group = closure(generators, product, count);
    if (group.length !== count || !group.includes(identity)) continue;
    const targets = new Set(group.map((g) => images[g]![0]!));
    if (targets.size === count && !targets.has(-1)) {
      return [identity, ...group.filter((g) => g !== identity)].map((g) => operations[g]!);
    }
  }
  return undefined;
}

export interface Experiment {
  crystal: RigidCrystal;
  spaceGroup: number;
  symbol: string;
  moleculeCount: number;
  /** How well the rigid molecule lies on that of the experiment. */
  moleculeRmsdAngstrom: number;
}

/** The rigid molecule laid on one of an experiment. */
export interface Laid {
  /** The experiment's atoms in the order of the molecule; hydrogen it lacks is the molecule's. */
  positionsAngstrom: Vector3[];
  by: Superposition;
  /** Of the atoms other than hydrogen, or of all in very small molecules. */
  rmsdAngstrom: number;
}

function isHeavy(element: string): boolean {
  return element !== 'H';
}

/** Without hydrogen, which many measured crystals lack; the second entry names the atoms kept. */
function heavyPart({ elements, bonds }: MoleculeGraph): { graph: MoleculeGraph; kept: number[] } {
  const kept = elements.flatMap((element, index) => (isHeavy(element) ? [index] : []));
  const renamed = bonds
    .map(([a, b]) => [kept.indexOf(a), kept.indexOf(b)] as const)
    .filter(([a, b]) => a >= 0 && b >= 0);
  return { graph: { elements: kept.map((index) => elements[index]!), bonds: renamed }, kept };
}

function completeLays(molecule: Molecule, target: CellMolecule): Laid[] {
  const graph = { elements: molecule.atoms.map((atom) => atom.element), bonds: molecule.bonds };
  const body = molecule.atoms.map((atom) => atom.positionAngstrom);
  const { kept } = heavyPart(graph);
  const used = kept.length > 2 ? kept : body.map((_, index) => index);
  return mappings(graph, target).map((mapping) => {
    const positionsAngstrom = mapping.map((index) => target.positionsAngstrom[index]!);
    const own = used.map((index) => body[index]!);
    const others = used.map((index) => positionsAngstrom[index]!);
    return {
      positionsAngstrom,
      by: superpose(body, positionsAngstrom),
      rmsdAngstrom: superpose(own, others).rmsdAngstrom,
    };
  });
}

function heavyLays(molecule: Molecule, target: CellMolecule): Laid[] {
  const own = heavyPart({
    elements: molecule.atoms.map((atom) => atom.element),
    bonds: molecule.bonds,
  });
  const other = heavyPart(target);
  if (own.kept.length < 3) return [];
  const body = molecule.atoms.map((atom) => atom.positionAngstrom);
  return mappings(own.graph, other.graph).map((mapping) => {
    const to = mapping.map((index) => target.positionsAngstrom[other.kept[index]!]!);
    const by = superpose(
      own.kept.map((index) => body[index]!),
      to,
    );
    const positionsAngstrom = body.map((position) => moved(position, by));
    own.kept.forEach((atom, index) => {
      positionsAngstrom[atom] = to[index]!;
    });
    return { positionsAngstrom, by, rmsdAngstrom: by.rmsdAngstrom };
  });
}

export function layOn(molecule: Molecule, target: CellMolecule): Laid {
  const complete = completeLays(molecule, target);
  const lays = complete.length > 0 ? complete : heavyLays(molecule, target);
  const best = lays.toSorted((a, b) => a.by.rmsdAngstrom - b.by.rmsdAngstrom)[0];
  if (!best) {
    const elements = [...new Set(target.elements)].join(' ');
    throw new InputError(
      `a molecule of ${target.elements.length} atoms (${elements}) in the crystal is not ${molecule.name}`,
    );
  }
  return best;
}

export function experimentOf(structure: Structure, molecule: Molecule): Experiment {
  // Of a chiral molecule, one of the hand that the crystal is to be built from.
  const lays = moleculesInCell(structure)
    .map((target) => ({ target, laid: layOn(molecule, target) }))
    .toSorted((a, b) => a.laid.rmsdAngstrom - b.laid.rmsdAngstrom);
  const molecules = lays.map(({ target }) => target);
  const placed = lays[0]!.laid;
  for (const tolerance of SYMMETRY_TOLERANCES_ANGSTROM) {
    const report = findSymmetry(structure, tolerance);
    const images = permutations(structure, molecules, report.operations);
    const operations = regularSubgroup(report.operations, images);
    if (!operations) continue;
    return {
      crystal: {
        lattice: structure.lattice,
        operations,
        centre: apply(inverse(transpose(structure.lattice)), moved([0, 0, 0], placed.by)),
        orientation: quaternionOf(placed.by.rotation),
      },
      spaceGroup: report.spaceGroup,
      symbol: report.symbol,
      moleculeCount: molecules.length,
      moleculeRmsdAngstrom: placed.rmsdAngstrom,
    };
  }
  throw new InputError(`${structure.name}: more than one molecule in the asymmetric unit`);
}
