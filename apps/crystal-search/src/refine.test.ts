import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { cluster, CLUSTER_DEFAULTS } from './cluster.ts';
import type { PackingsFile, RefinedFile } from './files.ts';
import { FREE_MOLECULE, refineMerge, refineOne, refinePlan } from './refine.ts';
import { cp2k, cp2kInput, readRestart } from './refine-cp2k.ts';
import { poscar, supercell, tblite } from './refine-gamma.ts';
import { repeatsFor } from './refine-methods.ts';
import { createRelaxer, RELAX_DEFAULTS, relaxRecord } from './relax.ts';
import { search } from './search.ts';
import { testMolecule } from './test-molecules.ts';

const folder = mkdtempSync(join(tmpdir(), 'crystal-refine-'));
afterAll(() => rmSync(folder, { recursive: true }));

function landscape(): PackingsFile {
  const molecule = testMolecule('c1ccccc1');
  const relaxer = createRelaxer(molecule, RELAX_DEFAULTS);
  const { crystals } = search(molecule, {
    seed: 1,
    spaceGroups: [14, 19],
    perGroup: 4,
    attemptsMax: 100,
    first: 0,
  });
  const relaxed = crystals.map((record) => relaxRecord(molecule, relaxer, record));
  return {
    format: 'crystal-search/packings/1',
    molecule: 'benzene',
    options: RELAX_DEFAULTS,
    relaxedCount: relaxed.length,
    convergedCount: relaxed.length,
    packings: cluster([molecule], relaxed, CLUSTER_DEFAULTS),
  };
}

const file = landscape();

function result(line: string, energyKjPerMol: number, method = 'A'): RefinedFile {
  const format = 'crystal-search/refined/1';
  return { format, molecule: 'benzene', line, method, energyKjPerMol, sampling: 'k' };
}

test('a plan names the free molecule and the lowest packings within a window', () => {
  expect(refinePlan(file, 2, 15)).toEqual([FREE_MOLECULE, '1', '2']);
  expect(refinePlan(file, 9, 0)).toEqual([FREE_MOLECULE, '1']);
});

test('a merge ranks again, says what failed, and never compares two programs', () => {
  const plan = [FREE_MOLECULE, '1', '2', '3'];
  const merged = refineMerge(file, plan, [
    result(FREE_MOLECULE, -100),
    result('1', -140),
    result('2', -145),
    result('3', -300, 'B'),
  ]);
  const refined = merged.packings.slice(0, 3).map((packing) => packing.refined);
  expect(refined).toEqual([
    { rank: 2, aboveMinimumKjPerMol: 5, energyKjPerMol: -40 },
    { rank: 1, aboveMinimumKjPerMol: 0, energyKjPerMol: -45 },
    undefined,
  ]);
  expect(merged.refinement).toContain('Failed: rank 3: done with B instead');
  expect(merged.refinement).toContain('binds molecular crystals too tightly');
});

test('a crystal above its free molecules is not ranked, and a task without result is named', () => {
  const merged = refineMerge(
    file,
    [FREE_MOLECULE, '1', '2'],
    [result(FREE_MOLECULE, -100), result('1', 227)],
  );
  expect(merged.packings.some((packing) => packing.refined)).toBe(false);
  expect(merged.refinement).toContain('rank 1: A has it 327 kJ/mol above free molecules: not used');
  expect(merged.refinement).toContain('rank 2: its task left no result');
});

test('where no better method is, the flow goes on and says so', () => {
  const options = { relax: 'none', axisMinAngstrom: 13, checkpointFolder: folder } as const;
  const molecules = [testMolecule('c1ccccc1')];
  const { refined } = refineOne(molecules, file, '1', { ...options, method: 'none' });
  const merged = refineMerge(file, [FREE_MOLECULE, '1'], [refined]);
  expect(merged.refinement).toBe('not refined: no better method was asked for');
  expect(merged.packings).toEqual(file.packings);
});

const job = {
  atomicNumbers: [6, 1],
  positions: [
    [0, 0, 0],
    [1, 0, 0],
  ] as [number, number, number][],
  lattice: [
    [4, 0, 0],
    [0, 7, 0],
    [0, 0, 14],
  ] as [number, number, number][],
};

test('short axes are repeated, or sampled, up to the length asked for', () => {
  expect(repeatsFor([4, 7, 14, 90, 90, 90], 13)).toEqual([4, 2, 1]);
  const large = supercell(job, [4, 2, 1]);
  expect(large.positions).toHaveLength(16);
  expect(large.lattice).toEqual([
    [16, 0, 0],
    [0, 14, 0],
    [0, 0, 14],
  ]);
  expect(poscar(large).split('\n').slice(5, 7)).toEqual(['H C', '8 8']);
  const input = cp2kInput({ job, relax: 'cell', axisMinAngstrom: 13, checkpointFolder: folder });
  expect(input).toContain('MONKHORST-PACK 4 2 1');
  expect(input).toContain('RUN_TYPE CELL_OPT');
});

test('a restart file that a kill has cut short is not gone on from', () => {
  const whole = `&MOTION
   &CELL_OPT
     STEP_START_VAL  7
   &END CELL_OPT
 &END MOTION
 &FORCE_EVAL
     &CELL
       A     4.0E+00    0.0    0.0
       B     0.0    7.0    0.0
       C     0.0    0.0    1.4E+01
     &END CELL
     &COORD
C    2.0  0.0  0.0
     &END COORD
 &END FORCE_EVAL
`;
  expect(readRestart(whole)?.step).toBe(7);
  expect(readRestart(whole)?.fractional[0]![0]).toBeCloseTo(0.5, 12);
  expect(readRestart(whole.slice(0, 250))).toBeUndefined();
});

const options = { relax: 'none', axisMinAngstrom: 8, checkpointFolder: folder } as const;

for (const { name, version } of [cp2k, tblite]) {
  test.runIf(version() !== undefined)(`${name} binds benzene by 35 to 50 kJ/mol`, () => {
    const molecules = [testMolecule('c1ccccc1')];
    const [free, crystal] = [FREE_MOLECULE, '1'].map(
      (line) => refineOne(molecules, file, line, { ...options, method: name }).refined,
    );
    const lattice = crystal!.energyKjPerMol! - free!.energyKjPerMol!;
    expect(lattice).toBeGreaterThan(-50);
    expect(lattice).toBeLessThan(-35);
  });
}
