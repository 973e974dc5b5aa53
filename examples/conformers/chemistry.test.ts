import { readdirSync } from 'node:fs';
import { ForceFieldMMFF94, Molecule, Resources } from 'openchemlib';
import { expect, test } from 'vitest';
import { distances, readMolecule, search, toMolecule } from './chemistry.ts';

const folder = new URL('molecules/', import.meta.url);
const names = readdirSync(folder).filter((name) => name.endsWith('.cjson'));

/** Atoms of a result, in the order of the molecule's file. */
function coordinates(xyz: string): number[][] {
  return xyz
    .trim()
    .split('\n')
    .slice(2)
    .map((line) => line.trim().split(/\s+/).slice(1).map(Number));
}

test.each(names)('%s: energies are those of OpenChemLib at the geometries told', (name) => {
  Resources.registerFromNodejs();
  const source = readMolecule(new URL(name, folder).pathname);
  const { conformers } = search(source, { first: 0, last: 3 });
  expect(conformers.length).toBeGreaterThan(0);
  for (const { xyz, energyKcalPerMol } of conformers) {
    const molecule = toMolecule({
      ...source,
      atoms: { ...source.atoms, coords: { '3d': coordinates(xyz).flat() } },
    });
    // The force field wants hydrogen last, and this is what puts it there.
    molecule.ensureHelperArrays(Molecule.cHelperRings);
    const direct = new ForceFieldMMFF94(molecule, 'MMFF94').getTotalEnergy();
    // Coordinates are told to 1e-8 A.
    expect(Math.abs(direct - energyKcalPerMol)).toBeLessThan(1e-5);
  }
});

test('a seed gives the same conformers again, lowest first', () => {
  const source = readMolecule(new URL('glycine.cjson', folder).pathname);
  const [a, b] = [0, 1].map(() => search(source, { first: 0, last: 11 }).conformers);
  expect(a).toEqual(b);
  const energies = a!.map((conformer) => conformer.energyKcalPerMol);
  expect(energies).toEqual(energies.toSorted((x, y) => x - y));
  expect(distances(a![0]!.xyz)).not.toEqual(distances(a![1]!.xyz));
});
