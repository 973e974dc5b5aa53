import { readFileSync, writeFileSync } from 'node:fs';
import type { Packing } from './cluster.ts';
import type { CrystalRecord } from './crystal.ts';
import { InputError } from './errors.ts';
import type { Molecule } from './molecule.ts';
import type { RelaxedRecord, RelaxOptions } from './relax.ts';

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
  packings: (Packing & { refinedKjPerMol?: number })[];
  refinement?: string;
}

interface Formats {
  'crystal-search/molecule/1': Molecule;
  'crystal-search/crystals/1': CrystalsFile;
  'crystal-search/relaxed/1': RelaxedFile;
  'crystal-search/packings/1': PackingsFile;
}

export function readStage<Name extends keyof Formats>(path: string, format: Name): Formats[Name] {
  let parsed: unknown;
  try {
    parsed = JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    throw new InputError(`${path}: ${(error as Error).message}`);
  }
  const found = (parsed as { format?: unknown } | null)?.format;
  if (found !== format) {
    throw new InputError(`${path}: expected ${format}, found ${String(found)}`);
  }
  return parsed as Formats[Name];
}

export function writeStage(path: string, content: Formats[keyof Formats]): void {
  writeFileSync(path, `${JSON.stringify(content, null, 1)}\n`);
}
