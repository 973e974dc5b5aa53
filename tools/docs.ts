import { readFile, writeFile } from 'node:fs/promises';
import { buildProgram } from '@majorana/cli/program';
import { apiReference } from './api-reference.ts';
import { cleaningReference } from './cleaning-reference.ts';
import { cliReference } from './cli-reference.ts';
import { openApiDocument } from './openapi.ts';

/** The references that are made from the code, by their path from the root. */
export async function referenceFiles(): Promise<Map<string, string>> {
  return new Map([
    ['docs/reference/cli.md', cliReference(buildProgram())],
    ['docs/reference/cleaning-reasons.md', cleaningReference()],
    ['docs/reference/api.md', apiReference(await openApiDocument())],
  ]);
}

/** `npm run docs` writes them; a test compares them. */
export async function staleFiles(root: URL): Promise<string[]> {
  const stale: string[] = [];
  for (const [file, text] of await referenceFiles()) {
    const there = await readFile(new URL(file, root), 'utf8').catch(() => '');
    if (there !== text) stale.push(file);
  }
  return stale;
}

if (process.argv[1] === import.meta.filename) {
  const root = new URL('../', import.meta.url);
  for (const [file, text] of await referenceFiles()) await writeFile(new URL(file, root), text);
}
