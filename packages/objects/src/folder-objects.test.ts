import { existsSync, mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { utimes, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { FolderObjects } from './folder-objects.ts';
import { testObjectStore } from './object-store.conformance.ts';

const root = mkdtempSync(path.join(os.tmpdir(), 'folder-objects-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));
let count = 0;
const nextFolder = (): string => path.join(root, String((count += 1)));

testObjectStore(async () => {
  const store = new FolderObjects(nextFolder());
  return {
    store,
    damage: (object, content) => writeFile(store.pathOf(object), content),
    age: (object, usedAtMs) => utimes(store.pathOf(object), usedAtMs / 1000, usedAtMs / 1000),
  };
});

test('what a crash left of a put is removed when it is old, not earlier', async () => {
  const folder = nextFolder();
  const old = path.join(folder, 'incoming', 'old');
  const recent = path.join(folder, 'incoming', 'recent');
  mkdirSync(path.dirname(old), { recursive: true });
  writeFileSync(old, 'half');
  writeFileSync(recent, 'half');
  const twoDaysAgo = Date.now() / 1000 - 2 * 24 * 3600;
  utimesSync(old, twoDaysAgo, twoDaysAgo);
  await new FolderObjects(folder).removeLeftovers(Date.now() - 24 * 3600 * 1000);
  expect(existsSync(old)).toBe(false);
  expect(existsSync(recent)).toBe(true);
});
