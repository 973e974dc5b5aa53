import { bondsByDistance } from '@majorana/molecules/chemistry/bond-orders';
import { eeqCharges } from './eeq.ts';
import { elementOf } from './elements.ts';
import { asInput, InputError } from './errors.ts';
import { pointGroup, symmetrise, symmetryOperations } from './point-group.ts';
import { centroid, distance, subtract, type Vector3 } from './vector.ts';

export interface Atom {
  element: string;
  positionAngstrom: Vector3;
  /** In units of the elementary charge. */
  charge: number;
}

/** A rigid molecule with its centroid at the origin. */
export interface Molecule {
  format: 'crystal-search/molecule/1';
  name: string;
  pointGroup: string;
  chargeModel: string;
  /** What the geometry came from. */
  geometry: string;
  volumeAngstrom3: number;
  atoms: Atom[];
  bonds: [number, number][];
  /** One of several: its force field energy above the lowest of them. */
  conformerKjPerMol?: number;
}

/** The geometry that a crystal is built of. */
export function conformerOf(
  molecules: readonly Molecule[],
  record: { conformer?: number },
): Molecule {
  const molecule = molecules[(record.conformer ?? 1) - 1];
  if (!molecule) throw new InputError(`conformer ${record.conformer} is not in the molecule file`);
  return molecule;
}

export interface Geometry {
  name: string;
  elements: string[];
  positionsAngstrom: Vector3[];
  origin: string;
}

/** Bonds as distances tell them, in the order of their atoms. */
export function bondsOf(elements: readonly string[], positions: readonly Vector3[]) {
  const atoms = elements.map((element, index) => ({ element, position: positions[index]! }));
  const bonds = asInput('the molecule', () => bondsByDistance(atoms));
  return bonds.toSorted(([a, b], [c, d]) => a - c || b - d);
}

/** The labels of connected pieces, one for each atom. */
function components(count: number, bonds: readonly (readonly [number, number])[]) {
  const label = Array.from({ length: count }, (_, index) => index);
  for (let changed = true; changed;) {
    changed = false;
    for (const [a, b] of bonds) {
      const low = Math.min(label[a]!, label[b]!);
      if (label[a] !== low || label[b] !== low) changed = true;
      label[a] = low;
      label[b] = low;
    }
  }
  return label;
}

const VOLUME_GRID_ANGSTROM = 0.2;

/** Volume inside the van der Waals surface, counted on a grid. */
function molecularVolume(elements: readonly string[], positions: readonly Vector3[]) {
  const radii = elements.map((element) => elementOf(element).vanDerWaalsRadiusAngstrom);
  const h = VOLUME_GRID_ANGSTROM;
  const axis = (k: 0 | 1 | 2) => {
    const low = Math.min(...positions.map((p, i) => p[k] - radii[i]!));
    const high = Math.max(...positions.map((p, i) => p[k] + radii[i]!));
    return Array.from({ length: Math.ceil((high - low) / h) }, (_, n) => low + (n + 0.5) * h);
  };
  const [xs, ys, zs] = [axis(0), axis(1), axis(2)];
  const isInside = (at: Vector3) => positions.some((p, i) => distance(p, at) < radii[i]!);
  const inside = xs.flatMap((x) => ys.map((y) => zs.filter((z) => isInside([x, y, z])).length));
  return inside.reduce((sum, count) => sum + count, 0) * h * h * h;
}

function checkOneMolecule(geometry: Geometry, bonds: [number, number][]): void {
  if (geometry.elements.length < 2) throw new InputError(`${geometry.name}: fewer than two atoms`);
  const pieces = new Set(components(geometry.elements.length, bonds));
  if (pieces.size > 1) {
    throw new InputError(`${geometry.name}: ${pieces.size} molecules; only one can be searched`);
  }
}

export function buildMolecule(geometry: Geometry, charges?: readonly number[]): Molecule {
  const { elements, name } = geometry;
  const middle = centroid(geometry.positionsAngstrom);
  const centred = geometry.positionsAngstrom.map((position) => subtract(position, middle));
  const bonds = bondsOf(elements, centred);
  checkOneMolecule(geometry, bonds);
  const positions = symmetrise(centred, symmetryOperations(elements, centred));
  const operations = symmetryOperations(elements, positions);
  const numbers = elements.map((element) => elementOf(element).atomicNumber);
  const values = charges ?? eeqCharges(numbers, positions);
  return {
    format: 'crystal-search/molecule/1',
    name,
    pointGroup: pointGroup(positions, operations),
    chargeModel: charges ? 'given with the geometry' : 'EEQ of DFT-D4 (Caldeweyher 2019)',
    geometry: geometry.origin,
    volumeAngstrom3: Number(molecularVolume(elements, positions).toFixed(2)),
    atoms: elements.map((element, index) => ({
      element,
      positionAngstrom: positions[index]!,
      charge: values[index]!,
    })),
    bonds,
  };
}
