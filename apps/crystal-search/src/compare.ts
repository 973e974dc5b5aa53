import { densityOf, parametersOf, volumeOf, type CellParameters } from './cell.ts';
import type { Structure } from './cif.ts';
import { CLUSTER_DEFAULTS, frameOf, packingOf, symmetryOf } from './cluster.ts';
import { molecularMassDalton } from './atom-types.ts';
import { rigidCrystalOf, type RigidCrystal } from './crystal.ts';
import { experimentOf, layOn } from './experiment.ts';
import type { PackingsFile } from './files.ts';
import { conformerOf, type Molecule } from './molecule.ts';
import { moleculesInCell } from './molecules-in-cell.ts';
import { findSymmetry } from './moyo.ts';
import { CLUSTER_SIZE, overlay, surroundings, type Surroundings } from './packing.ts';
import { createRelaxer } from './relax.ts';

/** Two crystals are the same when 15 molecules overlay better than this (as in the blind tests). */
const FOUND_RMSD_ANGSTROM = 0.8;

export interface Match {
  rank: number;
  aboveMinimumKjPerMol: number;
  matched: number;
  rmsdAngstrom: number;
  symmetrySymbol: string;
  cell: CellParameters;
}

export interface RelaxedExperiment {
  energyKjPerMol: number;
  aboveMinimumKjPerMol: number;
  densityGramPerCm3: number;
  symmetrySymbol: string;
  cell: CellParameters;
  /** Its overlay with the experiment. */
  matched: number;
  rmsdAngstrom: number;
  /** The packing of the landscape that it is, if it was found. */
  rank: number | undefined;
  /** Energy with the experiment's symmetry kept: higher when that is only a saddle point. */
  symmetricKjPerMol: number;
  isSaddle: boolean;
}

/** How an experimental crystal stands in a landscape. */
export interface Comparison {
  name: string;
  spaceGroup: string;
  /** As the experiment gives it. */
  cell: CellParameters;
  densityGramPerCm3: number;
  moleculeRmsdAngstrom: number;
  /** The best match in the landscape, found or not. */
  best: Match | undefined;
  isFound: boolean;
  /**
   * Deviation in percent of the cell lengths of the found packing: in the experiment's own axes
   * when it is what the experiment relaxes to, else of the sorted lengths of the standard cells.
   */
  cellDeviationPercent: [number, number, number] | undefined;
  densityDeviationPercent: number | undefined;
  /** The experimental crystal relaxed in the same potential, from a slightly disturbed start. */
  relaxed: RelaxedExperiment | undefined;
  /** Lattice energy at the experimental cell, only the position of the rigid molecule laid on. */
  atExperimentKjPerMol: number | undefined;
  problem: string | undefined;
}

/** The experiment's molecules with their atoms in the order of the rigid molecule. */
function experimentalSurroundings(structure: Structure, molecule: Molecule): Surroundings {
  const molecules = moleculesInCell(structure).map(
    (target) => layOn(molecule, target).positionsAngstrom,
  );
  return surroundings({ lattice: structure.lattice, molecules }, 0);
}

function nearestConformer(structure: Structure, molecules: readonly Molecule[]): Molecule {
  const target = moleculesInCell(structure)[0]!;
  const fits = molecules.map((molecule) => ({
    molecule,
    rmsdAngstrom: layOn(molecule, target).rmsdAngstrom,
  }));
  return fits.toSorted((a, b) => a.rmsdAngstrom - b.rmsdAngstrom)[0]!.molecule;
}

type Lengths = readonly number[];

function deviations(found: Lengths, experiment: Lengths): [number, number, number] {
  const percent = (k: number) => (found[k]! / experiment[k]! - 1) * 100;
  return [percent(0), percent(1), percent(2)];
}

function sortedLengths(cell: CellParameters): Lengths {
  return cell.slice(0, 3).toSorted((a, b) => a - b);
}

interface Standing {
  around: Surroundings;
  molecules: readonly Molecule[];
  /** The conformer nearest to the molecule of the experiment. */
  molecule: Molecule;
  file: PackingsFile;
}

function bestMatch({ around, molecules, molecule, file }: Standing): Match | undefined {
  const frame = frameOf(molecule);
  let best: Match | undefined;
  for (const packing of file.packings) {
    const body = conformerOf(molecules, packing);
    const other = surroundings(packingOf(rigidCrystalOf(packing), body), 0);
    const { matched, rmsdAngstrom } = overlay(around, other, frame);
    const isBetter =
      best === undefined ||
      matched > best.matched ||
      (matched === best.matched && rmsdAngstrom < best.rmsdAngstrom);
    if (!isBetter) continue;
    best = {
      rank: packing.rank,
      aboveMinimumKjPerMol: packing.aboveMinimumKjPerMol,
      matched,
      rmsdAngstrom,
      symmetrySymbol: packing.symmetrySymbol,
      cell: packing.standardCell,
    };
  }
  return best;
}

/** Symmetry kept by a start is kept by the minimiser: this is enough to leave a saddle point. */
const DISTURBANCE = 0.02;
const SADDLE_KJ_PER_MOL = 0.02;

