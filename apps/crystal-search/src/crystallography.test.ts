import { readOperation } from '@majorana/molecules/reading/cif';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { latticeOf, parametersOf, volumeOf, type CellParameters } from './cell.ts';
import { readCif } from './cif.ts';
import { asymmetricUnit, operationText, writeCif } from './cif-write.ts';
import { symmetryOf } from './cluster.ts';
import { atomicCellOf, rigidCrystalOf } from './crystal.ts';
import { mappings } from './isomorphism.ts';
import { moleculesInCell } from './molecules-in-cell.ts';
import { findSymmetry, spaceGroupOperations } from './moyo.ts';
import { niggli } from './niggli.ts';
import { orientationOf } from './search.ts';
import { testMolecule } from './test-molecules.ts';
import {
  apply,
  multiply,
  norm,
  subtract,
  transpose,
  type Matrix3,
  type Vector3,
} from './vector.ts';

const length = fc.double({ min: 4, max: 15, noNaN: true });
const angle = fc.double({ min: 65, max: 115, noNaN: true });

test('cell parameters survive the way to lattice vectors and back', () => {
  fc.assert(
    fc.property(fc.tuple(length, length, length, angle, angle, angle), (cell) => {
      const back = parametersOf(latticeOf(cell));
      cell.forEach((value, k) => expect(back[k]).toBeCloseTo(value, 8));
    }),
  );
});

/** Changes of basis with determinant 1. */
const SHEARS: readonly Matrix3[] = [
  [
    [1, 1, 0],
    [0, 1, 0],
    [0, 0, 1],
  ],
  [
    [1, 0, 0],
    [0, 1, -1],
    [0, 0, 1],
  ],
  [
    [0, 1, 0],
    [0, 0, 1],
    [1, 0, 0],
  ],
  [
    [1, 0, 2],
    [0, 1, 0],
    [0, 0, 1],
  ],
];

test('every cell of a lattice reduces to the same cell of the same volume', () => {
  fc.assert(
    fc.property(
      fc.tuple(length, length, length, angle, angle, angle),
      fc.array(fc.constantFrom(...SHEARS), { maxLength: 5 }),
      (cell, shears) => {
        const lattice = latticeOf(cell);
        const other = shears.reduce((current, shear) => multiply(shear, current), lattice);
        const [a, b] = [niggli(lattice), niggli(other)];
        expect(volumeOf(b)).toBeCloseTo(volumeOf(lattice), 6);
        parametersOf(a)
          .slice(0, 3)
          .forEach((value, k) => expect(parametersOf(b)[k]).toBeCloseTo(value, 2));
      },
    ),
  );
});

test('the reduced cell of a face-centred cubic lattice is the rhombohedron of 60 degrees', () => {
  const reduced = parametersOf(
    niggli([
      [0, 5, 5],
      [5, 0, 5],
      [5, 5, 0],
    ]),
  );
  for (const edge of reduced.slice(0, 3)) expect(edge).toBeCloseTo(Math.sqrt(50), 6);
  for (const corner of reduced.slice(3))
    expect([60, 90, 120].map(Math.round)).toContain(Math.round(corner));
});

test('operations are read as they are written, in any of the usual spellings', () => {
  for (const group of [14, 15, 61, 148, 167]) {
    for (const operation of spaceGroupOperations(group)) {
      const back = readOperation(operationText(operation));
      expect(back.rotation.flat()).toEqual(operation.rotation.flat().map((value) => value + 0));
      back.translation.forEach((value, k) => {
        const d = value - operation.translation[k]!;
        expect(Math.abs(d - Math.round(d))).toBeLessThan(1e-6);
      });
    }
  }
  expect(readOperation('1/2 - x, y+.5, -Z').rotation).toEqual([
    [-1, 0, 0],
    [0, 1, 0],
    [0, 0, -1],
  ]);
});

test('the operations of a trigonal group are isometries of a hexagonal cell', () => {
  const columns = transpose(latticeOf([8, 8, 11, 90, 90, 120]));
  for (const { rotation } of spaceGroupOperations(148)) {
    const v: Vector3 = [0.3, -0.2, 0.45];
    expect(norm(apply(columns, apply(rotation, v)))).toBeCloseTo(norm(apply(columns, v)), 9);
  }
});

