import { molecularMassDalton, sitesOf } from './atom-types.ts';
import { densityOf, latticeOf, parametersOf, volumeOf, type CellParameters } from './cell.ts';
import { rigidCrystalOf, type CrystalRecord, type RigidCrystal } from './crystal.ts';
import {
  crystalOf,
  energyModels,
  latticeColumns,
  variablesOf,
  type EnergyModel,
} from './energy-model.ts';
import { latticeEnergy } from './lattice-energy.ts';
import { minimise, type Minimum } from './minimise.ts';
import type { Molecule } from './molecule.ts';
import type { PotentialName } from './potential-tables.ts';
import {
  determinant,
  inverse,
  multiply,
  quaternionOf,
  rotationOf,
  transpose,
  type Quaternion,
  type Vector3,
} from './vector.ts';

export interface RelaxOptions {
  potential: PotentialName;
  cutoffAngstrom: number;
  energyToleranceKjPerMol: number;
  gradientToleranceKjPerMolAngstrom: number;
  iterationsMax: number;
}

export const RELAX_DEFAULTS: RelaxOptions = {
  potential: 'fit',
  cutoffAngstrom: 12,
  energyToleranceKjPerMol: 1e-4,
  gradientToleranceKjPerMolAngstrom: 0.02,
  iterationsMax: 500,
};

export type RelaxOutcome = 'converged' | 'unconverged' | 'collapsed' | 'dispersed';

export interface RelaxedRecord extends CrystalRecord {
  outcome: RelaxOutcome;
  /** From free molecules of the lowest conformer: lattice energy and conformer energy. */
  energyKjPerMol: number;
  densityGramPerCm3: number;
  gradientMaxKjPerMolAngstrom: number;
  iterations: number;
}

/** The largest volume for each molecule, in molecular volumes, that still counts as a crystal. */
const DISPERSED_VOLUMES = 6;
/** A rigid-body energy below this for each atom is the exp-6 or Coulomb collapse, not chemistry. */
const COLLAPSED_KJ_PER_MOL_ATOM = -60;
/** A cell smaller than this part of its molecular volumes holds molecules inside each other. */
const COLLAPSED_VOLUME_PART = 0.75;

const STEP_MAX_ANGSTROM = 0.4;

export interface Relaxed {
  crystal: RigidCrystal;
  energyKjPerMol: number;
  minimum: Minimum;
  outcome: RelaxOutcome;
}

export type Relaxer = (crystal: RigidCrystal) => Relaxed;

function outcomeOf(minimum: Minimum, volumes: number, atomCount: number): RelaxOutcome {
  if (volumes < COLLAPSED_VOLUME_PART) return 'collapsed';
  if (minimum.value < COLLAPSED_KJ_PER_MOL_ATOM * atomCount) return 'collapsed';
  if (volumes > DISPERSED_VOLUMES) return 'dispersed';
  return minimum.converged ? 'converged' : 'unconverged';
}

function volumesIn(model: EnergyModel, variables: Float64Array, volume: number): number {
  const cell = Math.abs(determinant(latticeColumns(model, variables)));
  return cell / model.operationCount / volume;
}

/** Relaxes crystals of one molecule; tables of the potential are made once. */
export function createRelaxer(molecule: Molecule, options: RelaxOptions): Relaxer {
  const sites = sitesOf(molecule, options.potential);
  const modelOf = energyModels(sites, { cutoffAngstrom: options.cutoffAngstrom });
  const volume = molecule.volumeAngstrom3;
  return (crystal) => {
    const model = modelOf(crystal);
    const { evaluate } = latticeEnergy(model);
    const minimum = minimise(evaluate, variablesOf(model, crystal), {
      iterationsMax: options.iterationsMax,
      energyTolerance: options.energyToleranceKjPerMol,
      gradientTolerance: options.gradientToleranceKjPerMolAngstrom,
      stepMax: STEP_MAX_ANGSTROM,
      isHopeless: (variables) => {
        const volumes = volumesIn(model, variables, volume);
        return volumes > DISPERSED_VOLUMES || volumes < COLLAPSED_VOLUME_PART;
      },
    });
    const volumes = volumesIn(model, minimum.variables, volume);
    return {
      crystal: crystalOf(model, minimum.variables, crystal.operations),
      energyKjPerMol: minimum.value,
      minimum,
      outcome: outcomeOf(minimum, volumes, molecule.atoms.length),
    };
  };
}

/** Numbers in files: enough digits to go on from. */
export function rounded(value: number, digits = 6): number {
  return Number(value.toFixed(digits));
}

export function roundedCell(cell: CellParameters): CellParameters {
  const [a, b, c, alpha, beta, gamma] = cell.map((value) => rounded(value));
  return [a!, b!, c!, alpha!, beta!, gamma!];
}

export function roundedVector([x, y, z]: Vector3): Vector3 {
  return [rounded(x), rounded(y), rounded(z)];
}

function roundedQuaternion([w, x, y, z]: Quaternion): Quaternion {
  return [rounded(w), rounded(x), rounded(y), rounded(z)];
}

/** The same crystal in the axes that cell parameters imply: strain turns the lattice vectors. */
function inStandardAxes(crystal: RigidCrystal): RigidCrystal {
  const lattice = latticeOf(parametersOf(crystal.lattice));
  const back = multiply(transpose(lattice), inverse(transpose(crystal.lattice)));
  const turn = multiply(back, rotationOf(crystal.orientation));
  return { ...crystal, lattice, orientation: quaternionOf(turn) };
}

function relaxedRecord(molecule: Molecule, start: CrystalRecord, relaxed: Relaxed): RelaxedRecord {
  const { minimum, outcome, energyKjPerMol } = relaxed;
  const crystal = inStandardAxes(relaxed.crystal);
  const perMolecule = volumeOf(crystal.lattice) / crystal.operations.length;
  return {
    id: start.id,
    spaceGroup: start.spaceGroup,
    cell: roundedCell(parametersOf(crystal.lattice)),
    centre: roundedVector(crystal.centre),
    orientation: roundedQuaternion(crystal.orientation),
    ...(start.conformer !== undefined && { conformer: start.conformer }),
    outcome,
    energyKjPerMol: rounded(energyKjPerMol + (molecule.conformerKjPerMol ?? 0), 4),
    densityGramPerCm3: rounded(densityOf(molecularMassDalton(molecule), perMolecule), 4),
    gradientMaxKjPerMolAngstrom: rounded(minimum.gradientMax, 4),
    iterations: minimum.iterations,
  };
}

export function relaxRecord(
  molecule: Molecule,
  relaxer: Relaxer,
  record: CrystalRecord,
): RelaxedRecord {
  return relaxedRecord(molecule, record, relaxer(rigidCrystalOf(record)));
}
