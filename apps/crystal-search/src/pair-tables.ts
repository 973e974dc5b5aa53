import { combine, type Exp6 } from './potential-tables.ts';
import { erfc } from './special-functions.ts';

/**
 * Pair energies as cubic pieces in the square of the distance: the hot loop then needs no root, no
 * exponential, and its forces are the exact derivatives of its energies.
 */
export interface PairTables {
  cutoffAngstrom: number;
  piecesPerAngstrom2: number;
  /** Four coefficients for each piece, kJ/mol per product of elementary charges. */
  coulomb: Float64Array;
  /** The same for each pair of types, `typeCount` x `typeCount`. */
  exp6: Float64Array[];
  typeCount: number;
  /** Integral of what lies beyond the taper, kJ/mol x Angstrom^3, for each pair of types. */
  tail: Float64Array;
}

/** e^2 / (4 pi epsilon_0) x Avogadro, CODATA 2018. */
export const COULOMB_KJ_ANGSTROM_PER_MOL = 1389.35457644;

/** Width of a piece 0.1 Angstrom^2: the error of exp(-3.6 r) at 2 Angstrom is 2e-7 of it. */
const PIECES_PER_ANGSTROM2 = 10;
/** The exp-6 part is tapered to nothing over this distance below the cutoff. */
const TAPER_ANGSTROM = 2;
/** Below this distance Coulomb's law is continued by its tangent. */
const COULOMB_CORE_ANGSTROM = 0.8;
/** Curvature of the wall that replaces the exp-6 collapse, kJ/mol/Angstrom^4. */
const WALL_KJ_PER_MOL_ANGSTROM4 = 50;

type Curve = (squared: number) => readonly [value: number, slope: number];

function tabulate(curve: Curve, count: number): Float64Array {
  const width = 1 / PIECES_PER_ANGSTROM2;
  const table = new Float64Array(4 * (count + 2));
  let [value, slope] = curve(0);
  for (let piece = 0; piece < count; piece++) {
    const [nextValue, nextSlope] = curve((piece + 1) * width);
    table[4 * piece] = value;
    table[4 * piece + 1] = slope * width;
    table[4 * piece + 2] = 3 * (nextValue - value) - width * (2 * slope + nextSlope);
    table[4 * piece + 3] = 2 * (value - nextValue) + width * (slope + nextSlope);
    value = nextValue;
    slope = nextSlope;
  }
  return table;
}

/**
 * What erfc leaves at the cutoff (4e-6 kJ/mol for two charges) is taken away with its slope, so
 * that energies do not jump when an atom crosses it.
 */
function coulombCurve(splitPerAngstrom: number, cutoff: number): Curve {
  const whole: Curve = (squared) => {
    const r = Math.sqrt(squared);
    const value = erfc(splitPerAngstrom * r) / r;
    const gauss =
      ((2 * splitPerAngstrom) / Math.sqrt(Math.PI)) *
      Math.exp(-splitPerAngstrom * splitPerAngstrom * squared);
    const slope = -(value + gauss) / (2 * squared);
    return [COULOMB_KJ_ANGSTROM_PER_MOL * value, COULOMB_KJ_ANGSTROM_PER_MOL * slope];
  };
  const edge = cutoff ** 2;
  const [edgeValue, edgeSlope] = whole(edge);
  const plain: Curve = (squared) => {
    const [value, slope] = whole(squared);
    return [value - edgeValue - edgeSlope * (squared - edge), slope - edgeSlope];
  };
  const core = COULOMB_CORE_ANGSTROM ** 2;
  const [value, slope] = plain(core);
  return (squared) =>
    squared >= core ? plain(squared) : [value + slope * (squared - core), slope];
}

/** 1 below `start`, 0 above `end`, with continuous second derivative. */
function taper(r: number, start: number, end: number): readonly [number, number] {
  if (r <= start) return [1, 0];
  if (r >= end) return [0, 0];
  const t = (r - start) / (end - start);
  return [
    1 - t * t * t * (10 - 15 * t + 6 * t * t),
    (-30 * t * t * (1 - t) * (1 - t)) / (end - start),
  ];
}

function exp6Energy(pair: Exp6, r: number): readonly [value: number, derivative: number] {
  const repulsion = pair.repulsionKjPerMol * Math.exp(-pair.decayPerAngstrom * r);
  const dispersion = pair.dispersionKjPerMolAngstrom6 / r ** 6;
  return [repulsion - dispersion, -pair.decayPerAngstrom * repulsion + (6 * dispersion) / r];
}

/** Where the repulsive force is largest: from there inwards the exp-6 form is not physical. */
function innerLimitAngstrom(pair: Exp6): number {
  let best = 0.6;
  let steepest = Infinity;
  for (let r = 0.6; r < 3; r += 0.005) {
    const derivative = exp6Energy(pair, r)[1];
    if (derivative < steepest) {
      steepest = derivative;
      best = r;
    }
  }
  return best;
}

function exp6Curve(pair: Exp6, cutoff: number): Curve {
  const outer: Curve = (squared) => {
    const r = Math.sqrt(squared);
    const [value, derivative] = exp6Energy(pair, r);
    const [weight, weightDerivative] = taper(r, cutoff - TAPER_ANGSTROM, cutoff);
    return [value * weight, (derivative * weight + value * weightDerivative) / (2 * r)];
  };
  const limit = innerLimitAngstrom(pair) ** 2;
  const [value, slope] = outer(limit);
  return (squared) => {
    if (squared >= limit) return outer(squared);
    const depth = squared - limit;
    return [
      value + slope * depth + WALL_KJ_PER_MOL_ANGSTROM4 * depth * depth,
      slope + 2 * WALL_KJ_PER_MOL_ANGSTROM4 * depth,
    ];
  };
}

/** -C times the integral of (1 - taper) 4 pi r^2 / r^6 from where the taper starts. */
function tailIntegral(pair: Exp6, cutoff: number): number {
  const steps = 400;
  const start = cutoff - TAPER_ANGSTROM;
  const width = TAPER_ANGSTROM / steps;
  let integral = 1 / (3 * cutoff ** 3);
  for (let step = 0; step < steps; step++) {
    const r = start + (step + 0.5) * width;
    integral += ((1 - taper(r, start, cutoff)[0]) * width) / r ** 4;
  }
  return -4 * Math.PI * pair.dispersionKjPerMolAngstrom6 * integral;
}

export function pairTables(
  types: readonly Exp6[],
  cutoffAngstrom: number,
  splitPerAngstrom: number,
): PairTables {
  const count = Math.ceil(cutoffAngstrom ** 2 * PIECES_PER_ANGSTROM2);
  const pairs = types.flatMap((a) => types.map((b) => combine(a, b)));
  return {
    cutoffAngstrom,
    piecesPerAngstrom2: PIECES_PER_ANGSTROM2,
    coulomb: tabulate(coulombCurve(splitPerAngstrom, cutoffAngstrom), count),
    exp6: pairs.map((pair) => tabulate(exp6Curve(pair, cutoffAngstrom), count)),
    typeCount: types.length,
    tail: Float64Array.from(pairs, (pair) => tailIntegral(pair, cutoffAngstrom)),
  };
}
