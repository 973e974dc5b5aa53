import { readFileSync } from 'node:fs';
import { energyOf, hasLinearCentre, minimiseLinear } from './linear-geometry.ts';
import {
  ConformerGenerator,
  ForceFieldMMFF94,
  Molecule as OclMolecule,
  Resources,
} from 'openchemlib';
import { bondOrders } from './bond-orders.ts';
import { elementOf } from './elements.ts';
import { InputError } from './errors.ts';
import { forceField, mmff94Charges, positionsIn, setPosition } from './mmff94-charges.ts';
import { bondsOf, buildMolecule, type Geometry, type Molecule } from './molecule.ts';
import { mix } from './sobol.ts';
import { distance, type Vector3 } from './vector.ts';

export const CHARGE_MODELS = ['mmff94', 'eeq'] as const;
export type ChargeModel = (typeof CHARGE_MODELS)[number];

export interface MoleculeOptions {
  name?: string;
  charges: ChargeModel;
  /** Charges from elsewhere, in the order of the atoms: they go before any model. */
  givenCharges?: readonly number[];
  /** Which of the conformers found, lowest energy first, from 1. */
  conformer: number;
  /** Starts for the search of conformers. */
  starts: number;
  /** Minimise a geometry that the file gives. */
  optimise: boolean;
}

export const MOLECULE_DEFAULTS: MoleculeOptions = {
  charges: 'mmff94',
  conformer: 1,
  starts: 30,
  optimise: false,
};

/** An OpenChemLib molecule, and whether its coordinates are a geometry or a drawing. */
interface Source {
  molecule: OclMolecule;
  name: string;
  hasGeometry: boolean;
  origin: string;
}

let isRegistered = false;

function register(): void {
  if (!isRegistered) Resources.registerFromNodejs();
  isRegistered = true;
}

function fromAtoms(
  elements: readonly string[],
  positions: readonly Vector3[],
  bonding: { bonds: readonly (readonly [number, number])[]; orders: number[]; charges: number[] },
): OclMolecule {
  const molecule = new OclMolecule(elements.length, bonding.bonds.length);
  elements.forEach((element, index) => {
    const atom = molecule.addAtom(elementOf(element).atomicNumber);
    molecule.setAtomCharge(atom, bonding.charges[index]!);
    setPosition(molecule, atom, positions[index]!);
  });
  bonding.bonds.forEach(([a, b], index) => {
    molecule.setBondOrder(molecule.addBond(a, b), bonding.orders[index]!);
  });
  return molecule;
}

function readXyz(text: string, name: string): Source {
  const lines = text.split(/\r?\n/);
  const count = Number(lines[0]);
  const rows = lines.slice(2, 2 + count).map((line) => line.trim().split(/\s+/));
  if (!(count > 0) || rows.length !== count || rows.some((row) => row.length < 4)) {
    throw new InputError(`${name}: not an XYZ file`);
  }
  const elements = rows.map((row) => elementOf(row[0]!).symbol);
  const positions = rows.map((row): Vector3 => [Number(row[1]), Number(row[2]), Number(row[3])]);
  const bonds = bondsOf(elements, positions);
  const found = bondOrders({ elements, bonds });
  const molecule = fromAtoms(elements, positions, { bonds, ...found });
  return { molecule, name, hasGeometry: true, origin: 'as given (XYZ)' };
}

interface ChemicalJson {
  name?: string;
  atoms: {
    coords: { '3d': number[] };
    elements: { number: number[] };
    formalCharges?: number[];
  };
  bonds?: { connections: { index: number[] }; order: number[] };
}

function readChemicalJson(text: string, name: string): Source {
  const parsed = JSON.parse(text) as ChemicalJson;
  const numbers = parsed.atoms?.elements?.number ?? [];
  const flat = parsed.atoms?.coords?.['3d'] ?? [];
  if (numbers.length === 0 || flat.length !== 3 * numbers.length) {
    throw new InputError(`${name}: not a Chemical JSON file with three coordinates for each atom`);
  }
  const elements = numbers.map((number) => elementOf(number).symbol);
  const positions = numbers.map((_, i): Vector3 => [
    flat[3 * i]!,
    flat[3 * i + 1]!,
    flat[3 * i + 2]!,
  ]);
  const index = parsed.bonds?.connections.index ?? [];
  const given = (parsed.bonds?.order ?? []).map((_, bond): [number, number] => [
    index[2 * bond]!,
    index[2 * bond + 1]!,
  ]);
  const bonding = parsed.bonds
    ? {
        bonds: given,
        orders: parsed.bonds.order,
        charges: parsed.atoms.formalCharges ?? numbers.map(() => 0),
      }
    : perceived(elements, positions);
  const molecule = fromAtoms(elements, positions, bonding);
  return {
    molecule,
    name: parsed.name ?? name,
    hasGeometry: true,
    origin: 'as given (Chemical JSON)',
  };
}

