import type { EnergyModel } from './energy-model.ts';
import { isZero, spansOf, wholePoints } from './lattice-points.ts';
import { apply, inverse, norm, subtract, transpose, type Matrix3, type Vector3 } from './vector.ts';

/** How far molecules may move before the lists are made again. */
export const SKIN_ANGSTROM = 1;

/**
 * Molecules near the reference one: operation and lattice translation. Of a molecule and the one
 * that the inverse operation makes only the first is kept, with twice the weight: both pairs are
 * the same pair seen from either end, so their energies and derivatives are equal.
 */
export interface Neighbours {
  count: number;
  operation: Int32Array;
  /** Three for each: the translation of the operation and of the lattice together. */
  shift: Float64Array;
  weight: Float64Array;
}

export interface NeighbourQuery {
  columns: Matrix3;
  centre: Vector3;
}

function isKept(model: EnergyModel, operation: number, n: Vector3): 0 | 1 | 2 {
  const partner = model.inverseOperation[operation]!;
  const other = partnerTranslation(model, operation, n);
  if (partner !== operation) return partner > operation ? 2 : 0;
  for (let k = 0; k < 3; k++) {
    const difference = n[k]! - other[k]!;
    if (difference !== 0) return difference > 0 ? 2 : 0;
  }
  return 1;
}

/** The lattice translation that goes with the inverse of an operation and a translation. */
function partnerTranslation(model: EnergyModel, operation: number, n: Vector3): Vector3 {
  const partner = model.inverseOperation[operation]!;
  const result: [number, number, number] = [0, 0, 0];
  for (let k = 0; k < 3; k++) {
    let sum = -model.translations[3 * partner + k]!;
    for (let l = 0; l < 3; l++) {
      const w = model.fractional[9 * partner + 3 * k + l]!;
      sum -= w * (model.translations[3 * operation + l]! + n[l]!);
    }
    result[k] = Math.round(sum);
  }
  return result;
}

/** The centre of the reference molecule minus that of its image, fractional. */
function separation(model: EnergyModel, operation: number, centre: Vector3): Vector3 {
  const part = (k: number) => {
    let sum = centre[k]! - model.translations[3 * operation + k]!;
    for (let l = 0; l < 3; l++) sum -= model.fractional[9 * operation + 3 * k + l]! * centre[l]!;
    return sum;
  };
  return [part(0), part(1), part(2)];
}

export function findNeighbours(model: EnergyModel, query: NeighbourQuery): Neighbours {
  const { columns } = query;
  const reach = model.tables.cutoffAngstrom + 2 * model.radiusAngstrom + SKIN_ANGSTROM;
  const spans = spansOf(inverse(columns), reach);
  const operations: number[] = [];
  const shifts: number[] = [];
  const weights: number[] = [];
  for (let operation = 0; operation < model.operationCount; operation++) {
    const u = separation(model, operation, query.centre);
    for (const n of wholePoints(u, spans)) {
      if (operation === 0 && isZero(n)) continue;
      const away = norm(apply(columns, subtract(u, n)));
      const kept = away < reach ? isKept(model, operation, n) : 0;
      if (kept === 0) continue;
      operations.push(operation);
      for (let k = 0; k < 3; k++) shifts.push(model.translations[3 * operation + k]! + n[k]!);
      weights.push(kept / 2);
    }
  }
  return {
    count: operations.length,
    operation: Int32Array.from(operations),
    shift: Float64Array.from(shifts),
    weight: Float64Array.from(weights),
  };
}

/**
 * Reciprocal vectors, one of each set that the operations make of each other. The structure factor
 * of the cell is the sum over operations of a phase times the molecular factor at the turned
 * vector; turned vectors that are equal up to sign share one molecular factor.
 */
export interface Waves {
  count: number;
  /** Integer indices of the representative, three for each. */
  index: Int32Array;
  multiplicity: Float64Array;
  /** The terms of wave i are those from firstTerm[i] to firstTerm[i + 1]. */
  firstTerm: Int32Array;
  termIndex: Int32Array;
  /** Coefficients of the molecular factor and of its conjugate: four for each term. */
  coefficients: Float64Array;
}

interface Term {
  h: Vector3;
  coefficients: [number, number, number, number];
}

function turned(model: EnergyModel, operation: number, h: Vector3): Vector3 {
  const w = model.fractional;
  const part = (column: number) => {
    let sum = 0;
    for (let k = 0; k < 3; k++) sum += h[k]! * w[9 * operation + 3 * k + column]!;
    return Math.round(sum);
  };
  return [part(0), part(1), part(2)];
}

/** Indices are far below 512: one whole number names a wave. */
const keyOf = (h: Vector3) => ((h[0] + 512) * 1024 + h[1] + 512) * 1024 + h[2] + 512;
const opposite = (h: Vector3): Vector3 => [0 - h[0], 0 - h[1], 0 - h[2]];

function isPositive(h: Vector3): boolean {
  return h[0] > 0 || (h[0] === 0 && (h[1] > 0 || (h[1] === 0 && h[2] > 0)));
}

function termsOf(model: EnergyModel, h: Vector3): Term[] {
  const terms = new Map<number, Term>();
  for (let operation = 0; operation < model.operationCount; operation++) {
    const image = turned(model, operation, h);
    const positive = isPositive(image);
    const stored = positive ? image : opposite(image);
    let phase = 0;
    for (let k = 0; k < 3; k++) phase += h[k]! * model.translations[3 * operation + k]!;
    const key = keyOf(stored);
    let term = terms.get(key);
    if (!term) {
      term = { h: stored, coefficients: [0, 0, 0, 0] };
      terms.set(key, term);
    }
    const at = positive ? 0 : 2;
    term.coefficients[at]! += Math.cos(2 * Math.PI * phase);
    term.coefficients[at + 1]! += Math.sin(2 * Math.PI * phase);
  }
  return [...terms.values()].filter((term) =>
    term.coefficients.some((value) => Math.abs(value) > 1e-9),
  );
}

/** Marks the waves that the operations make of one, and of its opposite; returns their number. */
function markOrbit(model: EnergyModel, h: Vector3, seen: Set<number>): number {
  const before = seen.size;
  for (let operation = 0; operation < model.operationCount; operation++) {
    const image = turned(model, operation, h);
    seen.add(keyOf(image));
    seen.add(keyOf(opposite(image)));
  }
  return seen.size - before;
}

export function findWaves(model: EnergyModel, columns: Matrix3): Waves {
  const limit = model.reciprocalCutoffPerAngstrom / (2 * Math.PI);
  const toWave = transpose(inverse(columns));
  const spans = spansOf(transpose(columns), limit);
  const seen = new Set<number>();
  const index: number[] = [];
  const multiplicity: number[] = [];
  const terms: Term[] = [];
  const firstTerm = [0];
  for (const h of wholePoints([0, 0, 0], spans)) {
    if (!isPositive(h) || seen.has(keyOf(h)) || norm(apply(toWave, h)) > limit) continue;
    const size = markOrbit(model, h, seen);
    const own = termsOf(model, h);
    if (own.length === 0) continue;
    index.push(...h);
    multiplicity.push(size);
    terms.push(...own);
    firstTerm.push(terms.length);
  }
  return {
    count: multiplicity.length,
    index: Int32Array.from(index),
    multiplicity: Float64Array.from(multiplicity),
    firstTerm: Int32Array.from(firstTerm),
    termIndex: Int32Array.from(terms.flatMap((term) => term.h)),
    coefficients: Float64Array.from(terms.flatMap((term) => term.coefficients)),
  };
}
