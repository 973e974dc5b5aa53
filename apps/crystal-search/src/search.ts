import { cosine, sine } from './trigonometry.ts';
import { latticeOf, volumeOf, type CellParameters } from './cell.ts';
import { cartesianRotation, type CrystalRecord } from './crystal.ts';
import { elementOf } from './elements.ts';
import type { Molecule } from './molecule.ts';
import { spaceGroupOperations, spaceGroupType, type Operation } from './moyo.ts';
import { isZero, spansOf, wholePoints } from './lattice-points.ts';
import { mix, sobolPoint } from './sobol.ts';
import {
  add,
  apply,
  dot,
  inverse,
  norm,
  rotationOf,
  subtract,
  transpose,
  type Quaternion,
  type Vector3,
} from './vector.ts';

/**
 * The space groups with one molecule in the asymmetric unit that hold most organic crystals
 * (Cambridge Structural Database, Z' = 1), and P1. Crystals on special positions of other groups
 * are reached through these as subgroups; the symmetry finder says afterwards what they are.
 */
export const SPACE_GROUPS: readonly number[] = [1, 2, 4, 7, 9, 14, 15, 19, 29, 33, 61];
/** R-3, for molecules with a threefold axis or rotation-reflection. */
const RHOMBOHEDRAL = 148;

export function defaultSpaceGroups(pointGroup: string): number[] {
  const isThreefold = /^(C3|D3|S6|T|O|I|C6|D6|C∞|D∞)/.test(pointGroup);
  return isThreefold ? [...SPACE_GROUPS, RHOMBOHEDRAL] : [...SPACE_GROUPS];
}

export interface SearchOptions {
  seed: number;
  spaceGroups: readonly number[];
  /** Structures for each space group. */
  perGroup: number;
  /** Sobol points tried for each structure before the group is given up. */
  attemptsMax: number;
  /** Number of the first Sobol point: blocks of a search are disjoint. */
  first: number;
}

export interface SearchReport {
  crystals: CrystalRecord[];
  /** By space group: points tried, and those that failed the contact or volume check. */
  tried: Record<string, number>;
}

/** Part of the sum of van der Waals radii that two atoms of different molecules may come to. */
const CONTACT_PART = 0.85;
/** Crystals hold a molecule in 1/0.9 to 1/0.55 of its volume at first (Kitaigorodskii: 0.65-0.77). */
const PACKING_MAX = 0.8;
const PACKING_MIN = 0.55;
/** A cell that must grow by more than this in length to lose its overlaps is given up. */
const GROWTH_MAX = 1.35;
const GROWTH_STEP = 1.02;

type Point = readonly number[];

function between(low: number, high: number, part: number): number {
  return low + (high - low) * part;
}

/** Uniform over rotations (Shoemake 1992). */
export function orientationOf(u: number, v: number, w: number): Quaternion {
  const [a, b] = [Math.sqrt(1 - u), Math.sqrt(u)];
  const [p, q] = [2 * Math.PI * v, 2 * Math.PI * w];
  return [b * cosine(q), a * sine(p), a * cosine(p), b * sine(q)];
}

/** Shape of the cell, before it is scaled to its volume. */
function shapeOf(system: string, point: Point): CellParameters {
  // Axes between one and three times the shortest; a product of ratios is as good as any other.
  const a = between(1, 3, point[0]!);
  const b = between(1, 3, point[1]!);
  const c = between(1, 3, point[2]!);
  if (system === 'Triclinic') {
    return [a, b, c, ...triclinicAngles(point)];
  }
  if (system === 'Monoclinic') return [a, b, c, 90, between(90, 125, point[4]!), 90];
  if (system === 'Trigonal' || system === 'Hexagonal') return [a, a, c, 90, 90, 120];
  if (system === 'Tetragonal') return [a, a, c, 90, 90, 90];
  if (system === 'Cubic') return [a, a, a, 90, 90, 90];
  return [a, b, c, 90, 90, 90];
}

function triclinicAngles(point: Point): [number, number, number] {
  const angle = (part: number) => between(60, 120, part);
  return [angle(point[3]!), angle(point[4]!), angle(point[5]!)];
}

function isCell(cell: CellParameters): boolean {
  const volume = volumeOf(latticeOf(cell));
  return Number.isFinite(volume) && volume > 0.3 * cell[0] * cell[1] * cell[2];
}

function scaledTo(cell: CellParameters, volume: number): CellParameters {
  const ratio = volume / volumeOf(latticeOf(cell));
  const factor = cubeRoot(ratio);
  return grown(cell, factor);
}

/** Newton's iteration: Math.cbrt may round differently elsewhere. */
export function cubeRoot(value: number): number {
  let root = value > 1 ? value / 3 + 1 : 1;
  for (let step = 0; step < 60; step++) root = (2 * root + value / (root * root)) / 3;
  return root;
}

function grown([a, b, c, ...angles]: CellParameters, factor: number): CellParameters {
  return [a * factor, b * factor, c * factor, ...angles];
}

