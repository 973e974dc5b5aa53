import { InputError } from './errors.ts';

export interface Element {
  symbol: string;
  atomicNumber: number;
  massDalton: number;
  /** Cordero et al., Dalton Trans. 2008, 2832. */
  covalentRadiusAngstrom: number;
  /** Bondi, J. Phys. Chem. 68 (1964) 441; H: Rowland and Taylor, J. Phys. Chem. 100 (1996) 7384. */
  vanDerWaalsRadiusAngstrom: number;
  colour: string;
}

type Row = [string, number, number, number, number, string];

const ROWS: readonly Row[] = [
  ['H', 1, 1.008, 0.31, 1.09, '#e8e8e8'],
  ['B', 5, 10.81, 0.84, 1.92, '#ffb5b5'],
  ['C', 6, 12.011, 0.76, 1.7, '#707070'],
  ['N', 7, 14.007, 0.71, 1.55, '#3050f8'],
  ['O', 8, 15.999, 0.66, 1.52, '#e8251f'],
  ['F', 9, 18.998, 0.57, 1.47, '#7bd13f'],
  ['Si', 14, 28.085, 1.11, 2.1, '#c8a078'],
  ['P', 15, 30.974, 1.07, 1.8, '#ff8000'],
  ['S', 16, 32.06, 1.05, 1.8, '#d8c020'],
  ['Cl', 17, 35.45, 1.02, 1.75, '#1fc01f'],
  ['Br', 35, 79.904, 1.2, 1.85, '#a62929'],
  ['I', 53, 126.904, 1.39, 1.98, '#940094'],
];

const ELEMENTS: readonly Element[] = ROWS.map(
  ([
    symbol,
    atomicNumber,
    massDalton,
    covalentRadiusAngstrom,
    vanDerWaalsRadiusAngstrom,
    colour,
  ]) => ({
    symbol,
    atomicNumber,
    massDalton,
    covalentRadiusAngstrom,
    vanDerWaalsRadiusAngstrom,
    colour,
  }),
);

const bySymbol = new Map(ELEMENTS.map((element) => [element.symbol, element]));
const byNumber = new Map(ELEMENTS.map((element) => [element.atomicNumber, element]));

export function elementOf(key: string | number): Element {
  const found =
    typeof key === 'number'
      ? byNumber.get(key)
      : bySymbol.get(key.charAt(0).toUpperCase() + key.slice(1).toLowerCase());
  if (!found) throw new InputError(`no parameters for element ${key}`);
  return found;
}
