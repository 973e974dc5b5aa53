import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { parametersOf, volumeOf } from './cell.ts';
import { atomicCellOf, rigidCrystalOf } from './crystal.ts';
import { elementOf } from './elements.ts';
import { InputError } from './errors.ts';
import type { PackingsFile, RankedPacking, RefinedFile } from './files.ts';
import { conformerOf, type Molecule } from './molecule.ts';
import { cp2k } from './refine-cp2k.ts';
import { tblite, xtb } from './refine-gamma.ts';
import type { Method, MethodName, RefineJob, RelaxKind } from './refine-methods.ts';
import { rounded, roundedCell, roundedVector } from './relax.ts';
import { apply, transpose, type Matrix3 } from './vector.ts';

/** Best first: k-points instead of repeated cells, and relaxation. */
const METHODS: readonly Method[] = [cp2k, tblite, xtb];

/**
 * Taken when asked for by name only: xtb 6.5.1 of Debian 12 gives periodic GFN1 energies that
 * leave benzene 327 kJ/mol above its free molecules, where tblite and CP2K have it 40 to 45 below.
 */
const NEVER_BY_ITSELF: MethodName = 'xtb';

export type MethodChoice = MethodName | 'auto' | 'none';

export interface RefineOptions {
  method: MethodChoice;
  relax: RelaxKind;
  axisMinAngstrom: number;
  /** Restart files lie below it, in a folder for each calculation. */
  checkpointFolder: string;
}

/** Gamma-only sampling of axes near 4 Angstrom gives false minima; from 13 on it is converged. */
export const AXIS_MIN_ANGSTROM = 13;

/** The line of the plan that stands for the free molecule. */
export const FREE_MOLECULE = 'molecule';

/** One line for each calculation: the free molecule, and the ranks of the lowest packings. */
export function refinePlan(file: PackingsFile, top: number, windowKjPerMol: number): string[] {
  const chosen = file.packings
    .slice(0, top)
    .filter((packing) => packing.aboveMinimumKjPerMol <= windowKjPerMol);
  return [FREE_MOLECULE, ...chosen.map((packing) => String(packing.rank))];
}

function jobOf(molecules: readonly Molecule[], file: PackingsFile, line: string): RefineJob {
  if (line === FREE_MOLECULE) {
    const { atoms } = molecules[0]!;
    return {
      atomicNumbers: atoms.map((atom) => elementOf(atom.element).atomicNumber),
      positions: atoms.map((atom) => atom.positionAngstrom),
      lattice: undefined,
    };
  }
  const packing = file.packings.find((candidate) => String(candidate.rank) === line);
  if (!packing) throw new InputError(`${line}: no packing of that rank`);
  const cell = atomicCellOf(rigidCrystalOf(packing), conformerOf(molecules, packing));
  const columns = transpose(cell.lattice);
  return {
    atomicNumbers: cell.atomicNumbers,
    positions: cell.fractional.map((place) => apply(columns, place)),
    lattice: cell.lattice,
  };
}

/** Runs of another molecule or seed may share the folder of restart files. */
function digestOf(job: RefineJob): string {
  return createHash('sha256').update(JSON.stringify(job)).digest('hex').slice(0, 12);
}

function methodFor(choice: MethodChoice): { method: Method; version: string } | undefined {
  for (const method of METHODS) {
    const isMeant = choice === 'auto' ? method.name !== NEVER_BY_ITSELF : method.name === choice;
    if (!isMeant) continue;
    const version = method.version();
    if (version !== undefined) return { method, version };
  }
  return undefined;
}

const NO_METHOD = {
  auto: 'no better method here: neither CP2K (apt-get install cp2k) nor tblite (pip install tblite)',
  none: 'no better method was asked for',
} as const;

function withoutMethod(choice: MethodChoice): string {
  return choice === 'auto' || choice === 'none'
    ? NO_METHOD[choice]
    : `no better method here: ${choice} is not installed`;
}

/** Calculates one line of the plan. What cannot be done is a result too: the flow goes on. */
export function refineOne(
  molecules: readonly Molecule[],
  file: PackingsFile,
  line: string,
  options: RefineOptions,
): { refined: RefinedFile; resumedFromStep: number | undefined } {
  const empty = { format: 'crystal-search/refined/1', molecule: file.molecule, line } as const;
  const job = jobOf(molecules, file, line);
  const found = methodFor(options.method);
  if (!found) {
    const problem = withoutMethod(options.method);
    return { refined: { ...empty, method: undefined, problem }, resumedFromStep: undefined };
  }
  const { method, version } = found;
  const relax = method.canRelax ? options.relax : 'none';
  const label = `GFN1-xTB, ${version}, ${relax === 'cell' ? 'atoms and cell relaxed' : 'single points'}`;
  try {
    const checkpointFolder = join(options.checkpointFolder, `refine-${line}-${digestOf(job)}`);
    const result = method.run({ ...options, job, relax, checkpointFolder });
    const { resumedFromStep, cell, energyKjPerMol, ...rest } = result;
    const perMolecule = energyKjPerMol / (job.positions.length / molecules[0]!.atoms.length);
    const refined: RefinedFile = {
      ...empty,
      ...rest,
      method: label,
      energyKjPerMol: rounded(perMolecule, 3),
      ...(cell && {
        volumeChangePercent: rounded(volumeChange(job, cell.lattice), 2),
        cell: {
          parameters: roundedCell(parametersOf(cell.lattice)),
          atomicNumbers: cell.atomicNumbers,
          fractional: cell.fractional.map(roundedVector),
        },
      }),
    };
    return { refined, resumedFromStep };
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    const refined = { ...empty, method: label, problem: error.message };
    return { refined, resumedFromStep: undefined };
  }
}

