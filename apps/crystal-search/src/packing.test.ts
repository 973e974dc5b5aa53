import fc from 'fast-check';
import { expect, test } from 'vitest';
import { latticeOf } from './cell.ts';
import { cluster, CLUSTER_DEFAULTS, frameOf, packingOf } from './cluster.ts';
import { rigidCrystalOf, type RigidCrystal } from './crystal.ts';
import {
  CLUSTER_SIZE,
  fingerprintDistance,
  overlay,
  radialFingerprint,
  surroundings,
} from './packing.ts';
import { orientationOf } from './search.ts';
import { superpose } from './superpose.ts';
import { testMolecule } from './test-molecules.ts';
import {
  add,
  apply,
  distance,
  multiply,
  quaternionOf,
  rotationOf,
  scale,
  subtract,
  transpose,
  type Matrix3,
  type Vector3,
} from './vector.ts';

const molecule = testMolecule('NC=O');
const frame = frameOf(molecule);
const part = fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true });

const crystal = rigidCrystalOf({
  id: 'a',
  spaceGroup: 14,
  cell: [4, 9, 7, 90, 98, 90],
  centre: [0.32, 0.05, 0.25],
  orientation: orientationOf(0.3, 0.6, 0.15),
});

function around(of: RigidCrystal, central = 0) {
  return surroundings(packingOf(of, molecule), central);
}

test('a crystal overlays itself from any of its molecules, however it lies', () => {
  fc.assert(
    fc.property(fc.nat({ max: 3 }), fc.tuple(part, part, part), (central, angles) => {
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
      const found = overlay(around(crystal), around(turned, central), frame);
      expect(found.matched).toBe(CLUSTER_SIZE);
      expect(found.rmsdAngstrom).toBeLessThan(1e-5);
      const apart = fingerprintDistance(
        radialFingerprint(around(crystal)),
        radialFingerprint(around(turned, central)),
      );
      expect(apart).toBeLessThan(1e-6);
    }),
    { numRuns: 25 },
  );
});

test('the mirror image of a chiral packing is the same packing', () => {
  const chiral = rigidCrystalOf({
    id: 'b',
    spaceGroup: 19,
    cell: [5, 6.4, 6.7, 90, 90, 90],
    centre: [0.32, 0.05, 0.25],
    orientation: orientationOf(0.3, 0.6, 0.15),
  });
  const packed = packingOf(chiral, molecule);
  const mirror = (v: Vector3): Vector3 => [-v[0], v[1], v[2]];
  const mirrored = {
    lattice: packed.lattice.map(mirror) as unknown as Matrix3,
    molecules: packed.molecules.map((atoms) => atoms.map(mirror)),
  };
  const found = overlay(surroundings(packed, 0), surroundings(mirrored, 0), frame);
  expect(found).toEqual({ matched: CLUSTER_SIZE, rmsdAngstrom: expect.closeTo(0, 5) as number });
});

test('a stretched cell overlays with a small deviation, another packing does not overlay', () => {
  const stretched = { ...crystal, lattice: latticeOf([4.08, 9.1, 7.1, 90, 99, 90]) };
  const near = overlay(around(crystal), around(stretched), frame);
  expect(near.matched).toBe(CLUSTER_SIZE);
  expect(near.rmsdAngstrom).toBeGreaterThan(0.02);
  expect(near.rmsdAngstrom).toBeLessThan(0.5);
  const other = rigidCrystalOf({
    id: 'c',
    spaceGroup: 61,
    cell: [7, 7, 11, 90, 90, 90],
    centre: [0.1, 0.2, 0.3],
    orientation: [1, 0, 0, 0],
  });
  expect(overlay(around(crystal), around(other), frame).matched).toBeLessThan(CLUSTER_SIZE);
});

test('superposition gives back the rotation that was made', () => {
  fc.assert(
    fc.property(fc.tuple(part, part, part), (angles) => {
      const turn = rotationOf(orientationOf(...angles));
      const points: Vector3[] = [
        [1, 0, 0],
        [0, 2, 0],
        [0, 0, 3],
        [1, 1, 1],
      ];
      const to = points.map((point) => add(apply(turn, point), [1, 2, 3]));
      const found = superpose(points, to);
      expect(found.rmsdAngstrom).toBeLessThan(1e-7);
      multiply(found.rotation, transpose(turn))
        .flat()
        .forEach((value, k) => expect(value).toBeCloseTo(k % 4 === 0 ? 1 : 0, 6));
    }),
  );
});

test('clustering puts equal packings together whatever cell they come in, and keeps others', () => {
  const record = {
    centre: crystal.centre,
    orientation: crystal.orientation,
    outcome: 'converged' as const,
    energyKjPerMol: -60,
    densityGramPerCm3: 1.2,
    gradientMaxKjPerMolAngstrom: 0,
    iterations: 1,
  };
  const first = { ...record, id: '14-1', spaceGroup: 14, cell: [4, 9, 7, 90, 98, 90] as const };
  // The same crystal from a molecule one cell further up.
  const second = {
    ...first,
    id: '14-2',
    centre: [0.32, 0.05, 1.25] as const,
    energyKjPerMol: -59.99,
  };
  const other = {
    ...first,
    id: '14-3',
    cell: [4.3, 8, 7.2, 90, 98, 90] as const,
    energyKjPerMol: -59.9,
  };
  const lost = { ...first, id: '14-4', outcome: 'dispersed' as const, energyKjPerMol: -90 };
  const high = { ...first, id: '14-5', energyKjPerMol: -30 };
  for (const order of [
    [first, second, other, lost, high],
    [high, lost, other, second, first],
  ]) {
    const packings = cluster([molecule], order, CLUSTER_DEFAULTS);
    expect(packings.map(({ id, hits, rank }) => [id, hits, rank])).toEqual([
      ['14-1', 2, 1],
      ['14-3', 1, 2],
    ]);
    expect(packings[0]!.symmetrySymbol).toBe('P 2_1/c');
    expect(packings[1]!.aboveMinimumKjPerMol).toBeCloseTo(0.1, 6);
  }
});

test('a crystal of a molecule in line overlays itself however that is turned about its axis', () => {
  const carbonDioxide = testMolecule('O=C=O');
  const body = frameOf(carbonDioxide);
  const orientation = orientationOf(0.3, 0.6, 0.15);
  const [oxygen, carbon] = carbonDioxide.atoms.map((atom) => atom.positionAngstrom);
  const along = scale(subtract(carbon!, oxygen!), 1 / distance(carbon!, oxygen!));
  fc.assert(
    fc.property(part, fc.nat({ max: 3 }), (angle, central) => {
      const half = Math.PI * angle;
      const spin = rotationOf([Math.cos(half), ...scale(along, Math.sin(half))]);
      const one = rigidCrystalOf({
        id: 'a',
        spaceGroup: 14,
        cell: [6.9, 4.2, 6.8, 90, 100, 90],
        centre: [0.28, 0.05, 0.25],
        orientation,
      });
      const spun = { ...one, orientation: quaternionOf(multiply(rotationOf(orientation), spin)) };
      const of = (other: RigidCrystal, from: number) =>
        surroundings(packingOf(other, carbonDioxide), from);
      const found = overlay(of(one, 0), of(spun, central), body);
      expect(found.matched).toBe(CLUSTER_SIZE);
      expect(found.rmsdAngstrom).toBeLessThan(1e-4);
    }),
    { numRuns: 30 },
  );
});
