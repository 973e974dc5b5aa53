import type { Sites } from './atom-types.ts';
import { cartesianRotation, type RigidCrystal } from './crystal.ts';
import { COULOMB_KJ_ANGSTROM_PER_MOL, pairTables, type PairTables } from './pair-tables.ts';
import { erf } from './special-functions.ts';
import type { Exp6 } from './potential-tables.ts';
import {
  add,
  addMatrix,
  apply,
  contract,
  distance,
  inverse,
  multiply,
  norm,
  scale,
  scaleMatrix,
  transpose,
  type Matrix3,
  type Vector3,
} from './vector.ts';

export interface EnergyOptions {
  cutoffAngstrom: number;
  /** Ewald splitting parameter; by default such that erfc at the cutoff is 3.5e-8. */
  splitPerAngstrom?: number;
}

/** What does not change while one crystal is relaxed. */
export interface EnergyModel {
  atomCount: number;
  operationCount: number;
  /** Sites of the molecule in its own axes, x y z by atom. */
  body: Float64Array;
  charges: Float64Array;
  typeIndex: Int32Array;
  tables: PairTables;
  splitPerAngstrom: number;
  reciprocalCutoffPerAngstrom: number;
  /** Cartesian rotations, fractional rotations, fractional translations, by operation. */
  cartesian: Float64Array;
  fractional: Float64Array;
  translations: Float64Array;
  inverseOperation: Int32Array;
  /** Columns are the lattice vectors of the cell the strain is relative to. */
  reference: Matrix3;
  /** Strains that keep every operation an isometry. */
  strains: Matrix3[];
  /** Angstrom that one unit of each kind of variable moves things by. */
  strainScale: number;
  centreScale: number;
  turnScale: number;
  radiusAngstrom: number;
  /** Self energy and long-range energy inside the molecule, kJ/mol: taken out of the Ewald sum. */
  selfEnergyKjPerMol: number;
  /** Times the number density of molecules: energy beyond the cutoff, kJ/mol x Angstrom^3. */
  tailKjAngstrom3PerMol: number;
}

/** erfc(3.9) = 3.5e-8; the reciprocal sum is cut where its Gaussian is as small. */
const SPLIT_TIMES_CUTOFF = 3.9;

function symmetricUnit(i: number, j: number): Matrix3 {
  const element = (a: number, b: number) => ((a === i && b === j) || (a === j && b === i) ? 1 : 0);
  const row = (a: number): Vector3 => [element(a, 0), element(a, 1), element(a, 2)];
  return [row(0), row(1), row(2)];
}

/** An orthonormal basis of the symmetric strains that commute with every rotation. */
function invariantStrains(rotations: readonly Matrix3[]): Matrix3[] {
  const basis: Matrix3[] = [];
  for (const [i, j] of [
    [0, 0],
    [1, 1],
    [2, 2],
    [1, 2],
    [0, 2],
    [0, 1],
  ] as const) {
    const start = symmetricUnit(i, j);
    let mean = scaleMatrix(start, 0);
    for (const rotation of rotations) {
      const image = multiply(multiply(rotation, start), transpose(rotation));
      mean = addMatrix(mean, scaleMatrix(image, 1 / rotations.length));
    }
    for (const known of basis) mean = addMatrix(mean, scaleMatrix(known, -contract(mean, known)));
    const length = Math.sqrt(contract(mean, mean));
    if (length > 1e-6) basis.push(scaleMatrix(mean, 1 / length));
  }
  return basis;
}

function inverseOperations(crystal: RigidCrystal): Int32Array {
  const { operations } = crystal;
  return Int32Array.from(operations, ({ rotation, translation }) =>
    operations.findIndex((other) => {
      const product = multiply(other.rotation, rotation).flat();
      const isIdentity = product.every(
        (value, k) => Math.abs(value - (k % 4 === 0 ? 1 : 0)) < 1e-6,
      );
      const rest = add(apply(other.rotation, translation), other.translation);
      return isIdentity && rest.every((value) => Math.abs(value - Math.round(value)) < 1e-4);
    }),
  );
}

function distinctTypes(sites: Sites): { exp6: Exp6[]; index: Int32Array } {
  const names = [...new Set(sites.types)];
  return {
    exp6: names.map((name) => sites.exp6[sites.types.indexOf(name)]!),
    index: Int32Array.from(sites.types, (type) => names.indexOf(type)),
  };
}

function selfEnergy(sites: Sites, split: number): number {
  let sum = 0;
  sites.charges.forEach((charge, i) => {
    sum -= (split / Math.sqrt(Math.PI)) * charge * charge;
    for (let j = 0; j < i; j++) {
      const r = distance(sites.positionsAngstrom[i]!, sites.positionsAngstrom[j]!);
      sum -= (charge * sites.charges[j]! * erf(split * r)) / r;
    }
  });
  return COULOMB_KJ_ANGSTROM_PER_MOL * sum;
}

