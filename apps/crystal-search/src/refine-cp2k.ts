import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parametersOf } from './cell.ts';
import { elementOf } from './elements.ts';
import { InputError } from './errors.ts';
import {
  HARTREE_KJ_PER_MOL,
  repeatsFor,
  versionOf,
  type Method,
  type RefineResult,
  type RefineRun,
} from './refine-methods.ts';
import { apply, inverse, transpose, type Matrix3, type Vector3 } from './vector.ts';

const PROGRAMS = ['cp2k.psmp', 'cp2k.ssmp', 'cp2k'];

function program(): string | undefined {
  const wanted = process.env['CRYSTAL_SEARCH_CP2K'];
  const names = wanted === undefined ? PROGRAMS : [wanted];
  return names.find((name) => versionOf(name, ['--version']) !== undefined);
}

/** The free molecule stands in a box that leaves its images this far away. */
const BOX_ANGSTROM = 25;

const CELL_OPTIMISATION = `&MOTION
&CELL_OPT
TYPE DIRECT_CELL_OPT
OPTIMIZER BFGS
MAX_ITER 200
MAX_FORCE 1e-3
RMS_FORCE 7e-4
MAX_DR 3e-2
RMS_DR 1.5e-2
PRESSURE_TOLERANCE 500
&END
&GEO_OPT
OPTIMIZER BFGS
MAX_ITER 200
MAX_FORCE 1e-3
&END
&PRINT
&RESTART
BACKUP_COPIES 1
&EACH
CELL_OPT 1
GEO_OPT 1
&END
&END
&RESTART_HISTORY OFF
&END
&END
&END
`;

function runType({ job, relax }: RefineRun): string {
  if (relax === 'none') return 'ENERGY';
  return job.lattice ? 'CELL_OPT' : 'GEO_OPT';
}

function kPoints({ job, axisMinAngstrom }: RefineRun): Vector3 | undefined {
  return job.lattice && repeatsFor(parametersOf(job.lattice as Matrix3), axisMinAngstrom);
}

function surroundings(run: RefineRun): { dft: string; cell: string; isPeriodic: boolean } {
  const { lattice } = run.job;
  if (!lattice) {
    return {
      dft: '&POISSON\nPERIODIC NONE\nPOISSON_SOLVER MT\n&END',
      cell: `ABC ${BOX_ANGSTROM} ${BOX_ANGSTROM} ${BOX_ANGSTROM}\nPERIODIC NONE`,
      isPeriodic: false,
    };
  }
  const rows = ['A', 'B', 'C'].map((axis, index) => `${axis} ${lattice[index]!.join(' ')}`);
  return {
    dft: `&KPOINTS\nSCHEME MONKHORST-PACK ${kPoints(run)!.join(' ')}\nSYMMETRY F\n&END`,
    cell: `${rows.join('\n')}\nPERIODIC XYZ`,
    isPeriodic: true,
  };
}

/** GFN1-xTB: S. Grimme, C. Bannwarth and P. Shushkov, J. Chem. Theory Comput. 13 (2017) 1989. */
export function cp2kInput(run: RefineRun): string {
  const { dft, cell, isPeriodic } = surroundings(run);
  const atoms = run.job.positions.map(
    (position, index) =>
      `${elementOf(run.job.atomicNumbers[index]!).symbol} ${position.map((x) => x.toFixed(9)).join(' ')}`,
  );
  return `&GLOBAL
PROJECT job
RUN_TYPE ${runType(run)}
PRINT_LEVEL LOW
&END
${run.relax === 'none' ? '' : CELL_OPTIMISATION}&FORCE_EVAL
METHOD QS
${run.relax === 'none' ? '' : 'STRESS_TENSOR ANALYTICAL\n'}&DFT
&QS
METHOD xTB
&XTB
DO_EWALD ${isPeriodic ? 'T' : 'F'}
CHECK_ATOMIC_CHARGES F
&PARAMETER
DISPERSION_PARAMETER_FILE dftd3.dat
&END
&END
&END
&SCF
MAX_SCF 200
EPS_SCF 1e-7
SCF_GUESS MOPAC
&MIXING
METHOD DIRECT_P_MIXING
ALPHA 0.4
&END
&END
${dft}
&END
&SUBSYS
&CELL
${cell}
&END
&COORD
${atoms.join('\n')}
&END
&END
&END
`;
}

const RESTART = 'job-1.restart';

/** Lines of a section of CP2K's restart file. */
function section(text: string, name: string): string[] {
  const body = new RegExp(`&${name}\\n([\\s\\S]*?)&END ${name}`).exec(text)?.[1] ?? '';
  return body.trim().split(/\n\s*/);
}

