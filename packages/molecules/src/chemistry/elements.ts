/** Symbols by atomic number, and covalent radii (Cordero et al., Dalton Trans. 2008, 2832) in Angstrom. */
const ROWS =
  'H 0.31,He 0.28,Li 1.28,Be 0.96,B 0.84,C 0.76,N 0.71,O 0.66,F 0.57,Ne 0.58,Na 1.66,Mg 1.41,' +
  'Al 1.21,Si 1.11,P 1.07,S 1.05,Cl 1.02,Ar 1.06,K 2.03,Ca 1.76,Sc 1.70,Ti 1.60,V 1.53,Cr 1.39,' +
  'Mn 1.39,Fe 1.32,Co 1.26,Ni 1.24,Cu 1.32,Zn 1.22,Ga 1.22,Ge 1.20,As 1.19,Se 1.20,Br 1.20,Kr 1.16,' +
  'Rb 2.20,Sr 1.95,Y 1.90,Zr 1.75,Nb 1.64,Mo 1.54,Tc 1.47,Ru 1.46,Rh 1.42,Pd 1.39,Ag 1.45,Cd 1.44,' +
  'In 1.42,Sn 1.39,Sb 1.39,Te 1.38,I 1.39,Xe 1.40,Cs 2.44,Ba 2.15,La 2.07,Ce 2.04,Pr 2.03,Nd 2.01,' +
  'Pm 1.99,Sm 1.98,Eu 1.98,Gd 1.96,Tb 1.94,Dy 1.92,Ho 1.92,Er 1.89,Tm 1.90,Yb 1.87,Lu 1.87,Hf 1.75,' +
  'Ta 1.70,W 1.62,Re 1.51,Os 1.44,Ir 1.41,Pt 1.36,Au 1.36,Hg 1.32,Tl 1.45,Pb 1.46,Bi 1.48,Po 1.40,' +
  'At 1.50,Rn 1.50,Fr 2.60,Ra 2.21,Ac 2.15,Th 2.06,Pa 2.00,U 1.96,Np 1.90,Pu 1.87,Am 1.80,Cm 1.69';

export interface Element {
  readonly symbol: string;
  readonly atomicNumber: number;
  readonly radius: number;
}

const ELEMENTS: readonly Element[] = ROWS.split(',').map((row, at) => {
  const [symbol, radius] = row.split(' ');
  return { symbol: symbol!, atomicNumber: at + 1, radius: Number(radius) };
});
const bySymbol = new Map(ELEMENTS.map((element) => [element.symbol, element]));

export const elementByNumber = (atomicNumber: number): Element | undefined =>
  ELEMENTS[atomicNumber - 1];

/** `CL`, `cl` and `Cl` are chlorine; D and T are hydrogen. */
export function elementBySymbol(text: string): Element | undefined {
  const symbol = text.charAt(0).toUpperCase() + text.slice(1).toLowerCase();
  return bySymbol.get(symbol === 'D' || symbol === 'T' ? 'H' : symbol);
}

/** Groups 13 to 18 without the metals among them, and hydrogen. */
const NON_METALS = new Set(
  'H He B C N O F Ne Si P S Cl Ar Ge As Se Br Kr Sb Te I Xe At Rn'.split(' '),
);
export const isMetal = (symbol: string): boolean => bySymbol.has(symbol) && !NON_METALS.has(symbol);
export const isAlkaliMetal = (symbol: string): boolean => /^(Li|Na|K|Rb|Cs)$/.test(symbol);

/** The most bonds, hydrogens included, that a neutral atom of this main group has. */
const VALENCES_BY_ELECTRONS: Readonly<Record<string, readonly number[]>> = {
  H: [1],
  He: [0],
  Li: [1],
  Be: [2],
  B: [3],
  C: [4],
  N: [3],
  O: [2],
  F: [1],
  Ne: [0],
  Al: [3],
  Si: [4],
  P: [3, 5],
  S: [2, 4, 6],
  Cl: [1, 3, 5, 7],
  Ar: [0],
  Ge: [4],
  As: [3, 5],
  Se: [2, 4, 6],
  Br: [1, 3, 5, 7],
  Kr: [0, 2],
  Sn: [4],
  Sb: [3, 5],
  Te: [2, 4, 6],
  I: [1, 3, 5, 7],
  Xe: [0, 2, 4, 6, 8],
  At: [1, 3, 5, 7],
};

/**
 * Valences of an element with a charge: those of the neutral atom with as many electrons, so N+ has
 * those of C. Undefined where no rule holds, as for metals.
 */
export function valencesOf(symbol: string, charge: number): readonly number[] | undefined {
  if (symbol === 'H') return charge === 0 ? [1] : [0];
  const element = bySymbol.get(symbol);
  if (element === undefined || isMetal(symbol)) return undefined;
  const like = elementByNumber(element.atomicNumber - charge)?.symbol;
  return like === undefined ? undefined : VALENCES_BY_ELECTRONS[like];
}
