import {
  add,
  apply,
  cross,
  determinant,
  distance,
  dot,
  inverse,
  multiply,
  norm,
  scale,
  transpose,
  unit,
  type Matrix3,
  type Vector3,
} from './vector.ts';

/** An orthogonal matrix and where it takes each atom. */
export interface SymmetryOperation {
  matrix: Matrix3;
  permutation: number[];
}

/** Geometries from force fields keep their symmetry to about this. */
const SYMMETRY_TOLERANCE_ANGSTROM = 0.05;

function permutationOf(
  elements: readonly string[],
  positions: readonly Vector3[],
  matrix: Matrix3,
): number[] | undefined {
  const permutation: number[] = [];
  for (const [index, position] of positions.entries()) {
    const image = apply(matrix, position);
    const target = positions.findIndex(
      (other, j) =>
        elements[j] === elements[index] && distance(image, other) < SYMMETRY_TOLERANCE_ANGSTROM,
    );
    if (target < 0 || permutation.includes(target)) return undefined;
    permutation.push(target);
  }
  return permutation;
}

function isLinear(positions: readonly Vector3[]): boolean {
  const axis = unit(positions.toSorted((a, b) => norm(b) - norm(a))[0]!);
  return positions.every((p) => norm(cross(axis, p)) < SYMMETRY_TOLERANCE_ANGSTROM);
}

/** Three independent vectors: two atoms not in line with the centre, and their normal. */
function frame(a: Vector3, b: Vector3, sign: number): Matrix3 {
  const normal = scale(unit(cross(a, b)), sign);
  return transpose([a, b, normal]);
}

function orthonormalised(m: Matrix3): Matrix3 {
  // Two steps of the Newton iteration of the polar decomposition (Higham 1986).
  let result = m;
  for (let step = 0; step < 4; step++) {
    const other = transpose(inverse(result));
    result = [
      scale(add(result[0], other[0]), 0.5),
      scale(add(result[1], other[1]), 0.5),
      scale(add(result[2], other[2]), 0.5),
    ];
  }
  return result;
}

/** The two atoms whose images fix an operation, from the smallest sets of like atoms. */
function referencePair(elements: readonly string[], positions: readonly Vector3[]) {
  const classSize = (index: number) =>
    positions.filter(
      (p, j) =>
        elements[j] === elements[index] &&
        Math.abs(norm(p) - norm(positions[index]!)) < SYMMETRY_TOLERANCE_ANGSTROM,
    ).length;
  const usable = positions
    .map((_, index) => index)
    .filter((index) => norm(positions[index]!) > 0.3)
    .toSorted((a, b) => classSize(a) - classSize(b) || a - b);
  for (const i of usable) {
    const j = usable.find(
      (k) => norm(cross(unit(positions[i]!), unit(positions[k]!))) > 0.2 && k !== i,
    );
    if (j !== undefined) return [i, j] as const;
  }
  return undefined;
}

/** Ordered pairs of atoms that a pair of reference atoms could be taken to. */
function* candidatePairs(
  elements: readonly string[],
  positions: readonly Vector3[],
  [i, j]: readonly [number, number],
): Generator<readonly [Vector3, Vector3]> {
  const matches = (index: number) =>
    positions.filter(
      (position, candidate) =>
        elements[index] === elements[candidate] &&
        Math.abs(norm(positions[index]!) - norm(position)) < SYMMETRY_TOLERANCE_ANGSTROM,
    );
  const seconds = matches(j);
  for (const a of matches(i)) {
    for (const b of seconds) if (norm(cross(unit(a), unit(b))) > 0.1) yield [a, b];
  }
}

