import { expect, test } from 'vitest';
import { pointGroup, symmetrise, symmetryOperations } from './point-group.ts';
import { testMolecule } from './test-molecules.ts';
import { apply, distance, rotationOf, unit, cross, type Vector3 } from './vector.ts';

test.each([
  ['c1ccccc1', 'D6h'],
  ['NC(N)=O', 'C2v'],
  ['OC(=O)C(O)=O', 'C2h'],
  ['NC=O', 'Cs'],
  ['O=C=O', 'D∞h'],
  ['C#N', 'C∞v'],
  ['C', 'Td'],
  ['N', 'C3v'],
  ['C=C=C', 'D2d'],
  ['C1CCCCC1', 'D3d'],
  ['OO', 'C2'],
  ['FC(Cl)Br', 'C1'],
  ['c1ccc2ccccc2c1', 'D2h'],
])('the point group of %s is %s', (smiles, expected) => {
  expect(testMolecule(smiles).pointGroup).toBe(expected);
});

test('an octahedron, a cube of eight and an inversion pair are named', () => {
  const axes: Vector3[] = [
    [2, 0, 0],
    [-2, 0, 0],
    [0, 2, 0],
    [0, -2, 0],
    [0, 0, 2],
    [0, 0, -2],
  ];
  const elements = axes.map(() => 'F');
  expect(pointGroup(axes, symmetryOperations(elements, axes))).toBe('Oh');
  const twisted: Vector3[] = [
    [1, 0.3, 0.2],
    [-1, -0.3, -0.2],
    [0.4, 2, 0.7],
    [-0.4, -2, -0.7],
    [0.2, 0.9, -1.6],
    [-0.2, -0.9, 1.6],
  ];
  const labels = ['C', 'C', 'N', 'N', 'O', 'O'];
  expect(pointGroup(twisted, symmetryOperations(labels, twisted))).toBe('Ci');
});

test('the point group does not depend on how the molecule lies', () => {
  const turn = rotationOf([0.3, -0.5, 0.7, 0.2]);
  const { atoms, pointGroup: expected } = testMolecule('C1CCCCC1');
  const elements = atoms.map((atom) => atom.element);
  const turned = atoms.map((atom) => apply(turn, atom.positionAngstrom));
  const operations = symmetryOperations(elements, turned);
  expect(operations).toHaveLength(12);
  expect(pointGroup(turned, operations)).toBe(expected);
});

test('a nearly planar molecule is made planar, and each operation then maps it onto itself', () => {
  const { atoms } = testMolecule('c1ccccc1');
  const elements = atoms.map((atom) => atom.element);
  const shaken = atoms.map(({ positionAngstrom: [x, y, z] }, k): Vector3 => [
    x + 0.008 * Math.sin(k),
    y + 0.008 * Math.cos(3 * k),
    z + 0.008 * Math.sin(2 * k),
  ]);
  const operations = symmetryOperations(elements, shaken);
  expect(operations).toHaveLength(24);
  const exact = symmetrise(shaken, operations);
  const normal = unit(cross(exact[0]!, exact[1]!));
  for (const position of exact) {
    expect(
      Math.abs(normal[0] * position[0] + normal[1] * position[1] + normal[2] * position[2]),
    ).toBeLessThan(2e-3);
  }
  const again = symmetryOperations(elements, exact);
  for (const { matrix, permutation } of again) {
    exact.forEach((position, index) => {
      expect(distance(apply(matrix, position), exact[permutation[index]!]!)).toBeLessThan(5e-3);
    });
  }
});
