import { latticeColumns, reciprocalRows, variableCount, type EnergyModel } from './energy-model.ts';
import {
  findNeighbours,
  findWaves,
  SKIN_ANGSTROM,
  type Neighbours,
  type Waves,
} from './neighbours.ts';
import { COULOMB_KJ_ANGSTROM_PER_MOL } from './pair-tables.ts';
import {
  addMatrix,
  apply,
  contract,
  determinant,
  inverse,
  multiply,
  norm,
  rotationOf,
  subtract,
  scaleMatrix,
  transpose,
  type Matrix3,
  type Quaternion,
  type Vector3,
} from './vector.ts';

/** Energy in kJ/mol for one molecule, and its gradient by the variables of the model. */
export interface LatticeEnergy {
  evaluate: (variables: Float64Array, gradient: Float64Array) => number;
  /** How often lists of neighbours were made. */
  listCount: () => number;
}

interface Workspace {
  model: EnergyModel;
  neighbours: Neighbours;
  waves: Waves;
  builtColumns: Matrix3;
  builtCentre: Vector3;
  listCount: number;
  /** Sites relative to the centre of the molecule, and of its image under each operation. */
  arms: Float64Array;
  images: Float64Array;
  /** Derivative by the position of each site, all copies moving with it. */
  forces: Float64Array;
  imageForces: Float64Array;
  /** Derivative by the elements of the matrix of lattice columns, and by the centre. */
  byColumns: Float64Array;
  byCentre: Float64Array;
  /** One for each term of a wave: cosines and sines at each site. */
  phases: Float64Array;
}

interface Geometry {
  columns: Matrix3;
  centre: Vector3;
  quaternion: Quaternion;
}

function unpack(model: EnergyModel, variables: Float64Array): Geometry {
  const at = model.strains.length;
  return {
    columns: latticeColumns(model, variables),
    centre: [
      variables[at]! / model.centreScale,
      variables[at + 1]! / model.centreScale,
      variables[at + 2]! / model.centreScale,
    ],
    quaternion: [
      variables[at + 3]! / model.turnScale,
      variables[at + 4]! / model.turnScale,
      variables[at + 5]! / model.turnScale,
      variables[at + 6]! / model.turnScale,
    ],
  };
}

function needsLists(space: Workspace, geometry: Geometry): boolean {
  if (space.listCount === 0) return true;
  const change = addMatrix(multiply(geometry.columns, inverse(space.builtColumns)), [
    [-1, 0, 0],
    [0, -1, 0],
    [0, 0, -1],
  ]);
  const reach = space.model.tables.cutoffAngstrom + 2 * space.model.radiusAngstrom;
  const strain = Math.sqrt(contract(change, change)) * (reach + SKIN_ANGSTROM);
  const shift = norm(apply(geometry.columns, subtract(geometry.centre, space.builtCentre)));
  return strain + 2 * shift > SKIN_ANGSTROM;
}

function makeLists(space: Workspace, geometry: Geometry): void {
  space.neighbours = findNeighbours(space.model, geometry);
  space.waves = findWaves(space.model, geometry.columns);
  space.builtColumns = geometry.columns;
  space.builtCentre = geometry.centre;
  space.listCount++;
  const terms = space.waves.coefficients.length / 4;
  const needed = terms * space.model.atomCount * 2;
  if (space.phases.length < needed) space.phases = new Float64Array(2 * needed);
}

function placeSites(space: Workspace, turn: Matrix3): void {
  const { model, arms, images } = space;
  const count = model.atomCount;
  for (let i = 0; i < count; i++) {
    const x = model.body[3 * i]!;
    const y = model.body[3 * i + 1]!;
    const z = model.body[3 * i + 2]!;
    arms[3 * i] = turn[0][0] * x + turn[0][1] * y + turn[0][2] * z;
    arms[3 * i + 1] = turn[1][0] * x + turn[1][1] * y + turn[1][2] * z;
    arms[3 * i + 2] = turn[2][0] * x + turn[2][1] * y + turn[2][2] * z;
  }
  const r = model.cartesian;
  for (let g = 0; g < model.operationCount; g++) {
    const m = 9 * g;
    for (let i = 0; i < count; i++) {
      const x = arms[3 * i]!;
      const y = arms[3 * i + 1]!;
      const z = arms[3 * i + 2]!;
      const at = 3 * (g * count + i);
      images[at] = r[m]! * x + r[m + 1]! * y + r[m + 2]! * z;
      images[at + 1] = r[m + 3]! * x + r[m + 4]! * y + r[m + 5]! * z;
      images[at + 2] = r[m + 6]! * x + r[m + 7]! * y + r[m + 8]! * z;
    }
  }
}

