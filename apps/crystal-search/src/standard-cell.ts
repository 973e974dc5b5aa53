import { latticeOf, parametersOf } from './cell.ts';
import type { AtomicCell } from './moyo.ts';
import {
  add,
  addMatrix,
  dot,
  multiply,
  scale,
  scaleMatrix,
  transpose,
  type Matrix3,
  type Vector3,
} from './vector.ts';

/** A lattice with the mean metric of its images under the rotations of its space group. */
export function withMetricOf(lattice: Matrix3, rotations: readonly Matrix3[]): Matrix3 {
  const metric = multiply(lattice, transpose(lattice));
  let mean = scaleMatrix(metric, 0);
  for (const rotation of rotations) {
    const image = multiply(multiply(transpose(rotation), metric), rotation);
    mean = addMatrix(mean, scaleMatrix(image, 1 / rotations.length));
  }
  const lengths = [0, 1, 2].map((k) => Math.sqrt(mean[k]![k]!));
  const angle = (i: number, j: number) =>
    (Math.acos(mean[i]![j]! / (lengths[i]! * lengths[j]!)) * 180) / Math.PI;
  // Right angles must come out as 90, not as 90 but for the last digit.
  const clean = (value: number) => (Math.abs(value - 90) < 1e-9 ? 90 : value);
  return latticeOf([
    lengths[0]!,
    lengths[1]!,
    lengths[2]!,
    clean(angle(1, 2)),
    clean(angle(0, 2)),
    clean(angle(0, 1)),
  ]);
}

/** Monoclinic groups without a glide plane: P2, P2_1, Pm, P2/m, P2_1/m. */
const WITHOUT_GLIDE: readonly string[] = ['P 2', 'P 2_1', 'P m', 'P 2/m', 'P 2_1/m'];
const STEPS_MAX = 20;

type Shear = (at: Vector3) => Vector3;

/**
 * A monoclinic cell with its angle as near to 90 degrees as the standard setting allows. Adding c
 * to a keeps a glide along c; adding a to c keeps it for even multiples. C-centring is kept by even
 * multiples of c.
 */
export function uprightMonoclinic(cell: AtomicCell, symbol: string): AtomicCell {
  const stepOfC = symbol.startsWith('C') ? 2 : 1;
  const stepOfA = WITHOUT_GLIDE.includes(symbol) ? 1 : 2;
  let [a, , c] = cell.lattice;
  const b = cell.lattice[1];
  const shears: Shear[] = [];
  for (let step = 0; step < STEPS_MAX; step++) {
    const n = Math.round(-dot(a, c) / dot(c, c) / stepOfC) * stepOfC;
    const m = n === 0 ? Math.round(-dot(a, c) / dot(a, a) / stepOfA) * stepOfA : 0;
    if (n === 0 && m === 0) break;
    a = add(a, scale(c, n));
    c = add(c, scale(a, m));
    shears.push(([x, y, z]) => [x - m * (z - n * x), y, z - n * x]);
  }
  if (dot(a, c) > 1e-9) {
    // The obtuse angle: half a turn about c.
    a = scale(a, -1);
    shears.push(([x, y, z]) => [-x, -y, z]);
  }
  const lattice = latticeOf(parametersOf([a, b, c]));
  return {
    ...cell,
    lattice,
    fractional: cell.fractional.map((at) => shears.reduce((point, shear) => shear(point), at)),
  };
}