function tailOf(tables: PairTables, index: Int32Array): number {
  let sum = 0;
  for (const a of index) for (const b of index) sum += tables.tail[a * tables.typeCount + b]!;
  return sum / 2;
}

export function energyModel(
  sites: Sites,
  crystal: RigidCrystal,
  options: EnergyOptions,
): EnergyModel {
  const split = options.splitPerAngstrom ?? SPLIT_TIMES_CUTOFF / options.cutoffAngstrom;
  const { exp6, index } = distinctTypes(sites);
  const tables = pairTables(exp6, options.cutoffAngstrom, split);
  return modelWith(sites, crystal, { tables, split, index });
}

interface Shared {
  tables: PairTables;
  split: number;
  index: Int32Array;
}

/** Models of many crystals of one molecule, with one set of tables. */
export function energyModels(sites: Sites, options: EnergyOptions) {
  const split = options.splitPerAngstrom ?? SPLIT_TIMES_CUTOFF / options.cutoffAngstrom;
  const { exp6, index } = distinctTypes(sites);
  const tables = pairTables(exp6, options.cutoffAngstrom, split);
  return (crystal: RigidCrystal) => modelWith(sites, crystal, { tables, split, index });
}

function modelWith(sites: Sites, crystal: RigidCrystal, shared: Shared): EnergyModel {
  const { operations, lattice } = crystal;
  const rotations = operations.map(({ rotation }) => cartesianRotation(lattice, rotation));
  const radiusAngstrom = Math.max(...sites.positionsAngstrom.map((position) => norm(position)));
  const meanLength = (norm(lattice[0]) + norm(lattice[1]) + norm(lattice[2])) / 3;
  return {
    atomCount: sites.charges.length,
    operationCount: operations.length,
    body: Float64Array.from(sites.positionsAngstrom.flat()),
    charges: Float64Array.from(sites.charges),
    typeIndex: shared.index,
    tables: shared.tables,
    splitPerAngstrom: shared.split,
    reciprocalCutoffPerAngstrom: 2 * shared.split * SPLIT_TIMES_CUTOFF,
    cartesian: Float64Array.from(rotations.flat(2)),
    fractional: Float64Array.from(operations.flatMap(({ rotation }) => rotation.flat())),
    translations: Float64Array.from(operations.flatMap(({ translation }) => translation)),
    inverseOperation: inverseOperations(crystal),
    reference: transpose(lattice),
    strains: invariantStrains(rotations),
    strainScale: meanLength,
    centreScale: meanLength,
    turnScale: 2 * Math.max(radiusAngstrom, 1),
    radiusAngstrom,
    selfEnergyKjPerMol: selfEnergy(sites, shared.split),
    tailKjAngstrom3PerMol: tailOf(shared.tables, shared.index),
  };
}

export function variableCount(model: EnergyModel): number {
  return model.strains.length + 7;
}

/** The variables of a crystal whose cell is the reference of the model. */
export function variablesOf(model: EnergyModel, crystal: RigidCrystal): Float64Array {
  return Float64Array.from([
    ...model.strains.map(() => 0),
    ...scale(crystal.centre, model.centreScale),
    ...crystal.orientation.map((part) => part * model.turnScale),
  ]);
}

/** Columns are the lattice vectors. */
export function latticeColumns(model: EnergyModel, variables: Float64Array): Matrix3 {
  let strain: Matrix3 = [
    [1, 0, 0],
    [0, 1, 0],
    [0, 0, 1],
  ];
  model.strains.forEach((basis, k) => {
    strain = addMatrix(strain, scaleMatrix(basis, variables[k]! / model.strainScale));
  });
  return multiply(strain, model.reference);
}

export function crystalOf(
  model: EnergyModel,
  variables: Float64Array,
  operations: RigidCrystal['operations'],
): RigidCrystal {
  const at = model.strains.length;
  const turn = [3, 4, 5, 6].map((k) => variables[at + k]!);
  const length = Math.sqrt(turn.reduce((sum, part) => sum + part * part, 0));
  const [w, x, y, z] = turn.map((part) => part / length) as [number, number, number, number];
  return {
    lattice: transpose(latticeColumns(model, variables)),
    operations,
    centre: [
      variables[at]! / model.centreScale,
      variables[at + 1]! / model.centreScale,
      variables[at + 2]! / model.centreScale,
    ],
    orientation: [w, x, y, z],
  };
}

/** Reciprocal lattice vectors (without 2 pi) are the rows. */
export function reciprocalRows(columns: Matrix3): Matrix3 {
  return inverse(columns);
}
