import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { OPTIONS, say } from './arguments.ts';
import { InputError } from './errors.ts';
import { refineMergeStage, refineOneStage, refinePlanStage } from './refine-stages.ts';
import {
  clusterStage,
  energyStage,
  moleculeStage,
  relaxStage,
  reportStage,
  runAll,
  searchStage,
  type Stage,
} from './stages.ts';
import { timingOf } from './timing.ts';

const USAGE = `crystal-search STAGE ...: crystal structures of one molecule

  molecule INPUT -o molecule.json      SMILES, or .smi .mol .sdf .xyz .cjson
      --name TEXT --conformer 1 --starts 30 --charges mmff94|eeq|FILE --optimise
      --conformers N --conformer-window 25    the N lowest that are unlike each other
  search molecule.json -o crystals.json
      --seed 1 --per-group 100 --groups 2,14,19 --first 0
  relax molecule.json crystals.json -o relaxed.json
      --potential fit|w99 --cutoff 12 --from 0 --count N
  cluster molecule.json relaxed.json... -o packings.json
      --window 15 --rmsd 0.3
  refine-plan packings.json -o plan.txt
      --top 5 --window 15
  refine-one molecule.json packings.json LINE -o refined.json
      --method auto|cp2k|xtb|tblite|none --relax none|cell --checkpoint FOLDER --axis-min 13
  refine-merge packings.json plan.txt refined.json... -o packings.json
  report molecule.json packings.json -o report/
      --experiment FILE.cif --top 10 --spent timing.json --price USD_PER_CORE_HOUR
  energy molecule.json FILE.cif... -o energies.json
  run INPUT -o folder/                 molecule to report, with the options of each

  each: --timing FILE.json             what it took
`;

const STAGES: Readonly<Record<string, Stage>> = {
  molecule: moleculeStage,
  search: searchStage,
  relax: relaxStage,
  cluster: clusterStage,
  'refine-plan': refinePlanStage,
  'refine-one': refineOneStage,
  'refine-merge': refineMergeStage,
  report: reportStage,
  energy: energyStage,
  run: runAll,
};

function main(args: string[]): void {
  const { values, positionals } = parseArgs({
    args,
    options: OPTIONS,
    allowPositionals: true,
  });
  const [name, ...paths] = positionals;
  if (values.help || name === undefined) {
    say(USAGE);
    return;
  }
  const stage = STAGES[name];
  if (!stage) throw new InputError(`${name}: no such stage\n${USAGE}`);
  if (values.out === undefined) throw new InputError(`${name}: where to? Give -o`);
  const structures = stage(paths, values.out, values);
  if (values.timing !== undefined) {
    writeFileSync(values.timing, `${JSON.stringify(timingOf(name, structures))}\n`);
  }
}

// A reader that has seen enough (head, less) is no error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
});

try {
  main(process.argv.slice(2));
} catch (error) {
  const { code } = error as NodeJS.ErrnoException;
  if (!(error instanceof InputError) && code === undefined) throw error;
  process.stderr.write(`crystal-search: ${(error as Error).message}\n`);
  process.exitCode = 2;
}
