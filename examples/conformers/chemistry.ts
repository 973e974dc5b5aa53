import { readFileSync } from 'node:fs';
import { ConformerGenerator, ForceFieldMMFF94, Molecule, Resources } from 'openchemlib';

/** Exact by definition of the thermochemical calorie. */
export const KJ_PER_KCAL = 4.184;
export const ENERGY_TOLERANCE_KCAL = 0.01;
export const DISTANCE_TOLERANCE_ANGSTROM = 0.1;

/** Something is wrong with what the program was given, and one line says what. */
export class InputError extends Error {}

export interface ChemicalJson {
  name: string;
  atoms: {
    coords: { '3d': number[] };
    elements: { number: number[] };
    formalCharges?: number[];
  };
  bonds?: { connections: { index: number[] }; order: number[] };
}

export interface Conformer {
  /** As OpenChemLib gives it, unrounded. */
  energyKcalPerMol: number;
  /** The seed that gave this geometry. */
  seed: number;
  /** How many seeds came down to this conformer. */
  hits: number;
  xyz: string;
}

export interface SeedBlock {
  first: number;
  last: number;
}

export interface SearchResult {
  molecule: string;
  atomCount: number;
  seeds: string;
  attempts: number;
  /** Attempts that gave no starting geometry or did not converge. */
  failed: number;
  conformers: Conformer[];
}

export function parseSeeds(text: string): SeedBlock {
  const match = /^(\d+)(?:-(\d+))?$/.exec(text);
  const first = Number(match?.[1]);
  const last = Number(match?.[2] ?? match?.[1]);
  if (!match || last < first) {
    throw new InputError(`--seeds ${text}: give a seed (7) or a block of seeds (0-49)`);
  }
  return { first, last };
}