/** The finite symmetry group; of a linear molecule, a finite subgroup with the same orbits. */
export function symmetryOperations(
  elements: readonly string[],
  positions: readonly Vector3[],
): SymmetryOperation[] {
  if (isLinear(positions)) return linearOperations(elements, positions);
  const pair = referencePair(elements, positions);
  if (!pair) return [];
  const first = positions[pair[0]]!;
  const from = inverse(frame(first, positions[pair[1]]!, 1));
  const found: SymmetryOperation[] = [];
  for (const [a, b] of candidatePairs(elements, positions, pair)) {
    for (const sign of [1, -1]) {
      const matrix = orthonormalised(multiply(frame(a, b, sign), from));
      if (distance(apply(matrix, first), a) > 0.1) continue;
      const permutation = permutationOf(elements, positions, matrix);
      if (permutation) found.push({ matrix, permutation });
    }
  }
  return completed(found);
}

const GROUP_ORDER_MAX = 240;

/** Of a planar molecule two operations share each permutation, one proper and one not. */
function keyOf({ matrix, permutation }: SymmetryOperation): string {
  return `${permutation.join()}${determinant(matrix) > 0 ? '+' : '-'}`;
}

/** Products of operations too: a coarse geometry may pass the test for some of a group only. */
function completed(operations: readonly SymmetryOperation[]): SymmetryOperation[] {
  const group = new Map(operations.map((operation) => [keyOf(operation), operation]));
  for (const a of group.values()) {
    for (const b of operations) {
      const product = {
        matrix: orthonormalised(multiply(a.matrix, b.matrix)),
        permutation: b.permutation.map((index) => a.permutation[index]!),
      };
      if (group.size < GROUP_ORDER_MAX && !group.has(keyOf(product))) {
        group.set(keyOf(product), product);
      }
    }
  }
  return [...group.values()];
}

function linearOperations(
  elements: readonly string[],
  positions: readonly Vector3[],
): SymmetryOperation[] {
  const axis = unit(positions.toSorted((a, b) => norm(b) - norm(a))[0]!);
  const helper: Vector3 = Math.abs(axis[0]) < 0.9 ? [1, 0, 0] : [0, 1, 0];
  const normal = unit(cross(axis, helper));
  const mirror = reflection(normal);
  const mirror2 = reflection(cross(axis, normal));
  const flip = reflection(axis);
  const parts = [mirror, mirror2, multiply(mirror, mirror2)];
  const identity = multiply(mirror, mirror);
  const matrices = [identity, ...parts];
  const all = [...matrices, ...matrices.map((matrix) => multiply(flip, matrix))];
  return all.flatMap((matrix) => {
    const permutation = permutationOf(elements, positions, matrix);
    return permutation ? [{ matrix, permutation }] : [];
  });
}

function reflection(normal: Vector3): Matrix3 {
  const [x, y, z] = normal;
  return [
    [1 - 2 * x * x, -2 * x * y, -2 * x * z],
    [-2 * x * y, 1 - 2 * y * y, -2 * y * z],
    [-2 * x * z, -2 * y * z, 1 - 2 * z * z],
  ];
}

/** Each atom at the mean of where the operations say it is, so that the symmetry is exact. */
export function symmetrise(
  positions: readonly Vector3[],
  operations: readonly SymmetryOperation[],
): Vector3[] {
  if (operations.length === 0) return [...positions];
  return positions.map((_, index) => {
    const sum = operations.reduce(
      (total, { matrix, permutation }) =>
        add(total, apply(transpose(matrix), positions[permutation[index]!]!)),
      [0, 0, 0] as Vector3,
    );
    return scale(sum, 1 / operations.length);
  });
}

interface Kind {
  proper: boolean;
  /** Order of the rotation part; an improper one is that rotation times a reflection. */
  order: number;
  axis: Vector3;
}

function kindOf(matrix: Matrix3): Kind {
  const proper = determinant(matrix) > 0;
  const trace = matrix[0][0] + matrix[1][1] + matrix[2][2];
  const cosine = Math.min(1, Math.max(-1, (proper ? trace - 1 : trace + 1) / 2));
  const angle = Math.acos(cosine);
  const order = orderOf(angle);
  return { proper, order, axis: axisOf(matrix, proper ? 1 : -1) };
}

