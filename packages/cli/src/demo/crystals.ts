import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { isFinalRun } from '@majorana/core';
import type { RunDetail } from '@majorana/protocol';
import { CliError, EXIT, note } from '../output.ts';
import { fetchRunFiles } from '../workflow/run-files.ts';
import { readInputs, sendFiles } from '../workflow/run-inputs.ts';
import { watchRun } from '../workflow/watch-run.ts';
import { readWorkflow } from '../workflow/workflow-file.ts';
import type { Demo } from './demo.ts';
import type { Point } from './landscape.ts';
import { drawLandscape } from './landscape.ts';

const app = fileURLToPath(new URL('../../../../apps/crystal-search/', import.meta.url));
/**
 * Structures in each of twelve space groups; one core relaxes 110 a second. With 40 the measured
 * crystal came out first for each of the seeds 1 to 5.
 */
const PER_GROUP = { full: 300, quick: 40 };

function checkSucceeded(run: RunDetail): void {
  if (run.status === 'succeeded') return;
  const failed = run.rounds.at(-1)!.steps.filter((step) => step.status === 'failed');
  const reasons = failed.map((step) => `${step.path}: ${step.reason}`).join('; ');
  throw new CliError(`the run ended as ${run.status}: ${reasons}`, EXIT.jobFailed);
}

/** The crystal structure of benzene from its SMILES: the workflow of apps/crystal-search. */
export const crystals: Demo = {
  name: 'crystals',
  async run({ client, folder, isQuick, signal }) {
    const workflow = await readWorkflow(path.join(app, 'crystals.yaml'));
    const inputs = await readInputs(client, workflow, [
      `program=${path.join(app, 'bin', 'crystal-search')}`,
      'smiles=c1ccccc1',
      'molecule=benzene',
      `perGroup=${isQuick ? PER_GROUP.quick : PER_GROUP.full}`,
      `refineMethod=${isQuick ? 'none' : 'auto'}`,
      `experiments=${path.join(app, 'experiments', 'benzene.cif')}`,
    ]);
    const definition = await sendFiles(client, workflow);
    const { id } = await client.createRun({ definition, inputs });
    note('benzene, c1ccccc1: its crystal structure from nothing but the formula');
    const run = await watchRun(client, id, { signal, isQuiet: false });
    if (!isFinalRun(run.status)) {
      await client.cancelRun(id);
      throw new CliError('the demo was interrupted', EXIT.detached);
    }
    checkSucceeded(run);
    const { files } = await client.runFiles(id, { from: 'report' });
    await fetchRunFiles(client, files, folder);
    return describe(folder);
  },
};

async function readRanking(file: string): Promise<Point[]> {
  const { parse } = await import('csv-parse/sync');
  const rows = parse(await readFile(file), { columns: true });
  return (rows as Record<string, string>[]).map((row) => ({
    densityGramPerCm3: Number(row['density_g_per_cm3']),
    aboveMinimumKjPerMol: Number(row['above_minimum_kj_per_mol']),
    experiment: row['experiment'] ?? '',
  }));
}

async function describe(folder: string): ReturnType<Demo['run']> {
  const file = (name: string): string => path.join(folder, 'report', name);
  const text = await readFile(file('summary.json'), 'utf8');
  const summary = JSON.parse(text) as { experiments: { sentence: string }[] };
  const [report, figure, table] = ['report.html', 'landscape.svg', 'ranking.csv'].map(file);
  return {
    data: { report, figure, table, summary },
    lines: [
      ...drawLandscape(await readRanking(file('ranking.csv'))),
      ...summary.experiments.map(({ sentence }) => sentence),
      `report: ${report}`,
      `figure: ${figure}`,
    ],
  };
}