/** Distances below which atoms of two molecules overlap, squared. */
function contactTable(molecule: Molecule): Float64Array {
  const radii = molecule.atoms.map((atom) => elementOf(atom.element).vanDerWaalsRadiusAngstrom);
  const polar = molecule.atoms.map((atom, index) => isPolar(molecule, atom.element, index));
  const acceptor = molecule.atoms.map((atom) => ['N', 'O', 'F'].includes(atom.element));
  return Float64Array.from(
    radii.flatMap((a, i) =>
      radii.map((b, j) => {
        // Hydrogen bonds are shorter than van der Waals contacts by about a third.
        const bonded = (polar[i]! && acceptor[j]!) || (polar[j]! && acceptor[i]!);
        const limit = (a + b) * (bonded ? 0.6 : CONTACT_PART);
        return limit * limit;
      }),
    ),
  );
}

function isPolar(molecule: Molecule, element: string, index: number): boolean {
  if (element !== 'H') return false;
  return molecule.bonds.some(([a, b]) => {
    const other = a === index ? b : b === index ? a : -1;
    return other >= 0 && ['N', 'O', 'F'].includes(molecule.atoms[other]!.element);
  });
}

interface Trial {
  operations: readonly Operation[];
  atoms: readonly Vector3[];
  centre: Vector3;
  limits: Float64Array;
  reach: number;
}

function overlaps(first: readonly Vector3[], second: readonly Vector3[], limits: Float64Array) {
  return first.some((a, i) =>
    second.some((b, j) => {
      const d = subtract(a, b);
      return dot(d, d) < limits[i * second.length + j]!;
    }),
  );
}

/** Whether any two molecules of the crystal overlap. */
function hasOverlap(cell: CellParameters, trial: Trial): boolean {
  const lattice = latticeOf(cell);
  const columns = transpose(lattice);
  const spans = spansOf(inverse(columns), trial.reach);
  const home = apply(columns, trial.centre);
  const own = trial.atoms.map((atom) => add(home, atom));
  return trial.operations.some(({ rotation, translation }, index) => {
    const turn = cartesianRotation(lattice, rotation);
    const image = trial.atoms.map((atom) => apply(turn, atom));
    const base = add(apply(rotation, trial.centre), translation);
    for (const n of wholePoints(subtract(trial.centre, base), spans)) {
      if (index === 0 && isZero(n)) continue;
      const centre = apply(columns, add(base, n));
      const away = subtract(centre, home);
      if (dot(away, away) > trial.reach * trial.reach) continue;
      const atoms = image.map((atom) => add(centre, atom));
      if (overlaps(own, atoms, trial.limits)) return true;
    }
    return false;
  });
}

interface Frame {
  molecule: Molecule;
  operations: Operation[];
  system: string;
  limits: Float64Array;
  radius: number;
}

/** The crystal of one Sobol point, or nothing when it cannot be made free of overlaps. */
function crystalAt(frame: Frame, point: Point) {
  const shape = shapeOf(frame.system, point);
  if (!isCell(shape)) return undefined;
  const packing = between(PACKING_MIN, PACKING_MAX, point[6]!);
  const target = (frame.operations.length * frame.molecule.volumeAngstrom3) / packing;
  const orientation = orientationOf(point[10]!, point[11]!, point[12]!);
  const turn = rotationOf(orientation);
  const centre: Vector3 = [point[7]!, point[8]!, point[9]!];
  const trial: Trial = {
    operations: frame.operations,
    atoms: frame.molecule.atoms.map((atom) => apply(turn, atom.positionAngstrom)),
    centre,
    limits: frame.limits,
    reach: 2 * frame.radius + 3.6,
  };
  let cell = scaledTo(shape, target);
  for (let growth = 1; growth < GROWTH_MAX; growth *= GROWTH_STEP) {
    if (!hasOverlap(cell, trial)) return { cell, centre, orientation };
    cell = grown(cell, GROWTH_STEP);
  }
  return undefined;
}

function fixed(value: number): number {
  return Number(value.toFixed(6));
}

function searchGroup(
  molecule: Molecule,
  spaceGroup: number,
  options: SearchOptions,
): { crystals: CrystalRecord[]; tried: number } {
  const frame: Frame = {
    molecule,
    operations: spaceGroupOperations(spaceGroup),
    system: spaceGroupType(spaceGroup).crystal_system,
    limits: contactTable(molecule),
    radius: Math.max(...molecule.atoms.map((atom) => norm(atom.positionAngstrom))),
  };
  const seed = mix(options.seed * 1009 + spaceGroup);
  const crystals: CrystalRecord[] = [];
  let tried = 0;
  for (; crystals.length < options.perGroup; tried++) {
    if (tried >= options.attemptsMax * options.perGroup) break;
    const index = options.first + tried;
    const found = crystalAt(frame, sobolPoint(seed, index));
    if (!found) continue;
    const [a, b, c, alpha, beta, gamma] = found.cell.map(fixed);
    const [x, y, z] = found.centre.map(fixed);
    const [q0, q1, q2, q3] = found.orientation.map(fixed);
    crystals.push({
      id: `${spaceGroup}-${index}`,
      spaceGroup,
      cell: [a!, b!, c!, alpha!, beta!, gamma!],
      centre: [x!, y!, z!],
      orientation: [q0!, q1!, q2!, q3!],
    });
  }
  return { crystals, tried };
}

export function search(molecule: Molecule, options: SearchOptions): SearchReport {
  const report: SearchReport = { crystals: [], tried: {} };
  for (const spaceGroup of options.spaceGroups) {
    const { crystals, tried } = searchGroup(molecule, spaceGroup, options);
    report.crystals.push(...crystals);
    report.tried[spaceGroup] = tried;
  }
  return report;
}
