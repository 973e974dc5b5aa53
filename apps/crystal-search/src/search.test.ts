import fc from 'fast-check';
import { expect, test } from 'vitest';
import { rigidCrystalOf, moleculesOf } from './crystal.ts';
import { volumeOf } from './cell.ts';
import { surroundings } from './packing.ts';
import { cubeRoot, defaultSpaceGroups, orientationOf, search, SPACE_GROUPS } from './search.ts';
import { SOBOL_DIMENSIONS, sobolPoint } from './sobol.ts';
import { testMolecule } from './test-molecules.ts';
import { cosine, sine } from './trigonometry.ts';
import { determinant, distance, rotationOf } from './vector.ts';

const OPTIONS = { seed: 7, spaceGroups: SPACE_GROUPS, perGroup: 3, attemptsMax: 100, first: 0 };

test('the points of a sequence fill every half and quarter of every axis evenly', () => {
  const count = 256;
  for (let axis = 0; axis < SOBOL_DIMENSIONS; axis++) {
    const bins = [0, 0, 0, 0];
    for (let k = 0; k < count; k++) bins[Math.floor(4 * sobolPoint(3, k)[axis]!)]!++;
    expect(bins).toEqual([64, 64, 64, 64]);
  }
});

test('pairs of axes are filled evenly as well, which random numbers would not do', () => {
  const cells = new Set<string>();
  for (let k = 0; k < 64; k++) {
    const point = sobolPoint(1, k);
    cells.add(`${Math.floor(8 * point[0]!)},${Math.floor(8 * point[1]!)}`);
  }
  expect(cells.size).toBe(64);
});

test('sine, cosine and cube root from plain arithmetic are those of the library', () => {
  fc.assert(
    fc.property(fc.double({ min: -20, max: 20, noNaN: true }), (x) => {
      expect(Math.abs(sine(x) - Math.sin(x))).toBeLessThan(1e-12);
      expect(Math.abs(cosine(x) - Math.cos(x))).toBeLessThan(1e-12);
      expect(Math.abs(cubeRoot(x * x + 0.01) - Math.cbrt(x * x + 0.01))).toBeLessThan(1e-12);
    }),
  );
});

test('orientations are rotations spread over the sphere', () => {
  let sum = 0;
  for (let k = 0; k < 200; k++) {
    const [u, v, w] = sobolPoint(5, k) as [number, number, number];
    const turn = rotationOf(orientationOf(u, v, w));
    expect(determinant(turn)).toBeCloseTo(1, 10);
    sum += turn[2][2];
  }
  expect(Math.abs(sum / 200)).toBeLessThan(0.05);
});

test('a seed gives the same crystals again, and another seed gives others', () => {
  const molecule = testMolecule('NC(N)=O');
  const first = search(molecule, OPTIONS);
  expect(search(molecule, OPTIONS)).toEqual(first);
  expect(search(molecule, { ...OPTIONS, seed: 8 }).crystals).not.toEqual(first.crystals);
});

test('the crystals of a seed are these, on every machine', () => {
  const atoms = [
    { element: 'C', positionAngstrom: [0, 0, 0], charge: 0 },
    { element: 'O', positionAngstrom: [1.2, 0, 0], charge: 0 },
  ] as const;
  const molecule = {
    ...testMolecule('NC(N)=O'),
    atoms: atoms.map((atom) => ({ ...atom })),
    bonds: [[0, 1]] as [number, number][],
    volumeAngstrom3: 30,
  };
  const { crystals } = search(molecule, { ...OPTIONS, spaceGroups: [14], perGroup: 1 });
  expect(crystals).toMatchInlineSnapshot(`
    [
      {
        "cell": [
          5.961717,
          6.52294,
          6.520116,
          90,
          93.101145,
          90,
        ],
        "centre": [
          0.317841,
          0.461213,
          0.723029,
        ],
        "id": "14-0",
        "orientation": [
          0.875033,
          -0.305716,
          0.054486,
          -0.371329,
        ],
        "spaceGroup": 14,
      },
    ]
  `);
});

test('blocks of a search that start far enough apart share no crystal', () => {
  const molecule = testMolecule('NC(N)=O');
  const first = search(molecule, { ...OPTIONS, spaceGroups: [14] });
  const second = search(molecule, { ...OPTIONS, spaceGroups: [14], first: 300 });
  const ids = [...first.crystals, ...second.crystals].map((crystal) => crystal.id);
  expect(new Set(ids).size).toBe(6);
});

test('no two molecules overlap, and the density is that of a crystal', () => {
  const molecule = testMolecule('c1ccccc1');
  const body = molecule.atoms.map((atom) => atom.positionAngstrom);
  const groups = defaultSpaceGroups(molecule.pointGroup);
  expect(groups).toContain(148);
  const { crystals } = search(molecule, { ...OPTIONS, spaceGroups: groups });
  expect(crystals).toHaveLength(3 * groups.length);
  for (const record of crystals) {
    const crystal = rigidCrystalOf(record);
    const packed = { lattice: crystal.lattice, molecules: moleculesOf(crystal, body) };
    const around = surroundings(packed, 0);
    const closest = Math.min(
      ...around.molecules
        .slice(1)
        .flatMap((other) => other.flatMap((b) => around.molecules[0]!.map((a) => distance(a, b)))),
    );
    expect(closest).toBeGreaterThan(1.7);
    const volumes =
      volumeOf(crystal.lattice) / crystal.operations.length / molecule.volumeAngstrom3;
    expect(volumes).toBeGreaterThan(1.1);
    expect(volumes).toBeLessThan(5);
  }
});
