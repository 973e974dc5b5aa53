import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { kill, Product, until } from './product.ts';

const app = fileURLToPath(new URL('../apps/crystal-search', import.meta.url));
const INPUTS = [
  `program=${app}/bin/crystal-search`,
  `experiments=${app}/experiments/benzene.cif`,
  'perGroup=6',
  // What is installed here must not decide what comes out.
  'refineMethod=none',
  'refineTop=1',
];

function start(product: Product): Promise<string> {
  const inputs = INPUTS.flatMap((input) => ['--input', input]);
  return product.ok('workflow', 'run', `${app}/crystals.yaml`, ...inputs, '--detach');
}

async function endOf(product: Product, run: string): Promise<string> {
  const ended = await until(
    'the end of the run',
    async () => {
      const { code, stdout } = await product.run('workflow', 'show', run, '--json');
      if (code !== 0) return undefined;
      const shown = JSON.parse(stdout) as { endedAtMs: number | null; status: string };
      return shown.endedAtMs === null ? undefined : shown;
    },
    120_000,
  );
  return ended.status;
}

/** The files of the report, but for those that say what the run took. */
async function results(product: Product, run: string): Promise<Record<string, string>> {
  const out = path.join(product.data, 'results');
  await product.ok('workflow', 'results', run, '-o', out);
  const folder = path.join(out, 'report', 'report');
  const names = readdirSync(folder).filter((name) => !['cost.json', 'report.html'].includes(name));
  return Object.fromEntries(
    names.map((name) => [name, readFileSync(path.join(folder, name), 'utf8')]),
  );
}

/** Tasks of this product that run a stage: their command line names no folder, their place does. */
function tasks(product: Product, stage: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        const args = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
        return args.includes(stage) && readlinkSync(`/proc/${pid}/cwd`).startsWith(product.data);
      } catch {
        return false;
      }
    });
}

const STAGES = [
  'molecule',
  'search',
  'relax',
  'cluster',
  'refine-plan',
  'refine-one',
  'refine-merge',
  'report',
];

/** Each kind of process is killed in two of the stages; the server's supervisor is left time. */
const VICTIMS = ['task', 'launcher', 'cluster-agent', 'control-plane'] as const;

function victims(product: Product, stage: string, index: number): number[] {
  const kind = VICTIMS[index % VICTIMS.length]!;
  if (kind === 'task') return tasks(product, stage);
  return kind === 'launcher' ? product.launchers() : product.processes(kind);
}

test('killed in every step, a search for crystals ends with the same ranked table and crystals', async () => {
  await using calm = new Product();
  await calm.ok('up', '--detach', '--cores', '2');
  const undisturbed = await start(calm);
  expect(await endOf(calm, undisturbed)).toBe('succeeded');
  const expected = await results(calm, undisturbed);
  expect(expected['ranking.csv']).toMatch(/^rank,.*\n1,-51\.607,0\.000,/);
  await calm.ok('down');

  await using product = new Product();
  await product.ok('up', '--detach', '--cores', '2');
  const run = await start(product);
  for (const [index, stage] of STAGES.entries()) {
    const pids = await until(`a task of ${stage} and its victims`, () => {
      const found = tasks(product, stage).length > 0 ? victims(product, stage, index) : [];
      return found.length > 0 && found;
    });
    kill(pids);
  }
  expect(await endOf(product, run)).toBe('succeeded');
  expect(await results(product, run)).toEqual(expected);
}, 240_000);
