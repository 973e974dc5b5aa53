import { cosine, sine } from './trigonometry.ts';
import { determinant, dot, norm, type Matrix3, type Vector3 } from './vector.ts';

/** Three lengths in Angstrom and three angles in degrees. */
export type CellParameters = readonly [number, number, number, number, number, number];

const RADIAN = Math.PI / 180;

/** Rows are the lattice vectors: a along x, b in the xy plane. */
export function latticeOf([a, b, c, alpha, beta, gamma]: CellParameters): Matrix3 {
  const right = (angle: number) => (angle === 90 ? 0 : cosine(angle * RADIAN));
  const cosAlpha = right(alpha);
  const cosBeta = right(beta);
  const cosGamma = right(gamma);
  const sinGamma = gamma === 90 ? 1 : sine(gamma * RADIAN);
  const y = (cosAlpha - cosBeta * cosGamma) / sinGamma;
  const z = Math.sqrt(1 - cosBeta * cosBeta - y * y);
  return [
    [a, 0, 0],
    [b * cosGamma, b * sinGamma, 0],
    [c * cosBeta, c * y, c * z],
  ];
}

export function parametersOf(lattice: Matrix3): CellParameters {
  const [a, b, c] = lattice;
  const angle = (u: Vector3, v: Vector3) =>
    Math.acos(Math.min(1, Math.max(-1, dot(u, v) / (norm(u) * norm(v))))) / RADIAN;
  return [norm(a), norm(b), norm(c), angle(b, c), angle(a, c), angle(a, b)];
}

export function volumeOf(lattice: Matrix3): number {
  return Math.abs(determinant(lattice));
}

/** 1 Dalton per cubic Angstrom in grams per cubic centimetre (CODATA 2018). */
const GRAM_PER_CM3 = 1.6605390666;

export function densityOf(massDalton: number, volumeAngstrom3: number): number {
  return (massDalton / volumeAngstrom3) * GRAM_PER_CM3;
}
