import { spawnSync } from 'node:child_process';
import { parametersOf } from './cell.ts';
import { atomicCellOf, rigidCrystalOf } from './crystal.ts';
import { elementOf } from './elements.ts';
import { InputError } from './errors.ts';
import type { PackingsFile } from './files.ts';
import type { Molecule } from './molecule.ts';
import type { AtomicCell } from './moyo.ts';
import { rounded } from './relax.ts';
import { apply, transpose, type Vector3 } from './vector.ts';

/**
 * Energies from tblite's Python package, run as a program: one line of JSON for each system in,
 * one number (kJ/mol, or "failed") for each out. GFN1-xTB: S. Grimme, C. Bannwarth and
 * P. Shushkov, J. Chem. Theory Comput. 13 (2017) 1989.
 */
const SCRIPT = `
import json, sys
import numpy as np
from tblite.interface import Calculator
bohr, kj = 0.529177210903, 2625.4996394798
for line in sys.stdin:
    job = json.loads(line)
    try:
        options = {}
        if job["lattice"]:
            options = dict(lattice=np.array(job["lattice"]) / bohr, periodic=np.array([True] * 3))
        calculator = Calculator("GFN1-xTB", np.array(job["numbers"]),
                                np.array(job["positions"]) / bohr, **options)
        calculator.set("verbosity", 0)
        print(calculator.singlepoint().get("energy") * kj, flush=True)
    except Exception as error:
        print("failed", flush=True)
        print(error, file=sys.stderr)
`;

/** tblite samples the Brillouin zone at its centre only: short axes are repeated up to this. */
const AXIS_MIN_ANGSTROM = 8;

interface Job {
  numbers: number[];
  positions: Vector3[];
  lattice: Vector3[] | null;
}

/** A cell repeated until no axis is shorter than the limit. */
function supercell(cell: AtomicCell, axisMinAngstrom: number) {
  const repeats = parametersOf(cell.lattice)
    .slice(0, 3)
    .map((length) => Math.ceil(axisMinAngstrom / length - 1e-9));
  const columns = transpose(cell.lattice);
  const numbers: number[] = [];
  const positions: Vector3[] = [];
  for (let i = 0; i < repeats[0]!; i++) {
    for (let n = 0; n < repeats[1]! * repeats[2]!; n++) {
      const [j, k] = [n % repeats[1]!, Math.floor(n / repeats[1]!)];
      for (const [x, y, z] of cell.fractional)
        positions.push(apply(columns, [x + i, y + j, z + k]));
      numbers.push(...cell.atomicNumbers);
    }
  }
  const lattice = cell.lattice.map(([x, y, z], axis): Vector3 => [
    x * repeats[axis]!,
    y * repeats[axis]!,
    z * repeats[axis]!,
  ]);
  return { numbers, positions, lattice };
}

function python(): string {
  return process.env['CRYSTAL_SEARCH_PYTHON'] ?? 'python3';
}

function isInstalled(): boolean {
  return spawnSync(python(), ['-c', 'import tblite.interface']).status === 0;
}

function energies(jobs: readonly Job[]): number[] {
  const input = jobs.map((job) => JSON.stringify(job)).join('\n');
  const { status, stdout, stderr } = spawnSync(python(), ['-c', SCRIPT], {
    input,
    encoding: 'utf8',
    maxBuffer: 1e8,
  });
  const lines = stdout.split('\n').filter((line) => line !== '');
  if (status !== 0 || lines.length !== jobs.length) {
    throw new InputError(`tblite: ${stderr.trim().split('\n').at(-1) ?? 'no answer'}`);
  }
  return lines.map(Number);
}

/** Lattice energies of the lowest packings by periodic GFN1-xTB; without tblite nothing changes. */
export function refine(molecule: Molecule, file: PackingsFile, top: number): PackingsFile {
  if (!isInstalled()) {
    return { ...file, refinement: `not refined: ${python()} has no tblite (pip install tblite)` };
  }
  const isolated: Job = {
    numbers: molecule.atoms.map((atom) => elementOf(atom.element).atomicNumber),
    positions: molecule.atoms.map((atom) => atom.positionAngstrom),
    lattice: null,
  };
  const chosen = file.packings.slice(0, top);
  const jobs = chosen.map((packing) => {
    const cell = atomicCellOf(rigidCrystalOf(packing), molecule);
    return supercell(cell, AXIS_MIN_ANGSTROM);
  });
  const [alone, ...crystals] = energies([isolated, ...jobs]);
  const packings = file.packings.map((packing, index) => {
    const energy = crystals[index];
    if (energy === undefined || !Number.isFinite(energy)) return packing;
    const count = jobs[index]!.numbers.length / molecule.atoms.length;
    return { ...packing, refinedKjPerMol: rounded(energy / count - alone!, 3) };
  });
  const done = packings.filter((packing) => packing.refinedKjPerMol !== undefined).length;
  return {
    ...file,
    packings,
    refinement:
      `GFN1-xTB (tblite) single points of ${done} of the ${chosen.length} lowest, ` +
      `axes of at least ${AXIS_MIN_ANGSTROM} Å, rigid geometries of the search`,
  };
}
