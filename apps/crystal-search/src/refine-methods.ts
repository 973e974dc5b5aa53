import { execFileSync } from 'node:child_process';
import type { CellParameters } from './cell.ts';
import type { AtomicCell } from './moyo.ts';
import type { Vector3 } from './vector.ts';

export const METHOD_NAMES = ['cp2k', 'xtb', 'tblite'] as const;
export type MethodName = (typeof METHOD_NAMES)[number];

export const RELAX_KINDS = ['none', 'cell'] as const;
/** Energy at the geometry of the search, or atoms and cell relaxed. */
export type RelaxKind = (typeof RELAX_KINDS)[number];

/** What is computed: a crystal, or the free molecule that its energy is compared with. */
export interface RefineJob {
  atomicNumbers: number[];
  /** Cartesian, in Angstrom. */
  positions: Vector3[];
  /** Rows are the lattice vectors; none for the free molecule. */
  lattice: readonly Vector3[] | undefined;
}

export interface RefineRun {
  job: RefineJob;
  relax: RelaxKind;
  /** k-points or repeats are as many as bring every axis to this length. */
  axisMinAngstrom: number;
  /** Keeps restart files: a later run of the same job with the same folder goes on from them. */
  checkpointFolder: string;
}

export interface RefineResult {
  /** Of the whole cell of the job. */
  energyKjPerMol: number;
  steps: number;
  /** After a relaxation of the cell. */
  cell: AtomicCell | undefined;
  /** How the Brillouin zone was sampled. */
  sampling: string;
  /** The step a restart file let it go on from. */
  resumedFromStep: number | undefined;
}

export interface Method {
  name: MethodName;
  /** With its version; undefined where the program is not there. */
  version: () => string | undefined;
  canRelax: boolean;
  run: (run: RefineRun) => RefineResult;
}

export const HARTREE_KJ_PER_MOL = 2625.4996394798;

/** Copies along each axis that reach a length; their k-points do the same at less cost. */
export function repeatsFor(parameters: CellParameters, axisMinAngstrom: number): Vector3 {
  const [a, b, c] = parameters;
  const repeat = (length: number) => Math.max(1, Math.ceil(axisMinAngstrom / length - 1e-9));
  return [repeat(a), repeat(b), repeat(c)];
}

/** The first line of a program's answer that has a version in it. */
export function versionOf(program: string, args: readonly string[]): string | undefined {
  try {
    const text = execFileSync(program, args, {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    return /\d+\.\d+(?:\.\d+)?/.exec(text)?.[0];
  } catch {
    return undefined;
  }
}