function volumeChange(job: RefineJob, lattice: Matrix3): number {
  const before = volumeOf(job.lattice as Matrix3);
  return (volumeOf(lattice) / before - 1) * 100;
}

/** Said with every result: what is known to be wrong with the method. */
const BIAS =
  'GFN1-xTB binds molecular crystals too tightly: relaxed cells come out too small ' +
  '(benzene about 8 %, urea 12 % in volume), so dense packings are favoured';

/** The method most structures were done with: energies of two programs do not compare. */
function mainMethod(results: readonly RefinedFile[]): string | undefined {
  const counts = new Map<string, number>();
  for (const { method, energyKjPerMol } of results) {
    if (method === undefined || energyKjPerMol === undefined) continue;
    counts.set(method, (counts.get(method) ?? 0) + 1);
  }
  return [...counts].toSorted((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1))[0]?.[0];
}

function failures(plan: readonly string[], results: readonly RefinedFile[], method: string) {
  return plan.flatMap((line) => {
    const result = results.find((candidate) => candidate.line === line);
    const name = line === FREE_MOLECULE ? 'the free molecule' : `rank ${line}`;
    if (!result) return [`${name}: its task left no result`];
    if (result.problem !== undefined) return [`${name}: ${result.problem}`];
    if (result.method !== method) return [`${name}: done with ${result.method} instead`];
    return [];
  });
}

function refinementText(plan: readonly string[], results: readonly RefinedFile[]): string {
  const method = mainMethod(results);
  if (method === undefined) {
    const problems = [...new Set(results.flatMap(({ problem }) => problem ?? []))];
    return `not refined: ${problems.join('; ') || 'no results'}`;
  }
  const done = results.filter(
    (result) => result.method === method && result.energyKjPerMol !== undefined,
  );
  const sampling = [...new Set(done.map((result) => result.sampling))].join(', ');
  const count = done.filter((result) => result.line !== FREE_MOLECULE).length;
  const bias = count > 0 ? ` ${BIAS}.` : '';
  const failed = failures(plan, results, method);
  return (
    `${method}: ${count} of the ${plan.length - 1} lowest (${sampling}).${bias}` +
    (failed.length > 0 ? ` Failed: ${failed.join('; ')}.` : '')
  );
}

/** A crystal above its free molecules is a failure of the program, not a crystal. */
function withoutUnbound(results: readonly RefinedFile[]): RefinedFile[] {
  return results.map((result) => {
    const { method, energyKjPerMol } = result;
    const free = results.find((other) => other.line === FREE_MOLECULE && other.method === method);
    const above = (energyKjPerMol ?? 0) - (free?.energyKjPerMol ?? Infinity);
    if (result.line === FREE_MOLECULE || !(above > 0)) return result;
    const problem = `${method} has it ${above.toFixed(0)} kJ/mol above free molecules: not used`;
    const { format, molecule, line } = result;
    return { format, molecule, line, method, problem };
  });
}

/** Energies of the better method beside those of the search, and the ranks that follow. */
export function refineMerge(
  file: PackingsFile,
  plan: readonly string[],
  found: readonly RefinedFile[],
): PackingsFile {
  const results = withoutUnbound(found);
  const method = mainMethod(results);
  const usable = results.filter(
    (result) => result.method === method && result.energyKjPerMol !== undefined,
  );
  const energies = new Map(usable.map((result) => [result.line, result]));
  const free = energies.get(FREE_MOLECULE)?.energyKjPerMol;
  const ranked = usable
    .filter((result) => result.line !== FREE_MOLECULE)
    .toSorted((a, b) => a.energyKjPerMol! - b.energyKjPerMol! || Number(a.line) - Number(b.line));
  const lowest = ranked[0]?.energyKjPerMol ?? 0;
  const packings = file.packings.map((packing): RankedPacking => {
    const result = energies.get(String(packing.rank));
    if (!result) return packing;
    const { volumeChangePercent, cell } = result;
    return {
      ...packing,
      refined: {
        rank: ranked.indexOf(result) + 1,
        aboveMinimumKjPerMol: rounded(result.energyKjPerMol! - lowest, 3),
        ...(free !== undefined && { energyKjPerMol: rounded(result.energyKjPerMol! - free, 3) }),
        ...(volumeChangePercent !== undefined && { volumeChangePercent }),
        ...(cell && { cell }),
      },
    };
  });
  return { ...file, packings, refinement: refinementText(plan, results) };
}
