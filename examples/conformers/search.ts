import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { InputError, parseSeeds, readMolecule, runProgram, search } from './chemistry.ts';

const USAGE = 'usage: node search.ts MOLECULE.cjson --seeds 0-49 --out conformers.json';

runProgram('search', () => {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { seeds: { type: 'string' }, out: { type: 'string' } },
  });
  const [path] = positionals;
  if (!path || positionals.length > 1 || !values.seeds || !values.out) throw new InputError(USAGE);
  const result = search(readMolecule(path), parseSeeds(values.seeds));
  writeFileSync(values.out, `${JSON.stringify(result, undefined, 2)}\n`);
  const lowest = result.conformers[0]?.energyKcalPerMol.toFixed(3) ?? 'none';
  process.stdout.write(
    `${result.molecule}, seeds ${result.seeds}: ${result.conformers.length} distinct conformers ` +
      `in ${result.attempts} attempts (${result.failed} failed), lowest ${lowest} kcal/mol\n`,
  );
});
