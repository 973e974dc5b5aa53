/**
 * Electronegativity equilibration charges of DFT-D4: E. Caldeweyher, S. Ehlert, A. Hansen,
 * H. Neugebauer, S. Spicher, C. Bannwarth and S. Grimme, J. Chem. Phys. 150 (2019) 154122.
 * Electronegativity chi, hardness eta, scaling of the coordination number kappa and charge width
 * alpha, all in atomic units; covalent radii in Angstrom from P. Pyykko and M. Atsumi, Chem.
 * Eur. J. 15 (2009) 188, which the coordination number multiplies by 4/3.
 */
export interface EeqParameters {
  electronegativity: number;
  hardness: number;
  coordinationScale: number;
  widthBohr: number;
  covalentRadiusAngstrom: number;
}

type Row = [number, number, number, number, number, number];

const ROWS: readonly Row[] = [
  [1, 1.23695041, -0.35015861, 0.0491611, 0.55159092, 0.32],
  [5, 1.26691604, 0.26629137, -0.02631658, 2.86070364, 0.77],
  [6, 1.40028282, 0.19408787, 0.06005196, 1.88862966, 0.75],
  [7, 1.55819364, 0.05317918, 0.09279548, 1.3225029, 0.71],
  [8, 1.5686644, 0.03151644, 0.11689703, 1.23166285, 0.63],
  [9, 1.57540015, 0.32275132, 0.15704746, 1.77503721, 0.64],
  [14, 1.1230684, 0.13155266, -0.04964052, 1.54075036, 1.04],
  [15, 1.52672442, 0.1535065, 0.14250599, 1.38200579, 1.1],
  [16, 1.40768172, 0.15250997, 0.0712666, 2.18849322, 1.02],
  [17, 1.48154584, 0.17523529, 0.1368275, 1.36779065, 0.99],
  [35, 1.39801837, 0.12327841, 0.08006749, 2.95378999, 1.14],
  [53, 1.4034, 0.09547417, 0.08967527, 3.80138135, 1.32],
];

export const EEQ_PARAMETERS: ReadonlyMap<number, EeqParameters> = new Map(
  ROWS.map(
    ([
      atomicNumber,
      electronegativity,
      hardness,
      coordinationScale,
      widthBohr,
      covalentRadiusAngstrom,
    ]) => [
      atomicNumber,
      { electronegativity, hardness, coordinationScale, widthBohr, covalentRadiusAngstrom },
    ],
  ),
);
