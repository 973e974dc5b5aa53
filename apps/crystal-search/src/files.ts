import { readFileSync, writeFileSync } from 'node:fs';
import type { CellParameters } from './cell.ts';
import type { Packing } from './cluster.ts';
import type { CrystalRecord } from './crystal.ts';
import { InputError } from './errors.ts';
import type { Molecule } from './molecule.ts';
import type { RelaxedRecord, RelaxOptions } from './relax.ts';
import type { TimingFile } from './timing.ts';
import type { Vector3 } from './vector.ts';

export interface CrystalsFile {
  format: 'crystal-search/crystals/1';
  molecule: string;
  seed: number;
  tried: Record<string, number>;
  crystals: CrystalRecord[];
}

export interface RelaxedFile {
  format: 'crystal-search/relaxed/1';
  molecule: string;
  options: RelaxOptions;
  crystals: RelaxedRecord[];
}

export interface PackingsFile {
  format: 'crystal-search/packings/1';
  molecule: string;
  options: RelaxOptions;
  /** Structures that were relaxed, and those of them that converged. */
  relaxedCount: number;
  convergedCount: number;
  packings: RankedPacking[];
  refinement?: string;
}

/** What a better method says of a packing. */
export interface Refined {
  rank: number;
  aboveMinimumKjPerMol: number;
  /** Lattice energy; not there when the free molecule failed. */
  energyKjPerMol?: number;
  volumeChangePercent?: number;
  cell?: RefinedCell;
}

export interface RefinedCell {
  parameters: CellParameters;
  atomicNumbers: number[];
  fractional: Vector3[];
}

export interface RankedPacking extends Packing {
  refined?: Refined;
}

/** One line of a refinement plan, done or not. */
export interface RefinedFile {
  format: 'crystal-search/refined/1';
  molecule: string;
  line: string;
  method: string | undefined;
  /** Of one molecule, from infinity. */
  energyKjPerMol?: number;
  steps?: number;
  sampling?: string;
  volumeChangePercent?: number;
  cell?: RefinedCell;
  problem?: string;
}

/** Geometries of one molecule, the lowest in energy first; atoms in the same order. */
export interface ConformersFile {
  format: 'crystal-search/conformers/1';
  molecules: Molecule[];
}

interface Formats {
  'crystal-search/molecule/1': Molecule;
  'crystal-search/crystals/1': CrystalsFile;
  'crystal-search/relaxed/1': RelaxedFile;
  'crystal-search/packings/1': PackingsFile;
  'crystal-search/refined/1': RefinedFile;
  'crystal-search/conformers/1': ConformersFile;
  'crystal-search/timing/1': TimingFile;
}

function readJson(path: string): { format?: unknown } | null {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as { format?: unknown } | null;
  } catch (error) {
    throw new InputError(`${path}: ${(error as Error).message}`);
  }
}

export function readStage<Name extends keyof Formats>(path: string, format: Name): Formats[Name] {
  const parsed = readJson(path);
  const found = parsed?.format;
  if (found !== format) {
    throw new InputError(`${path}: expected ${format}, found ${String(found)}`);
  }
  return parsed as Formats[Name];
}

/** The geometries of a molecule: one, or its conformers. */
export function readMolecules(path: string): Molecule[] {
  return readJson(path)?.format === 'crystal-search/conformers/1'
    ? readStage(path, 'crystal-search/conformers/1').molecules
    : [readStage(path, 'crystal-search/molecule/1')];
}

export function writeStage(path: string, content: Formats[keyof Formats]): void {
  writeFileSync(path, `${JSON.stringify(content, null, 1)}\n`);
}
