/**
 * Sobol sequences with a digital shift that depends on the seed. Primitive polynomials and initial
 * direction numbers: S. Joe and F. Y. Kuo, SIAM J. Sci. Comput. 30 (2008) 2635 (new-joe-kuo-6).
 * All integer arithmetic: the same on every machine.
 */
const BITS = 32;

/** Degree, coefficients, initial numbers, for dimensions 2 to 13. */
const POLYNOMIALS: readonly (readonly [number, number, readonly number[]])[] = [
  [1, 0, [1]],
  [2, 1, [1, 3]],
  [3, 1, [1, 3, 1]],
  [3, 2, [1, 1, 1]],
  [4, 1, [1, 1, 3, 3]],
  [4, 4, [1, 3, 5, 13]],
  [5, 2, [1, 1, 5, 5, 17]],
  [5, 4, [1, 1, 5, 5, 5]],
  [5, 7, [1, 1, 7, 11, 19]],
  [5, 11, [1, 1, 5, 1, 1]],
  [5, 13, [1, 1, 1, 3, 11]],
  [5, 14, [1, 3, 5, 5, 31]],
];

export const SOBOL_DIMENSIONS = POLYNOMIALS.length + 1;

function directionNumbers(dimension: number): Uint32Array {
  const numbers = new Uint32Array(BITS);
  const polynomial = POLYNOMIALS[dimension - 1];
  if (!polynomial) {
    for (let k = 0; k < BITS; k++) numbers[k] = 2 ** (31 - k);
    return numbers;
  }
  const [degree, coefficients, initial] = polynomial;
  for (let k = 0; k < BITS; k++) {
    if (k < degree) {
      numbers[k] = initial[k]! * 2 ** (31 - k);
      continue;
    }
    const before = numbers[k - degree]!;
    let value = before ^ (before >>> degree);
    for (let j = 1; j < degree; j++) {
      if ((coefficients >>> (degree - 1 - j)) & 1) value ^= numbers[k - j]!;
    }
    numbers[k] = value >>> 0;
  }
  return numbers;
}

const DIRECTIONS = Array.from({ length: SOBOL_DIMENSIONS }, (_, index) => directionNumbers(index));

/** A 32-bit mixer (the finaliser of MurmurHash3). */
export function mix(value: number): number {
  let h = value >>> 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

/** Point number `index` of the sequence of a seed: numbers from 0 (included) to 1 (excluded). */
export function sobolPoint(seed: number, index: number): number[] {
  const gray = (index ^ (index >>> 1)) >>> 0;
  return DIRECTIONS.map((numbers, dimension) => {
    let bits = mix(Math.imul(seed, 0x9e3779b1) + Math.imul(dimension + 1, 0x632be5ab));
    for (let k = 0; k < BITS; k++) if ((gray >>> k) & 1) bits ^= numbers[k]!;
    return (bits >>> 0) / 2 ** 32;
  });
}
