import type { Molecule } from 'openchemlib';
import { Molecule as OclMolecule, Resources } from 'openchemlib';

let isRegistered = false;

/** Tables for logP and polar surface, once in a process. */
export function registerResources(): void {
  if (!isRegistered) Resources.registerFromNodejs();
  isRegistered = true;
}

/** Up to CIP: with parities alone, openchemlib forgets that an open double bond is open. */
export const prepare = (molecule: Molecule): void =>
  molecule.ensureHelperArrays(OclMolecule.cHelperCIP);

export function* atomsOf(molecule: Molecule): Generator<number> {
  for (let atom = 0; atom < molecule.getAllAtoms(); atom++) yield atom;
}

export function* bondsOf(molecule: Molecule): Generator<number> {
  for (let bond = 0; bond < molecule.getAllBonds(); bond++) yield bond;
}

/** A sentence's name of an atom: C3, counted as in the record. */
export const atomName = (molecule: Molecule, atom: number): string =>
  `${molecule.getAtomLabel(atom)}${atom + 1}`;
