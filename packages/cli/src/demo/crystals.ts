import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Client } from '@majorana/client';
import { uploadFile } from '../submit/upload.ts';
import type { Demo } from './demo.ts';
import { jobNumber } from './demo.ts';

const app = fileURLToPath(new URL('../../../../apps/crystal-search/', import.meta.url));
const SMILES = 'c1ccccc1';
/** Space groups that the search takes for benzene, and structures in each: 110 are relaxed a second and core. */
const GROUPS = 12;
const PER_GROUP = 100;

/** No name here has a blank in it. */
const stage = (words: string): string[] => [
  process.execPath,
  path.join(app, 'src', 'main.ts'),
  ...words.split(' '),
];
const MOLECULE = 'molecule/0/molecule.json';

interface Step {
  readonly name: string;
  readonly argv: string[];
  readonly outputs: string[];
  /** Jobs it waits for and takes files from, by the folder they are laid in. */
  readonly from?: Readonly<Record<string, string>>;
  readonly array?: { kind: 'range'; ranges: { from: number; to: number; step: number }[] };
  readonly inputs?: { path: string; object: string }[];
}

async function submitStep(client: Client, { from = {}, ...step }: Step): Promise<string> {
  const jobs = Object.entries(from).map(([folder, id]) => ({ path: folder, jobId: jobNumber(id) }));
  const { id } = await client.submit({
    ...step,
    after: jobs.map(({ jobId }) => ({ jobId, on: 'ok' as const })),
    inputsFromJobs: jobs,
    retry: { limit: 1 },
  });
  return id;
}

async function submit(client: Client): Promise<string[]> {
  const experiment = await uploadFile(client, path.join(app, 'experiments', 'benzene.cif'));
  const molecule = await submitStep(client, {
    name: 'molecule',
    argv: stage(`molecule ${SMILES} --name benzene -o molecule.json`),
    outputs: ['molecule.json'],
  });
  const search = await submitStep(client, {
    name: 'search',
    argv: stage(`search ${MOLECULE} --per-group ${PER_GROUP} -o crystals.json`),
    outputs: ['crystals.json'],
    from: { molecule },
  });
  const relax = await submitStep(client, {
    name: 'relax',
    argv: stage(
      `relax ${MOLECULE} search/0/crystals.json -o relaxed.json --from {index} --count ${PER_GROUP}`,
    ),
    array: { kind: 'range', ranges: [{ from: 0, to: (GROUPS - 1) * PER_GROUP, step: PER_GROUP }] },
    outputs: ['relaxed.json'],
    from: { molecule, search },
  });
  const parts = Array.from(
    { length: GROUPS },
    (_, part) => `relax/${part * PER_GROUP}/relaxed.json`,
  );
  const cluster = await submitStep(client, {
    name: 'cluster',
    argv: stage(`cluster ${MOLECULE} ${parts.join(' ')} -o packings.json`),
    outputs: ['packings.json'],
    from: { molecule, relax },
  });
  const report = await submitStep(client, {
    name: 'report',
    argv: stage(`report ${MOLECULE} cluster/0/packings.json -o report --experiment benzene.cif`),
    inputs: [{ path: 'benzene.cif', object: experiment }],
    outputs: ['report/**'],
    from: { molecule, cluster },
  });
  return [molecule, search, relax, cluster, report];
}

/** The crystal structure of benzene from its SMILES: the stages of apps/crystal-search as jobs. */
export const crystals: Demo = {
  name: 'crystals',
  submit,
  async read(folder) {
    const file = (name: string): string => path.join(folder, 'report', name);
    const comparison: unknown = JSON.parse(await readFile(file('comparison.json'), 'utf8'));
    const [report, figure] = [file('report.html'), file('landscape.svg')];
    return {
      data: { report, figure, comparison },
      lines: [`report: ${report}`, `figure: ${figure}`],
    };
  },
};