/** Crystals written to CIF and read back, by space group. */
const WRITTEN: readonly (readonly [number, CellParameters])[] = [
  [2, [7, 8, 9, 80, 95, 100]],
  [14, [9, 12, 10, 90, 105, 90]],
  [14, [9, 12, 14, 90, 141, 90]],
  [15, [14, 9, 9, 90, 110, 90]],
  [61, [10, 12, 11, 90, 90, 90]],
  [148, [16, 16, 10, 90, 90, 120]],
];

test.each(WRITTEN)('a crystal of group %d reads back from its CIF atom for atom', (group, cell) => {
  const molecule = testMolecule('NC=O');
  const crystal = rigidCrystalOf({
    id: '',
    spaceGroup: group,
    cell,
    centre: [0.12, 0.21, 0.33],
    orientation: orientationOf(0.3, 0.6, 0.15),
  });
  const report = symmetryOf(crystal, molecule, 0.01);
  expect(report.spaceGroup).toBe(group);
  const text = writeCif(report.standard, { name: 'test', spaceGroup: group, comment: 'test' });
  const read = readCif(text, 'test');
  expect(read.elements).toHaveLength(crystal.operations.length * 6);
  expect(volumeOf(read.lattice)).toBeCloseTo(volumeOf(crystal.lattice), 2);
  expect(findSymmetry(read, 0.01).spaceGroup).toBe(group);
  const molecules = moleculesInCell(read);
  expect(molecules).toHaveLength(crystal.operations.length);
  const graph = { elements: molecule.atoms.map((atom) => atom.element), bonds: molecule.bonds };
  for (const found of molecules) expect(mappings(graph, found)).not.toHaveLength(0);
  const { fractional } = report.standard;
  expect(asymmetricUnit(report.standard, spaceGroupOperations(group))).toHaveLength(6);
  const columns = transpose(read.lattice);
  for (const at of fractional) {
    const nearest = Math.min(
      ...read.fractional.map((other) => {
        const d = subtract(at, other);
        return norm(
          apply(columns, [
            d[0] - Math.round(d[0]),
            d[1] - Math.round(d[1]),
            d[2] - Math.round(d[2]),
          ]),
        );
      }),
    );
    expect(nearest).toBeLessThan(1e-3);
  }
});

test('a CIF with uncertainties, quotes, several blocks and deuterium is read', () => {
  const text = `data_empty
_journal_year 1984
data_urea
# S. Swaminathan, B. M. Craven and R. K. McMullan, Acta Cryst. B40 (1984) 300, 12 K
_cell_length_a 5.565(1)
_cell_length_b 5.565(1)
_cell_length_c 4.684(1)
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_publ_section_title
;
A title with data_ and loop_ in it
;
loop_
_space_group_symop_operation_xyz
'x, y, z' '-x, -y, z' 'y, -x, -z' '-y, x, -z' '1/2-x, 1/2+y, -z' '1/2+x, 1/2-y, -z'
'1/2-y, 1/2-x, z' '1/2+y, 1/2+x, z'
loop_
_atom_site_label
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
C1 0.0000 0.5000 0.3260(1)
O1 0.0000 0.5000 0.5953(1)
N1 0.1459 0.6459 0.1766
D1 0.2575 0.7575 0.2827
H2 0.1441 0.6441 -0.0380
`;
  const structure = readCif(text, 'urea');
  expect(structure.elements).toHaveLength(16);
  expect(moleculesInCell(structure).map((molecule) => molecule.elements.length)).toEqual([8, 8]);
  expect(findSymmetry(structure, 0.01).symbol).toBe('P -4 2_1 m');
});

test('a CIF without operations is refused by name, unless its space group is P 1', () => {
  const text = (group: string): string => `data_x
_symmetry_space_group_name_H-M '${group}'
_cell_length_a 7
_cell_length_b 8
_cell_length_c 9
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
loop_
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
O 0.1 0.2 0.3
`;
  expect(readCif(text('P 1'), 'water').elements).toEqual(['O']);
  expect(() => readCif(text('P b c a'), 'water')).toThrow(
    /^water: no symmetry operations.*P b c a/,
  );
});

test('the symmetry finder recognises a crystal made by the operations of a group', () => {
  const crystal = rigidCrystalOf({
    id: '',
    spaceGroup: 9,
    cell: [9, 8, 10, 90, 100, 90],
    centre: [0.1, 0.2, 0.3],
    orientation: [0.9, 0.1, 0.3, 0.2],
  });
  const cell = atomicCellOf(crystal, testMolecule('NC=O'));
  expect(findSymmetry(cell, 0.01).spaceGroup).toBe(9);
});
