import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { sitesOf, type Sites } from './atom-types.ts';
import { latticeOf, type CellParameters } from './cell.ts';
import { rigidCrystalOf, type RigidCrystal } from './crystal.ts';
import { energyModel, variablesOf } from './energy-model.ts';
import { latticeEnergy } from './lattice-energy.ts';
import { COULOMB_KJ_ANGSTROM_PER_MOL } from './pair-tables.ts';
import { orientationOf } from './search.ts';
import { testMolecule } from './test-molecules.ts';
import { apply, multiply, quaternionOf, rotationOf, type Matrix3, type Vector3 } from './vector.ts';

const CUTOFF_ANGSTROM = 10;

function energyOf(
  sites: Sites,
  crystal: RigidCrystal,
  splitPerAngstrom?: number,
  cutoff = CUTOFF_ANGSTROM,
) {
  const options = { cutoffAngstrom: cutoff };
  const model = energyModel(
    sites,
    crystal,
    splitPerAngstrom === undefined ? options : { ...options, splitPerAngstrom },
  );
  const variables = variablesOf(model, crystal);
  return latticeEnergy(model).evaluate(variables, new Float64Array(variables.length));
}

const NO_EXP6 = { repulsionKjPerMol: 0, decayPerAngstrom: 1, dispersionKjPerMolAngstrom6: 0 };

/** Two ions as one molecule. */
function ionPair(separation: number): Sites {
  return {
    positionsAngstrom: [
      [-separation / 2, 0, 0],
      [separation / 2, 0, 0],
    ],
    charges: [1, -1],
    types: ['none', 'none'],
    exp6: [NO_EXP6, NO_EXP6],
  };
}

function rockSalt(separation: number): RigidCrystal {
  return {
    lattice: [
      [0, separation, separation],
      [separation, 0, separation],
      [separation, separation, 0],
    ],
    operations: [
      {
        rotation: [
          [1, 0, 0],
          [0, 1, 0],
          [0, 0, 1],
        ],
        translation: [0, 0, 0],
      },
    ],
    centre: [0.1, 0.2, 0.3],
    orientation: [1, 0, 0, 0],
  };
}

describe('Ewald sum', () => {
  test('gives the Madelung constant of rock salt', () => {
    const separation = 2.82;
    const energy = energyOf(ionPair(separation), rockSalt(separation));
    // The pair inside the molecule does not count as lattice energy.
    const madelung = 1 - (energy * separation) / COULOMB_KJ_ANGSTROM_PER_MOL;
    expect(madelung).toBeCloseTo(1.7475645946, 6);
  });

  test('gives the Madelung constant of caesium chloride', () => {
    const edge = 4.1;
    const separation = (edge * Math.sqrt(3)) / 2;
    const along: Vector3 = [1 / Math.sqrt(3), 1 / Math.sqrt(3), 1 / Math.sqrt(3)];
    const sites = {
      ...ionPair(separation),
      positionsAngstrom: [
        apply(along.map((x) => [(x * -separation) / 2, 0, 0]) as unknown as Matrix3, [1, 0, 0]),
        apply(along.map((x) => [(x * separation) / 2, 0, 0]) as unknown as Matrix3, [1, 0, 0]),
      ],
    };
    const crystal: RigidCrystal = {
      ...rockSalt(1),
      lattice: [
        [edge, 0, 0],
        [0, edge, 0],
        [0, 0, edge],
      ],
    };
    const madelung = 1 - (energyOf(sites, crystal) * separation) / COULOMB_KJ_ANGSTROM_PER_MOL;
    expect(madelung).toBeCloseTo(1.7626747731, 6);
  });

  test('does not depend on the splitting parameter', () => {
    const sites = sitesOf(testMolecule('NC(N)=O'), 'fit');
    const crystal = crystalIn(19, [7, 8, 9, 90, 90, 90]);
    const energies = [0.4, 0.45, 0.5, 0.6].map((split) => energyOf(sites, crystal, split));
    for (const energy of energies) expect(energy).toBeCloseTo(energies[0]!, 3);
  });
});

function crystalIn(
  spaceGroup: number,
  cell: CellParameters,
  centre: Vector3 = [0.12, 0.21, 0.33],
  orientation = orientationOf(0.3, 0.6, 0.15),
): RigidCrystal {
  return rigidCrystalOf({ id: '', spaceGroup, cell, centre, orientation });
}

const CELLS: readonly (readonly [number, CellParameters])[] = [
  [1, [6, 7, 6.5, 80, 95, 100]],
  [2, [7, 8, 9, 80, 95, 100]],
  [14, [7, 9, 8, 90, 105, 90]],
  [15, [14, 9, 9, 90, 110, 90]],
  [33, [8, 10, 9, 90, 90, 90]],
  [61, [10, 12, 11, 90, 90, 90]],
  [92, [8, 8, 11, 90, 90, 90]],
  [148, [16, 16, 10, 90, 90, 120]],
  [198, [10, 10, 10, 90, 90, 90]],
];

