import type { Molecule } from 'openchemlib';
import { atomsOf } from './openchemlib.ts';

const FIRST_ATOM_LINE = 3;

/** The lines of a molfile after its first, which is the name. */
const linesOf = (molecule: Molecule): string[] => molecule.toMolfile().split('\n').slice(1);
const textOf = (lines: readonly string[]): string => lines.join('\n').trimEnd();

/** Gives the molecule the positions of a drawing. */
export function molfileOfDrawing(molecule: Molecule): string {
  molecule.inventCoordinates();
  return textOf(linesOf(molecule));
}

/** With the positions as they are: openchemlib widens a molecule whose bonds are short, such as water's. */
export function molfileOfGeometry(molecule: Molecule): string {
  const lines = linesOf(molecule);
  for (const atom of atomsOf(molecule)) {
    const at = [molecule.getAtomX(atom), -molecule.getAtomY(atom), -molecule.getAtomZ(atom)];
    const columns = at.map((value) => (value + 0).toFixed(4).padStart(10)).join('');
    const line = FIRST_ATOM_LINE + atom;
    lines[line] = columns + lines[line]!.slice(30);
  }
  return textOf(lines);
}
