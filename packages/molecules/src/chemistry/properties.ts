import type { Molecule } from 'openchemlib';
import { MoleculeProperties } from 'openchemlib';
import { atomsOf } from './openchemlib.ts';

export interface Properties {
  readonly formula: string;
  readonly massDalton: number;
  readonly heavyAtoms: number;
  readonly rotatableBonds: number;
  readonly rings: number;
  readonly aromaticRings: number;
  readonly donors: number;
  readonly acceptors: number;
  /** Undefined where openchemlib has no increment for an atom. */
  readonly logP: number | undefined;
  readonly tpsa: number;
  readonly stereoCentres: number;
  readonly charge: number;
}

/** openchemlib's word for "no value". */
const UNKNOWN = -999;

const rounded = (value: number, digits: number): number => Number(value.toFixed(digits));

/** Of a molecule without hydrogens as atoms; the last of a ring closes it. */
export function propertiesOf(molecule: Molecule, fragmentCount: number): Properties {
  const computed = new MoleculeProperties(molecule);
  const { formula, relativeWeight } = molecule.getMolecularFormula();
  const charge = [...atomsOf(molecule)].reduce(
    (sum, atom) => sum + molecule.getAtomCharge(atom),
    0,
  );
  return {
    formula,
    massDalton: rounded(relativeWeight, 3),
    heavyAtoms: molecule.getAtoms(),
    rotatableBonds: computed.rotatableBondCount,
    rings: molecule.getAllBonds() - molecule.getAllAtoms() + fragmentCount,
    aromaticRings: molecule.getAromaticRingCount(),
    donors: computed.donorCount,
    acceptors: computed.acceptorCount,
    logP:
      computed.logP === UNKNOWN || !Number.isFinite(computed.logP)
        ? undefined
        : rounded(computed.logP, 2),
    tpsa: rounded(computed.polarSurfaceArea, 2),
    stereoCentres: computed.stereoCenterCount,
    charge,
  };
}
