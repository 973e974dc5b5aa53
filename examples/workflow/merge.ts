import { copyFileSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { InputError, runProgram } from '../conformers/chemistry.ts';
import type { RankedMolecule } from '../conformers/ranking.ts';
import { rank, readResult } from '../conformers/ranking.ts';

const USAGE = 'usage: node merge.ts FOUND KNOWN: two folders of what search.ts wrote';

const filesBelow = (folder: string): string[] =>
  readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.json'))
    .map((name) => path.join(folder, name))
    .toSorted();

const countOf = (molecules: readonly RankedMolecule[], molecule: string): number =>
  molecules.find((one) => one.molecule === molecule)?.distinctConformers ?? 0;

/** Puts what is known and what was found into results/, and a line into new.txt for each gain. */
runProgram('merge', () => {
  const [found, known] = process.argv.slice(2);
  if (!found || !known) throw new InputError(USAGE);
  mkdirSync(known, { recursive: true });
  const before = filesBelow(known);
  const all = [...before, ...filesBelow(found)];
  const earlier = rank(before.map(readResult));
  const gains = rank(all.map(readResult))
    .map(({ molecule, distinctConformers }) => ({
      molecule,
      gain: distinctConformers - countOf(earlier, molecule),
    }))
    .filter(({ gain }) => gain > 0);
  mkdirSync('results');
  for (const [at, file] of all.entries()) copyFileSync(file, path.join('results', `${at}.json`));
  writeFileSync('new.txt', gains.map(({ molecule, gain }) => `${molecule} ${gain}\n`).join(''));
});
