import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parametersOf } from './cell.ts';
import { elementOf } from './elements.ts';
import { InputError } from './errors.ts';
import {
  HARTREE_KJ_PER_MOL,
  repeatsFor,
  versionOf,
  type Method,
  type RefineJob,
  type RefineResult,
  type RefineRun,
} from './refine-methods.ts';
import type { Matrix3, Vector3 } from './vector.ts';

// Programs that sample the centre of the Brillouin zone only. The cell is repeated instead.

function along(lattice: readonly Vector3[], [i, j, k]: Vector3): Vector3 {
  const axis = (n: 0 | 1 | 2) => i * lattice[0]![n] + j * lattice[1]![n] + k * lattice[2]![n];
  return [axis(0), axis(1), axis(2)];
}

export function supercell(job: RefineJob, repeats: Vector3): RefineJob {
  const { lattice } = job;
  if (!lattice) return job;
  const [na, nb, nc] = repeats;
  const shifts = Array.from({ length: na * nb * nc }, (_, n): Vector3 =>
    along(lattice, [Math.floor(n / (nb * nc)), Math.floor(n / nc) % nb, n % nc]),
  );
  return {
    atomicNumbers: shifts.flatMap(() => job.atomicNumbers),
    positions: shifts.flatMap(([x, y, z]) =>
      job.positions.map((p): Vector3 => [p[0] + x, p[1] + y, p[2] + z]),
    ),
    lattice: lattice.map((row, axis): Vector3 => {
      const n = repeats[axis]!;
      return [row[0] * n, row[1] * n, row[2] * n];
    }),
  };
}

/** Runs a single point of the repeated cell; the energy is that of the cell of the job. */
function inSupercell(run: RefineRun, energyOf: (job: RefineJob, folder: string) => number) {
  const { job, axisMinAngstrom, checkpointFolder } = run;
  const repeats: Vector3 = job.lattice
    ? repeatsFor(parametersOf(job.lattice as Matrix3), axisMinAngstrom)
    : [1, 1, 1];
  const copies = repeats[0] * repeats[1] * repeats[2];
  mkdirSync(checkpointFolder, { recursive: true });
  const result: RefineResult = {
    energyKjPerMol: energyOf(supercell(job, repeats), checkpointFolder) / copies,
    steps: 1,
    cell: undefined,
    sampling: job.lattice ? `gamma point of ${repeats.join(' x ')} cells` : 'free molecule',
    resumedFromStep: undefined,
  };
  return result;
}

/** A POSCAR file, atoms ordered by element as that format wants them. */
export function poscar(job: RefineJob): string {
  const order = job.positions.map((_, index) => index);
  order.sort((a, b) => job.atomicNumbers[a]! - job.atomicNumbers[b]! || a - b);
  const elements = [...new Set(order.map((index) => job.atomicNumbers[index]!))];
  const count = (number: number) => job.atomicNumbers.filter((other) => other === number).length;
  const row = (vector: Vector3) => vector.map((value) => value.toFixed(9)).join(' ');
  return `${[
    'cell',
    '1.0',
    ...job.lattice!.map(row),
    elements.map((number) => elementOf(number).symbol).join(' '),
    elements.map(count).join(' '),
    'Cartesian',
    ...order.map((index) => row(job.positions[index]!)),
  ].join('\n')}\n`;
}

function xyz(job: RefineJob): string {
  const rows = job.positions.map(
    (position, index) => `${elementOf(job.atomicNumbers[index]!).symbol} ${position.join(' ')}`,
  );
  return `${rows.length}\n\n${rows.join('\n')}\n`;
}

function xtbProgram(): string {
  return process.env['CRYSTAL_SEARCH_XTB'] ?? 'xtb';
}

function xtbEnergy(job: RefineJob, folder: string): number {
  // A density left by another structure would be taken as the first guess.
  for (const name of ['xtbrestart', 'charges', 'energy'])
    rmSync(join(folder, name), { force: true });
  const file = job.lattice ? 'job.poscar' : 'job.xyz';
  writeFileSync(join(folder, file), job.lattice ? poscar(job) : xyz(job));
  const { stdout } = spawnSync(xtbProgram(), [file, '--gfn', '1', '--sp'], {
    cwd: folder,
    encoding: 'utf8',
    maxBuffer: 1e8,
    env: { ...process.env, OMP_NUM_THREADS: process.env['OMP_NUM_THREADS'] ?? '1' },
  });
  const found = /TOTAL ENERGY\s+(-?\d+\.\d+)/i.exec(stdout)?.[1];
  if (found === undefined || !existsSync(join(folder, file))) {
    throw new InputError('xtb: it gave no energy');
  }
  return Number(found) * HARTREE_KJ_PER_MOL;
}

export const xtb: Method = {
  name: 'xtb',
  version: () => {
    const version = versionOf(xtbProgram(), ['--version']);
    return version && `xtb ${version}`;
  },
  canRelax: false,
  run: (run) => inSupercell(run, xtbEnergy),
};

/** One system as JSON in, one energy in kJ/mol out. */
const TBLITE_SCRIPT = `
import json, sys
import numpy as np
from tblite.interface import Calculator
bohr, kj = 0.529177210903, 2625.4996394798
job = json.load(sys.stdin)
options = {}
if job.get("lattice"):
    options = dict(lattice=np.array(job["lattice"]) / bohr, periodic=np.array([True] * 3))
calculator = Calculator("GFN1-xTB", np.array(job["atomicNumbers"]),
                        np.array(job["positions"]) / bohr, **options)
calculator.set("verbosity", 0)
print(calculator.singlepoint().get("energy") * kj)
`;

function python(): string {
  return process.env['CRYSTAL_SEARCH_PYTHON'] ?? 'python3';
}

function tbliteEnergy(job: RefineJob): number {
  const { status, stdout, stderr } = spawnSync(python(), ['-c', TBLITE_SCRIPT], {
    input: JSON.stringify(job),
    encoding: 'utf8',
    env: { ...process.env, OMP_NUM_THREADS: process.env['OMP_NUM_THREADS'] ?? '1' },
  });
  const energy = Number(stdout);
  if (status !== 0 || !Number.isFinite(energy)) {
    throw new InputError(`tblite: ${stderr.trim().split('\n').at(-1) ?? 'no answer'}`);
  }
  return energy;
}

const TBLITE_VERSION =
  'import tblite.interface, importlib.metadata as m; print(m.version("tblite"))';

export const tblite: Method = {
  name: 'tblite',
  version: () => {
    const version = versionOf(python(), ['-c', TBLITE_VERSION]);
    return version && `tblite ${version}`;
  },
  canRelax: false,
  run: (run) => inSupercell(run, tbliteEnergy),
};
