import { elementOf } from './elements.ts';
import { MOLECULE_DEFAULTS, readMolecule } from './molecule-input.ts';
import type { Molecule } from './molecule.ts';
import type { Vector3 } from './vector.ts';

/** Molecules that tests share, made once in each process. */
const made = new Map<string, Molecule>();

export function testMolecule(smiles: string): Molecule {
  const known = made.get(smiles);
  if (known) return known;
  const molecule = readMolecule(smiles, { ...MOLECULE_DEFAULTS, starts: 4 });
  made.set(smiles, molecule);
  return molecule;
}

/** Benzene with the bond lengths of neutron diffraction, for charges at a published geometry. */
export function hexagon(): { atomicNumbers: number[]; positions: Vector3[] } {
  const ring = (radius: number) =>
    Array.from({ length: 6 }, (_, k): Vector3 => {
      const angle = (k * Math.PI) / 3;
      return [radius * Math.cos(angle), radius * Math.sin(angle), 0];
    });
  const atomicNumbers = 'CCCCCCHHHHHH'.split('').map((symbol) => elementOf(symbol).atomicNumber);
  return { atomicNumbers, positions: [...ring(1.397), ...ring(2.481)] };
}
