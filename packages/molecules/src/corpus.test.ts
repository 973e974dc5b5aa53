import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parse } from 'csv-parse/sync';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { CleanSummary } from './clean-files.ts';
import { cleanFiles } from './clean-files.ts';
import { formatByName } from './reading/records.ts';
import { OUTPUT_FILES } from './writing/output-folder.ts';

const corpus = path.join(import.meta.dirname, '..', 'corpus');
/** Point it at a folder of your own files: none may be lost, and cleaning twice must change nothing. */
const folder = process.env['MAJORANA_CLEAN_CORPUS'] ?? corpus;
const scratch = mkdtempSync(path.join(os.tmpdir(), 'majorana-clean-test-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

type Row = Record<string, string>;
const table = (file: string): Row[] =>
  parse(readFileSync(file, 'utf8'), { columns: true }) as Row[];

function filesIn(where: string): string[] {
  return (readdirSync(where, { recursive: true }) as string[])
    .filter((name) => formatByName(name) !== undefined)
    .toSorted()
    .map((name) => path.join(where, name));
}

describe('a folder of files', () => {
  let first: CleanSummary;
  let second: CleanSummary;
  beforeAll(async () => {
    first = await cleanFiles(filesIn(folder), { output: path.join(scratch, 'first') });
    second = await cleanFiles([path.join(first.folder, 'cleaned.smi')], {
      output: path.join(scratch, 'second'),
    });
  }, 300_000);

  test('every record is accounted for once', () => {
    const rows = table(path.join(first.folder, 'records.csv'));
    expect(rows.length).toBe(first.recordCount);
    const cleaned = table(path.join(first.folder, 'cleaned.csv'));
    const kept = rows.filter(({ outcome }) => outcome === 'kept' || outcome === 'changed');
    expect(kept.map(({ id }) => id)).toEqual(cleaned.map(({ id }) => id));
    for (const row of rows.filter(({ outcome }) => outcome === 'duplicate'))
      expect(kept.map(({ id }) => id)).toContain(row['duplicate_of']);
  });
  test('cleaning what was cleaned changes nothing', () => {
    expect(second.statuses).toEqual({
      kept: first.moleculeCount,
      changed: 0,
      duplicate: 0,
      rejected: 0,
      broken: 0,
    });
    const smiles = (where: string): (string | undefined)[] =>
      table(path.join(where, 'cleaned.csv')).map((row) => row['smiles']);
    expect(smiles(second.folder)).toEqual(smiles(first.folder));
  });
  test('the SDF holds the same molecules as the SMILES', async () => {
    const third = await cleanFiles([path.join(first.folder, 'cleaned.sdf')], {
      output: path.join(scratch, 'third'),
    });
    const smiles = (where: string): (string | undefined)[] =>
      table(path.join(where, 'cleaned.csv')).map((row) => row['smiles']);
    expect(smiles(third.folder)).toEqual(smiles(first.folder));
  });
});

describe('many records', () => {
  const many = Array.from({ length: 7 }, () => filesIn(corpus)).flat();
  const resultsOf = async (threadCount: number): Promise<string[]> => {
    const output = path.join(scratch, `threads-${threadCount}`);
    await cleanFiles(many, { output, threadCount });
    return OUTPUT_FILES.map((name) => readFileSync(path.join(output, name), 'utf8'));
  };
  test('each file is the same to the byte, however many threads clean', async () => {
    const alone = await resultsOf(1);
    expect(await resultsOf(2)).toEqual(alone);
  });
  test('an interrupted run leaves nothing, also where threads were at work', async () => {
    const controller = new AbortController();
    const output = path.join(scratch, 'interrupted');
    const onProgress = (count: number): void => void (count > 200 && controller.abort());
    const { signal } = controller;
    await expect(cleanFiles(many, { output, threadCount: 2, signal, onProgress })).rejects.toThrow(
      /aborted/,
    );
    expect(readdirSync(scratch).filter((name) => name.startsWith('interrupted'))).toEqual([]);
  });
});

describe('the corpus of this package', () => {
  let rows: Row[];
  let page: string;
  let sdf: string;
  beforeAll(async () => {
    const output = path.join(scratch, 'corpus');
    await cleanFiles([...filesIn(corpus), path.join(corpus, 'list.txt')], { output });
    rows = table(path.join(output, 'records.csv'));
    page = readFileSync(path.join(output, 'report.html'), 'utf8');
    sdf = readFileSync(path.join(output, 'cleaned.sdf'), 'utf8');
  });
  const reasonsOf = (row: Row): string[] =>
    [...`${row['actions']}; ${row['reasons']}`.matchAll(/(?:^|; )([a-z-]+):/g)].map(
      (match) => match[1]!,
    );

  test('each record ends as it should, with its line and its reasons', () => {
    const told = rows.map((row) =>
      [
        `${path.basename(row['file']!)}:${row['line']}`,
        row['fault_line'],
        row['outcome'],
        ...reasonsOf(row),
      ].join(' '),
    );
    expect(told).toMatchSnapshot();
  });
  test('nothing of the user’s becomes markup in the page', () => {
    expect(page).not.toContain('<script');
    expect(page).toContain('&lt;script&gt;alert(2)&lt;/script&gt;');
    expect(page).not.toMatch(/https?:\/\/(?!www\.w3\.org)/);
  });
  test('the properties of an SDF go with its molecule', () => {
    expect(sdf).toContain('>  <assay>\n42\n');
    expect(sdf).toContain('>  <note>\nfirst\nsecond <b>\n');
  });
  test('a geometry is written as it was read', () => {
    expect(sdf).toMatch(/0\.0000 +0\.7570 +-0\.4710 H/);
  });
});
