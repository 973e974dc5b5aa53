import { readFileSync } from 'node:fs';
import { readCif, type Structure } from './cif.ts';
import { writeCif } from './cif-write.ts';
import { CLUSTER_DEFAULTS, symmetryOf, type Packing } from './cluster.ts';
import { compareWithExperiment, type Comparison } from './compare.ts';
import { rigidCrystalOf } from './crystal.ts';
import { layOn } from './experiment.ts';
import type { PackingsFile } from './files.ts';
import { landscapeSvg, type Landmark } from './landscape.ts';
import type { Molecule } from './molecule.ts';
import { moleculesInCell } from './molecules-in-cell.ts';
import { reportPage } from './report-page.ts';
import { rankingCsv, summaryOf } from './summary.ts';

export interface ReportOptions {
  /** How many structures get a CIF file, a view and a row with a button. */
  top: number;
  experiments: readonly string[];
}

export interface ReportOutput {
  files: Map<string, string>;
  summary: string;
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

export function compareFile(path: string, molecule: Molecule, file: PackingsFile): Comparison {
  return compareWithExperiment(readExperiment(path), molecule, file);
}

export function writeReport(
  molecule: Molecule,
  file: PackingsFile,
  options: ReportOptions,
): ReportOutput {
  const comparisons = options.experiments.map((path) => compareFile(path, molecule, file));
  const points = file.packings.map((packing) => ({
    ...packing,
    label:
      `rank ${packing.rank}: ${packing.energyKjPerMol.toFixed(2)} kJ/mol, ` +
      `${packing.densityGramPerCm3.toFixed(3)} g/cm³, ${packing.symmetrySymbol}`,
  }));
  const title = `Energy landscape of ${molecule.name}`;
  const svg = landscapeSvg(points, landmarksOf(comparisons, file), title);
  const verdicts = comparisons.map(verdict);
  const files = new Map<string, string>([
    ['landscape.svg', svg],
    ['report.html', reportPage({ molecule, file, comparisons, verdicts, svg, top: options.top })],
    ['ranking.csv', rankingCsv(file, comparisons)],
    ['comparison.json', `${JSON.stringify(comparisons, null, 1)}\n`],
    ['summary.json', `${JSON.stringify(summaryOf(file, comparisons, verdicts), null, 1)}\n`],
  ]);
  for (const packing of file.packings.slice(0, options.top)) {
    files.set(`rank-${String(packing.rank).padStart(3, '0')}.cif`, cifOf(packing, molecule));
  }
  const summary = verdicts.join('\n') || `${file.packings.length} packings, no experiment given`;
  return { files, summary };
}