/** All site pairs between the reference molecule and one image. */
function pairEnergy(
  space: Workspace,
  operation: number,
  separation: Vector3,
  weight: number,
): number {
  const { model, arms, images, forces, imageForces } = space;
  const { coulomb, exp6, typeCount, piecesPerAngstrom2 } = model.tables;
  const { charges, typeIndex, atomCount } = model;
  const limit = model.tables.cutoffAngstrom ** 2;
  const [cx, cy, cz] = separation;
  const slopeToForce = 2 * piecesPerAngstrom2 * weight;
  let energy = 0;
  for (let i = 0; i < atomCount; i++) {
    const x = cx + arms[3 * i]!;
    const y = cy + arms[3 * i + 1]!;
    const z = cz + arms[3 * i + 2]!;
    const charge = charges[i]!;
    const row = typeIndex[i]! * typeCount;
    let fx = 0;
    let fy = 0;
    let fz = 0;
    for (let j = 0, at = 3 * operation * atomCount; j < atomCount; j++, at += 3) {
      const dx = x - images[at]!;
      const dy = y - images[at + 1]!;
      const dz = z - images[at + 2]!;
      const squared = dx * dx + dy * dy + dz * dz;
      if (squared >= limit) continue;
      const position = squared * piecesPerAngstrom2;
      const piece = position | 0;
      const t = position - piece;
      const k = 4 * piece;
      const table = exp6[row + typeIndex[j]!]!;
      const q = charge * charges[j]!;
      const c1 = table[k + 1]! + q * coulomb[k + 1]!;
      const c2 = table[k + 2]! + q * coulomb[k + 2]!;
      const c3 = table[k + 3]! + q * coulomb[k + 3]!;
      energy += table[k]! + q * coulomb[k]! + t * (c1 + t * (c2 + t * c3));
      const factor = slopeToForce * (c1 + t * (2 * c2 + 3 * t * c3));
      fx += factor * dx;
      fy += factor * dy;
      fz += factor * dz;
      imageForces[3 * j]! += factor * dx;
      imageForces[3 * j + 1]! += factor * dy;
      imageForces[3 * j + 2]! += factor * dz;
    }
    forces[3 * i]! += fx;
    forces[3 * i + 1]! += fy;
    forces[3 * i + 2]! += fz;
  }
  return energy * weight;
}

/** Turns the forces on the image back onto the reference molecule; returns their sum. */
function foldForces(space: Workspace, operation: number): Vector3 {
  const { model, forces, imageForces } = space;
  const r = model.cartesian;
  const m = 9 * operation;
  let sx = 0;
  let sy = 0;
  let sz = 0;
  for (let j = 0; j < model.atomCount; j++) {
    const fx = imageForces[3 * j]!;
    const fy = imageForces[3 * j + 1]!;
    const fz = imageForces[3 * j + 2]!;
    sx += fx;
    sy += fy;
    sz += fz;
    forces[3 * j]! -= r[m]! * fx + r[m + 3]! * fy + r[m + 6]! * fz;
    forces[3 * j + 1]! -= r[m + 1]! * fx + r[m + 4]! * fy + r[m + 7]! * fz;
    forces[3 * j + 2]! -= r[m + 2]! * fx + r[m + 5]! * fy + r[m + 8]! * fz;
  }
  return [sx, sy, sz];
}

