import { norm, type Matrix3, type Vector3 } from './vector.ts';

/** Half the size of the box of lattice translations that holds a sphere, along each axis. */
export function spansOf(reciprocalRows: Matrix3, reach: number): Vector3 {
  // The distance between lattice planes is one over the length of a reciprocal vector.
  return [
    reach * norm(reciprocalRows[0]),
    reach * norm(reciprocalRows[1]),
    reach * norm(reciprocalRows[2]),
  ];
}

/** Whole numbers no further from `centre` than `spans`, along each axis. */
export function* wholePoints(centre: Vector3, spans: Vector3): Generator<Vector3> {
  const low = centre.map((value, k) => Math.ceil(value - spans[k]!));
  const high = centre.map((value, k) => Math.floor(value + spans[k]!));
  for (let i = low[0]!; i <= high[0]!; i++) {
    for (let j = low[1]!; j <= high[1]!; j++) {
      for (let k = low[2]!; k <= high[2]!; k++) yield [i, j, k];
    }
  }
}

export function isZero([i, j, k]: Vector3): boolean {
  return i === 0 && j === 0 && k === 0;
}
