/**
 * Exp-6 tables, energy = A exp(-B r) - C / r^6. Unlike pairs: geometric mean of A and of C,
 * arithmetic mean of B, as the authors combine them.
 *
 * w99 (WILL01): D. E. Williams, J. Comput. Chem. 22 (2001) 1154; values as on the DMACRYS notes of
 *   University College London. Hydrogen sites lie 0.1 Angstrom inside the bond.
 * fit: C, H, N: D. E. Williams and S. R. Cox, Acta Cryst. B40 (1984) 404; O: S. R. Cox, L.-Y. Hsu
 *   and D. E. Williams, Acta Cryst. A37 (1981) 293; polar H: D. S. Coombes, S. L. Price,
 *   D. J. Willock and M. Leslie, J. Phys. Chem. 100 (1996) 7352.
 * F: D. E. Williams and D. J. Houpt, Acta Cryst. B42 (1986) 286; Cl: L.-Y. Hsu and D. E. Williams,
 *   Acta Cryst. A36 (1980) 277; S: as distributed with the fit set of DMACRYS. Both sets use them.
 * Si, P, Br, I, B: S. L. Mayo, B. D. Olafson and W. A. Goddard III, J. Phys. Chem. 94 (1990) 8897,
 *   the exp-6 form of DREIDING.
 */
export interface Exp6 {
  repulsionKjPerMol: number;
  decayPerAngstrom: number;
  dispersionKjPerMolAngstrom6: number;
}

type Row = [string, number, number, number];

const W99: readonly Row[] = [
  ['C2', 103235, 3.6, 1435.09],
  ['C3', 270363, 3.6, 1701.73],
  ['C4', 131571, 3.6, 978.36],
  ['H1', 12680, 3.56, 278.37],
  ['H2', 361.3, 3.56, 0],
  ['H3', 115.7, 3.56, 0],
  ['H4', 764.9, 3.56, 0],
  ['N1', 96349, 3.48, 1407.57],
  ['N2', 102369, 3.48, 1398.15],
  ['N3', 191935, 3.48, 2376.55],
  ['N4', 405341, 3.48, 5629.82],
  ['O1', 241042, 3.96, 1260.73],
  ['O2', 284623, 3.96, 1285.87],
];

const FIT: readonly Row[] = [
  ['C', 369743, 3.6, 2439.8],
  ['H', 11971, 3.74, 136.4],
  ['Hp', 5029.68, 4.66, 21.5],
  ['N', 254529, 3.78, 1378.4],
  ['O', 230064.1, 3.96, 1123.59],
];

const HALOGEN_AND_SULFUR: readonly Row[] = [
  ['F', 363725, 4.16, 844],
  ['Cl', 924675, 3.51, 7740.48],
  ['S', 401034, 3.3, 5791],
];

/** Minimum distance in Angstrom, well depth in kcal/mol, scale. */
const DREIDING: readonly Row[] = [
  ['B', 4.02, 0.095, 14.23],
  ['Si', 4.27, 0.31, 12],
  ['P', 4.15, 0.32, 12],
  ['Br', 3.95, 0.37, 12],
  ['I', 4.15, 0.51, 12],
];

/** Exact by definition of the thermochemical calorie. */
const KJ_PER_KCAL = 4.184;

function fromDreiding([type, minimum, depth, zeta]: Row): Row {
  const unit = (depth * KJ_PER_KCAL) / (zeta - 6);
  return [type, 6 * unit * Math.exp(zeta), zeta / minimum, zeta * unit * minimum ** 6];
}

function table(rows: readonly Row[]): ReadonlyMap<string, Exp6> {
  const all = [...rows, ...HALOGEN_AND_SULFUR, ...DREIDING.map(fromDreiding)];
  return new Map(
    all.map(([type, repulsionKjPerMol, decayPerAngstrom, dispersionKjPerMolAngstrom6]) => [
      type,
      { repulsionKjPerMol, decayPerAngstrom, dispersionKjPerMolAngstrom6 },
    ]),
  );
}

export const POTENTIAL_NAMES = ['w99', 'fit'] as const;
export type PotentialName = (typeof POTENTIAL_NAMES)[number];

export const POTENTIALS: Readonly<Record<PotentialName, ReadonlyMap<string, Exp6>>> = {
  w99: table(W99),
  fit: table(FIT),
};

export const HYDROGEN_SHIFT_ANGSTROM: Readonly<Record<PotentialName, number>> = {
  w99: 0.1,
  fit: 0,
};

export function combine(a: Exp6, b: Exp6): Exp6 {
  return {
    repulsionKjPerMol: Math.sqrt(a.repulsionKjPerMol * b.repulsionKjPerMol),
    decayPerAngstrom: (a.decayPerAngstrom + b.decayPerAngstrom) / 2,
    dispersionKjPerMolAngstrom6: Math.sqrt(
      a.dispersionKjPerMolAngstrom6 * b.dispersionKjPerMolAngstrom6,
    ),
  };
}
