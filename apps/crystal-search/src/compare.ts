import { densityOf, parametersOf, volumeOf, type CellParameters } from './cell.ts';
import type { Structure } from './cif.ts';
import { frameOf, packingOf } from './cluster.ts';
import { molecularMassDalton } from './atom-types.ts';
import { rigidCrystalOf } from './crystal.ts';
import { experimentOf } from './experiment.ts';
import type { PackingsFile } from './files.ts';
import { mappings } from './isomorphism.ts';
import type { Molecule } from './molecule.ts';
import { moleculesInCell } from './molecules-in-cell.ts';
import { findSymmetry } from './moyo.ts';
import { CLUSTER_SIZE, overlay, surroundings, type Surroundings } from './packing.ts';
import { createRelaxer } from './relax.ts';
import { superpose } from './superpose.ts';
import type { Vector3 } from './vector.ts';

/** Two crystals are the same when 15 molecules overlay better than this (as in the blind tests). */
export const FOUND_RMSD_ANGSTROM = 0.8;

export interface Match {
  rank: number;
  aboveMinimumKjPerMol: number;
  matched: number;
  rmsdAngstrom: number;
  symmetrySymbol: string;
  cell: CellParameters;
}

/** How an experimental crystal stands in a landscape. */
export interface Comparison {
  name: string;
  spaceGroup: string;
  cell: CellParameters;
  densityGramPerCm3: number;
  moleculeRmsdAngstrom: number;
  /** The best match in the landscape, found or not. */
  best: Match | undefined;
  isFound: boolean;
  /** Deviation in percent of the sorted cell lengths and of the density of the found packing. */
  cellDeviationPercent: [number, number, number] | undefined;
  densityDeviationPercent: number | undefined;
  /** The experimental crystal relaxed in the same potential. */
  relaxed:
    | {
        energyKjPerMol: number;
        aboveMinimumKjPerMol: number;
        rmsdAngstrom: number;
        matched: number;
        cell: CellParameters;
      }
    | undefined;
  /** Lattice energy at the experimental cell, only the position of the rigid molecule laid on. */
  atExperimentKjPerMol: number | undefined;
  problem: string | undefined;
}

/** The experiment's molecules with their atoms in the order of the rigid molecule. */
export function experimentalSurroundings(structure: Structure, molecule: Molecule): Surroundings {
  const graph = { elements: molecule.atoms.map((atom) => atom.element), bonds: molecule.bonds };
  const body = molecule.atoms.map((atom) => atom.positionAngstrom);
  const molecules = moleculesInCell(structure).map((target) => {
    const ordered = mappings(graph, target).map((mapping) =>
      mapping.map((index): Vector3 => target.positionsAngstrom[index]!),
    );
    return ordered.reduce((a, b) =>
      superpose(body, b).rmsdAngstrom < superpose(body, a).rmsdAngstrom ? b : a,
    );
  });
  return surroundings({ lattice: structure.lattice, molecules }, 0);
}

function deviations(found: CellParameters, experiment: CellParameters): [number, number, number] {
  const lengths = (cell: CellParameters) => cell.slice(0, 3).toSorted((a, b) => a - b);
  const [a, b, c] = lengths(found).map((value, k) => (value / lengths(experiment)[k]! - 1) * 100);
  return [a!, b!, c!];
}

interface Standing {
  around: Surroundings;
  molecule: Molecule;
  file: PackingsFile;
}

function bestMatch({ around, molecule, file }: Standing): Match | undefined {
  const frame = frameOf(molecule);
  let best: Match | undefined;
  for (const packing of file.packings) {
    const other = surroundings(packingOf(rigidCrystalOf(packing), molecule), 0);
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

function relaxedExperiment(structure: Structure, standing: Standing) {
  const { molecule, file, around } = standing;
  const experiment = experimentOf(structure, molecule);
  const relaxed = createRelaxer(molecule, file.options)(experiment.crystal);
  const still = createRelaxer(molecule, { ...file.options, iterationsMax: 0 })(experiment.crystal);
  const after = surroundings(packingOf(relaxed.crystal, molecule), 0);
  const lowest = file.packings[0]?.energyKjPerMol ?? relaxed.energyKjPerMol;
  return {
    moleculeRmsdAngstrom: experiment.moleculeRmsdAngstrom,
    atExperimentKjPerMol: still.energyKjPerMol,
    relaxed: {
      energyKjPerMol: relaxed.energyKjPerMol,
      aboveMinimumKjPerMol: relaxed.energyKjPerMol - lowest,
      ...overlay(around, after, frameOf(molecule)),
      cell: parametersOf(relaxed.crystal.lattice),
    },
  };
}

export function compareWithExperiment(
  structure: Structure,
  molecule: Molecule,
  file: PackingsFile,
): Comparison {
  const around = experimentalSurroundings(structure, molecule);
  const standing = { around, molecule, file };
  const symmetry = findSymmetry(structure, 0.02);
  const cell = parametersOf(symmetry.standard.lattice);
  const perMolecule =
    (volumeOf(structure.lattice) * molecule.atoms.length) / structure.fractional.length;
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
    cellDeviationPercent: found && deviations(found.standardCell, cell),
    densityDeviationPercent: found && (found.densityGramPerCm3 / density - 1) * 100,
    relaxed: own?.relaxed,
    atExperimentKjPerMol: own?.atExperimentKjPerMol,
    problem,
  };
}