describe.each(['fit', 'w99'] as const)('gradient with %s', (potential) => {
  test.each(CELLS)('in space group %d is the derivative of the energy', (spaceGroup, cell) => {
    for (const smiles of ['NC(N)=O', 'c1ccccc1']) {
      const sites = sitesOf(testMolecule(smiles), potential);
      const crystal = crystalIn(spaceGroup, cell);
      const model = energyModel(sites, crystal, { cutoffAngstrom: CUTOFF_ANGSTROM });
      const { evaluate } = latticeEnergy(model);
      const at = variablesOf(model, crystal);
      const gradient = new Float64Array(at.length);
      evaluate(at, gradient);
      const size = Math.max(...gradient.map(Math.abs));
      const other = new Float64Array(at.length);
      const step = 1e-4;
      for (let k = 0; k < at.length; k++) {
        const [above, below] = [at.slice(), at.slice()];
        above[k]! += step;
        below[k]! -= step;
        const numeric = (evaluate(above, other) - evaluate(below, other)) / (2 * step);
        expect(Math.abs(numeric - gradient[k]!) / (1 + size)).toBeLessThan(2e-5);
      }
    }
  });
});

const sites = sitesOf(testMolecule('NC=O'), 'fit');
const part = fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true });
const placed = fc.record({
  centre: fc.tuple(part, part, part),
  turn: fc.tuple(part, part, part),
  kind: fc.constantFrom(...CELLS),
});
type Placed = { centre: Vector3; turn: Vector3; kind: readonly [number, CellParameters] };

function placedCrystal({ centre, turn, kind }: Placed): RigidCrystal {
  return crystalIn(kind[0], kind[1], centre, orientationOf(...turn));
}

/** Overlapping molecules have huge energies: equal to a part of them. */
function expectClose(a: number, b: number, tolerance = 1e-5): void {
  expect(Math.abs(a - b)).toBeLessThan(tolerance * (1 + Math.abs(a) + Math.abs(b)));
}

