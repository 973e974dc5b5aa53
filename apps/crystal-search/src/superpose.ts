import {
  add,
  apply,
  centroid,
  dot,
  rotationOf,
  subtract,
  type Matrix3,
  type Vector3,
} from './vector.ts';

/** Eigenvector of the largest eigenvalue of a symmetric matrix, by Jacobi rotations. */
function leadingEigenvector(matrix: number[][]): number[] {
  const size = matrix.length;
  const a = matrix.map((row) => [...row]);
  const v = a.map((_, i) => a.map((__, j) => (i === j ? 1 : 0)));
  for (let sweep = 0; sweep < 60; sweep++) {
    let off = 0;
    for (let p = 0; p < size; p++) {
      for (let q = p + 1; q < size; q++) {
        off += a[p]![q]! ** 2;
        rotate(a, v, p, q);
      }
    }
    if (off < 1e-22) break;
  }
  const diagonal = a.map((row, index) => row[index]!);
  const best = diagonal.indexOf(Math.max(...diagonal));
  return v.map((row) => row[best]!);
}

function rotate(a: number[][], v: number[][], p: number, q: number): void {
  const element = a[p]![q]!;
  if (Math.abs(element) < 1e-300) return;
  const theta = (a[q]![q]! - a[p]![p]!) / (2 * element);
  const t = (theta >= 0 ? 1 : -1) / (Math.abs(theta) + Math.sqrt(theta * theta + 1));
  const c = 1 / Math.sqrt(t * t + 1);
  const s = t * c;
  for (const row of a) {
    const [x, y] = [row[p]!, row[q]!];
    row[p] = c * x - s * y;
    row[q] = s * x + c * y;
  }
  for (let k = 0; k < a.length; k++) {
    const [x, y] = [a[p]![k]!, a[q]![k]!];
    a[p]![k] = c * x - s * y;
    a[q]![k] = s * x + c * y;
  }
  for (const row of v) {
    const [x, y] = [row[p]!, row[q]!];
    row[p] = c * x - s * y;
    row[q] = s * x + c * y;
  }
}

export interface Superposition {
  /** Turn about the centroid of `from`, then move it to the centroid of `to`. */
  rotation: Matrix3;
  fromCentre: Vector3;
  toCentre: Vector3;
  rmsdAngstrom: number;
}

/** The proper rotation that lays one set of points best on another (B. K. P. Horn, 1987). */
export function superpose(from: readonly Vector3[], to: readonly Vector3[]): Superposition {
  const fromCentre = centroid(from);
  const toCentre = centroid(to);
  const a = from.map((point) => subtract(point, fromCentre));
  const b = to.map((point) => subtract(point, toCentre));
  const s = [0, 1, 2].map((i) =>
    [0, 1, 2].map((j) => a.reduce((sum, point, k) => sum + point[i]! * b[k]![j]!, 0)),
  );
  const [[xx, xy, xz], [yx, yy, yz], [zx, zy, zz]] = s as [
    [number, number, number],
    [number, number, number],
    [number, number, number],
  ];
  const quaternion = leadingEigenvector([
    [xx + yy + zz, yz - zy, zx - xz, xy - yx],
    [yz - zy, xx - yy - zz, xy + yx, zx + xz],
    [zx - xz, xy + yx, -xx + yy - zz, yz + zy],
    [xy - yx, zx + xz, yz + zy, -xx - yy + zz],
  ]) as [number, number, number, number];
  const rotation = rotationOf(quaternion);
  const sum = a.reduce((total, point, k) => {
    const d = subtract(apply(rotation, point), b[k]!);
    return total + dot(d, d);
  }, 0);
  return { rotation, fromCentre, toCentre, rmsdAngstrom: Math.sqrt(sum / a.length) };
}

export function moved(point: Vector3, by: Superposition): Vector3 {
  return add(apply(by.rotation, subtract(point, by.fromCentre)), by.toCentre);
}
