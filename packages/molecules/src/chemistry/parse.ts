import { Molecule } from 'openchemlib';
import type { Reason } from '../reasons.ts';
import { RecordFault } from '../reasons.ts';
import type { Atom, Content } from '../source-record.ts';
import { perceiveBonds } from './bond-orders.ts';
import { elementBySymbol } from './elements.ts';
import { checkMolfile } from './molfile-syntax.ts';
import { atomsOf, bondsOf, prepare } from './openchemlib.ts';
import type { SmilesAtom } from './smiles-syntax.ts';
import { readSmilesAtoms } from './smiles-syntax.ts';

/** The canonical form of a chain of 500 atoms takes 0.3 s, of 5,000 atoms 14 s. */
export const HEAVY_ATOMS_MAX = 500;
/** What a V2000 molfile can hold, hydrogens included. */
const ATOMS_MAX = 999;

export interface Parsed {
  readonly molecule: Molecule;
  readonly hasGeometry: boolean;
  readonly notes: Reason[];
}

function checkSize(heavy: number, all: number): void {
  if (all === 0) throw new RecordFault('empty', 'no atom');
  if (heavy > HEAVY_ATOMS_MAX || all > ATOMS_MAX) {
    throw new RecordFault(
      'too-large',
      `${heavy} heavy atoms, ${all} in all; at most ${HEAVY_ATOMS_MAX} and ${ATOMS_MAX}`,
    );
  }
}

function asked<T>(code: 'broken-smiles' | 'broken-molfile', ask: () => T): T {
  try {
    return ask();
  } catch (error) {
    const words = error instanceof Error ? error.message : String(error);
    throw new RecordFault(code, words.replace(/^.*?SmilesParser: /, '').slice(0, 200));
  }
}

/** What openchemlib made of an atom must be what was written: it mends in silence. */
function checkAtom(molecule: Molecule, atom: number, given: SmilesAtom): void {
  const what = `${given.element} in column ${given.column}`;
  if (given.isAromatic && molecule.getAtomRadical(atom) !== 0) {
    throw new RecordFault(
      'broken-smiles',
      `${what} is written as aromatic, and no alternation of double bonds fits; a [nH] may be missing`,
    );
  }
  if (given.isBracket && molecule.getAllHydrogens(atom) !== given.hydrogens) {
    throw new RecordFault(
      'impossible-valence',
      `${what} cannot have the bonds that it is written with`,
    );
  }
}

/**
 * What is written with charges or in parts may be changed, and openchemlib then finds configurations
 * again from coordinates: without them every double bond would become trans.
 */
