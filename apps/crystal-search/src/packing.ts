import { volumeOf } from './cell.ts';
import { mappings, type MoleculeGraph } from './isomorphism.ts';
import { spansOf, wholePoints } from './lattice-points.ts';
import { moved, superpose, type Superposition } from './superpose.ts';
import {
  add,
  apply,
  centroid,
  distance,
  dot,
  inverse,
  scale,
  subtract,
  transpose,
  type Matrix3,
  type Vector3,
} from './vector.ts';

/** Molecules of one cell, atom for atom in the same order, Cartesian. */
export interface PackedCrystal {
  lattice: Matrix3;
  molecules: Vector3[][];
}

/** A molecule among its neighbours, nearest first; the first is the central one. */
export interface Surroundings {
  centres: Vector3[];
  molecules: Vector3[][];
}

/** Size of the compared cluster: J. A. Chisholm and S. Motherwell, J. Appl. Cryst. 38 (2005) 228. */
export const CLUSTER_SIZE = 15;
/** How far a neighbour may be from its counterpart, as a part of its distance from the centre. */
const DISTANCE_TOLERANCE = 0.2;
/** Larger than any cluster of 15 needs, so that its counterpart can be found at other distances. */
const SURROUNDINGS_SIZE = 45;
/** Two central molecules that fit worse than this are not the same conformer. */
const MOLECULE_RMSD_MAX_ANGSTROM = 0.6;

export function surroundings(crystal: PackedCrystal, central: number): Surroundings {
  const columns = transpose(crystal.lattice);
  const rows = inverse(columns);
  const centres = crystal.molecules.map((atoms) => centroid(atoms));
  const home = centres[central]!;
  const perMolecule = volumeOf(crystal.lattice) / centres.length;
  // A sphere with room for twice the molecules wanted.
  let reach = Math.cbrt((SURROUNDINGS_SIZE * perMolecule * 3) / (2 * Math.PI));
  for (; ; reach *= 1.3) {
    const found = within({ crystal, columns, rows, centres }, home, reach);
    if (found.length < SURROUNDINGS_SIZE) continue;
    const nearest = found.toSorted((a, b) => a.away - b.away).slice(0, SURROUNDINGS_SIZE);
    return {
      centres: nearest.map(({ index, shift }) => add(centres[index]!, shift)),
      molecules: nearest.map(({ index, shift }) =>
        crystal.molecules[index]!.map((atom) => add(atom, shift)),
      ),
    };
  }
}

interface Cell {
  crystal: PackedCrystal;
  columns: Matrix3;
  rows: Matrix3;
  centres: Vector3[];
}

function within(cell: Cell, home: Vector3, reach: number) {
  const spans = spansOf(cell.rows, reach);
  return cell.centres.flatMap((centre, index) => {
    const found: { index: number; shift: Vector3; away: number }[] = [];
    for (const n of wholePoints(apply(cell.rows, subtract(home, centre)), spans)) {
      const shift = apply(cell.columns, n);
      const away = distance(add(centre, shift), home);
      if (away < reach) found.push({ index, shift, away });
    }
    return found;
  });
}

/** Distances of the nearest molecules: the same for equal packings, and quick to compare. */
export function radialFingerprint(around: Surroundings, count = 30): number[] {
  return around.centres.slice(1, count + 1).map((centre) => distance(centre, around.centres[0]!));
}

export function fingerprintDistance(a: readonly number[], b: readonly number[]): number {
  const sum = a.reduce((total, value, index) => total + (value - b[index]!) ** 2, 0);
  return Math.sqrt(sum / Math.max(a.length, 1));
}

/** What is compared atom by atom, and the ways to rename like atoms. */
export interface ComparisonFrame {
  /** Heavy atoms, or all of them in molecules with fewer than three. */
  used: number[];
  /** Renamings of the used atoms that keep elements and bonds. */
  renamings: number[][];
}

export function comparisonFrame(graph: MoleculeGraph): ComparisonFrame {
  const heavy = graph.elements.flatMap((element, index) => (element === 'H' ? [] : [index]));
  const used = heavy.length > 2 ? heavy : graph.elements.map((_, index) => index);
  const seen = new Map<string, number[]>();
  for (const mapping of mappings(graph, graph)) {
    const renaming = used.map((index) => mapping[index]!);
    seen.set(renaming.join(), renaming);
  }
  return { used, renamings: [...seen.values()] };
}

export interface Overlay {
  /** Of the 15 molecules, how many have a counterpart. */
  matched: number;
  rmsdAngstrom: number;
}

function rmsd(a: readonly Vector3[], b: readonly Vector3[]): number {
  const sum = a.reduce((total, point, k) => total + distance(point, b[k]!) ** 2, 0);
  return Math.sqrt(sum / a.length);
}