function orderOf(angle: number): number {
  for (let order = 1; order <= 24; order++) {
    for (let power = 1; power <= order; power++) {
      if (Math.abs(angle - (2 * Math.PI * power) / order) < 0.02) return order;
    }
  }
  return angle < 0.02 ? 1 : 0;
}

/** The vector that the matrix takes to itself times `sign`. */
function axisOf(m: Matrix3, sign: number): Vector3 {
  const rows: Vector3[] = [
    [m[0][0] - sign, m[0][1], m[0][2]],
    [m[1][0], m[1][1] - sign, m[1][2]],
    [m[2][0], m[2][1], m[2][2] - sign],
  ];
  const products = [
    cross(rows[0]!, rows[1]!),
    cross(rows[1]!, rows[2]!),
    cross(rows[2]!, rows[0]!),
  ];
  const best = products.toSorted((a, b) => norm(b) - norm(a))[0]!;
  if (norm(best) > 1e-3) return unit(best);
  // Every vector of a plane is kept (or none): the normal of the plane is the axis.
  const longest = rows.toSorted((a, b) => norm(b) - norm(a))[0]!;
  return norm(longest) > 1e-3 ? unit(longest) : [0, 0, 1];
}

function polyhedral(kinds: readonly Kind[]): string | undefined {
  const improper = kinds.some((kind) => !kind.proper);
  const inversion = kinds.some((kind) => !kind.proper && kind.order === 2);
  const properCount = kinds.filter((kind) => kind.proper).length;
  const threefold = kinds.filter((kind) => kind.proper && kind.order === 3).length;
  if (properCount === 60) return improper ? 'Ih' : 'I';
  if (properCount === 24 && threefold === 8) return improper ? 'Oh' : 'O';
  if (properCount === 12 && threefold === 8) return improper ? (inversion ? 'Th' : 'Td') : 'T';
  return undefined;
}

function axial(kinds: readonly Kind[], main: Kind): string {
  const n = main.order;
  const along = (kind: Kind) => Math.abs(dot(kind.axis, main.axis)) > 0.99;
  const across = (kind: Kind) => Math.abs(dot(kind.axis, main.axis)) < 0.05;
  const mirrors = kinds.filter((kind) => !kind.proper && kind.order === 1);
  const dihedral = kinds.some((kind) => kind.proper && kind.order === 2 && across(kind));
  const horizontal = mirrors.some(along);
  const vertical = mirrors.some(across);
  if (dihedral) return horizontal ? `D${n}h` : vertical ? `D${n}d` : `D${n}`;
  if (horizontal) return `C${n}h`;
  if (vertical) return `C${n}v`;
  const doubled = kinds.some((kind) => !kind.proper && kind.order === 2 * n && along(kind));
  return doubled ? `S${2 * n}` : `C${n}`;
}

/** The Schoenflies symbol. */
export function pointGroup(
  positions: readonly Vector3[],
  operations: readonly SymmetryOperation[],
): string {
  if (isLinear(positions)) return operations.length > 4 ? 'D∞h' : 'C∞v';
  const kinds = operations.map(({ matrix }) => kindOf(matrix));
  const special = polyhedral(kinds);
  if (special) return special;
  const rotations = kinds.filter((kind) => kind.proper && kind.order > 1);
  // Of the three twofold axes of D2d the main one is that of the fourfold rotation-reflection.
  const doubled = (axis: Vector3) =>
    kinds.some((kind) => !kind.proper && kind.order > 2 && Math.abs(dot(kind.axis, axis)) > 0.99);
  const main = rotations.toSorted(
    (a, b) => b.order - a.order || Number(doubled(b.axis)) - Number(doubled(a.axis)),
  )[0];
  if (main) return axial(kinds, main);
  if (kinds.some((kind) => !kind.proper && kind.order === 1)) return 'Cs';
  return kinds.some((kind) => !kind.proper) ? 'Ci' : 'C1';
}