function directSum(space: Workspace, geometry: Geometry): number {
  const { model, neighbours, byColumns, byCentre } = space;
  const h = geometry.columns;
  const [s0, s1, s2] = geometry.centre;
  const reach = (model.tables.cutoffAngstrom + 2 * model.radiusAngstrom) ** 2;
  const w = model.fractional;
  let energy = 0;
  for (let n = 0; n < neighbours.count; n++) {
    const g = neighbours.operation[n]!;
    const m = 9 * g;
    const u0 = s0 - w[m]! * s0 - w[m + 1]! * s1 - w[m + 2]! * s2 - neighbours.shift[3 * n]!;
    const u1 = s1 - w[m + 3]! * s0 - w[m + 4]! * s1 - w[m + 5]! * s2 - neighbours.shift[3 * n + 1]!;
    const u2 = s2 - w[m + 6]! * s0 - w[m + 7]! * s1 - w[m + 8]! * s2 - neighbours.shift[3 * n + 2]!;
    const x = h[0][0] * u0 + h[0][1] * u1 + h[0][2] * u2;
    const y = h[1][0] * u0 + h[1][1] * u1 + h[1][2] * u2;
    const z = h[2][0] * u0 + h[2][1] * u1 + h[2][2] * u2;
    if (x * x + y * y + z * z >= reach) continue;
    space.imageForces.fill(0);
    energy += pairEnergy(space, g, [x, y, z], neighbours.weight[n]!);
    const [fx, fy, fz] = foldForces(space, g);
    byColumns[0]! += fx * u0;
    byColumns[1]! += fx * u1;
    byColumns[2]! += fx * u2;
    byColumns[3]! += fy * u0;
    byColumns[4]! += fy * u1;
    byColumns[5]! += fy * u2;
    byColumns[6]! += fz * u0;
    byColumns[7]! += fz * u1;
    byColumns[8]! += fz * u2;
    const v0 = h[0][0] * fx + h[1][0] * fy + h[2][0] * fz;
    const v1 = h[0][1] * fx + h[1][1] * fy + h[2][1] * fz;
    const v2 = h[0][2] * fx + h[1][2] * fy + h[2][2] * fz;
    byCentre[0]! += v0 - w[m]! * v0 - w[m + 3]! * v1 - w[m + 6]! * v2;
    byCentre[1]! += v1 - w[m + 1]! * v0 - w[m + 4]! * v1 - w[m + 7]! * v2;
    byCentre[2]! += v2 - w[m + 2]! * v0 - w[m + 5]! * v1 - w[m + 8]! * v2;
  }
  return energy;
}

/** Structure factor of the cell at a wave; phases at the sites are kept for the forces. */
function structureFactor(
  space: Workspace,
  wave: number,
  rows: Matrix3,
  sites: Float64Array,
): readonly [number, number] {
  const { model, waves, phases } = space;
  const count = model.atomCount;
  let real = 0;
  let imaginary = 0;
  for (let term = waves.firstTerm[wave]!; term < waves.firstTerm[wave + 1]!; term++) {
    const a = 2 * Math.PI * waves.termIndex[3 * term]!;
    const b = 2 * Math.PI * waves.termIndex[3 * term + 1]!;
    const c = 2 * Math.PI * waves.termIndex[3 * term + 2]!;
    const kx = a * rows[0][0] + b * rows[1][0] + c * rows[2][0];
    const ky = a * rows[0][1] + b * rows[1][1] + c * rows[2][1];
    const kz = a * rows[0][2] + b * rows[1][2] + c * rows[2][2];
    let fr = 0;
    let fi = 0;
    for (let i = 0; i < count; i++) {
      const phase = kx * sites[3 * i]! + ky * sites[3 * i + 1]! + kz * sites[3 * i + 2]!;
      const cosine = Math.cos(phase);
      const sine = Math.sin(phase);
      phases[2 * (term * count + i)] = cosine;
      phases[2 * (term * count + i) + 1] = sine;
      fr += model.charges[i]! * cosine;
      fi += model.charges[i]! * sine;
    }
    const o = 4 * term;
    const [ar, ai] = [waves.coefficients[o]!, waves.coefficients[o + 1]!];
    const [br, bi] = [waves.coefficients[o + 2]!, waves.coefficients[o + 3]!];
    real += ar * fr - ai * fi + br * fr + bi * fi;
    imaginary += ar * fi + ai * fr - br * fi + bi * fr;
  }
  return [real, imaginary];
}

