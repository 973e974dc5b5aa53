import { fillCell } from '@majorana/molecules/chemistry/crystal';
import { readFirstCrystal } from '@majorana/molecules/reading/cif';
import { latticeOf } from './cell.ts';
import { elementOf } from './elements.ts';
import { asInput } from './errors.ts';
import type { AtomicCell } from './moyo.ts';

export interface Structure extends AtomicCell {
  name: string;
  elements: string[];
}

/** All atoms of the cell of the first crystal in a CIF; of a disordered one the major part. */
export function readCif(text: string, name: string): Structure {
  const { cell, atoms } = asInput(name, () => {
    const { crystal } = readFirstCrystal(text);
    return { cell: crystal.cell, atoms: fillCell(crystal).atoms };
  });
  return {
    name,
    lattice: latticeOf(cell),
    fractional: atoms.map(({ fractional }) => fractional),
    elements: atoms.map(({ element }) => element),
    atomicNumbers: atoms.map(({ element }) => elementOf(element).atomicNumber),
  };
}