function disturbed(crystal: RigidCrystal): RigidCrystal {
  const [x, y, z] = crystal.centre;
  const [a, b, c, d] = crystal.orientation;
  const h = DISTURBANCE;
  return {
    ...crystal,
    centre: [x + 0.2 * h, y - 0.1 * h, z + 0.15 * h],
    orientation: [a + 0.5 * h, b - 0.7 * h, c + 0.6 * h, d + h],
  };
}

function crystalDensity({ lattice, operations }: RigidCrystal, molecule: Molecule): number {
  return densityOf(molecularMassDalton(molecule), volumeOf(lattice) / operations.length);
}

function relaxedExperiment(structure: Structure, standing: Standing) {
  const { molecule, file, around } = standing;
  const experiment = experimentOf(structure, molecule);
  const relaxer = createRelaxer(molecule, file.options);
  const symmetric = relaxer(experiment.crystal);
  const relaxed = relaxer(disturbed(experiment.crystal));
  const still = createRelaxer(molecule, { ...file.options, iterationsMax: 0 })(experiment.crystal);
  const after = surroundings(packingOf(relaxed.crystal, molecule), 0);
  const strain = molecule.conformerKjPerMol ?? 0;
  const energyKjPerMol = relaxed.energyKjPerMol + strain;
  const lowest = file.packings[0]?.energyKjPerMol ?? energyKjPerMol;
  const symmetry = symmetryOf(
    relaxed.crystal,
    molecule,
    CLUSTER_DEFAULTS.symmetryToleranceAngstrom,
  );
  const own: RelaxedExperiment = {
    energyKjPerMol,
    aboveMinimumKjPerMol: energyKjPerMol - lowest,
    densityGramPerCm3: crystalDensity(relaxed.crystal, molecule),
    symmetrySymbol: symmetry.symbol,
    cell: parametersOf(symmetry.standard.lattice),
    ...overlay(around, after, frameOf(molecule)),
    rank: rankOf(after, energyKjPerMol, standing),
    symmetricKjPerMol: symmetric.energyKjPerMol + strain,
    isSaddle: symmetric.energyKjPerMol - relaxed.energyKjPerMol > SADDLE_KJ_PER_MOL,
  };
  return {
    moleculeRmsdAngstrom: experiment.moleculeRmsdAngstrom,
    atExperimentKjPerMol: still.energyKjPerMol + strain,
    lengthsAngstrom: parametersOf(relaxed.crystal.lattice),
    relaxed: own,
  };
}

/** The packing of the landscape that a relaxed crystal is. */
function rankOf(after: Surroundings, energyKjPerMol: number, standing: Standing) {
  const { molecules, molecule, file } = standing;
  const frame = frameOf(molecule);
  const same = file.packings.find((packing) => {
    const apart = Math.abs(packing.energyKjPerMol - energyKjPerMol);
    if (apart > CLUSTER_DEFAULTS.energyMaxKjPerMol) return false;
    const body = conformerOf(molecules, packing);
    const other = surroundings(packingOf(rigidCrystalOf(packing), body), 0);
    const { matched, rmsdAngstrom } = overlay(after, other, frame);
    return matched === CLUSTER_SIZE && rmsdAngstrom < CLUSTER_DEFAULTS.rmsdMaxAngstrom;
  });
  return same?.rank;
}

export function compareWithExperiment(
  structure: Structure,
  molecules: readonly Molecule[],
  file: PackingsFile,
): Comparison {
  const molecule = nearestConformer(structure, molecules);
  const around = experimentalSurroundings(structure, molecule);
  const standing = { around, molecules, molecule, file };
  const symmetry = findSymmetry(structure, 0.02);
  const cell = parametersOf(structure.lattice);
  const standard = parametersOf(symmetry.standard.lattice);
  const perMolecule = volumeOf(structure.lattice) / moleculesInCell(structure).length;
  const density = densityOf(molecularMassDalton(molecule), perMolecule);
  const best = bestMatch(standing);
  const isFound =
    best !== undefined && best.matched === CLUSTER_SIZE && best.rmsdAngstrom < FOUND_RMSD_ANGSTROM;
  let own: ReturnType<typeof relaxedExperiment> | undefined;
  let problem: string | undefined;
  try {
    own = relaxedExperiment(structure, standing);
  } catch (error) {
    problem = (error as Error).message;
  }
  const found = isFound ? file.packings[best.rank - 1]! : undefined;
  return {
    name: structure.name,
    spaceGroup: symmetry.symbol,
    cell,
    densityGramPerCm3: density,
    moleculeRmsdAngstrom: own?.moleculeRmsdAngstrom ?? NaN,
    best,
    isFound,
    cellDeviationPercent:
      found &&
      (own?.relaxed.rank === found.rank
        ? deviations(own.lengthsAngstrom, cell)
        : deviations(sortedLengths(found.standardCell), sortedLengths(standard))),
    densityDeviationPercent: found && (found.densityGramPerCm3 / density - 1) * 100,
    relaxed: own?.relaxed,
    atExperimentKjPerMol: own?.atExperimentKjPerMol,
    problem,
  };
}