/** Adds the forces of one wave; `factor` is twice its prefactor. */
function waveForces(
  space: Workspace,
  wave: number,
  rows: Matrix3,
  [real, imaginary, factor]: readonly [number, number, number],
): void {
  const { model, waves, phases, forces } = space;
  const count = model.atomCount;
  for (let term = waves.firstTerm[wave]!; term < waves.firstTerm[wave + 1]!; term++) {
    const a = 2 * Math.PI * waves.termIndex[3 * term]!;
    const b = 2 * Math.PI * waves.termIndex[3 * term + 1]!;
    const c = 2 * Math.PI * waves.termIndex[3 * term + 2]!;
    const kx = a * rows[0][0] + b * rows[1][0] + c * rows[2][0];
    const ky = a * rows[0][1] + b * rows[1][1] + c * rows[2][1];
    const kz = a * rows[0][2] + b * rows[1][2] + c * rows[2][2];
    const o = 4 * term;
    const ar = waves.coefficients[o]! + waves.coefficients[o + 2]!;
    const ai = waves.coefficients[o + 1]! - waves.coefficients[o + 3]!;
    const br = waves.coefficients[o]! - waves.coefficients[o + 2]!;
    const bi = waves.coefficients[o + 1]! + waves.coefficients[o + 3]!;
    // d(real)/d(phase) = -ar sin - ai cos and d(imaginary)/d(phase) = br cos - bi sin.
    const sineWeight = -(ar * real + bi * imaginary);
    const cosineWeight = br * imaginary - ai * real;
    for (let i = 0; i < count; i++) {
      const at = 2 * (term * count + i);
      const slope =
        factor * model.charges[i]! * (cosineWeight * phases[at]! + sineWeight * phases[at + 1]!);
      forces[3 * i]! += slope * kx;
      forces[3 * i + 1]! += slope * ky;
      forces[3 * i + 2]! += slope * kz;
    }
  }
}

/** Energy and strain derivative at fixed fractional sites; forces go to the workspace. */
function reciprocalSum(space: Workspace, geometry: Geometry, sites: Float64Array) {
  const { model, waves } = space;
  const rows = reciprocalRows(geometry.columns);
  const volume = Math.abs(determinant(geometry.columns));
  const unit = (2 * Math.PI * COULOMB_KJ_ANGSTROM_PER_MOL) / (volume * model.operationCount);
  const decay = 1 / (4 * model.splitPerAngstrom ** 2);
  let energy = 0;
  const strain = new Float64Array(9);
  for (let wave = 0; wave < waves.count; wave++) {
    const [real, imaginary] = structureFactor(space, wave, rows, sites);
    const k = [0, 1, 2].map(
      (axis) =>
        2 *
        Math.PI *
        (waves.index[3 * wave]! * rows[0][axis]! +
          waves.index[3 * wave + 1]! * rows[1][axis]! +
          waves.index[3 * wave + 2]! * rows[2][axis]!),
    ) as [number, number, number];
    const squared = k[0] * k[0] + k[1] * k[1] + k[2] * k[2];
    const prefactor = (unit * waves.multiplicity[wave]! * Math.exp(-squared * decay)) / squared;
    const own = prefactor * (real * real + imaginary * imaginary);
    energy += own;
    const stretch = 2 * own * (1 / squared + decay);
    for (let a = 0; a < 3; a++) {
      for (let b = 0; b < 3; b++) strain[3 * a + b]! += stretch * k[a]! * k[b]!;
      strain[4 * a]! -= own;
    }
    waveForces(space, wave, rows, [real, imaginary, 2 * prefactor]);
  }
  return { energy, strain };
}

function matrixOf(flat: Float64Array): Matrix3 {
  return [
    [flat[0]!, flat[1]!, flat[2]!],
    [flat[3]!, flat[4]!, flat[5]!],
    [flat[6]!, flat[7]!, flat[8]!],
  ];
}

