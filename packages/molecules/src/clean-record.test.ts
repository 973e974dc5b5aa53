import { describe, expect, test } from 'vitest';
import { cleanRecord } from './clean-record.ts';
import type { Content, SourceRecord } from './source-record.ts';

function record(content: Content): SourceRecord {
  return { file: 'f', line: 1, name: '', content, text: '', notes: [], properties: {} };
}

function clean(smiles: string, keepSalts = false) {
  const outcome = cleanRecord(record({ kind: 'smiles', smiles }), { keepSalts });
  return {
    smiles: outcome.kind === 'clean' ? outcome.clean.smiles : undefined,
    fault: outcome.kind === 'fault' ? outcome.fault.code : undefined,
    words: outcome.kind === 'fault' ? outcome.fault.message : '',
    codes: outcome.reasons.map(({ code }) => code),
    properties: outcome.kind === 'clean' ? outcome.clean.properties : undefined,
  };
}

describe('what is done to a molecule', () => {
  test('the parent of a salt is kept, neutral', () => {
    const { smiles, codes } = clean('[Na+].[O-]C(=O)c1ccccc1');
    expect(smiles).toBe(clean('OC(=O)c1ccccc1').smiles);
    expect(codes).toEqual(['removed-component', 'neutralised']);
  });
  test('a usual counter-ion is taken away although it is the larger part', () => {
    expect(clean('CCN.Cc1ccc(cc1)S(=O)(=O)O').smiles).toBe(clean('CCN').smiles);
  });
  test('zwitterions and quaternary ammonium keep their charges', () => {
    expect(clean('[NH3+]CC(=O)[O-]').codes).toEqual(['zwitterion']);
    expect(clean('C[N+](C)(C)C').codes).toEqual(['charged']);
    expect(clean('C[N+](C)(C)CC(=O)[O-]').codes).toEqual(['zwitterion']);
  });
  test('a nitro group and an N-oxide are no charges to take away', () => {
    expect(clean('C[N+](=O)[O-]').codes).toEqual([]);
    expect(clean('[O-][n+]1ccccc1').codes).toEqual([]);
  });
  test('on request salts stay', () => {
    expect(clean('CC(=O)[O-].[Na+]', true).smiles).toContain('[Na+]');
  });
  test('a bonded metal stops every change', () => {
    const { smiles, codes } = clean('C[Zn]C.Cl');
    expect(smiles).toContain('Zn');
    expect(codes).toEqual(['metal']);
  });
  test.each(['O=C([O-])C=CC1CC1.[Na+]', 'C=CC=Cc1ccccc1C(=O)[O-].[Na+]'])(
    'no cis or trans is invented when %s loses its ion',
    (smiles) => {
      const cleaned = clean(smiles);
      expect(cleaned.smiles).not.toMatch(/[/\\]/);
      expect(cleaned.codes).toContain('unassigned-double-bonds');
    },
  );
  test.each([
    ['O=C([O-])/C=C/C1CC1.[Na+]', 'O=C(O)/C=C/C1CC1'],
    ['O=C([O-])/C=C\\C1CC1.[Na+]', 'O=C(O)/C=C\\C1CC1'],
    ['C[C@@H](C(=O)[O-])N.[K+]', 'C[C@@H](C(=O)O)N'],
    ['N[C@@H](C)C(=O)O.Cl', 'C[C@H](N)C(=O)O'],
  ])('%s keeps its configuration', (salt, parent) => {
    expect(clean(salt).smiles).toBe(clean(parent).smiles);
  });
  test('unassigned centres are counted', () => {
    const open = cleanRecord(record({ kind: 'smiles', smiles: 'CC(N)C[C@H](O)Cl' }), {
      keepSalts: false,
    });
    expect(open.reasons).toEqual([{ code: 'unassigned-centres', words: '1 of 2 stereo centres' }]);
  });
});

describe('what is refused, and why', () => {
  test.each([
    ['C(C)(C)(C)(C)C', 'impossible-valence', 'C1 has 5 bonds'],
    ['[CH5]', 'impossible-valence', 'C1 has 5 bonds'],
    ['C[O](C)C', 'impossible-valence', 'O'],
    ['CN=[N]=N', 'impossible-valence', 'N in column 4'],
    ['c1cccn1', 'broken-smiles', '[nH]'],
    ['CC(C', 'broken-smiles', 'column 3'],
    ['CC)C', 'broken-smiles', 'column 3'],
    ['C()C', 'broken-smiles', 'column 3'],
    ['C=', 'broken-smiles', 'bond to nothing'],
    ['C1CC', 'broken-smiles', 'ring closure'],
    ['[Zz]C', 'broken-smiles', 'no element Zz'],
    ['C[N', 'broken-smiles', 'no atom'],
    ['C?C', 'broken-smiles', 'column 2'],
    ['', 'empty', ''],
    ['*CC', 'not-a-molecule', '*'],
    ['CC>>CO', 'not-a-molecule', 'reaction'],
    ['C'.repeat(501), 'too-large', '501 heavy atoms'],
  ])('%s', (smiles, fault, words) => {
    const cleaned = clean(smiles);
    expect(cleaned.fault).toBe(fault);
    expect(cleaned.words).toContain(words);
  });
  test.each([
    'OS(=O)(=O)O',
    'FS(F)(F)(F)(F)F',
    '[O-]Cl(=O)(=O)=O',
    'C[P+](C)(C)C',
    'F[P-](F)(F)(F)(F)F',
    'F[B-](F)(F)F',
    '[C-]#[O+]',
    'C=[N+]=[N-]',
    'CI(=O)=O',
    'C[S+](C)C',
    'C[Si](C)(C)C',
  ])('%s is possible', (smiles) => expect(clean(smiles).fault).toBeUndefined());
});

test('aspirin has the properties that its textbook gives', () => {
  expect(clean('CC(=O)Oc1ccccc1C(=O)O').properties).toMatchObject({
    formula: 'C9H8O4',
    massDalton: 180.159,
    heavyAtoms: 13,
    rotatableBonds: 3,
    rings: 1,
    aromaticRings: 1,
    donors: 1,
    acceptors: 4,
  });
});

test('cubane has five independent rings', () => {
  expect(clean('C12C3C4C1C5C2C3C45').properties?.rings).toBe(5);
});
