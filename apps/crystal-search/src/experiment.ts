import type { Structure } from './cif.ts';
import type { RigidCrystal } from './crystal.ts';
import { InputError } from './errors.ts';
import { mappings } from './isomorphism.ts';
import type { Molecule } from './molecule.ts';
import { moleculesInCell, type CellMolecule } from './molecules-in-cell.ts';
import { findSymmetry, type Operation } from './moyo.ts';
import { superpose } from './superpose.ts';
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
    const group = [...new Set(closure(generators, product, count).map((g) => g))];
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

/** The rigid molecule laid on the first molecule of a crystal that it can be laid on. */
function placeMolecule(molecule: Molecule, target: CellMolecule) {
  const graph = { elements: molecule.atoms.map((atom) => atom.element), bonds: molecule.bonds };
  const body = molecule.atoms.map((atom) => atom.positionAngstrom);
  const heavy = graph.elements.flatMap((element, index) => (element === 'H' ? [] : [index]));
  const used = heavy.length > 2 ? heavy : graph.elements.map((_, index) => index);
  const fits = mappings(graph, target).map((mapping) => {
    const to = mapping.map((index) => target.positionsAngstrom[index]!);
    return {
      all: superpose(body, to),
      rmsd: superpose(
        used.map((i) => body[i]!),
        used.map((i) => to[i]!),
      ).rmsdAngstrom,
    };
  });
  return fits.toSorted((a, b) => a.all.rmsdAngstrom - b.all.rmsdAngstrom)[0];
}

export function experimentOf(structure: Structure, molecule: Molecule): Experiment {
  const molecules = moleculesInCell(structure);
  const placed = placeMolecule(molecule, molecules[0]!);
  if (!placed) throw new InputError(`${structure.name}: not made of the molecule ${molecule.name}`);
  for (const tolerance of SYMMETRY_TOLERANCES_ANGSTROM) {
    const report = findSymmetry(structure, tolerance);
    const images = permutations(structure, molecules, report.operations);
    const operations = regularSubgroup(report.operations, images);
    if (!operations) continue;
    return {
      crystal: {
        lattice: structure.lattice,
        operations,
        centre: apply(inverse(transpose(structure.lattice)), placed.all.toCentre),
        orientation: quaternionOf(placed.all.rotation),
      },
      spaceGroup: report.spaceGroup,
      symbol: report.symbol,
      moleculeCount: molecules.length,
      moleculeRmsdAngstrom: placed.rmsd,
    };
  }
  throw new InputError(`${structure.name}: more than one molecule in the asymmetric unit`);
}