/** Adds the long-range part to the workspace's derivatives and returns its energy. */
function longRange(space: Workspace, geometry: Geometry): number {
  const { model, arms, forces, byColumns, byCentre } = space;
  const centre = apply(geometry.columns, geometry.centre);
  const sites = Float64Array.from(arms, (value, index) => value + centre[index % 3]!);
  const direct = forces.slice();
  forces.fill(0);
  const { energy, strain } = reciprocalSum(space, geometry, sites);
  const total: [number, number, number] = [0, 0, 0];
  for (let i = 0; i < model.atomCount; i++) {
    for (let a = 0; a < 3; a++) {
      const force = forces[3 * i + a]!;
      total[a]! += force;
      // Strain moves whole molecules, not the sites inside them.
      for (let b = 0; b < 3; b++) strain[3 * a + b]! -= force * arms[3 * i + b]!;
    }
  }
  const density = model.operationCount / Math.abs(determinant(geometry.columns));
  const tail = model.tailKjAngstrom3PerMol * density;
  for (let a = 0; a < 3; a++) strain[4 * a]! -= tail;
  const more = multiply(matrixOf(strain), transpose(inverse(geometry.columns))).flat();
  const byCentreMore = apply(transpose(geometry.columns), total);
  for (let k = 0; k < 9; k++) byColumns[k]! += more[k]!;
  for (let k = 0; k < 3; k++) byCentre[k]! += byCentreMore[k]!;
  for (let k = 0; k < forces.length; k++) forces[k]! += direct[k]!;
  return energy + tail + model.selfEnergyKjPerMol;
}

function torque(space: Workspace): Vector3 {
  const { arms, forces, model } = space;
  let tx = 0;
  let ty = 0;
  let tz = 0;
  for (let i = 0; i < 3 * model.atomCount; i += 3) {
    tx += arms[i + 1]! * forces[i + 2]! - arms[i + 2]! * forces[i + 1]!;
    ty += arms[i + 2]! * forces[i]! - arms[i]! * forces[i + 2]!;
    tz += arms[i]! * forces[i + 1]! - arms[i + 1]! * forces[i]!;
  }
  return [tx, ty, tz];
}

function packGradient(space: Workspace, geometry: Geometry, gradient: Float64Array): void {
  const { model } = space;
  const byColumns = matrixOf(space.byColumns);
  model.strains.forEach((basis, k) => {
    const direction = multiply(basis, model.reference);
    gradient[k] = contract(byColumns, direction) / model.strainScale;
  });
  const at = model.strains.length;
  for (let k = 0; k < 3; k++) gradient[at + k] = space.byCentre[k]! / model.centreScale;
  const [tx, ty, tz] = torque(space);
  const [w, x, y, z] = geometry.quaternion;
  const factor = 2 / (w * w + x * x + y * y + z * z) / model.turnScale;
  gradient[at + 3] = factor * (-tx * x - ty * y - tz * z);
  gradient[at + 4] = factor * (tx * w + ty * z - tz * y);
  gradient[at + 5] = factor * (ty * w + tz * x - tx * z);
  gradient[at + 6] = factor * (tz * w + tx * y - ty * x);
}

export function latticeEnergy(model: EnergyModel): LatticeEnergy {
  const count = model.atomCount;
  const space: Workspace = {
    model,
    neighbours: {
      count: 0,
      operation: new Int32Array(),
      shift: new Float64Array(),
      weight: new Float64Array(),
    },
    waves: {
      count: 0,
      index: new Int32Array(),
      multiplicity: new Float64Array(),
      firstTerm: new Int32Array(1),
      termIndex: new Int32Array(),
      coefficients: new Float64Array(),
    },
    builtColumns: scaleMatrix(model.reference, 1),
    builtCentre: [0, 0, 0],
    listCount: 0,
    arms: new Float64Array(3 * count),
    images: new Float64Array(3 * count * model.operationCount),
    forces: new Float64Array(3 * count),
    imageForces: new Float64Array(3 * count),
    byColumns: new Float64Array(9),
    byCentre: new Float64Array(3),
    phases: new Float64Array(),
  };
  return {
    listCount: () => space.listCount,
    evaluate: (variables, gradient) => {
      if (gradient.length !== variableCount(model))
        throw new RangeError('gradient of wrong length');
      const geometry = unpack(model, variables);
      if (needsLists(space, geometry)) makeLists(space, geometry);
      placeSites(space, rotationOf(geometry.quaternion));
      space.forces.fill(0);
      space.byColumns.fill(0);
      space.byCentre.fill(0);
      const energy = directSum(space, geometry) + longRange(space, geometry);
      packGradient(space, geometry, gradient);
      return energy;
    },
  };
}
