import type { Molecule } from 'openchemlib';
import { Molecule as OclMolecule } from 'openchemlib';
import { atomsOf, bondsOf, prepare, registerResources } from './chemistry/openchemlib.ts';
import { molfileOfDrawing, molfileOfGeometry } from './chemistry/molfile-text.ts';
import { parseContent } from './chemistry/parse.ts';
import type { Properties } from './chemistry/properties.ts';
import { propertiesOf } from './chemistry/properties.ts';
import type { StandardiseOptions } from './chemistry/standardise.ts';
import { skeletonKey, standardise } from './chemistry/standardise.ts';
import type { Fault, Reason } from './reasons.ts';
import { RecordFault } from './reasons.ts';
import type { SourceRecord } from './source-record.ts';

export interface CleanMolecule {
  readonly smiles: string;
  /** The same for the same molecule, configuration included. */
  readonly key: string;
  /** The same for all its configurations. */
  readonly skeleton: string;
  readonly properties: Properties;
  /** Each once. */
  readonly elements: readonly string[];
  /** Lines after the title: with the positions that the record gave, or else as a drawing. */
  readonly molfile: string;
}

export type CleanOutcome =
  | { readonly kind: 'clean'; readonly clean: CleanMolecule; readonly reasons: readonly Reason[] }
  | { readonly kind: 'fault'; readonly fault: Fault; readonly reasons: readonly Reason[] };

interface Canonical {
  readonly smiles: string;
  readonly key: string;
  readonly molecule: Molecule;
}

const ROUNDS_MAX = 3;

/**
 * The SMILES that openchemlib writes depends on the order of atoms; written from the identity code it
 * does not. What is read back from it must have the same code, or cleaning again would change it.
 */
function canonicalOf(molecule: Molecule): Canonical {
  let key = molecule.getIDCode();
  for (let round = 0; round < ROUNDS_MAX; round++) {
    const smiles = OclMolecule.fromIDCode(key, false).toIsomericSmiles();
    const again = OclMolecule.fromSmiles(smiles, { noCoordinates: true });
    prepare(again);
    const next = again.getIDCode();
    if (next === key) return { smiles, key, molecule: again };
    key = next;
  }
  throw new RecordFault(
    'broken-smiles',
    'openchemlib reads its own SMILES of this molecule in another way',
  );
}

function stereoNotes(molecule: Molecule): Reason[] {
  const isOpen = (parity: number): boolean =>
    parity === OclMolecule.cAtomParityUnknown || parity === OclMolecule.cAtomParityNone;
  const centres = [...atomsOf(molecule)].filter((atom) => molecule.isAtomStereoCenter(atom));
  const open = centres.filter((atom) => isOpen(molecule.getAtomParity(atom)));
  const bonds = [...bondsOf(molecule)].filter(
    (bond) =>
      molecule.getBondOrder(bond) === 2 &&
      molecule.getBondParity(bond) === OclMolecule.cBondParityUnknown,
  );
  const notes: Reason[] = [];
  if (open.length > 0)
    notes.push({
      code: 'unassigned-centres',
      words: `${open.length} of ${centres.length} stereo centres`,
    });
  if (bonds.length > 0)
    notes.push({ code: 'unassigned-double-bonds', words: `${bonds.length} double bonds` });
  return notes;
}

function atomNotes(molecule: Molecule): Reason[] {
  const atoms = [...atomsOf(molecule)];
  const radicals = atoms.filter((atom) => molecule.getAtomRadical(atom) !== 0);
  const isotopes = atoms.filter((atom) => molecule.getAtomMass(atom) !== 0);
  const notes: Reason[] = [];
  if (radicals.length > 0)
    notes.push({
      code: 'radical',
      words: radicals.map((atom) => molecule.getAtomLabel(atom)).join(', '),
    });
  if (isotopes.length > 0) {
    const names = isotopes.map(
      (atom) => `${molecule.getAtomMass(atom)}${molecule.getAtomLabel(atom)}`,
    );
    notes.push({ code: 'isotope', words: [...new Set(names)].join(', ') });
  }
  return notes;
}

function explicitHydrogens(molecule: Molecule): number {
  return [...atomsOf(molecule)].filter((atom) => molecule.isSimpleHydrogen(atom)).length;
}

function cleanMolecule(
  record: SourceRecord,
  reasons: Reason[],
  options: StandardiseOptions,
): CleanMolecule {
  const { molecule, hasGeometry, notes } = parseContent(record.content, record.line);
  reasons.push(...notes);
  const hydrogens = explicitHydrogens(molecule);
  if (hydrogens > 0) reasons.push({ code: 'hydrogens-implied', words: `${hydrogens} hydrogens` });
  const parent = standardise(molecule, reasons, options);
  prepare(parent);
  const canonical = canonicalOf(parent);
  reasons.push(...atomNotes(canonical.molecule), ...stereoNotes(canonical.molecule));
  const hasStereo =
    /[@/\\]/.test(canonical.smiles) || reasons.some(({ code }) => code.startsWith('unassigned'));
  const { smiles, key, molecule: drawn } = canonical;
  return {
    smiles,
    key,
    skeleton: hasStereo ? skeletonKey(drawn) : key,
    properties: propertiesOf(drawn, smiles.split('.').length),
    elements: [...new Set([...atomsOf(drawn)].map((atom) => drawn.getAtomLabel(atom)))],
    molfile: hasGeometry ? molfileOfGeometry(parent) : molfileOfDrawing(drawn),
  };
}

/** One record, whatever it holds: never throws but for a fault of this program's caller. */
export function cleanRecord(record: SourceRecord, options: StandardiseOptions): CleanOutcome {
  registerResources();
  const reasons: Reason[] = [...record.notes];
  try {
    return { kind: 'clean', clean: cleanMolecule(record, reasons, options), reasons };
  } catch (error) {
    if (error instanceof RecordFault) return { kind: 'fault', fault: error.plain, reasons };
    const words = error instanceof Error ? error.message : String(error);
    const code = record.content.kind === 'smiles' ? 'broken-smiles' : 'broken-molfile';
    const message = `openchemlib: ${words.slice(0, 200)}`;
    return { kind: 'fault', fault: { code, message, line: undefined }, reasons };
  }
}
