import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { MOLECULE_DEFAULTS, readConformers, readMolecule } from './molecule-input.ts';
import type { Molecule } from './molecule.ts';
import { testMolecule } from './test-molecules.ts';
import { distance } from './vector.ts';

const folder = mkdtempSync(join(tmpdir(), 'crystal-search-'));
afterAll(() => rmSync(folder, { recursive: true }));

function lengths(molecule: Molecule, pair: string): number[] {
  return molecule.bonds
    .filter(
      ([a, b]) =>
        [molecule.atoms[a]!.element, molecule.atoms[b]!.element].toSorted().join('') === pair,
    )
    .map(([a, b]) =>
      distance(molecule.atoms[a]!.positionAngstrom, molecule.atoms[b]!.positionAngstrom),
    );
}

// Gas phase, CRC Handbook of Chemistry and Physics, "Structure of free molecules".
test.each([
  ['O=C=O', 'CO', 1.163],
  ['N#CC#N', 'CC', 1.389],
  ['C#C', 'CC', 1.203],
  ['CC#N', 'CN', 1.157],
  ['C=C=C', 'CC', 1.308],
  ['c1ccccc1', 'CC', 1.397],
  ['NC(N)=O', 'CO', 1.221],
  ['Clc1ccccc1', 'CCl', 1.737],
])('bond lengths of %s are as measured: %s %d', (smiles, pair, expected) => {
  for (const length of lengths(testMolecule(smiles), pair)) {
    expect(Math.abs(length - expected), `${length}`).toBeLessThan(0.025);
  }
});

test('urea and formamide are planar, as they are in their crystals', () => {
  expect(testMolecule('NC(N)=O').pointGroup).toBe('C2v');
  expect(testMolecule('NC=O').pointGroup).toBe('Cs');
});

function xyzOf(molecule: Molecule): string {
  const lines = molecule.atoms.map(
    ({ element, positionAngstrom: p }) =>
      `${element} ${p[0].toFixed(8)} ${p[1].toFixed(8)} ${p[2].toFixed(8)}`,
  );
  return `${lines.length}\ntest\n${lines.join('\n')}\n`;
}

test('an XYZ file of a molecule gives the molecule of its SMILES: bonds and charges are found', () => {
  for (const smiles of ['O=[N+]([O-])c1ccccc1', 'Nc1ccn[nH]1', 'CS(C)(=O)=O', 'O=C=O']) {
    const molecule = testMolecule(smiles);
    const path = join(folder, 'molecule.xyz');
    writeFileSync(path, xyzOf(molecule));
    const read = readMolecule(path, MOLECULE_DEFAULTS);
    expect(read.pointGroup).toBe(molecule.pointGroup);
    read.atoms.forEach((atom, index) =>
      expect(atom.charge).toBeCloseTo(molecule.atoms[index]!.charge, 2),
    );
  }
});

test('a MOL file without hydrogen and depth is completed to a three-dimensional molecule', () => {
  const path = join(folder, 'water.mol');
  writeFileSync(
    path,
    [
      'methanol',
      '',
      '',
      '  2  1  0  0  0  0  0  0  0  0999 V2000',
      '    0.0000    0.0000    0.0000 C   0  0',
      '    1.4000    0.0000    0.0000 O   0  0',
      '  1  2  1  0',
      'M  END',
      '',
    ].join('\n'),
  );
  const molecule = readMolecule(path, MOLECULE_DEFAULTS);
  expect(
    molecule.atoms
      .map((atom) => atom.element)
      .toSorted()
      .join(''),
  ).toBe('CHHHHO');
  expect(molecule.pointGroup).toBe('Cs');
});

test('two molecules in one input are refused by name', () => {
  expect(() => readMolecule('O.O', MOLECULE_DEFAULTS)).toThrow(/only one|no starting|conformer/);
});

test.each([
  ['a carbon with one hydrogen', ['C 0 0 0', 'H 1.09 0 0'], /cannot|no set of/],
  [
    'an ion',
    ['N 0 0 0', 'H 0.6 0.6 0.6', 'H -0.6 -0.6 0.6', 'H -0.6 0.6 -0.6', 'H 0.6 -0.6 -0.6'],
    /charge of 1; only neutral/,
  ],
  ['two atoms in one place', ['O 0 0 0', 'H 0.1 0 0', 'H 0 0.96 0'], /0\.10 Å apart/],
])('an XYZ file of %s is refused by its name', (_what, atoms, reason) => {
  const path = join(folder, 'refused.xyz');
  writeFileSync(path, `${atoms.length}\n\n${atoms.join('\n')}\n`);
  expect(() => readMolecule(path, MOLECULE_DEFAULTS)).toThrow(reason);
  expect(() => readMolecule(path, MOLECULE_DEFAULTS)).toThrow(/^refused: /);
});

test('conformers of a flexible molecule are unlike each other, lowest first; a rigid one has one', () => {
  const options = { ...MOLECULE_DEFAULTS, starts: 6 };
  const limits = { countMax: 4, windowKjPerMol: 25 };
  const urethane = readConformers('CCOC(N)=O', options, limits);
  expect(urethane.map((molecule) => molecule.pointGroup)).toEqual(['Cs', 'C1']);
  expect(urethane[0]!.conformerKjPerMol).toBe(0);
  expect(urethane[1]!.conformerKjPerMol).toBeCloseTo(1.9, 0);
  expect(readConformers('c1ccccc1', options, limits)).toHaveLength(1);
});

test.each([
  ['', /no atoms/],
  ['C1CC', /C1CC is no SMILES string: dangling ring closure/],
  ['[Na+].[Cl-]', /2 molecules or ions; only one/],
  ['C[CH2]', /C \(atom 2\) has an unpaired electron/],
])('%j is refused with what is wrong with it', (smiles, message) => {
  expect(() => readMolecule(smiles, MOLECULE_DEFAULTS)).toThrow(message);
});
