import type { Comparison } from './compare.ts';
import type { PackingsFile } from './files.ts';

/** What other programs need to know of a report. No times in it: equal runs give equal bytes. */
export interface SummaryFile {
  format: 'crystal-search/summary/1';
  molecule: string;
  relaxedCount: number;
  convergedCount: number;
  packingCount: number;
  lowestKjPerMol: number | undefined;
  refinement: string | undefined;
  experiments: ExperimentSummary[];
  /** Beside this file. */
  files: { page: string; landscape: string; ranking: string };
}

export interface ExperimentSummary {
  name: string;
  isFound: boolean;
  /** Of the found packing, or of the nearest one. */
  rank: number | undefined;
  aboveMinimumKjPerMol: number | undefined;
  moleculesMatched: number;
  rmsdAngstrom: number | undefined;
  cellDeviationPercent: number[] | undefined;
  densityDeviationPercent: number | undefined;
  /** The same in one sentence. */
  sentence: string;
}

function short(value: number, digits = 3): number {
  return Number(value.toFixed(digits));
}

function experimentSummary(comparison: Comparison, sentence: string): ExperimentSummary {
  const { best, cellDeviationPercent, densityDeviationPercent } = comparison;
  return {
    name: comparison.name,
    isFound: comparison.isFound,
    rank: best?.rank,
    aboveMinimumKjPerMol: best && short(best.aboveMinimumKjPerMol),
    moleculesMatched: best?.matched ?? 0,
    rmsdAngstrom: best && short(best.rmsdAngstrom),
    cellDeviationPercent: cellDeviationPercent?.map((value) => short(value, 2)),
    densityDeviationPercent:
      densityDeviationPercent === undefined ? undefined : short(densityDeviationPercent, 2),
    sentence,
  };
}

export function summaryOf(
  file: PackingsFile,
  comparisons: readonly Comparison[],
  verdicts: readonly string[],
): SummaryFile {
  return {
    format: 'crystal-search/summary/1',
    molecule: file.molecule,
    relaxedCount: file.relaxedCount,
    convergedCount: file.convergedCount,
    packingCount: file.packings.length,
    lowestKjPerMol: file.packings[0]?.energyKjPerMol,
    refinement: file.refinement,
    experiments: comparisons.map((comparison, index) =>
      experimentSummary(comparison, verdicts[index]!),
    ),
    files: { page: 'report.html', landscape: 'landscape.svg', ranking: 'ranking.csv' },
  };
}

const COLUMNS = [
  'rank',
  'energy_kj_per_mol',
  'above_minimum_kj_per_mol',
  'density_g_per_cm3',
  'space_group',
  'z',
  'a_angstrom',
  'b_angstrom',
  'c_angstrom',
  'alpha_degrees',
  'beta_degrees',
  'gamma_degrees',
  'hits',
  'found_as',
  'conformer',
  'refined_rank',
  'refined_above_minimum_kj_per_mol',
  'experiment',
] as const;

/** A field of CSV (RFC 4180). */
function quoted(text: string): string {
  return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

export function rankingCsv(file: PackingsFile, comparisons: readonly Comparison[]): string {
  const found = new Map(
    comparisons.flatMap(({ isFound, best, name }) =>
      isFound && best ? [[best.rank, name] as const] : [],
    ),
  );
  const rows = file.packings.map((packing) => [
    packing.rank,
    packing.energyKjPerMol.toFixed(3),
    packing.aboveMinimumKjPerMol.toFixed(3),
    packing.densityGramPerCm3.toFixed(4),
    packing.symmetrySymbol,
    packing.moleculesInStandardCell,
    ...packing.standardCell.map((value) => value.toFixed(3)),
    packing.hits,
    packing.id,
    packing.conformer ?? 1,
    packing.refined?.rank ?? '',
    packing.refined?.aboveMinimumKjPerMol.toFixed(3) ?? '',
    found.get(packing.rank) ?? '',
  ]);
  return [COLUMNS, ...rows].map((row) => `${row.map(String).map(quoted).join(',')}\n`).join('');
}