/** Pairs of atoms of the molecules that stand for each other under a superposition. */
function matchedAtoms(
  first: Surroundings,
  second: Surroundings,
  by: Superposition,
  frame: ComparisonFrame,
) {
  const from: Vector3[] = [];
  const to: Vector3[] = [];
  let matched = 0;
  const centres = second.centres.map((centre) => moved(centre, by));
  first.centres.slice(0, CLUSTER_SIZE).forEach((centre, index) => {
    const away = distance(centre, first.centres[0]!);
    const limit = index === 0 ? MOLECULE_RMSD_MAX_ANGSTROM : DISTANCE_TOLERANCE * away;
    const separations = centres.map((other) => distance(other, centre));
    const nearest = separations.indexOf(Math.min(...separations));
    if (separations[nearest]! > limit) return;
    const target = frame.used.map((atom) => first.molecules[index]![atom]!);
    const other = second.molecules[nearest]!;
    const best = frame.renamings
      .map((renaming) => renaming.map((atom) => other[atom]!))
      .map((atoms) => ({
        atoms,
        fit: rmsd(
          atoms.map((atom) => moved(atom, by)),
          target,
        ),
      }))
      .reduce((a, b) => (b.fit < a.fit ? b : a));
    // A neighbour that lies in the right place but turned otherwise is no counterpart.
    if (best.fit > Math.max(limit, 1.5)) return;
    matched++;
    from.push(...best.atoms);
    to.push(...target);
  });
  return { matched, from, to };
}

function inverted(around: Surroundings): Surroundings {
  const flip = (v: Vector3) => scale(v, -1);
  return {
    centres: around.centres.map(flip),
    molecules: around.molecules.map((atoms) => atoms.map(flip)),
  };
}

function isNew(rotation: Matrix3, known: Matrix3[]): boolean {
  const flat = rotation.flat();
  const isKnown = known.some((other) =>
    other.flat().every((value, k) => Math.abs(value - flat[k]!) < 0.05),
  );
  if (!isKnown) known.push(rotation);
  return !isKnown;
}

/** Nearer to the axis of a molecule in line than this, a point does not say how it is turned about it. */
const OFF_AXIS_MIN_ANGSTROM = 0.5;

function offAxisAngstrom(point: Vector3, atoms: readonly Vector3[]): number {
  const axis = subtract(atoms.at(-1)!, atoms[0]!);
  const along = subtract(point, atoms[0]!);
  const part = dot(along, axis) / dot(axis, axis);
  return distance(along, scale(axis, part));
}

const isInLine = (atoms: readonly Vector3[]): boolean =>
  atoms.every((atom) => offAxisAngstrom(atom, atoms) < OFF_AXIS_MIN_ANGSTROM);

/** Points of the first crystal that fix how the second is to lie, and those they may be laid on by. */
interface Anchors {
  readonly target: readonly Vector3[];
  readonly sources: (atoms: readonly Vector3[], other: Surroundings) => readonly Vector3[][];
}

/** The central molecule; if it is in line, with the centre of a neighbour beside it. */
function anchorsOf(first: Surroundings, frame: ComparisonFrame): Anchors {
  const atoms = frame.used.map((atom) => first.molecules[0]![atom]!);
  const alone: Anchors = { target: atoms, sources: (own) => [[...own]] };
  if (!isInLine(atoms)) return alone;
  const home = first.centres[0]!;
  const beside = first.centres
    .slice(1, CLUSTER_SIZE)
    .find((centre) => offAxisAngstrom(centre, atoms) > OFF_AXIS_MIN_ANGSTROM);
  if (beside === undefined) return alone;
  const away = distance(beside, home);
  return {
    target: [...atoms, beside],
    sources: (own, other) =>
      other.centres
        .slice(1)
        .filter((centre) => {
          const apart = Math.abs(distance(centre, other.centres[0]!) - away);
          return apart < DISTANCE_TOLERANCE * away;
        })
        .map((centre) => [...own, centre]),
  };
}

/** The best overlay of clusters of 15 molecules, mirror images allowed. */
export function overlay(
  first: Surroundings,
  second: Surroundings,
  frame: ComparisonFrame,
): Overlay {
  let best: Overlay = { matched: 0, rmsdAngstrom: Infinity };
  const { target, sources } = anchorsOf(first, frame);
  for (const candidate of [second, inverted(second)]) {
    const known: Matrix3[] = [];
    const ways = frame.renamings.flatMap((renaming) =>
      sources(
        renaming.map((atom) => candidate.molecules[0]![atom]!),
        candidate,
      ),
    );
    for (const source of ways) {
      const by = superpose(source, target);
      if (by.rmsdAngstrom > MOLECULE_RMSD_MAX_ANGSTROM || !isNew(by.rotation, known)) continue;
      const { matched, from, to } = matchedAtoms(first, candidate, by, frame);
      if (matched < best.matched || matched === 0) continue;
      const fit = superpose(from, to).rmsdAngstrom;
      if (matched > best.matched || fit < best.rmsdAngstrom) {
        best = { matched, rmsdAngstrom: fit };
      }
    }
  }
  return best;
}
