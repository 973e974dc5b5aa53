import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import fc from 'fast-check';
import { afterAll, expect, test } from 'vitest';
import { cleanRecord } from './clean-record.ts';
import { readRecords } from './reading/records.ts';
import type { SourceRecord } from './source-record.ts';

const corpus = path.join(import.meta.dirname, '..', 'corpus');
const scratch = mkdtempSync(path.join(os.tmpdir(), 'majorana-clean-fuzz-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

async function readBytes(name: string, bytes: Uint8Array): Promise<SourceRecord[]> {
  const file = path.join(scratch, name);
  writeFileSync(file, bytes);
  const records: SourceRecord[] = [];
  for await (const record of readRecords(file)) records.push(record);
  return records;
}

const smilesOf = (record: SourceRecord): string => {
  const outcome = cleanRecord(record, { keepSalts: false });
  return outcome.kind === 'clean' ? outcome.clean.smiles : outcome.fault.code;
};

const ENDINGS = ['smi', 'csv', 'sdf', 'xyz', 'cif', 'cjson', 'txt', 'smi.gz'];

test('random bytes make records or faults, and nothing is thrown', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...ENDINGS),
      fc.uint8Array({ maxLength: 300 }),
      async (ending, bytes) => {
        for (const record of await readBytes(`random.${ending}`, bytes))
          expect(smilesOf(record)).not.toBe('');
      },
    ),
    { numRuns: 300 },
  );
});

const mutation = fc.record({
  file: fc.constantFrom(
    'plain.smi',
    'semicolons.csv',
    'records.sdf',
    'frames.xyz',
    'blocks.cif',
    'benzene.mol',
  ),
  flips: fc.array(
    fc.record({
      at: fc.double({ min: 0, max: 1, noNaN: true }),
      to: fc.constantFrom(...Buffer.from('0129 -.\n()[]$>M;\'"Cc\0\u00ff')),
    }),
    { maxLength: 8 },
  ),
  keep: fc.oneof(fc.constant(1), fc.double({ min: 0, max: 1, noNaN: true })),
  big: fc.boolean(),
});

test('files with flipped bytes, lost ends and huge numbers are read to their end', async () => {
  await fc.assert(
    fc.asyncProperty(mutation, async ({ file, flips, keep, big }) => {
      const bytes = Buffer.from(readFileSync(path.join(corpus, file)));
      for (const { at, to } of flips) bytes[Math.floor(at * (bytes.length - 1))] = to;
      const cut = bytes.subarray(0, Math.floor(keep * bytes.length));
      const text = big
        ? Buffer.from(cut.toString('latin1').replace(/\d/, '999999999'), 'latin1')
        : cut;
      const records = await readBytes(`mutated-${file}`, text);
      let line = 0;
      for (const record of records) {
        expect(record.line).toBeGreaterThanOrEqual(line);
        ({ line } = record);
        expect(smilesOf(record)).not.toBe('');
      }
    }),
    { numRuns: 300 },
  );
}, 300_000);

const letters = fc.array(
  fc.constantFrom(
    ...Array.from('CNOSPFcnos()[]=#-+.%/\\@123H'),
    '[nH]',
    '[C@H]',
    '[C@@H]',
    'Cl',
    'Br',
    '[Na+]',
    '[O-]',
    '[13C]',
    '/C=C/',
    'c1ccccc1',
  ),
  { maxLength: 24 },
);
const smilesText = letters.map((parts) => parts.join(''));

test('whatever is written with the letters of SMILES is cleaned or refused, and cleaning again changes nothing', () => {
  fc.assert(
    fc.property(smilesText, (smiles) => {
      const clean = (text: string): string =>
        smilesOf({
          file: 'f',
          line: 1,
          name: '',
          content: { kind: 'smiles', smiles: text },
          text,
          notes: [],
          properties: {},
        });
      const once = clean(smiles);
      if (/^[a-z]+-[a-z-]+$|^empty$/.test(once)) return;
      expect(clean(once)).toBe(once);
    }),
    { numRuns: 1500 },
  );
}, 120_000);

test('one broken line changes nothing for the others', async () => {
  const good = [
    'CCO ethanol',
    'c1ccccc1 benzene',
    'CC(=O)[O-].[Na+] acetate',
    'C[C@H](N)C(=O)O alanine',
  ];
  const expected = (await readBytes('good.smi', Buffer.from(good.join('\n')))).map(smilesOf);
  await fc.assert(
    fc.asyncProperty(
      fc.uint8Array({ minLength: 1, maxLength: 60 }),
      fc.nat({ max: good.length }),
      async (noise, at) => {
        const bad = noise.map((byte) => (byte < 33 || byte === 35 ? 63 : byte));
        const before = Buffer.from(
          good
            .slice(0, at)
            .map((line) => `${line}\n`)
            .join(''),
        );
        const after = Buffer.from(`\n${good.slice(at).join('\n')}`);
        const records = await readBytes('one-bad.smi', Buffer.concat([before, bad, after]));
        expect(records.length).toBe(good.length + 1);
        expect(records.filter((_, index) => index !== at).map(smilesOf)).toEqual(expected);
      },
    ),
    { numRuns: 100 },
  );
});

test.each([
  ['parentheses', `${'C('.repeat(5000)}C${')'.repeat(5000)}`],
  ['brackets', '['.repeat(10_000)],
  ['rings', `${'C1CC1'.repeat(2000)}`],
  ['length', 'C'.repeat(2_000_000)],
])('deep or long %s are refused', async (_what, smiles) => {
  const [record] = await readBytes('deep.smi', Buffer.from(`${smiles}\nCC\n`));
  expect(['too-large', 'broken-smiles']).toContain(smilesOf(record!));
});

test('a record of an SDF without an end keeps nothing of the next file and no memory', async () => {
  const lines = `x\n\n\n${'  1  0  0  0  0  0  0  0  0  0999 V2000\n'}${'junk\n'.repeat(200_000)}`;
  const records = await readBytes('endless.sdf', Buffer.from(lines));
  expect(records.map(smilesOf)).toEqual(['broken-molfile']);
});
