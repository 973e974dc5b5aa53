import type { Molecule } from 'openchemlib';
import { CanonizerUtil, Molecule as OclMolecule } from 'openchemlib';
import type { Reason } from '../reasons.ts';
import { RecordFault } from '../reasons.ts';
import { isAlkaliMetal, isMetal, valencesOf } from './elements.ts';
import { atomName, atomsOf, bondsOf, prepare } from './openchemlib.ts';
import { knownComponent } from './salts-and-solvents.ts';

export interface StandardiseOptions {
  readonly keepSalts: boolean;
}

const labelOf = (molecule: Molecule, atom: number): string =>
  OclMolecule.cAtomLabel[molecule.getAtomicNo(atom)] ?? '?';

function neighboursOf(molecule: Molecule, atom: number): number[] {
  return Array.from({ length: molecule.getAllConnAtomsPlusMetalBonds(atom) }, (_, at) =>
    molecule.getConnAtom(atom, at),
  );
}

/** N(=O)=O and the like, where a nitrogen would have five bonds. */
function separateCharges(molecule: Molecule): string[] {
  const separated: string[] = [];
  for (const atom of atomsOf(molecule)) {
    if (labelOf(molecule, atom) !== 'N' || molecule.getAtomCharge(atom) !== 0) continue;
    if (molecule.getOccupiedValence(atom) !== 5) continue;
    const oxygen = neighboursOf(molecule, atom).find(
      (other) =>
        labelOf(molecule, other) === 'O' &&
        molecule.getBondOrder(molecule.getBond(atom, other)) === 2,
    );
    if (oxygen === undefined) continue;
    molecule.setBondOrder(molecule.getBond(atom, oxygen), 1);
    molecule.setAtomCharge(atom, 1);
    molecule.setAtomCharge(oxygen, -1);
    separated.push(atomName(molecule, atom));
  }
  if (separated.length > 0) prepare(molecule);
  return separated;
}

/** O–Na as O- and Na+. */
function ioniseSaltBonds(molecule: Molecule): string[] {
  const ionised: string[] = [];
  for (const bond of bondsOf(molecule)) {
    const ends = [molecule.getBondAtom(0, bond), molecule.getBondAtom(1, bond)];
    const metal = ends.find((atom) => isAlkaliMetal(labelOf(molecule, atom)));
    const other = ends.find((atom) => /^(O|S|N|F|Cl|Br|I)$/.test(labelOf(molecule, atom)));
    if (metal === undefined || other === undefined || molecule.getBondOrder(bond) !== 1) continue;
    if (molecule.getAtomCharge(metal) !== 0 || molecule.getAtomCharge(other) !== 0) continue;
    molecule.setAtomCharge(metal, 1);
    molecule.setAtomCharge(other, -1);
    ionised.push(`${atomName(molecule, other)}–${atomName(molecule, metal)}`);
    molecule.markBondForDeletion(bond);
  }
  if (ionised.length === 0) return [];
  molecule.deleteMarkedAtomsAndBonds();
  prepare(molecule);
  return ionised;
}

const isBondedMetal = (molecule: Molecule, atom: number): boolean =>
  isMetal(labelOf(molecule, atom)) && molecule.getAllConnAtomsPlusMetalBonds(atom) > 0;

function checkValences(molecule: Molecule): void {
  for (const atom of atomsOf(molecule)) {
    const label = labelOf(molecule, atom);
    const charge = molecule.getAtomCharge(atom);
    const valences = valencesOf(label, charge);
    if (valences === undefined) continue;
    if (neighboursOf(molecule, atom).some((other) => isMetal(labelOf(molecule, other)))) continue;
    const hydrogens = molecule.getImplicitHydrogens(atom);
    const total = molecule.getOccupiedValence(atom) + hydrogens;
    if (total <= Math.max(...valences)) continue;
    const sign = charge === 0 ? '' : ` with charge ${charge > 0 ? '+' : ''}${charge}`;
    throw new RecordFault(
      'impossible-valence',
      `${atomName(molecule, atom)}${sign} has ${total} bonds, hydrogens included; at most ${Math.max(...valences)}`,
    );
  }
}

interface Component {
  readonly molecule: Molecule;
  readonly heavyAtoms: number;
  readonly hasCarbon: boolean;
  readonly key: string;
  readonly known: string | undefined;
}

function componentOf(molecule: Molecule): Component {
  prepare(molecule);
  const labels = [...atomsOf(molecule)].map((atom) => labelOf(molecule, atom));
  return {
    molecule,
    heavyAtoms: labels.filter((label) => label !== 'H').length,
    hasCarbon: labels.includes('C'),
    key: molecule.getIDCode(),
    known: knownComponent(molecule),
  };
}

/** The larger of two, and of equal ones always the same one. */
function before(a: Component, b: Component): number {
  return (
    Number(a.known !== undefined) - Number(b.known !== undefined) ||
    b.heavyAtoms - a.heavyAtoms ||
    b.molecule.getMolweight() - a.molecule.getMolweight() ||
    (a.key < b.key ? -1 : 1)
  );
}

