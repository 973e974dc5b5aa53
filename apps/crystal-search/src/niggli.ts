import { dot, type Matrix3, type Vector3 } from './vector.ts';

const STEPS_MAX = 200;

/** The metric of a cell as Krivy and Gruber write it: A, B, C, xi, eta, zeta. */
function metric([a, b, c]: Matrix3) {
  return {
    a: dot(a, a),
    b: dot(b, b),
    c: dot(c, c),
    xi: 2 * dot(b, c),
    eta: 2 * dot(a, c),
    zeta: 2 * dot(a, b),
  };
}

function combined(a: Vector3, b: Vector3, factor: number): Vector3 {
  return [a[0] + factor * b[0], a[1] + factor * b[1], a[2] + factor * b[2]];
}

function negated(a: Vector3): Vector3 {
  return [-a[0], -a[1], -a[2]];
}

/** Steps 1 and 2: the shortest axis first; of equal ones that with the smaller angle term. */
function sorted(lattice: Matrix3, tolerance: number): Matrix3 | undefined {
  const [a, b, c] = lattice;
  const m = metric(lattice);
  const less = (x: number, y: number) => x < y - tolerance;
  const equal = (x: number, y: number) => Math.abs(x - y) <= tolerance;
  if (less(m.b, m.a) || (equal(m.a, m.b) && less(Math.abs(m.eta), Math.abs(m.xi)))) {
    return [negated(b), negated(a), negated(c)];
  }
  if (less(m.c, m.b) || (equal(m.b, m.c) && less(Math.abs(m.zeta), Math.abs(m.eta)))) {
    return [negated(a), negated(c), negated(b)];
  }
  return undefined;
}

/** Steps 3 and 4: all angles acute or none. */
function signed(lattice: Matrix3, tolerance: number): Matrix3 {
  const { xi, eta, zeta } = metric(lattice);
  const sign = (x: number) => (x > tolerance ? 1 : x < -tolerance ? -1 : 0);
  const [l, m, n] = [sign(xi), sign(eta), sign(zeta)];
  const flips: [number, number, number] = [1, 1, 1];
  if (l * m * n === 1) {
    if (l < 0) flips[0] = -1;
    if (m < 0) flips[1] = -1;
    if (n < 0) flips[2] = -1;
  } else {
    let free = -1;
    [l, m, n].forEach((value, index) => {
      if (value === 1) flips[index] = -1;
      if (value === 0) free = index;
    });
    if (flips[0] * flips[1] * flips[2] < 0 && free >= 0) flips[free] = -flips[free]!;
  }
  const [a, b, c] = lattice;
  const flip = (v: Vector3, s: number): Vector3 => (s < 0 ? negated(v) : v);
  return [flip(a, flips[0]), flip(b, flips[1]), flip(c, flips[2])];
}

/** Steps 5 to 8: a shorter axis by adding or taking away another one. */
function shortened(lattice: Matrix3, tolerance: number): Matrix3 | undefined {
  const [a, b, c] = lattice;
  const m = metric(lattice);
  const over = (x: number, limit: number) => Math.abs(x) > limit + tolerance;
  const at = (x: number, limit: number) => Math.abs(x - limit) <= tolerance;
  if (
    over(m.xi, m.b) ||
    (at(m.xi, m.b) && 2 * m.eta < m.zeta - tolerance) ||
    (at(m.xi, -m.b) && m.zeta < -tolerance)
  ) {
    return [a, b, combined(c, b, -Math.sign(m.xi))];
  }
  if (
    over(m.eta, m.a) ||
    (at(m.eta, m.a) && 2 * m.xi < m.zeta - tolerance) ||
    (at(m.eta, -m.a) && m.zeta < -tolerance)
  ) {
    return [a, b, combined(c, a, -Math.sign(m.eta))];
  }
  if (
    over(m.zeta, m.a) ||
    (at(m.zeta, m.a) && 2 * m.xi < m.eta - tolerance) ||
    (at(m.zeta, -m.a) && m.eta < -tolerance)
  ) {
    return [a, combined(b, a, -Math.sign(m.zeta)), c];
  }
  return diagonal(lattice, tolerance);
}

function diagonal(lattice: Matrix3, tolerance: number): Matrix3 | undefined {
  const [a, b, c] = lattice;
  const m = metric(lattice);
  const sum = m.xi + m.eta + m.zeta + m.a + m.b;
  if (sum < -tolerance || (Math.abs(sum) <= tolerance && 2 * (m.a + m.eta) + m.zeta > tolerance)) {
    return [a, b, combined(combined(c, a, 1), b, 1)];
  }
  return undefined;
}

/** The reduced cell that every cell of a lattice leads to (I. Krivy and B. Gruber, 1976). */
export function niggli(lattice: Matrix3, relativeTolerance = 1e-5): Matrix3 {
  let current = lattice;
  const scale = Math.max(...current.map((vector) => dot(vector, vector)));
  const tolerance = relativeTolerance * scale;
  for (let step = 0; step < STEPS_MAX; step++) {
    const ordered = sorted(current, tolerance);
    if (ordered) {
      current = ordered;
      continue;
    }
    current = signed(current, tolerance);
    const shorter = shortened(current, tolerance);
    if (!shorter) return current;
    current = shorter;
  }
  return current;
}
