import { EEQ_PARAMETERS, type EeqParameters } from './eeq-parameters.ts';
import { InputError } from './errors.ts';
import { erf } from './special-functions.ts';
import { distance, type Vector3 } from './vector.ts';

/** CODATA 2018. */
const ANGSTROM_PER_BOHR = 0.529177210903;
/** Steepness of the counting function and the soft upper limit: Caldeweyher 2019. */
const COUNTING_STEEPNESS = 7.5;
const COORDINATION_MAX = 8;

function parametersOf(atomicNumbers: readonly number[]): EeqParameters[] {
  return atomicNumbers.map((number) => {
    const found = EEQ_PARAMETERS.get(number);
    if (!found) throw new InputError(`no charge parameters for atomic number ${number}`);
    return found;
  });
}

function coordinationNumbers(
  parameters: readonly EeqParameters[],
  positionsAngstrom: readonly Vector3[],
): number[] {
  return parameters.map((a, i) => {
    let count = 0;
    parameters.forEach((b, j) => {
      if (i === j) return;
      const reference = (4 / 3) * (a.covalentRadiusAngstrom + b.covalentRadiusAngstrom);
      const separation = distance(positionsAngstrom[i]!, positionsAngstrom[j]!);
      count += 0.5 * (1 + erf((-COUNTING_STEEPNESS * (separation - reference)) / reference));
    });
    const limit = Math.exp(COORDINATION_MAX);
    return Math.log(1 + limit) - Math.log(1 + limit * Math.exp(-count));
  });
}

/** Solves a small dense system by elimination with partial pivoting; `matrix` is overwritten. */
function solveLinear(matrix: number[][], right: number[]): number[] {
  const size = right.length;
  const rows = matrix.map((row, index) => [...row, right[index]!]);
  for (let column = 0; column < size; column++) {
    let pivot = column;
    for (let row = column + 1; row < size; row++) {
      if (Math.abs(rows[row]![column]!) > Math.abs(rows[pivot]![column]!)) pivot = row;
    }
    [rows[column], rows[pivot]] = [rows[pivot]!, rows[column]!];
    for (let row = 0; row < size; row++) {
      if (row === column) continue;
      const factor = rows[row]![column]! / rows[column]![column]!;
      for (let k = column; k <= size; k++) rows[row]![k]! -= factor * rows[column]![k]!;
    }
  }
  return rows.map((row, index) => row[size]! / row[index]!);
}

/** Partial charges in units of the elementary charge, equal for atoms that symmetry makes equal. */
export function eeqCharges(
  atomicNumbers: readonly number[],
  positionsAngstrom: readonly Vector3[],
  totalCharge = 0,
): number[] {
  const parameters = parametersOf(atomicNumbers);
  const coordination = coordinationNumbers(parameters, positionsAngstrom);
  const size = parameters.length;
  const matrix = parameters.map((a, i) => {
    const row = parameters.map((b, j) => {
      if (i === j) return a.hardness + Math.sqrt(2 / Math.PI) / a.widthBohr;
      const separation = distance(positionsAngstrom[i]!, positionsAngstrom[j]!) / ANGSTROM_PER_BOHR;
      const gamma = 1 / Math.sqrt(a.widthBohr ** 2 + b.widthBohr ** 2);
      return erf(gamma * separation) / separation;
    });
    return [...row, 1];
  });
  matrix.push([...parameters.map(() => 1), 0]);
  const right = parameters.map(
    (a, i) => -a.electronegativity + a.coordinationScale * Math.sqrt(coordination[i]!),
  );
  return solveLinear(matrix, [...right, totalCharge]).slice(0, size);
}