/** Crystal and step of a restart file; undefined for one that was cut short by a kill. */
export function readRestart(text: string) {
  const step = Number(/STEP_START_VAL\s+(\d+)/.exec(text)?.[1] ?? NaN);
  const rows = section(text, 'CELL')
    .filter((line) => /^[ABC]\s/.test(line))
    .map((line) => line.split(/\s+/).slice(1).map(Number));
  const coordinates = section(text, 'COORD');
  const isScaled = coordinates.some((line) => line.startsWith('SCALED'));
  const places = coordinates
    .map((line) => line.split(/\s+/))
    .filter((words) => words.length >= 4)
    .map((words) => words.slice(1, 4).map(Number));
  const isSound =
    /&END FORCE_EVAL/.test(text) &&
    rows.length === 3 &&
    [step, ...rows.flat(), ...places.flat()].every(Number.isFinite);
  if (!isSound) return undefined;
  const lattice = rows as unknown as Matrix3;
  const toFractional = inverse(transpose(lattice));
  const fractional = (places as unknown as Vector3[]).map((place) =>
    isScaled ? place : apply(toFractional, place),
  );
  return { step, lattice, fractional };
}

function readIfThere(path: string): string | undefined {
  return existsSync(path) ? readFileSync(path, 'utf8') : undefined;
}

/** A restart file that fits this input: its own, or the copy before it. */
function usableRestart(folder: string, input: string) {
  if (readIfThere(join(folder, 'input-hash')) !== hashOf(input)) return undefined;
  for (const name of [RESTART, `${RESTART}.bak-1`]) {
    const found = readRestart(readIfThere(join(folder, name)) ?? '');
    if (found) return { name, step: found.step };
  }
  return undefined;
}

function hashOf(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

/** One thread unless told otherwise: the platform gives a task as many cores as it asked for. */
function environment(): NodeJS.ProcessEnv {
  return { ...process.env, OMP_NUM_THREADS: process.env['OMP_NUM_THREADS'] ?? '1' };
}

function failure(output: string): string | undefined {
  if (/SCF run NOT converged/.test(output)) return 'the SCF cycle did not converge';
  const abort = /\[ABORT\][\s\S]*?\n \*  \\___\/\s+(.*?)\s*\*\n/.exec(output)?.[1];
  if (abort !== undefined) return abort;
  return /PROGRAM ENDED AT/.test(output) ? undefined : 'CP2K ended early';
}

function runCp2k(run: RefineRun): RefineResult {
  const input = cp2kInput(run);
  const folder = run.checkpointFolder;
  mkdirSync(folder, { recursive: true });
  const restart = run.relax === 'none' ? undefined : usableRestart(folder, input);
  if (!restart)
    for (const name of [RESTART, `${RESTART}.bak-1`]) rmSync(join(folder, name), { force: true });
  rmSync(join(folder, 'job.out'), { force: true });
  writeFileSync(join(folder, 'input-hash'), hashOf(input));
  const external = restart ? `&EXT_RESTART\nRESTART_FILE_NAME ${restart.name}\n&END\n` : '';
  writeFileSync(join(folder, 'job.inp'), `${external}${input}`);
  spawnSync(program()!, ['-i', 'job.inp', '-o', 'job.out'], {
    cwd: folder,
    env: environment(),
    stdio: 'ignore',
  });
  const output = readIfThere(join(folder, 'job.out')) ?? '';
  const problem = failure(output);
  if (problem !== undefined) throw new InputError(`CP2K: ${problem}`);
  if (run.relax !== 'none' && !/OPTIMIZATION COMPLETED/.test(output)) {
    throw new InputError('CP2K: the relaxation did not converge in 200 steps');
  }
  return resultOf(run, output, restart?.step);
}

function resultOf(run: RefineRun, output: string, resumed: number | undefined): RefineResult {
  const energies = [...output.matchAll(/ENERGY\|.*?(-?\d+\.\d+)\s*$/gm)].map((match) => match[1]);
  const last = readRestart(readIfThere(join(run.checkpointFolder, RESTART)) ?? '');
  const cell = run.relax === 'none' || !run.job.lattice ? undefined : last;
  return {
    energyKjPerMol: Number(energies.at(-1)) * HARTREE_KJ_PER_MOL,
    steps: energies.length + (resumed ?? 0),
    cell: cell && { ...cell, atomicNumbers: run.job.atomicNumbers },
    sampling: run.job.lattice ? `${kPoints(run)!.join(' x ')} k-points` : 'free molecule',
    resumedFromStep: resumed,
  };
}

export const cp2k: Method = {
  name: 'cp2k',
  version: () => {
    const found = program();
    return found && `CP2K ${versionOf(found, ['--version'])}`;
  },
  canRelax: true,
  run: runCp2k,
};
