import type { PackingsFile } from './files.ts';
import type { Molecule } from './molecule.ts';

export function refine(_molecule: Molecule, file: PackingsFile, _top: number): PackingsFile {
  return { ...file, refinement: 'not refined: tblite is not installed' };
}