export function readMolecule(path: string): ChemicalJson {
  let parsed: Partial<ChemicalJson>;
  try {
    parsed = JSON.parse(readFileSync(path, 'utf8')) as Partial<ChemicalJson>;
  } catch (error) {
    throw new InputError(`${path}: ${(error as Error).message}`);
  }
  const { atoms, bonds } = parsed;
  const count = atoms?.elements?.number?.length ?? 0;
  if (!atoms || count === 0 || atoms.coords?.['3d']?.length !== 3 * count) {
    throw new InputError(`${path}: not a Chemical JSON file with three coordinates for each atom`);
  }
  if (bonds && bonds.connections.index.length !== 2 * bonds.order.length) {
    throw new InputError(`${path}: the bonds do not have one order for each pair of atoms`);
  }
  const fileName = path.replace(/^.*\//, '').replace(/\.cjson$/, '');
  return { ...parsed, atoms, name: parsed.name ?? fileName };
}

export function toMolecule(source: ChemicalJson): Molecule {
  const numbers = source.atoms.elements.number;
  const positions = source.atoms.coords['3d'];
  const orders = source.bonds?.order ?? [];
  const molecule = new Molecule(numbers.length, orders.length);
  numbers.forEach((atomicNumber, index) => {
    const atom = molecule.addAtom(atomicNumber);
    molecule.setAtomCharge(atom, source.atoms.formalCharges?.[index] ?? 0);
    setPosition(molecule, atom, positions.slice(3 * index, 3 * index + 3));
  });
  orders.forEach((order, index) => {
    // Alternating single and double bonds are what MMFF94 reads aromaticity from. A delocalised
    // order (1.5) does not say where the double bonds are, and a guess could change the molecule.
    if (![1, 2, 3].includes(order)) {
      throw new InputError(
        `${source.name}: bond order ${order}; write single, double, triple bonds`,
      );
    }
    const [from, to] = source.bonds!.connections.index.slice(2 * index, 2 * index + 2);
    molecule.setBondOrder(molecule.addBond(from!, to!), order);
  });
  return molecule;
}

type Random = () => number;

/** Mulberry32: small, and the same numbers for the same seed on every machine. */
function randomFrom(seed: number): Random {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

function position(molecule: Molecule, atom: number): [number, number, number] {
  return [molecule.getAtomX(atom), molecule.getAtomY(atom), molecule.getAtomZ(atom)];
}

function setPosition(molecule: Molecule, atom: number, at: readonly number[]): void {
  molecule.setAtomX(atom, at[0]!);
  molecule.setAtomY(atom, at[1]!);
  molecule.setAtomZ(atom, at[2]!);
}

/** The atoms that turn with `end` about the bond from `start`; the bond is in no ring. */
function atomsBeyond(molecule: Molecule, start: number, end: number): Set<number> {
  const found = new Set([end]);
  for (const atom of found) {
    for (let index = 0; index < molecule.getAllConnAtoms(atom); index++) {
      const neighbour = molecule.getConnAtom(atom, index);
      if (neighbour !== start) found.add(neighbour);
    }
  }
  return found;
}

function turn(molecule: Molecule, start: number, end: number, angle: number): void {
  const origin = position(molecule, start);
  const along = position(molecule, end).map((value, axis) => value - origin[axis]!);
  const length = Math.hypot(...along);
  const [ux, uy, uz] = along.map((value) => value / length) as [number, number, number];
  const cosine = Math.cos(angle);
  const sine = Math.sin(angle);
  for (const atom of atomsBeyond(molecule, start, end)) {
    const at = position(molecule, atom);
    const [x, y, z] = [at[0] - origin[0], at[1] - origin[1], at[2] - origin[2]];
    const kept = (x * ux + y * uy + z * uz) * (1 - cosine);
    setPosition(molecule, atom, [
      x * cosine + (uy * z - uz * y) * sine + ux * kept + origin[0],
      y * cosine + (uz * x - ux * z) * sine + uy * kept + origin[1],
      z * cosine + (ux * y - uy * x) * sine + uz * kept + origin[2],
    ]);
  }
}

/**
 * Turns every single bond outside rings to a random angle. OpenChemLib's generator leaves bonds
 * that only move hydrogen (O-H, N-H) where it first put them, and for small molecules those bonds
 * are all there is to search.
 */
function scatter(molecule: Molecule, random: Random): void {
  for (let bond = 0; bond < molecule.getAllBonds(); bond++) {
    if (molecule.getBondOrder(bond) !== 1 || molecule.isRingBond(bond)) continue;
    const start = molecule.getBondAtom(0, bond);
    const end = molecule.getBondAtom(1, bond);
    const free = molecule.getAllConnAtoms(start) > 1 && molecule.getAllConnAtoms(end) > 1;
    if (free) turn(molecule, start, end, 2 * Math.PI * random());
  }
  // A geometry with a mirror plane has no force across it, and would stop on a saddle point.
  for (let atom = 0; atom < molecule.getAllAtoms(); atom++) {
    setPosition(
      molecule,
      atom,
      position(molecule, atom).map((value) => value + 0.1 * (random() - 0.5)),
    );
  }
}

function forceField(molecule: Molecule, name: string): ForceFieldMMFF94 {
  try {
    return new ForceFieldMMFF94(molecule, 'MMFF94');
  } catch (error) {
    const reason = (error as Error).message.replace(/^.*?: /, '').split('\n')[0];
    throw new InputError(`${name}: MMFF94 has no parameters for this molecule: ${reason}`);
  }
}

function toXyz(molecule: Molecule, name: string, order: readonly number[], energy: number): string {
  const lines = order.map((atom) => {
    const at = position(molecule, atom).map((value) => value.toFixed(8).padStart(14));
    return `${molecule.getAtomLabel(atom).padEnd(2)}${at.join('')}`;
  });
  return [`${order.length}`, `${name} MMFF94 ${energy} kcal/mol`, ...lines, ''].join('\n');
}

/** One attempt: undefined if it gave no starting geometry or the minimiser did not converge. */
export function searchSeed(source: ChemicalJson, seed: number): Conformer | undefined {
  const input = toMolecule(source);
  // OpenChemLib moves hydrogen to the end; the output keeps the order of the file.
  const order = input.getHandleHydrogenMap();
  // The force field needs parameters for all atoms, and the generator may fail first without them.
  forceField(input.getCompactCopy(), source.name);
  const molecule = new ConformerGenerator(seed).getOneConformerAsMolecule(input);
  if (!molecule) return undefined;
  const added = molecule.getAllAtoms() - order.length;
  if (added !== 0) {
    throw new InputError(`${source.name}: ${added} hydrogen atoms are missing from the file`);
  }
  molecule.ensureHelperArrays(Molecule.cHelperRings);
  scatter(molecule, randomFrom(seed));
  const field = forceField(molecule, source.name);
  if (field.minimise() !== 0) return undefined;
  const energyKcalPerMol = field.getTotalEnergy();
  const xyz = toXyz(molecule, source.name, order, energyKcalPerMol);
  return { energyKcalPerMol, seed, hits: 1, xyz };
}

export function search(source: ChemicalJson, seeds: SeedBlock): SearchResult {
  Resources.registerFromNodejs();
  const attempts = seeds.last - seeds.first + 1;
  const found: Conformer[] = [];
  for (let seed = seeds.first; seed <= seeds.last; seed++) {
    const conformer = searchSeed(source, seed);
    if (conformer) found.push(conformer);
  }
  return {
    molecule: source.name,
    atomCount: source.atoms.elements.number.length,
    seeds: `${seeds.first}-${seeds.last}`,
    attempts,
    failed: attempts - found.length,
    conformers: distinct(found),
  };
}

/**
 * Interatomic distances, sorted within each pair of elements: the same for a geometry however it
 * lies in space and whichever of two like atoms is called first. Mirror images are the same too.
 */
export function distances(xyz: string): number[] {
  const atoms = xyz
    .split('\n')
    .slice(2)
    .map((line) => line.trim().split(/\s+/))
    .filter((fields) => fields.length === 4)
    .map(([element, ...at]) => ({ element: element!, at: at.map(Number) }));
  const groups = new Map<string, number[]>();
  atoms.forEach((a, index) => {
    for (const b of atoms.slice(index + 1)) {
      const pair = [a.element, b.element].toSorted().join('-');
      const distance = Math.hypot(...a.at.map((value, axis) => value - b.at[axis]!));
      groups.set(pair, [...(groups.get(pair) ?? []), distance]);
    }
  });
  return [...groups.keys()]
    .toSorted()
    .flatMap((pair) => groups.get(pair)!.toSorted((a, b) => a - b));
}

function rootMeanSquare(a: readonly number[], b: readonly number[]): number {
  if (a.length !== b.length) return Infinity;
  const sum = a.reduce((total, value, index) => total + (value - b[index]!) ** 2, 0);
  return Math.sqrt(sum / Math.max(a.length, 1));
}

/** The distinct conformers, lowest energy first, whatever the order they were found in. */
export function distinct(conformers: readonly Conformer[]): Conformer[] {
  const kept: { conformer: Conformer; shape: number[] }[] = [];
  const sorted = conformers.toSorted(
    (a, b) => a.energyKcalPerMol - b.energyKcalPerMol || a.seed - b.seed,
  );
  for (const conformer of sorted) {
    const shape = distances(conformer.xyz);
    const same = kept.find(
      (other) =>
        conformer.energyKcalPerMol - other.conformer.energyKcalPerMol <= ENERGY_TOLERANCE_KCAL &&
        rootMeanSquare(shape, other.shape) < DISTANCE_TOLERANCE_ANGSTROM,
    );
    if (same) same.conformer.hits += conformer.hits;
    else kept.push({ conformer: { ...conformer }, shape });
  }
  return kept.map(({ conformer }) => conformer);
}

/** Runs a program: what was wrong with its input in one line, and exit code 2. */
export function runProgram(name: string, program: () => void): void {
  try {
    program();
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    const expected = error instanceof InputError || code !== undefined;
    if (!expected) throw error;
    process.stderr.write(`${name}: ${(error as Error).message}\n`);
    process.exitCode = 2;
  }
}