describe('lattice energy', () => {
  test('is the same for the crystal turned as a whole', () => {
    fc.assert(
      fc.property(placed, fc.tuple(part, part, part), (start, angles) => {
        const crystal = placedCrystal(start);
        const turn = rotationOf(orientationOf(...angles));
        const turned: RigidCrystal = {
          ...crystal,
          lattice: [
            apply(turn, crystal.lattice[0]),
            apply(turn, crystal.lattice[1]),
            apply(turn, crystal.lattice[2]),
          ],
          orientation: quaternionOf(multiply(turn, rotationOf(crystal.orientation))),
        };
        expectClose(energyOf(sites, turned), energyOf(sites, crystal));
      }),
      { numRuns: 40 },
    );
  });

  test('does not depend on the order of the operations', () => {
    fc.assert(
      fc.property(placed, (start) => {
        const crystal = placedCrystal(start);
        const [identity, ...others] = crystal.operations;
        const shuffled = { ...crystal, operations: [identity!, ...others.toReversed()] };
        expectClose(energyOf(sites, shuffled), energyOf(sites, crystal), 1e-9);
      }),
      { numRuns: 40 },
    );
  });

  test('is the same for any molecule of the cell taken as the first', () => {
    fc.assert(
      fc.property(placed, fc.nat(), (start, pick) => {
        const crystal = placedCrystal(start);
        const { rotation, translation } = crystal.operations[pick % crystal.operations.length]!;
        const image = apply(rotation, crystal.centre);
        const moved: RigidCrystal = {
          ...crystal,
          centre: [image[0] + translation[0], image[1] + translation[1], image[2] + translation[2]],
        };
        // An image by a rotation is the molecule turned; a rotoinversion would need the mirror image.
        const turn = cartesian(crystal, rotation);
        if (det(turn) < 0) return;
        const orientation = quaternionOf(multiply(turn, rotationOf(crystal.orientation)));
        expectClose(energyOf(sites, { ...moved, orientation }), energyOf(sites, crystal));
      }),
      { numRuns: 40 },
    );
  });

  test('for one molecule is the same in a cell doubled along every axis', () => {
    fc.assert(
      fc.property(placed, (start) => {
        const crystal = placedCrystal(start);
        if (crystal.operations.length > 8) return;
        const doubled: RigidCrystal = {
          ...crystal,
          lattice: crystal.lattice.map((v) => v.map((x) => 2 * x)) as unknown as Matrix3,
          centre: crystal.centre.map((x) => x / 2) as unknown as Vector3,
          operations: [0, 1, 2, 3, 4, 5, 6, 7].flatMap((n) =>
            crystal.operations.map(({ rotation, translation: t }) => ({
              rotation,
              translation: [
                (t[0] + (n & 1)) / 2,
                (t[1] + ((n >> 1) & 1)) / 2,
                (t[2] + (n >> 2)) / 2,
              ] as Vector3,
            })),
          ),
        };
        expectClose(energyOf(sites, doubled), energyOf(sites, crystal));
      }),
      { numRuns: 12 },
    );
  });

  test('of two molecules far from all others is half their pair energy, summed by hand', () => {
    for (const potential of ['fit', 'w99'] as const) {
      const benzene = sitesOf(testMolecule('c1ccccc1'), potential);
      const turn = orientationOf(0.3, 0.6, 0.15);
      const crystal = crystalIn(2, [36, 36, 36, 90, 90, 90], [0.06, 0.05, 0.04], turn);
      const own = benzene.positionsAngstrom.map((site) => apply(rotationOf(turn), site));
      const centre: Vector3 = [0.06 * 36, 0.05 * 36, 0.04 * 36];
      let pair = 0;
      own.forEach((a, i) => {
        own.forEach((b, j) => {
          const r = Math.hypot(...[0, 1, 2].map((k) => a[k]! + b[k]! + 2 * centre[k]!));
          const [p, q] = [benzene.exp6[i]!, benzene.exp6[j]!];
          const decay = (p.decayPerAngstrom + q.decayPerAngstrom) / 2;
          pair += Math.sqrt(p.repulsionKjPerMol * q.repulsionKjPerMol) * Math.exp(-decay * r);
          pair -= Math.sqrt(p.dispersionKjPerMolAngstrom6 * q.dispersionKjPerMolAngstrom6) / r ** 6;
          pair += (COULOMB_KJ_ANGSTROM_PER_MOL * benzene.charges[i]! * benzene.charges[j]!) / r;
        });
      });
      expect(pair).toBeLessThan(-2);
      // The tail correction takes the empty cell for a filled one: 0.01 kJ/mol at this density.
      expect(Math.abs(energyOf(benzene, crystal, undefined, 14) - pair / 2)).toBeLessThan(0.02);
    }
  });

  test('hardly depends on the cutoff, thanks to the tail correction', () => {
    const crystal = crystalIn(
      61,
      [7.4, 9.4, 6.8, 90, 90, 90],
      [0, 0, 0],
      orientationOf(0.2, 0.4, 0.7),
    );
    const spread = crystalIn(61, [10, 12, 10, 90, 90, 90], [0.2, 0.15, 0.3]);
    const benzene = sitesOf(testMolecule('c1ccccc1'), 'fit');
    expect(crystal.operations).toHaveLength(8);
    const [short, long] = [10, 18].map((cutoff) => energyOf(benzene, spread, undefined, cutoff));
    expect(Math.abs(short! - long!)).toBeLessThan(0.1);
  });

  test('stays finite and repulsive when molecules are pushed into each other', () => {
    const energies = [1, 0.8, 0.6, 0.4, 0.2].map((part_) => {
      const lattice = latticeOf([5 * part_, 5 * part_, 5 * part_, 90, 90, 90]);
      const crystal = { ...crystalIn(1, [5, 5, 5, 90, 90, 90]), lattice };
      return energyOf(sitesOf(testMolecule('NC(N)=O'), 'fit'), crystal);
    });
    for (const energy of energies) expect(Number.isFinite(energy)).toBe(true);
    expect(energies.slice(1).every((energy, k) => energy > energies[k]!)).toBe(true);
  });
});

function cartesian(crystal: RigidCrystal, rotation: Matrix3): Matrix3 {
  const columns = crystal.lattice;
  const product = multiply(transposeOf(columns), rotation);
  return multiply(product, inverseOf(transposeOf(columns)));
}

function transposeOf(m: Matrix3): Matrix3 {
  return [
    [m[0][0], m[1][0], m[2][0]],
    [m[0][1], m[1][1], m[2][1]],
    [m[0][2], m[1][2], m[2][2]],
  ];
}

function det([a, b, c]: Matrix3): number {
  return (
    a[0] * (b[1] * c[2] - b[2] * c[1]) -
    a[1] * (b[0] * c[2] - b[2] * c[0]) +
    a[2] * (b[0] * c[1] - b[1] * c[0])
  );
}

function inverseOf(m: Matrix3): Matrix3 {
  const d = det(m);
  const [a, b, c] = m;
  return [
    [
      (b[1] * c[2] - b[2] * c[1]) / d,
      (a[2] * c[1] - a[1] * c[2]) / d,
      (a[1] * b[2] - a[2] * b[1]) / d,
    ],
    [
      (b[2] * c[0] - b[0] * c[2]) / d,
      (a[0] * c[2] - a[2] * c[0]) / d,
      (a[2] * b[0] - a[0] * b[2]) / d,
    ],
    [
      (b[0] * c[1] - b[1] * c[0]) / d,
      (a[1] * c[0] - a[0] * c[1]) / d,
      (a[0] * b[1] - a[1] * b[0]) / d,
    ],
  ];
}
