import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { glob } from 'tinyglobby';
import { afterAll, expect, test } from 'vitest';

/** What both ways to run a task make of globs: the runner's tests read the same table. */
const table = JSON.parse(
  readFileSync(new URL('../../../../runner/testdata/globs.json', import.meta.url), 'utf8'),
) as { files: string[]; matches: { globs: string[]; files: string[] }[] };

const cwd = mkdtempSync(path.join(os.tmpdir(), 'globs-'));
afterAll(() => rmSync(cwd, { recursive: true, force: true }));
for (const file of table.files) {
  mkdirSync(path.dirname(path.join(cwd, file)), { recursive: true });
  writeFileSync(path.join(cwd, file), '');
}

test('globs name the files of the table that the runner is held to', async () => {
  const found = await Promise.all(
    table.matches.map(async ({ globs }) => ({
      globs,
      files: (await glob(globs, { cwd, dot: true, followSymbolicLinks: false })).toSorted(),
    })),
  );
  expect(found).toEqual(table.matches);
});
