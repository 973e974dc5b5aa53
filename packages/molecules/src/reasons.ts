/** What can be said of a record. Actions change the molecule; notes leave it as it is. */
export const REASONS = {
  'charge-separated': [
    'action',
    'A nitrogen with five bonds, such as a nitro group N(=O)=O, was written with charges.',
  ],
  'ionised-salt-bond': ['action', 'A bond to an alkali metal was written as a pair of ions.'],
  'removed-component': [
    'action',
    'A salt, a solvent or a smaller molecule beside the parent was taken away.',
  ],
  'repeated-component': ['action', 'The same molecule was there several times; one was kept.'],
  neutralised: [
    'action',
    'A proton was given or taken where that alone makes the molecule neutral.',
  ],
  'hydrogens-implied': [
    'note',
    'Hydrogens drawn as atoms are implied in the SMILES; a geometry keeps them.',
  ],
  aromatic: ['note', 'Alternating double bonds are written as aromatic.'],
  zwitterion: ['note', 'Acid and ammonium (or the like) in one molecule were left as they are.'],
  charged: [
    'note',
    'The molecule has a charge that no proton takes away, such as quaternary ammonium.',
  ],
  radical: ['note', 'An atom has an unpaired electron. Look whether a hydrogen was lost.'],
  isotope: ['note', 'The record names isotopes; they are kept and make a molecule different.'],
  'unassigned-centres': ['note', 'Stereo centres without a configuration. None was invented.'],
  'unassigned-double-bonds': [
    'note',
    'Double bonds that could be cis or trans, and are not said to be either.',
  ],
  'chiral-flag-unset': [
    'note',
    'The molfile’s chiral flag is 0; its wedges were read as the absolute configuration.',
  ],
  metal: ['note', 'A metal is bonded in the molecule. Nothing was changed in it.'],
  inorganic: ['note', 'No carbon in the record. Nothing was taken away from it.'],
  mixture: [
    'note',
    'More than one molecule that is no usual salt or solvent; the largest was kept.',
  ],
  'missing-hydrogens': ['note', 'The geometry lacks hydrogens that the molecule has.'],
  disorder: ['note', 'The crystal is disordered; only the major part was read.'],
  'perceived-bonds': ['note', 'The file has no bonds; they were found from distances.'],
  'other-stereo': ['note', 'An earlier record has the same skeleton and another configuration.'],
  encoding: ['note', 'The line is not UTF-8 and was read as Latin-1.'],
  'missing-delimiter': ['note', 'The record ended without its $$$$ line.'],
  duplicate: ['duplicate', 'An earlier record is the same molecule, configuration included.'],
  'impossible-valence': ['rejected', 'An atom has more bonds or hydrogens than it can have.'],
  empty: ['rejected', 'The record holds no atom.'],
  'too-large': ['rejected', 'The molecule has more atoms than the limit.'],
  'not-a-molecule': [
    'rejected',
    'The record is no whole molecule: placeholders, or a block without atoms.',
  ],
  'no-hydrogens': [
    'rejected',
    'The geometry has neither hydrogens nor bonds: the orders of its bonds cannot be told.',
  ],
  'bond-orders': ['rejected', 'No set of single, double and triple bonds fits the geometry.'],
  'too-close': ['rejected', 'Two atoms of the geometry are in one place.'],
  'broken-smiles': ['broken', 'The SMILES cannot be read.'],
  'broken-molfile': ['broken', 'The molfile or SDF record cannot be read.'],
  'broken-xyz': ['broken', 'The XYZ frame cannot be read.'],
  'broken-cif': ['broken', 'The CIF block cannot be read.'],
  'broken-json': ['broken', 'The Chemical JSON cannot be read.'],
  'broken-csv': ['broken', 'The row of the table cannot be read.'],
  unreadable: ['broken', 'The file, or the rest of it, cannot be read.'],
} as const satisfies Record<string, readonly [ReasonKind, string]>;

export type ReasonKind = 'action' | 'note' | 'duplicate' | 'rejected' | 'broken';
export type ReasonCode = keyof typeof REASONS;

export interface Reason {
  readonly code: ReasonCode;
  /** What was seen or done in this record. */
  readonly words: string;
}

export const kindOf = (code: ReasonCode): ReasonKind => REASONS[code][0];

/** Why a record cannot be cleaned: `code` says whether it is broken or rejected. */
export interface Fault {
  readonly code: ReasonCode;
  readonly message: string;
  /** Line of the fault in the file, where it is known. */
  readonly line: number | undefined;
}

/** Ends a record. */
export class RecordFault extends Error implements Fault {
  readonly code: ReasonCode;
  readonly line: number | undefined;

  constructor(code: ReasonCode, words: string, line?: number) {
    super(words);
    this.code = code;
    this.line = line;
  }

  /** What goes between threads; an error loses its fields there. */
  get plain(): Fault {
    return { code: this.code, message: this.message, line: this.line };
  }
}

/** The command was given what it cannot work with at all. */
export class InputError extends Error {
  override name = 'InputError';
}
