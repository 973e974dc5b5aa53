import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { densityOf, latticeOf, volumeOf, type CellParameters } from './cell.ts';
import { writeCif } from './cif-write.ts';
import { symmetryOf } from './cluster.ts';
import { rigidCrystalOf } from './crystal.ts';
import { elementOf } from './elements.ts';
import type { PackingsFile } from './files.ts';
import { spaceGroupOperations, spaceGroupType, type AtomicCell } from './moyo.ts';
import { search, SPACE_GROUPS } from './search.ts';
import { testMolecule } from './test-molecules.ts';
import { add, apply, norm, subtract, transpose, type Vector3 } from './vector.ts';

const folder = mkdtempSync(path.join(tmpdir(), 'majorana-gemmi-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const cache = process.env['XDG_CACHE_HOME'] ?? path.join(homedir(), '.cache');
const python = path.join(cache, 'majorana/gemmi-0.7.5/bin/python');
const reader = path.join(import.meta.dirname, '../../../tools/gemmi/read.py');

/** What tools/gemmi/read.py says of a file. */
interface Reading {
  numberByOperations: number | null;
  numberByName: number | null;
  numberGiven: number;
  complaints: string;
  volume: number;
  density: number;
  /** None where the cell has one atom. */
  shortest: number | null;
  /** Atomic number and fractional coordinates of every atom of the cell. */
  atoms: [number, number, number, number][];
}

function readWithGemmi(files: readonly string[]): Reading[] {
  const { status, stdout, stderr } = spawnSync(python, [reader, ...files], { encoding: 'utf8' });
  expect(`${status} ${stderr}`).toBe('0 ');
  return JSON.parse(stdout) as Reading[];
}

/** How far an atom of ours is from the nearest of the same element that gemmi makes. */
function distanceToNearest(cell: AtomicCell, index: number, atoms: Reading['atoms']): number {
  const columns = transpose(cell.lattice);
  const same = atoms.filter(([atomicNumber]) => atomicNumber === cell.atomicNumbers[index]);
  const distances = same.map(([, ...at]) => {
    const [x, y, z] = subtract(at, cell.fractional[index]!);
    const near: Vector3 = [x - Math.round(x), y - Math.round(y), z - Math.round(z)];
    return norm(apply(columns, near));
  });
  return Math.min(...distances);
}

/** A bond of hydrogen has 0.95 Å or more. */
const SHORTEST_ANGSTROM = 0.9;
/** CIF files have six digits of a fraction. */
const PLACE_ANGSTROM = 1e-3;

const massOf = (cell: AtomicCell): number =>
  cell.atomicNumbers.reduce((sum, one) => sum + elementOf(one).massDalton, 0);

/** A crystal of the search, free of overlaps, as the report writes it. */
function crystalIn(spaceGroup: number): { cell: AtomicCell; file: string } {
  // Without symmetry of its own: every operation of the group makes a molecule.
  const molecule = testMolecule('CC(N)O');
  const options = { seed: 1, spaceGroups: [spaceGroup], perGroup: 1, attemptsMax: 200, first: 0 };
  const { standard, ...report } = symmetryOf(
    rigidCrystalOf(search(molecule, options).crystals[0]!),
    molecule,
    0.01,
  );
  expect(report.spaceGroup).toBe(spaceGroup);
  const file = path.join(folder, `${spaceGroup}.cif`);
  const name = `group ${spaceGroup}`;
  writeFileSync(file, writeCif(standard, { name, spaceGroup, comment: 'from the search' }));
  return { cell: standard, file };
}

/** All groups that are searched; R-3 is for molecules with a threefold axis. */
const GROUPS = [...SPACE_GROUPS, 148];

describe('a crystal in each space group of the search', () => {
  const ours = new Map<number, AtomicCell>();
  const theirs = new Map<number, Reading>();
  beforeAll(() => {
    const files = GROUPS.map((group) => {
      const { cell, file } = crystalIn(group);
      ours.set(group, cell);
      return file;
    });
    for (const [at, reading] of readWithGemmi(files).entries()) theirs.set(GROUPS[at]!, reading);
  });

  test.each(GROUPS)('gemmi finds group %d by operations, name and number', (group) => {
    const { numberByOperations, numberByName, numberGiven, complaints } = theirs.get(group)!;
    expect({ numberByOperations, numberByName, numberGiven, complaints }).toEqual({
      numberByOperations: group,
      numberByName: group,
      numberGiven: group,
      complaints: '',
    });
  });

  test.each(GROUPS)('gemmi makes the atoms of our cell of group %d, each once', (group) => {
    const cell = ours.get(group)!;
    const { atoms, volume, density, shortest } = theirs.get(group)!;
    const perMolecule = testMolecule('CC(N)O').atoms.length;
    expect(atoms).toHaveLength(perMolecule * spaceGroupOperations(group).length);
    expect(cell.fractional).toHaveLength(atoms.length);
    expect(volume).toBeCloseTo(volumeOf(cell.lattice), 1);
    expect(density).toBeCloseTo(densityOf(massOf(cell), volumeOf(cell.lattice)), 3);
    expect(shortest).toBeGreaterThan(SHORTEST_ANGSTROM);
    for (const index of cell.fractional.keys())
      expect(distanceToNearest(cell, index, atoms)).toBeLessThan(PLACE_ANGSTROM);
  });
});

const SHAPES: Readonly<Record<string, CellParameters>> = {
  Triclinic: [17, 19, 23, 80, 95, 100],
  Monoclinic: [17, 19, 23, 90, 105, 90],
  Orthorhombic: [17, 19, 23, 90, 90, 90],
  Tetragonal: [17, 17, 23, 90, 90, 90],
  Trigonal: [17, 17, 23, 90, 90, 120],
  Hexagonal: [17, 17, 23, 90, 90, 120],
  Cubic: [17, 17, 17, 90, 90, 90],
};

test('gemmi knows each of the 230 space groups by the name and the operations that we write', () => {
  const groups = Array.from({ length: 230 }, (_, at) => at + 1);
  const at: Vector3 = [0.123, 0.217, 0.331];
  const files = groups.map((spaceGroup) => {
    const fractional = spaceGroupOperations(spaceGroup).map(({ rotation, translation }) =>
      add(apply(rotation, at), translation),
    );
    const lattice = latticeOf(SHAPES[spaceGroupType(spaceGroup).crystal_system]!);
    const cell = { lattice, fractional, atomicNumbers: fractional.map(() => 6) };
    const file = path.join(folder, `atom-${spaceGroup}.cif`);
    writeFileSync(file, writeCif(cell, { name: 'atom', spaceGroup, comment: 'one atom' }));
    return file;
  });
  for (const [index, reading] of readWithGemmi(files).entries()) {
    const group = groups[index]!;
    expect([reading.numberByOperations, reading.numberByName]).toEqual([group, group]);
    expect(reading.atoms).toHaveLength(spaceGroupOperations(group).length);
    expect(reading.complaints).toBe('');
  }
});

/** The program itself, so that molecules on special positions are among them, as in real reports. */
test('gemmi reads every CIF of a report as the crystal that the table says', () => {
  const program = path.join(import.meta.dirname, '../bin/crystal-search');
  const options = '--groups 2,14,19,29 --per-group 10 --starts 1 --top 10'.split(' ');
  const words = ['run', 'c1ccccc1', ...options, '-o', folder];
  const run = spawnSync(program, words, { encoding: 'utf8' });
  expect(`${run.status} ${run.stderr}`).toMatch(/^0 /);
  const text = readFileSync(path.join(folder, 'packings.json'), 'utf8');
  const packings = (JSON.parse(text) as PackingsFile).packings.slice(0, 10);
  const files = packings.map(({ rank }) =>
    path.join(folder, 'report', `rank-${String(rank).padStart(3, '0')}.cif`),
  );
  const readings = readWithGemmi(files);
  expect(new Set(packings.map(({ symmetryNumber }) => symmetryNumber)).size).toBeGreaterThan(2);
  for (const [at, packing] of packings.entries()) {
    const reading = readings[at]!;
    expect(reading.numberByOperations).toBe(packing.symmetryNumber);
    expect(reading.complaints).toBe('');
    expect(reading.atoms).toHaveLength(12 * packing.moleculesInStandardCell);
    expect(reading.volume).toBeCloseTo(volumeOf(latticeOf(packing.standardCell)), 1);
    expect(reading.density).toBeCloseTo(packing.densityGramPerCm3, 3);
    expect(reading.shortest).toBeGreaterThan(SHORTEST_ANGSTROM);
  }
});

test('gemmi would tell a file that lacks an operation', () => {
  const { file, cell } = crystalIn(14);
  const lines = readFileSync(file, 'utf8').split('\n');
  const broken = path.join(folder, 'broken.cif');
  writeFileSync(broken, lines.filter((line) => !line.startsWith('4 ')).join('\n'));
  const [reading] = readWithGemmi([broken]);
  expect(reading!.numberByOperations).not.toBe(14);
  expect(reading!.atoms.length).not.toBe(cell.fractional.length);
});
