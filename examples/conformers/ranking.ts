import { readFileSync } from 'node:fs';
import { distinct, InputError, KJ_PER_KCAL, parseSeeds } from './chemistry.ts';
import type { Conformer, SearchResult } from './chemistry.ts';

export interface RankedConformer extends Conformer {
  relativeKjPerMol: number;
}

export interface RankedMolecule {
  molecule: string;
  atomCount: number;
  distinctConformers: number;
  lowestKcalPerMol: number | null;
  lowestKjPerMol: number | null;
  /** From the lowest conformer to the next; null if there is only one. */
  gapKjPerMol: number | null;
  attempts: number;
  failed: number;
  conformers: RankedConformer[];
}

export function readResult(path: string): SearchResult {
  let result: Partial<SearchResult>;
  try {
    result = JSON.parse(readFileSync(path, 'utf8')) as Partial<SearchResult>;
  } catch (error) {
    throw new InputError(`${path}: ${(error as Error).message}`);
  }
  if (!result.molecule || !result.seeds || !Array.isArray(result.conformers)) {
    throw new InputError(`${path}: not a file that search.ts wrote`);
  }
  return result as SearchResult;
}

/** A seed counted twice would make the attempts and hits look better than they are. */
function checkBlocks(blocks: readonly SearchResult[]): void {
  const sorted = blocks
    .map((block) => ({ block, ...parseSeeds(block.seeds) }))
    .toSorted((a, b) => a.first - b.first);
  for (const [index, next] of sorted.slice(1).entries()) {
    const { block, last } = sorted[index]!;
    if (next.first <= last) {
      throw new InputError(
        `${block.molecule}: seeds ${block.seeds} and ${next.block.seeds} overlap`,
      );
    }
    if (next.block.atomCount !== block.atomCount) {
      throw new InputError(`${block.molecule}: two molecules of different size have this name`);
    }
  }
}

function merge(blocks: readonly SearchResult[]): RankedMolecule {
  checkBlocks(blocks);
  const { molecule, atomCount } = blocks[0]!;
  const conformers = distinct(blocks.flatMap((block) => block.conformers));
  const lowest = conformers[0]?.energyKcalPerMol ?? null;
  const ranked = conformers.map((conformer) => ({
    ...conformer,
    relativeKjPerMol: (conformer.energyKcalPerMol - lowest!) * KJ_PER_KCAL,
  }));
  return {
    molecule,
    atomCount,
    distinctConformers: ranked.length,
    lowestKcalPerMol: lowest,
    lowestKjPerMol: lowest === null ? null : lowest * KJ_PER_KCAL,
    gapKjPerMol: ranked[1]?.relativeKjPerMol ?? null,
    attempts: blocks.reduce((sum, block) => sum + block.attempts, 0),
    failed: blocks.reduce((sum, block) => sum + block.failed, 0),
    conformers: ranked,
  };
}

/**
 * Most conformers first, then the smallest gap. Force-field energies of different molecules have
 * different zeros, so the lowest energy itself ranks nothing.
 */
export function rank(results: readonly SearchResult[]): RankedMolecule[] {
  const byMolecule = Map.groupBy(results, (result) => result.molecule);
  return [...byMolecule.values()]
    .map(merge)
    .toSorted(
      (a, b) =>
        b.distinctConformers - a.distinctConformers ||
        (a.gapKjPerMol ?? 0) - (b.gapKjPerMol ?? 0) ||
        a.molecule.localeCompare(b.molecule, 'en'),
    );
}

/** Rounds, and writes a rounded zero without a sign. */
function decimals(value: number | null, places: number): string {
  if (value === null) return '-';
  const text = value.toFixed(places);
  return Number(text) === 0 ? text.replace('-', '') : text;
}

export function tableRows(molecules: readonly RankedMolecule[]): string[][] {
  const header = [
    'molecule',
    'distinct conformers',
    'lowest (kcal/mol)',
    'lowest (kJ/mol)',
    'gap to next (kJ/mol)',
    'attempts',
  ];
  const rows = molecules.map((entry) => [
    entry.molecule,
    `${entry.distinctConformers}`,
    decimals(entry.lowestKcalPerMol, 3),
    decimals(entry.lowestKjPerMol, 2),
    decimals(entry.gapKjPerMol, 2),
    `${entry.attempts}`,
  ]);
  return [header, ...rows];
}

export function alignedTable(rows: readonly string[][]): string {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  const lines = rows.map((row) =>
    row
      .map((cell, column) =>
        column === 0 ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!),
      )
      .join('  '),
  );
  return `${lines.join('\n')}\n`;
}

export function csvTable(rows: readonly string[][]): string {
  const quoted = (cell: string) => (/[",\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell);
  return rows.map((row) => `${row.map(quoted).join(',')}\n`).join('');
}