function countedNames(components: readonly Component[]): string {
  const counts = new Map<string, number>();
  for (const { molecule, known } of components) {
    const name = known ?? molecule.toIsomericSmiles();
    counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  return [...counts].map(([name, count]) => (count === 1 ? name : `${count} ${name}`)).join(', ');
}

function takeParent(molecule: Molecule, reasons: Reason[]): Molecule {
  const fragments = molecule.getFragments();
  if (fragments.length < 2) return molecule;
  const components = fragments.map(componentOf);
  const organic = components.filter(({ hasCarbon }) => hasCarbon).toSorted(before);
  const parent = organic[0];
  if (parent === undefined) return molecule;
  const others = components.filter((one) => one !== parent);
  const copies = others.filter(({ key }) => key === parent.key);
  const removed = others.filter(({ key }) => key !== parent.key);
  if (copies.length > 0) {
    reasons.push({ code: 'repeated-component', words: `${copies.length + 1} copies, one kept` });
  }
  if (removed.length > 0) {
    reasons.push({ code: 'removed-component', words: countedNames(removed) });
  }
  const strangers = removed.filter(({ hasCarbon, known }) => hasCarbon && known === undefined);
  if (strangers.length > 0) {
    reasons.push({ code: 'mixture', words: `also ${countedNames(strangers)}` });
  }
  return parent.molecule;
}

interface Charges {
  readonly anions: number[];
  readonly cations: number[];
  readonly fixed: number[];
}

/** Charges next to their opposite (nitro, azide) belong to how the bond is written. */
function chargesOf(molecule: Molecule): Charges {
  const found: Charges = { anions: [], cations: [], fixed: [] };
  for (const atom of atomsOf(molecule)) {
    const charge = molecule.getAtomCharge(atom);
    if (charge === 0) continue;
    if (neighboursOf(molecule, atom).some((other) => molecule.getAtomCharge(other) * charge < 0))
      continue;
    const label = labelOf(molecule, atom);
    const isAcid = charge === -1 && /^(O|S|Se|N)$/.test(label);
    const isBase = charge === 1 && /^(N|P|O|S)$/.test(label) && molecule.getAllHydrogens(atom) > 0;
    (isAcid ? found.anions : isBase ? found.cations : found.fixed).push(atom);
  }
  return found;
}

function takeProton(molecule: Molecule, atom: number): void {
  molecule.setAtomCharge(atom, 0);
  const hydrogen = neighboursOf(molecule, atom).find((other) => molecule.getAtomicNo(other) === 1);
  if (hydrogen !== undefined) molecule.markAtomForDeletion(hydrogen);
}

function neutralise(molecule: Molecule, reasons: Reason[]): void {
  const { anions, cations, fixed } = chargesOf(molecule);
  const signs = [...anions, ...cations, ...fixed].map((atom) =>
    Math.sign(molecule.getAtomCharge(atom)),
  );
  if (signs.length === 0) return;
  if (signs.includes(1) && signs.includes(-1)) {
    reasons.push({
      code: 'zwitterion',
      words: `${signs.filter((sign) => sign > 0).length} positive and ${signs.filter((sign) => sign < 0).length} negative atoms`,
    });
    return;
  }
  if (anions.length + cations.length > 0) {
    const words = [
      ...anions.map((atom) => `${atomName(molecule, atom)} + H`),
      ...cations.map((atom) => `${atomName(molecule, atom)} − H`),
    ].join(', ');
    reasons.push({ code: 'neutralised', words });
    for (const atom of anions) molecule.setAtomCharge(atom, 0);
    for (const atom of cations) takeProton(molecule, atom);
    molecule.deleteMarkedAtomsAndBonds();
    prepare(molecule);
  }
  if (fixed.length > 0) {
    reasons.push({
      code: 'charged',
      words: fixed.map((atom) => `${atomName(molecule, atom)} stays charged`).join(', '),
    });
  }
}

/** Takes the molecule to its parent, neutral where that is plain; says each step. May change `molecule`. */
export function standardise(
  molecule: Molecule,
  reasons: Reason[],
  options: StandardiseOptions,
): Molecule {
  const separated = separateCharges(molecule);
  if (separated.length > 0) reasons.push({ code: 'charge-separated', words: separated.join(', ') });
  const ionised = ioniseSaltBonds(molecule);
  if (ionised.length > 0) reasons.push({ code: 'ionised-salt-bond', words: ionised.join(', ') });
  checkValences(molecule);
  const metals = [...atomsOf(molecule)].filter((atom) => isBondedMetal(molecule, atom));
  if (metals.length > 0) {
    reasons.push({
      code: 'metal',
      words: metals.map((atom) => atomName(molecule, atom)).join(', '),
    });
    return molecule;
  }
  if (![...atomsOf(molecule)].some((atom) => molecule.getAtomicNo(atom) === 6)) {
    reasons.push({ code: 'inorganic', words: 'no carbon' });
    return molecule;
  }
  if (options.keepSalts) return molecule;
  const parent = takeParent(molecule, reasons);
  neutralise(parent, reasons);
  return parent;
}

/** The same for all configurations of a molecule. */
export const skeletonKey = (molecule: Molecule): string =>
  CanonizerUtil.getIDCode(molecule, CanonizerUtil.NOSTEREO);
