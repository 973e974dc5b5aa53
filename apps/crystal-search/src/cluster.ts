import { parametersOf, type CellParameters } from './cell.ts';
import { atomicCellOf, moleculesOf, rigidCrystalOf, type RigidCrystal } from './crystal.ts';
import { conformerOf, type Molecule } from './molecule.ts';
import { findSymmetry, type SymmetryReport } from './moyo.ts';
import { niggli } from './niggli.ts';
import {
  comparisonFrame,
  CLUSTER_SIZE,
  fingerprintDistance,
  overlay,
  radialFingerprint,
  surroundings,
  type ComparisonFrame,
  type Surroundings,
} from './packing.ts';
import { rounded, type RelaxedRecord } from './relax.ts';

export interface ClusterOptions {
  /** Structures higher than this above the lowest are left out. */
  windowKjPerMol: number;
  rmsdMaxAngstrom: number;
  /** Only structures as close as this in energy and density are compared. */
  energyMaxKjPerMol: number;
  densityMaxPart: number;
  symmetryToleranceAngstrom: number;
}

export const CLUSTER_DEFAULTS: ClusterOptions = {
  windowKjPerMol: 15,
  rmsdMaxAngstrom: 0.3,
  energyMaxKjPerMol: 0.5,
  densityMaxPart: 0.015,
  symmetryToleranceAngstrom: 0.05,
};

/** One distinct crystal packing. */
export interface Packing extends RelaxedRecord {
  rank: number;
  aboveMinimumKjPerMol: number;
  /** Structures that relaxed to this packing, and the space groups they were searched in. */
  hits: number;
  foundIn: number[];
  /** What the symmetry finder says. */
  symmetryNumber: number;
  symmetrySymbol: string;
  /** Conventional cell of that symmetry in the standard setting, and reduced cell. */
  standardCell: CellParameters;
  reducedCell: CellParameters;
  moleculesInStandardCell: number;
}

/** Radial fingerprints further apart than this belong to different packings. */
const FINGERPRINT_MAX_ANGSTROM = 0.35;

export function packingOf(crystal: RigidCrystal, molecule: Molecule) {
  const body = molecule.atoms.map((atom) => atom.positionAngstrom);
  return { lattice: crystal.lattice, molecules: moleculesOf(crystal, body) };
}

export function frameOf(molecule: Molecule): ComparisonFrame {
  return comparisonFrame({
    elements: molecule.atoms.map((atom) => atom.element),
    bonds: molecule.bonds,
  });
}

interface Member {
  record: RelaxedRecord;
  around: Surroundings;
  fingerprint: number[];
  hits: number;
  foundIn: Set<number>;
}

function isSame(known: Member, candidate: Member, frame: ComparisonFrame, options: ClusterOptions) {
  const [a, b] = [known.record, candidate.record];
  if (Math.abs(a.energyKjPerMol - b.energyKjPerMol) > options.energyMaxKjPerMol) return false;
  const density = Math.abs(a.densityGramPerCm3 - b.densityGramPerCm3);
  if (density > options.densityMaxPart * a.densityGramPerCm3) return false;
  const apart = fingerprintDistance(known.fingerprint, candidate.fingerprint);
  if (apart > FINGERPRINT_MAX_ANGSTROM) return false;
  const { matched, rmsdAngstrom } = overlay(known.around, candidate.around, frame);
  return matched === CLUSTER_SIZE && rmsdAngstrom < options.rmsdMaxAngstrom;
}

/** Symmetry at the tolerance asked for, or at the next smaller one where the finder succeeds. */
export function symmetryOf(
  crystal: RigidCrystal,
  molecule: Molecule,
  toleranceAngstrom: number,
): SymmetryReport {
  const cell = atomicCellOf(crystal, molecule);
  let failure: unknown;
  for (const tolerance of [toleranceAngstrom, toleranceAngstrom / 4, 1e-3, 1e-4]) {
    try {
      return findSymmetry(cell, tolerance);
    } catch (error) {
      failure = error;
    }
  }
  throw failure;
}

function roundedCell(cell: CellParameters): CellParameters {
  const [a, b, c, alpha, beta, gamma] = cell.map((value) => rounded(value, 4));
  return [a!, b!, c!, alpha!, beta!, gamma!];
}

function memberOf(record: RelaxedRecord, molecule: Molecule): Member {
  const crystal = rigidCrystalOf(record);
  const around = surroundings(packingOf(crystal, molecule), 0);
  return {
    record,
    around,
    fingerprint: radialFingerprint(around),
    hits: 1,
    foundIn: new Set([record.spaceGroup]),
  };
}

/** Distinct packings, lowest energy first, whatever the order of the records. */
export function cluster(
  molecules: readonly Molecule[],
  records: readonly RelaxedRecord[],
  options: ClusterOptions,
): Packing[] {
  const usable = records
    .filter((record) => record.outcome === 'converged')
    .toSorted((a, b) => a.energyKjPerMol - b.energyKjPerMol || (a.id < b.id ? -1 : 1));
  const lowest = usable[0]?.energyKjPerMol ?? 0;
  const frame = frameOf(molecules[0]!);
  const members: Member[] = [];
  for (const record of usable) {
    if (record.energyKjPerMol - lowest > options.windowKjPerMol) break;
    const candidate = memberOf(record, conformerOf(molecules, record));
    const same = members.findLast((known) => isSame(known, candidate, frame, options));
    if (same) {
      same.hits++;
      same.foundIn.add(record.spaceGroup);
    } else members.push(candidate);
  }
  return members.map((member, index) => {
    const crystal = rigidCrystalOf(member.record);
    const molecule = conformerOf(molecules, member.record);
    const symmetry = symmetryOf(crystal, molecule, options.symmetryToleranceAngstrom);
    return {
      ...member.record,
      rank: index + 1,
      aboveMinimumKjPerMol: rounded(member.record.energyKjPerMol - lowest, 4),
      hits: member.hits,
      foundIn: [...member.foundIn].toSorted((a, b) => a - b),
      symmetryNumber: symmetry.spaceGroup,
      symmetrySymbol: symmetry.symbol,
      standardCell: roundedCell(parametersOf(symmetry.standard.lattice)),
      reducedCell: roundedCell(parametersOf(niggli(crystal.lattice))),
      moleculesInStandardCell: symmetry.standard.fractional.length / molecule.atoms.length,
    };
  });
}