function perceived(elements: string[], positions: Vector3[]) {
  const bonds = bondsOf(elements, positions);
  return { bonds, ...bondOrders({ elements, bonds }) };
}

function readMolfile(text: string, name: string): Source {
  const first = text.split(/^\$\$\$\$/m)[0]!;
  const molecule = OclMolecule.fromMolfile(first);
  const before = molecule.getAllAtoms();
  molecule.addImplicitHydrogens();
  const isComplete = molecule.getAllAtoms() === before;
  const isFlat = positionsIn(molecule).every((position) => Math.abs(position[2]) < 1e-3);
  return {
    molecule,
    name: molecule.getName() || name,
    hasGeometry: isComplete && !isFlat,
    origin: 'as given (MDL)',
  };
}

function readSmiles(smiles: string, name: string): Source {
  let molecule: OclMolecule;
  try {
    molecule = OclMolecule.fromSmiles(smiles);
  } catch (error) {
    throw new InputError(`${smiles}: ${(error as Error).message}`);
  }
  molecule.addImplicitHydrogens();
  return { molecule, name, hasGeometry: false, origin: '' };
}

function readSource(input: string, name: string | undefined): Source {
  const extension = /\.(\w+)$/.exec(input)?.[1]?.toLowerCase();
  const stem = name ?? input.replace(/^.*\//, '').replace(/\.\w+$/, '');
  const readers: Readonly<Record<string, (text: string, name: string) => Source>> = {
    xyz: readXyz,
    cjson: readChemicalJson,
    mol: readMolfile,
    sdf: readMolfile,
    smi: (text, title) => readSmiles(text.trim().split(/\s+/)[0] ?? '', title),
  };
  const reader = extension === undefined ? undefined : readers[extension];
  if (!reader) return readSmiles(input, name ?? input);
  const source = reader(readFileSync(input, 'utf8'), stem);
  return name === undefined ? source : { ...source, name };
}

/** Bonds of a sound geometry are within these parts of the sum of covalent radii. */
const BOND_PARTS = [0.65, 1.35] as const;

function isSound(molecule: OclMolecule): boolean {
  const positions = positionsIn(molecule);
  if (positions.flat().some((value) => !Number.isFinite(value))) return false;
  const radius = (atom: number) => elementOf(molecule.getAtomicNo(atom)).covalentRadiusAngstrom;
  const isBonded = new Set<string>();
  for (let bond = 0; bond < molecule.getAllBonds(); bond++) {
    const [a, b] = [molecule.getBondAtom(0, bond), molecule.getBondAtom(1, bond)];
    isBonded.add(`${Math.min(a, b)},${Math.max(a, b)}`);
    const part = distance(positions[a]!, positions[b]!) / (radius(a) + radius(b));
    if (part < BOND_PARTS[0] || part > BOND_PARTS[1]) return false;
  }
  return positions.every((p, i) =>
    positions.every((q, j) => j <= i || isBonded.has(`${i},${j}`) || distance(p, q) > 1.2),
  );
}

/** The flat drawing, out of the plane a little: where the conformer generator fails. */
function spread(molecule: OclMolecule, seed: number): OclMolecule {
  const copy = molecule.getCompactCopy();
  copy.inventCoordinates();
  positionsIn(copy).forEach(([x, y], atom) => {
    const part = (axis: number) => mix(seed * 7919 + atom * 31 + axis) / 2 ** 32 - 0.5;
    setPosition(copy, atom, [x + 0.3 * part(0), y + 0.3 * part(1), part(2)]);
  });
  return copy;
}

interface Conformer {
  molecule: OclMolecule;
  energyKcalPerMol: number;
}

function minimised(start: OclMolecule): Conformer | undefined {
  if (!positionsIn(start).flat().every(Number.isFinite)) return undefined;
  new ForceFieldMMFF94(start, 'MMFF94s').minimise({
    maxIts: 20_000,
    gradTol: 1e-6,
    funcTol: 1e-10,
  });
  if (hasLinearCentre(start)) minimiseLinear(start);
  if (!isSound(start)) return undefined;
  const energyKcalPerMol = energyOf(start);
  return Number.isFinite(energyKcalPerMol) ? { molecule: start, energyKcalPerMol } : undefined;
}

/** Conformers of equal energy are one conformer, or its mirror image. */
const ENERGY_TOLERANCE_KCAL = 0.01;

/** Turns bonds that move hydrogen only: the generator leaves those where it first put them. */
function scattered(molecule: OclMolecule, seed: number): OclMolecule {
  const copy = molecule.getCompactCopy();
  positionsIn(copy).forEach((position, atom) => {
    const size = copy.getAtomicNo(atom) === 1 ? 1.6 : 0.1;
    const part = (axis: number) => size * (mix(seed * 104_729 + atom * 31 + axis) / 2 ** 32 - 0.5);
    setPosition(copy, atom, [position[0] + part(0), position[1] + part(1), position[2] + part(2)]);
  });
  return copy;
}

/** Minimising with numerical derivatives is slow, and linear molecules have few conformers. */
const LINEAR_STARTS_MAX = 6;

export function conformers(molecule: OclMolecule, starts: number): Conformer[] {
  const found: Conformer[] = [];
  const startsMax = hasLinearCentre(molecule) ? Math.min(starts, LINEAR_STARTS_MAX) : starts;
  for (let seed = 1; seed <= startsMax; seed++) {
    const generated = new ConformerGenerator(seed).getOneConformerAsMolecule(
      molecule.getCompactCopy(),
    );
    const base = generated && isSound(generated) ? generated : spread(molecule, seed);
    const conformer = minimised(seed % 2 ? base : scattered(base, seed));
    if (!conformer) continue;
    const isKnown = found.some(
      (other) =>
        Math.abs(other.energyKcalPerMol - conformer.energyKcalPerMol) < ENERGY_TOLERANCE_KCAL,
    );
    if (!isKnown) found.push(conformer);
  }
  return found.toSorted((a, b) => a.energyKcalPerMol - b.energyKcalPerMol);
}

function chosenConformer(source: Source, options: MoleculeOptions) {
  forceField(source.molecule.getCompactCopy());
  const all = conformers(source.molecule, options.starts);
  const chosen = all[options.conformer - 1];
  if (!chosen) {
    throw new InputError(
      `${source.name}: conformer ${options.conformer} of ${all.length} found in ${options.starts} starts`,
    );
  }
  const above = chosen.energyKcalPerMol - all[0]!.energyKcalPerMol;
  const origin =
    `MMFF94s (OpenChemLib), conformer ${options.conformer} of ${all.length}, ` +
    `${(above * 4.184).toFixed(2)} kJ/mol above the lowest`;
  return { molecule: chosen.molecule, origin };
}

function geometryOf(source: Source, options: MoleculeOptions) {
  if (!source.hasGeometry) return chosenConformer(source, options);
  if (!options.optimise) return { molecule: source.molecule, origin: source.origin };
  const relaxed = minimised(source.molecule.getCompactCopy());
  if (!relaxed) throw new InputError(`${source.name}: MMFF94s minimisation failed`);
  return { molecule: relaxed.molecule, origin: `${source.origin}, minimised with MMFF94s` };
}

/** Rounded increments of a molecule of fifty atoms add up to nothing within this. */
const CHARGE_TOLERANCE = 5e-3;

function checked(charges: readonly number[], { elements, name }: Geometry): readonly number[] {
  const total = charges.reduce((sum, charge) => sum + charge, 0);
  if (charges.length !== elements.length || !(Math.abs(total) < CHARGE_TOLERANCE)) {
    throw new InputError(
      `${name}: ${charges.length} charges that add up to ${total.toFixed(3)} for ${elements.length} atoms of a neutral molecule`,
    );
  }
  return charges;
}

/** Reads a SMILES string, or a file by its extension: .smi .mol .sdf .xyz .cjson. */
export function readMolecule(input: string, options: MoleculeOptions): Molecule {
  register();
  const source = readSource(input, options.name);
  const { molecule, origin } = geometryOf(source, options);
  const elements = positionsIn(molecule).map(
    (_, atom) => elementOf(molecule.getAtomicNo(atom)).symbol,
  );
  const geometry: Geometry = {
    name: source.name,
    elements,
    positionsAngstrom: positionsIn(molecule),
    origin,
  };
  if (options.givenCharges) return buildMolecule(geometry, checked(options.givenCharges, geometry));
  if (options.charges === 'eeq') return buildMolecule(geometry);
  const charges = mmff94Charges(molecule);
  const total = charges.reduce((sum, charge) => sum + charge, 0);
  if (Math.abs(total) > CHARGE_TOLERANCE) {
    // The library types some cumulated bonds wrongly: CO2 comes out with a charge of -1.
    const built = buildMolecule(geometry);
    return { ...built, chargeModel: `${built.chargeModel}, MMFF94 charges not being neutral` };
  }
  const built = buildMolecule(geometry, charges);
  return { ...built, chargeModel: 'MMFF94 bond charge increments (Halgren 1996)' };
}
