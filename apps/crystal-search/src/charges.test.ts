import { readFileSync } from 'node:fs';
import { Molecule as OclMolecule, Resources } from 'openchemlib';
import { expect, test } from 'vitest';
import { eeqCharges } from './eeq.ts';
import { mmff94Charges } from './mmff94-charges.ts';
import { hexagon, testMolecule } from './test-molecules.ts';
import type { Vector3 } from './vector.ts';

function chemicalJson(name: string) {
  const url = new URL(`../../../examples/conformers/molecules/${name}.cjson`, import.meta.url);
  const { atoms } = JSON.parse(readFileSync(url, 'utf8')) as {
    atoms: { elements: { number: number[] }; coords: { '3d': number[] } };
  };
  const flat = atoms.coords['3d'];
  const positions = atoms.elements.number.map((_, i): Vector3 => [
    flat[3 * i]!,
    flat[3 * i + 1]!,
    flat[3 * i + 2]!,
  ]);
  return { numbers: atoms.elements.number, positions };
}

// The charges that dftd4 4.x, the authors' own program, prints for the same geometries.
test.each([
  ['urea', [-0.6296, 0.4481, -0.6296, -0.3485, 0.2825, 0.2973, 0.2973, 0.2825]],
  ['oxalic_acid', [-0.2926, 0.3484, -0.3665, 0.3107, 0.3484, -0.2926, -0.3665, 0.3107]],
  ['ammonia', [-0.823, 0.2743, 0.2743, 0.2743]],
] as const)('EEQ charges of %s are those of the reference program', (name, expected) => {
  const { numbers, positions } = chemicalJson(name);
  const charges = eeqCharges(numbers, positions);
  charges.forEach((charge, index) => expect(charge).toBeCloseTo(expected[index]!, 3));
});

test('EEQ charges of benzene are near the published ones, and add up to nothing', () => {
  const { atomicNumbers, positions } = hexagon();
  const charges = eeqCharges(atomicNumbers, positions);
  expect(Math.abs(charges[6]! - 0.135)).toBeLessThan(0.05);
  expect(Math.abs(charges[0]! + 0.135)).toBeLessThan(0.05);
  expect(charges.reduce((sum, charge) => sum + charge, 0)).toBeCloseTo(0, 10);
});

// Halgren 1996 (II), MMFF94 bond charge increments: aromatic C-H 0.15, water 0.43, ammonia 0.36,
// carbonyl O -0.57, acid O-H -0.65 and 0.5, amide H 0.37.
test.each([
  ['c1ccccc1', { C: [-0.15], H: [0.15] }],
  ['O', { O: [-0.86], H: [0.43] }],
  ['N', { N: [-1.08], H: [0.36] }],
  ['OC(=O)C(O)=O', { O: [-0.57, -0.65], H: [0.5] }],
  ['NC(N)=O', { O: [-0.57], N: [-0.8], H: [0.37] }],
] as const)('MMFF94 charges of %s are the published ones', (smiles, expected) => {
  const molecule = testMolecule(smiles);
  for (const [element, values] of Object.entries(expected)) {
    const found = new Set(
      molecule.atoms
        .filter((atom) => atom.element === element)
        .map((atom) => Number(atom.charge.toFixed(2))),
    );
    expect([...found].toSorted((a, b) => a - b)).toEqual([...values].toSorted((a, b) => a - b));
  }
});

test('MMFF94 charges of linear, zwitterionic and larger molecules add up to nothing', () => {
  Resources.registerFromNodejs();
  const smiles = ['CC#C', 'N#CC#N', 'O=[N+]([O-])c1ccccc1', 'CC(=O)Oc1ccccc1C(=O)O', 'Clc1ccsc1F'];
  for (const text of smiles) {
    const molecule = OclMolecule.fromSmiles(text);
    molecule.addImplicitHydrogens();
    const sum = mmff94Charges(molecule).reduce((total, charge) => total + charge, 0);
    expect(Math.abs(sum), text).toBeLessThan(2e-3);
  }
});

test('carbon dioxide, which OpenChemLib gives a charge, gets neutral charges of the other model', () => {
  const molecule = testMolecule('O=C=O');
  expect(molecule.chargeModel).toMatch(/^EEQ/);
  expect(molecule.atoms.reduce((sum, atom) => sum + atom.charge, 0)).toBeCloseTo(0, 10);
});