const MAY_CHANGE = /[.+-]|\[(Li|Na|K|Rb|Cs)/;

function fromSmiles(smiles: string): Parsed {
  const written = readSmilesAtoms(smiles);
  const heavy = written.filter(({ element }) => element !== 'H').length;
  checkSize(heavy, written.length);
  if (written.some(({ element }) => element === '*')) {
    throw new RecordFault('not-a-molecule', '"*" stands for any atom');
  }
  const noCoordinates = !MAY_CHANGE.test(smiles);
  const molecule = asked('broken-smiles', () => Molecule.fromSmiles(smiles, { noCoordinates }));
  prepare(molecule);
  const notes: Reason[] = [];
  // Openchemlib puts hydrogens that are atoms last, and its numbers are no longer those written.
  if (heavy === written.length) {
    for (const [atom, given] of written.entries()) checkAtom(molecule, atom, given);
    const moved = written.filter(({ charge }, atom) => charge !== molecule.getAtomCharge(atom));
    if (moved.length > 0) {
      notes.push({
        code: 'charge-separated',
        words: `${moved.map(({ element }) => element).join(', ')}`,
      });
    }
    if (written.every(({ isAromatic }) => !isAromatic) && molecule.getAromaticRingCount() > 0) {
      notes.push({ code: 'aromatic', words: `${molecule.getAromaticRingCount()} rings` });
    }
  }
  return { molecule, hasGeometry: false, notes };
}

/** A molfile whose atoms are all in one place says nothing of cis and trans. */
function forgetInvented(molecule: Molecule): void {
  const isSpread = [...atomsOf(molecule)].some(
    (atom) =>
      molecule.getAtomX(atom) !== molecule.getAtomX(0) ||
      molecule.getAtomY(atom) !== molecule.getAtomY(0) ||
      molecule.getAtomZ(atom) !== molecule.getAtomZ(0),
  );
  if (isSpread) return;
  for (const bond of bondsOf(molecule)) {
    const isOpen = molecule.getBondOrder(bond) === 2 && !molecule.isRingBond(bond);
    if (isOpen) molecule.setBondType(bond, Molecule.cBondTypeCross);
  }
  prepare(molecule);
}

function fromMolfile(lines: readonly string[], first: number): Parsed {
  const { atomCount, text, isChiralFlagUnset } = checkMolfile(lines, first);
  checkSize(0, atomCount);
  const molecule = asked('broken-molfile', () => Molecule.fromMolfile(text));
  if (molecule.getAllAtoms() !== atomCount) {
    throw new RecordFault(
      'broken-molfile',
      `${molecule.getAllAtoms()} of ${atomCount} atoms could be read`,
    );
  }
  // Bonds written as aromatic become single and double ones; their order counts as none before.
  molecule.normalizeAmbiguousBonds();
  prepare(molecule);
  forgetInvented(molecule);
  checkSize(molecule.getAtoms(), molecule.getAllAtoms());
  const hasGeometry = [...atomsOf(molecule)].some(
    (atom) => Math.abs(molecule.getAtomZ(atom)) > 1e-3,
  );
  const notes: Reason[] = [];
  const hasWedge = [...bondsOf(molecule)].some((bond) => molecule.isStereoBond(bond));
  if (isChiralFlagUnset && hasWedge) {
    notes.push({ code: 'chiral-flag-unset', words: 'wedges read as absolute' });
  }
  const implied = [...atomsOf(molecule)].reduce(
    (sum, atom) => sum + molecule.getImplicitHydrogens(atom),
    0,
  );
  if (hasGeometry && implied > 0) {
    notes.push({
      code: 'missing-hydrogens',
      words: `${implied} of the hydrogens have no position`,
    });
  }
  return { molecule, hasGeometry, notes };
}

/** C=C longer than 1.47 Å, C≡C longer than 1.30 Å: where hydrogens are missing, orders come out too high. */
function hasStretchedBond(
  atoms: readonly Atom[],
  bonds: readonly (readonly [number, number])[],
  orders: readonly number[],
): boolean {
  return bonds.some(([a, b], bond) => {
    const [first, second] = [atoms[a]!, atoms[b]!];
    if (first.element !== 'C' || second.element !== 'C' || orders[bond] === 1) return false;
    const length = Math.hypot(...first.position.map((v, k) => v - second.position[k]!));
    return length > (orders[bond] === 2 ? 1.5 : 1.32);
  });
}

function fromAtoms(atoms: readonly Atom[], hydrogensExpected: number | undefined): Parsed {
  const hydrogens = atoms.filter(({ element }) => element === 'H').length;
  checkSize(atoms.length - hydrogens, atoms.length);
  const missing = new RecordFault(
    'no-hydrogens',
    `${atoms.length} atoms and no hydrogen among them${hydrogensExpected ? `; the formula has ${hydrogensExpected}` : ''}`,
  );
  if (hydrogens === 0 && (hydrogensExpected ?? 0) > 0) throw missing;
  const { bonds, orders, charges } = perceiveBonds(atoms);
  if (hydrogens === 0 && hasStretchedBond(atoms, bonds, orders)) throw missing;
  const molecule = new Molecule(atoms.length, bonds.length);
  atoms.forEach(({ element, position }, index) => {
    const atom = molecule.addAtom(elementBySymbol(element)!.atomicNumber);
    molecule.setAtomCharge(atom, charges[index]!);
    molecule.setAtomX(atom, position[0]);
    molecule.setAtomY(atom, -position[1]);
    molecule.setAtomZ(atom, -position[2]);
  });
  bonds.forEach(([a, b], index) => molecule.setBondOrder(molecule.addBond(a, b), orders[index]!));
  prepare(molecule);
  const notes: Reason[] = [
    { code: 'perceived-bonds', words: `${bonds.length} bonds from distances` },
  ];
  const implied = [...atomsOf(molecule)].reduce(
    (sum, atom) => sum + molecule.getImplicitHydrogens(atom),
    0,
  );
  if (implied > 0)
    notes.push({ code: 'missing-hydrogens', words: `${implied} hydrogens have no position` });
  return { molecule, hasGeometry: true, notes };
}

/** `line` is where the record begins in its file, so that a fault can name its own line. */
export function parseContent(content: Content, line: number): Parsed {
  switch (content.kind) {
    case 'smiles':
      return fromSmiles(content.smiles);
    case 'molfile':
      return fromMolfile(content.lines, line);
    case 'atoms':
      return fromAtoms(content.atoms, content.hydrogensExpected);
    case 'fault':
      throw new RecordFault(content.fault.code, content.fault.message, content.fault.line);
  }
}
