import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { spawnSync } from 'node:child_process';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { fileURLToPath } from 'node:url';
import type { Comparison } from '../src/compare.ts';
import type { SummaryFile } from '../src/summary.ts';
import type { Cost } from '../src/timing.ts';

// The five measured crystals that this program is judged by, as a Markdown table.

const app = fileURLToPath(new URL('..', import.meta.url));

const MOLECULES = [
  { name: 'benzene', smiles: 'c1ccccc1', perGroup: 100, experiments: ['benzene'] },
  { name: 'urea', smiles: 'NC(N)=O', perGroup: 200, experiments: ['urea'] },
  {
    name: 'oxalic acid',
    smiles: 'OC(=O)C(O)=O',
    perGroup: 200,
    experiments: ['oxalic-acid-alpha', 'oxalic-acid-beta'],
  },
  { name: 'formamide', smiles: 'NC=O', perGroup: 200, experiments: ['formamide'] },
];

interface Answer {
  summary: SummaryFile;
  comparisons: Comparison[];
  cost: Cost;
}

function run(molecule: (typeof MOLECULES)[number], seed: string, options: string[]): Answer {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'crystal-compare-'));
  try {
    const experiments = molecule.experiments.flatMap((name) => [
      '--experiment',
      path.join(app, 'experiments', `${name}.cif`),
    ]);
    const { status, stderr } = spawnSync(
      path.join(app, 'bin', 'crystal-search'),
      [
        'run',
        molecule.smiles,
        `--name=${molecule.name}`,
        `--seed=${seed}`,
        `--per-group=${molecule.perGroup}`,
        `--out=${folder}`,
        ...experiments,
        ...options,
      ],
      { encoding: 'utf8' },
    );
    if (status !== 0) throw new Error(stderr);
    const read = (name: string): unknown =>
      JSON.parse(readFileSync(path.join(folder, 'report', name), 'utf8'));
    return {
      summary: read('summary.json') as SummaryFile,
      comparisons: read('comparison.json') as Comparison[],
      cost: read('cost.json') as Cost,
    };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function rowOf(comparison: Comparison, { summary, cost }: Answer, seed: string): string {
  const { best, isFound, relaxed, cellDeviationPercent } = comparison;
  const bracket = (text: string) => (isFound ? text : `(${text})`);
  const wall = cost.stages.reduce((sum, stage) => sum + stage.wallSeconds, 0);
  return `| ${[
    comparison.name,
    comparison.spaceGroup,
    seed,
    summary.relaxedCount,
    summary.packingCount,
    isFound ? 'yes' : '**no**',
    bracket(String(isFound ? best!.rank : (relaxed?.rank ?? 'none'))),
    bracket((isFound ? best! : relaxed)?.aboveMinimumKjPerMol.toFixed(2) ?? '–'),
    isFound
      ? best!.rmsdAngstrom.toFixed(2)
      : `${relaxed?.matched} of 15, ${relaxed?.rmsdAngstrom.toFixed(2)}`,
    cellDeviationPercent?.map((value) => value.toFixed(1)).join(' ') ?? '–',
    comparison.relaxed?.symmetricKjPerMol.toFixed(1) ?? '–',
    cost.cpuSeconds.toFixed(0),
    wall.toFixed(0),
  ].join(' | ')} |`;
}

const { values } = parseArgs({
  options: { seeds: { type: 'string', default: '1' }, potential: { type: 'string' } },
});
const options = values.potential === undefined ? [] : ['--potential', values.potential];
const cpus = os.cpus();
process.stdout.write(
  `${cpus.length} cores (${cpus[0]!.model}), Node ${process.versions.node}, ${values.potential ?? 'fit'}, load ${os.loadavg()[0]!.toFixed(1)}\n\n` +
    `| experiment | group | seed | structures | distinct | found | rank | kJ/mol above minimum | RMSD15, Å | a b c, % | own minimum, kJ/mol | CPU, s | wall, s |\n` +
    `| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n`,
);
for (const molecule of MOLECULES) {
  for (const seed of values.seeds.split(',')) {
    const answer = run(molecule, seed, options);
    for (const comparison of answer.comparisons) {
      process.stdout.write(`${rowOf(comparison, answer, seed)}\n`);
    }
  }
}
