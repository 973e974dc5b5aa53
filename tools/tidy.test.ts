import { expect, test } from 'vitest';
import { staleFiles } from './docs.ts';
import * as tidy from './tidy.ts';

const checks: readonly [string, tidy.Check][] = [
  ['packages import what the table in ARCHITECTURE.md allows', tidy.checkImports],
  ['every source file is used', tidy.checkUnreferenced],
  ['every markdown file has one title, and its links lead somewhere', tidy.checkMarkdown],
  ['every dependency is used and has an exact version', tidy.checkDependencies],
  ['the error codes of the code are those of docs/reference/errors.md', tidy.checkErrorCodes],
  ['the states of core are those of the database', tidy.checkTaskStates],
  ['migrations are numbered and were never edited', tidy.checkMigrations],
  [
    'no test is left out, nothing prints that should not, no note of unfinished work',
    tidy.checkForbidden,
  ],
  ['the lock file has every platform and no download host', tidy.checkLock],
];

test.each(checks)('%s', (_title, check) => {
  expect(check()).toEqual([]);
});

test('the references are those of the code: npm run docs writes them', async () => {
  expect(await staleFiles(new URL('../', import.meta.url))).toEqual([]);
});

test('the table of imports is read as it stands', () => {
  const table = tidy.readImportTable(
    '| package | what | may import |\n| --- | --- | --- |\n| core | x, y | |\n| store | z | core, protocol |\n| cli | c | all |\n',
  );
  expect(table.get('core')).toEqual(new Set(['']));
  expect(table.get('store')).toEqual(new Set(['core', 'protocol']));
  expect(table.get('cli')).toBe('all');
  expect(table.has('package')).toBe(false);
});
