import { readFileSync } from 'node:fs';
import { readCif, type Structure } from './cif.ts';
import { writeCif } from './cif-write.ts';
import { latticeOf } from './cell.ts';
import { CLUSTER_DEFAULTS, symmetryOf, type Packing } from './cluster.ts';
import { compareWithExperiment, type Comparison } from './compare.ts';
import { rigidCrystalOf } from './crystal.ts';
import { layOn } from './experiment.ts';
import type { PackingsFile, RankedPacking, RefinedCell } from './files.ts';
import { landscapeSvg, type Landmark } from './landscape.ts';
import { conformerOf, type Molecule } from './molecule.ts';
import { moleculesInCell } from './molecules-in-cell.ts';
import { findSymmetry, type AtomicCell } from './moyo.ts';
import { reportPage } from './report-page.ts';
import { rankingCsv, summaryOf } from './summary.ts';
import { costOf, type Cost, type TimingFile } from './timing.ts';

export interface ReportOptions {
  /** How many structures get a CIF file, a view and a row with a button. */
  top: number;
  experiments: readonly string[];
  timings: readonly TimingFile[];
  usdPerCoreHour: number;
}

export interface ReportOutput {
  files: Map<string, string>;
  summary: string;
}

/** The packing with the cell and atoms that the better method relaxed it to. */
function refinedCifOf(packing: RankedPacking, cell: RefinedCell, molecule: Molecule): string {
  const atoms: AtomicCell = {
    lattice: latticeOf(cell.parameters),
    fractional: cell.fractional,
    atomicNumbers: cell.atomicNumbers,
  };
  const symmetry = findSymmetry(atoms, CLUSTER_DEFAULTS.symmetryToleranceAngstrom);
  return writeCif(symmetry.standard, {
    name: `${molecule.name}_rank_${packing.rank}_refined`,
    spaceGroup: symmetry.spaceGroup,
    comment: `${molecule.name}, rank ${packing.rank} of the search, relaxed with GFN1-xTB`,
  });
}

function cifOf(packing: Packing, molecule: Molecule): string {
  const tolerance = CLUSTER_DEFAULTS.symmetryToleranceAngstrom;
  const symmetry = symmetryOf(rigidCrystalOf(packing), molecule, tolerance);
  return writeCif(symmetry.standard, {
    name: `${molecule.name}_rank_${packing.rank}`,
    spaceGroup: symmetry.spaceGroup,
    comment:
      `${molecule.name}, rank ${packing.rank}, lattice energy ${packing.energyKjPerMol} kJ/mol, ` +
      `found as ${packing.id} in ${packing.hits} structures`,
  });
}

function landmarksOf(comparisons: readonly Comparison[], file: PackingsFile): Landmark[] {
  return comparisons.flatMap((comparison): Landmark[] => {
    if (comparison.isFound) {
      const packing = file.packings[comparison.best!.rank - 1]!;
      return [{ ...packing, label: comparison.name, shape: 'ring' }];
    }
    if (!comparison.relaxed) return [];
    return [
      {
        ...comparison.relaxed,
        label: `${comparison.name}, relaxed (not found as measured)`,
        shape: 'diamond',
      },
    ];
  });
}

/** Two decimals, and no minus sign before nothing. */
function twoDecimals(value: number): string {
  return value.toFixed(2).replace(/^-0\.00$/, '0.00');
}

function ownMinimum({ relaxed, problem }: Comparison): string {
  if (!relaxed) return problem === undefined ? '' : `. Not relaxed: ${problem}`;
  const where = relaxed.rank === undefined ? 'not in the landscape' : `rank ${relaxed.rank}`;
  const saddle = relaxed.isSaddle
    ? `; its own symmetry is a saddle point at ${relaxed.symmetricKjPerMol.toFixed(2)} kJ/mol`
    : '';
  return (
    `. Relaxed in the same potential: ${relaxed.energyKjPerMol.toFixed(2)} kJ/mol, ` +
    `${twoDecimals(relaxed.aboveMinimumKjPerMol)} above the minimum, ${relaxed.symmetrySymbol}, ${where}, ` +
    `${relaxed.matched} of 15 molecules overlay the experiment with ${relaxed.rmsdAngstrom.toFixed(2)} Å${saddle}`
  );
}

