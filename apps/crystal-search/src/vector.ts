/** Three-vectors and 3x3 matrices as plain tuples; matrices are written row by row. */
export type Vector3 = readonly [number, number, number];
export type Matrix3 = readonly [Vector3, Vector3, Vector3];
export type Quaternion = readonly [number, number, number, number];

export function add(a: Vector3, b: Vector3): Vector3 {
  return [a[0] + b[0], a[1] + b[1], a[2] + b[2]];
}

export function subtract(a: Vector3, b: Vector3): Vector3 {
  return [a[0] - b[0], a[1] - b[1], a[2] - b[2]];
}

export function scale(a: Vector3, factor: number): Vector3 {
  return [a[0] * factor, a[1] * factor, a[2] * factor];
}

export function dot(a: Vector3, b: Vector3): number {
  return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

export function cross(a: Vector3, b: Vector3): Vector3 {
  return [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
}

export function norm(a: Vector3): number {
  return Math.sqrt(dot(a, a));
}

export function unit(a: Vector3): Vector3 {
  return scale(a, 1 / norm(a));
}

export function distance(a: Vector3, b: Vector3): number {
  return norm(subtract(a, b));
}

export function transpose(m: Matrix3): Matrix3 {
  return [
    [m[0][0], m[1][0], m[2][0]],
    [m[0][1], m[1][1], m[2][1]],
    [m[0][2], m[1][2], m[2][2]],
  ];
}

export function apply(m: Matrix3, v: Vector3): Vector3 {
  return [dot(m[0], v), dot(m[1], v), dot(m[2], v)];
}

export function multiply(a: Matrix3, b: Matrix3): Matrix3 {
  const columns = transpose(b);
  return [apply(columns, a[0]), apply(columns, a[1]), apply(columns, a[2])];
}

export function addMatrix(a: Matrix3, b: Matrix3): Matrix3 {
  return [add(a[0], b[0]), add(a[1], b[1]), add(a[2], b[2])];
}

export function scaleMatrix(a: Matrix3, factor: number): Matrix3 {
  return [scale(a[0], factor), scale(a[1], factor), scale(a[2], factor)];
}

/** The sum of the products of like elements. */
export function contract(a: Matrix3, b: Matrix3): number {
  return dot(a[0], b[0]) + dot(a[1], b[1]) + dot(a[2], b[2]);
}

export function outer(a: Vector3, b: Vector3): Matrix3 {
  return [scale(b, a[0]), scale(b, a[1]), scale(b, a[2])];
}

export function determinant(m: Matrix3): number {
  return dot(m[0], cross(m[1], m[2]));
}

export function inverse(m: Matrix3): Matrix3 {
  const factor = 1 / determinant(m);
  return transpose([
    scale(cross(m[1], m[2]), factor),
    scale(cross(m[2], m[0]), factor),
    scale(cross(m[0], m[1]), factor),
  ]);
}

export function centroid(points: readonly Vector3[]): Vector3 {
  return scale(
    points.reduce((sum, point) => add(sum, point), [0, 0, 0] as Vector3),
    1 / Math.max(points.length, 1),
  );
}

/** The rotation of a quaternion of any length. */
export function rotationOf([w, x, y, z]: Quaternion): Matrix3 {
  const s = 2 / (w * w + x * x + y * y + z * z);
  return [
    [1 - s * (y * y + z * z), s * (x * y - w * z), s * (x * z + w * y)],
    [s * (x * y + w * z), 1 - s * (x * x + z * z), s * (y * z - w * x)],
    [s * (x * z - w * y), s * (y * z + w * x), 1 - s * (x * x + y * y)],
  ];
}

/** The quaternion of a proper rotation, by the largest of the four candidates (Shepperd 1978). */
export function quaternionOf(r: Matrix3): Quaternion {
  const trace = r[0][0] + r[1][1] + r[2][2];
  const candidates = [trace, r[0][0], r[1][1], r[2][2]];
  const best = candidates.indexOf(Math.max(...candidates));
  if (best === 0) {
    const w = Math.sqrt(1 + trace) / 2;
    return [
      w,
      (r[2][1] - r[1][2]) / (4 * w),
      (r[0][2] - r[2][0]) / (4 * w),
      (r[1][0] - r[0][1]) / (4 * w),
    ];
  }
  if (best === 1) {
    const x = Math.sqrt(1 + r[0][0] - r[1][1] - r[2][2]) / 2;
    return [
      (r[2][1] - r[1][2]) / (4 * x),
      x,
      (r[0][1] + r[1][0]) / (4 * x),
      (r[0][2] + r[2][0]) / (4 * x),
    ];
  }
  if (best === 2) {
    const y = Math.sqrt(1 + r[1][1] - r[0][0] - r[2][2]) / 2;
    return [
      (r[0][2] - r[2][0]) / (4 * y),
      (r[0][1] + r[1][0]) / (4 * y),
      y,
      (r[1][2] + r[2][1]) / (4 * y),
    ];
  }
  const z = Math.sqrt(1 + r[2][2] - r[0][0] - r[1][1]) / 2;
  return [
    (r[1][0] - r[0][1]) / (4 * z),
    (r[0][2] + r[2][0]) / (4 * z),
    (r[1][2] + r[2][1]) / (4 * z),
    z,
  ];
}
