import { readFileSync } from 'node:fs';
import { perceiveBonds, type Bonding } from '@majorana/molecules/chemistry/bond-orders';
import { Molecule as OclMolecule, Resources } from 'openchemlib';
import {
  allConformers,
  conformers,
  diverse,
  KJ_PER_KCAL,
  minimised,
  type Conformer,
} from './conformers.ts';
import { elementOf } from './elements.ts';
import { asInput, InputError } from './errors.ts';
import { forceField, mmff94Charges, positionsIn, setPosition } from './mmff94-charges.ts';
import { buildMolecule, type Geometry, type Molecule } from './molecule.ts';
import type { Vector3 } from './vector.ts';

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
  bonding: Bonding,
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

function perceived(name: string, elements: readonly string[], positions: readonly Vector3[]) {
  const atoms = elements.map((element, index) => ({ element, position: positions[index]! }));
  return asInput(name, () => perceiveBonds(atoms));
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
  const molecule = fromAtoms(elements, positions, perceived(name, elements, positions));
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
    : perceived(name, elements, positions);
  const molecule = fromAtoms(elements, positions, bonding);
  return {
    molecule,
    name: parsed.name ?? name,
    hasGeometry: true,
    origin: 'as given (Chemical JSON)',
  };
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
    const message = (error as Error).message.replace(/^.*SmilesParser: /, '');
    throw new InputError(`${smiles} is no SMILES string: ${message}`);
  }
  molecule.addImplicitHydrogens();
  return { molecule, name, hasGeometry: false, origin: '' };
}

/** The charge models and the sum over the lattice know neutral molecules only. */
function checkNeutral({ molecule, name }: Source): void {
  const charges = positionsIn(molecule).map((_, atom) => molecule.getAtomCharge(atom));
  const total = charges.reduce((sum, charge) => sum + charge, 0);
  if (total !== 0) {
    throw new InputError(
      `${name}: has a charge of ${total}; only neutral molecules can be searched`,
    );
  }
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
  if (!reader) return oneMolecule(readSmiles(input, name ?? input));
  const source = reader(readFileSync(input, 'utf8'), stem);
  return oneMolecule(name === undefined ? source : { ...source, name });
}

/** What can be searched at all; models of closed shells say nothing about a radical. */
function oneMolecule(source: Source): Source {
  const { molecule, name } = source;
  const atomCount = molecule.getAllAtoms();
  if (atomCount === 0) throw new InputError(`${name || 'the input'}: no atoms`);
  const pieceCount = molecule.getFragments().length;
  if (pieceCount > 1) {
    throw new InputError(`${name}: ${pieceCount} molecules or ions; only one can be searched`);
  }
  for (let atom = 0; atom < atomCount; atom++) {
    if (molecule.getAtomRadical(atom) === 0) continue;
    const label = `${molecule.getAtomLabel(atom)} (atom ${atom + 1})`;
    throw new InputError(
      `${name}: ${label} has an unpaired electron; no model here is for radicals`,
    );
  }
  return source;
}

interface Given {
  molecule: OclMolecule;
  origin: string;
  aboveLowestKjPerMol: number;
}

function given({ molecule, energyKcalPerMol }: Conformer, all: readonly Conformer[]): Given {
  const above = (energyKcalPerMol - all[0]!.energyKcalPerMol) * KJ_PER_KCAL;
  const number = all.findIndex((conformer) => conformer.molecule === molecule) + 1;
  return {
    molecule,
    aboveLowestKjPerMol: above,
    origin:
      `MMFF94s (OpenChemLib), conformer ${number} of ${all.length}, ` +
      `${above.toFixed(2)} kJ/mol above the lowest`,
  };
}

function chosenConformer(source: Source, options: MoleculeOptions): Given {
  forceField(source.molecule.getCompactCopy());
  const all = conformers(source.molecule, options.starts);
  const chosen = all[options.conformer - 1];
  if (!chosen) {
    throw new InputError(
      `${source.name}: conformer ${options.conformer} of ${all.length} found in ${options.starts} starts`,
    );
  }
  return given(chosen, all);
}

function geometryOf(source: Source, options: MoleculeOptions): Given {
  if (!source.hasGeometry) return chosenConformer(source, options);
  const { molecule, origin } = source;
  if (!options.optimise) return { molecule, origin, aboveLowestKjPerMol: 0 };
  const relaxed = minimised(molecule.getCompactCopy());
  if (!relaxed) throw new InputError(`${source.name}: MMFF94s minimisation failed`);
  return {
    molecule: relaxed.molecule,
    origin: `${origin}, minimised with MMFF94s`,
    aboveLowestKjPerMol: 0,
  };
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

function built(name: string, { molecule, origin }: Given, options: MoleculeOptions): Molecule {
  const elements = positionsIn(molecule).map(
    (_, atom) => elementOf(molecule.getAtomicNo(atom)).symbol,
  );
  const geometry: Geometry = { name, elements, positionsAngstrom: positionsIn(molecule), origin };
  if (options.givenCharges) return buildMolecule(geometry, checked(options.givenCharges, geometry));
  if (options.charges === 'eeq') return buildMolecule(geometry);
  const charges = mmff94Charges(molecule);
  const total = charges.reduce((sum, charge) => sum + charge, 0);
  if (Math.abs(total) > CHARGE_TOLERANCE) {
    // The library types some cumulated bonds wrongly: CO2 comes out with a charge of -1.
    const other = buildMolecule(geometry);
    return { ...other, chargeModel: `${other.chargeModel}, MMFF94 charges not being neutral` };
  }
  return {
    ...buildMolecule(geometry, charges),
    chargeModel: 'MMFF94 bond charge increments (Halgren 1996)',
  };
}

/** Reads a SMILES string, or a file by its extension: .smi .mol .sdf .xyz .cjson. */
export function readMolecule(input: string, options: MoleculeOptions): Molecule {
  register();
  const source = readSource(input, options.name);
  checkNeutral(source);
  return built(source.name, geometryOf(source, options), options);
}

export interface ConformerOptions {
  countMax: number;
  windowKjPerMol: number;
}

export const CONFORMER_WINDOW_KJ_PER_MOL = 25;

/** Several geometries of one molecule, from its bonds alone; the lowest in energy first. */
export function readConformers(
  input: string,
  options: MoleculeOptions,
  { countMax, windowKjPerMol }: ConformerOptions,
): Molecule[] {
  register();
  const source = readSource(input, options.name);
  checkNeutral(source);
  forceField(source.molecule.getCompactCopy());
  const all = allConformers(source.molecule, options.starts);
  const chosen = diverse(all, countMax, windowKjPerMol);
  if (chosen.length === 0) {
    throw new InputError(`${source.name}: no conformer found in ${options.starts} starts`);
  }
  return chosen.map((conformer) => {
    const geometry = given(conformer, all);
    const molecule = built(source.name, geometry, options);
    const conformerKjPerMol = Number(geometry.aboveLowestKjPerMol.toFixed(3));
    return { ...molecule, conformerKjPerMol };
  });
}