/** One line for each experiment, as the blind tests report. */
function verdict(comparison: Comparison): string {
  const { best, name } = comparison;
  const own = ownMinimum(comparison);
  if (!best) return `${name}: not found, no packings${own}`;
  if (!comparison.isFound) {
    return `${name}: NOT FOUND, nearest is rank ${best.rank} with ${best.matched} of 15 molecules${own}`;
  }
  const cell = comparison.cellDeviationPercent!.map((value) => value.toFixed(1)).join(', ');
  return (
    `${name}: FOUND at rank ${best.rank}, ${best.aboveMinimumKjPerMol.toFixed(2)} kJ/mol above the minimum, ` +
    `RMSD15 ${best.rmsdAngstrom.toFixed(2)} Å, cell lengths ${cell} %, ` +
    `density ${comparison.densityDeviationPercent!.toFixed(1)} %${own}`
  );
}

function readExperiment(path: string): Structure {
  const name = path.replace(/^.*\//, '').replace(/\.cif$/i, '');
  return readCif(readFileSync(path, 'utf8'), name);
}

/** Throws when a file is not a crystal of the molecule: better known before a search than after. */
export function checkExperiment(path: string, molecule: Molecule): void {
  for (const target of moleculesInCell(readExperiment(path))) layOn(molecule, target);
}

export function compareFile(
  path: string,
  molecules: readonly Molecule[],
  file: PackingsFile,
): Comparison {
  return compareWithExperiment(readExperiment(path), molecules, file);
}

function pointOf(packing: Packing) {
  const { rank, energyKjPerMol, densityGramPerCm3, symmetrySymbol, conformer } = packing;
  return {
    ...packing,
    label:
      `rank ${rank}: ${energyKjPerMol.toFixed(2)} kJ/mol, ` +
      `${densityGramPerCm3.toFixed(3)} g/cm³, ${symmetrySymbol}` +
      (conformer === undefined ? '' : `, conformer ${conformer}`),
  };
}

function cifsOf(molecules: readonly Molecule[], packings: readonly RankedPacking[]) {
  return packings.flatMap((packing): [string, string][] => {
    const name = `rank-${String(packing.rank).padStart(3, '0')}`;
    const molecule = conformerOf(molecules, packing);
    const own: [string, string] = [`${name}.cif`, cifOf(packing, molecule)];
    const cell = packing.refined?.cell;
    return cell ? [own, [`${name}-refined.cif`, refinedCifOf(packing, cell, molecule)]] : [own];
  });
}

export function writeReport(
  molecules: readonly Molecule[],
  file: PackingsFile,
  options: ReportOptions,
): ReportOutput {
  const { experiments, timings, usdPerCoreHour, top } = options;
  const comparisons = experiments.map((path) => compareFile(path, molecules, file));
  const molecule = molecules[0]!;
  const points = file.packings.map(pointOf);
  const title = `Energy landscape of ${molecule.name}`;
  const svg = landscapeSvg(points, landmarksOf(comparisons, file), title);
  const verdicts = comparisons.map(verdict);
  const cost: Cost | undefined = timings.length > 0 ? costOf(timings, usdPerCoreHour) : undefined;
  const files = new Map<string, string>([
    ['landscape.svg', svg],
    ['report.html', reportPage({ molecules, file, comparisons, verdicts, svg, top, cost })],
    ['ranking.csv', rankingCsv(file, comparisons)],
    ['comparison.json', `${JSON.stringify(comparisons, null, 1)}\n`],
    ['summary.json', `${JSON.stringify(summaryOf(file, comparisons, verdicts), null, 1)}\n`],
    ...cifsOf(molecules, file.packings.slice(0, top)),
  ]);
  if (cost) files.set('cost.json', `${JSON.stringify(cost, null, 1)}\n`);
  const summary = verdicts.join('\n') || `${file.packings.length} packings, no experiment given`;
  return { files, summary };
}
