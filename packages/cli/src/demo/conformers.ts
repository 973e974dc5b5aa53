import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Client } from '@majorana/client';
import type { JobView } from '@majorana/protocol';
import { watchJobs } from '../follow/watch.ts';
import { CliError, EXIT } from '../output.ts';
import { fetchJobResults } from '../results.ts';
import { uploadFile } from '../submit/upload.ts';
import type { Demo } from './demo.ts';

const example = fileURLToPath(new URL('../../../../examples/conformers/', import.meta.url));
/** 1.2 s of start-up per process: blocks of this size keep it below half of the work. */
const SEEDS_PER_BLOCK = 16;
const BLOCKS = 3;

const jobNumber = (id: string): number => Number(id.slice('job_'.length));

async function searchRecords(client: Client, blocks: number): Promise<Record<string, string>[]> {
  const folder = path.join(example, 'molecules');
  const files = (await readdir(folder)).filter((name) => name.endsWith('.cjson')).toSorted();
  const records: Record<string, string>[] = [];
  for (const name of files) {
    const object = await uploadFile(client, path.join(folder, name));
    for (let block = 0; block < blocks; block += 1) {
      const first = block * SEEDS_PER_BLOCK;
      records.push({ molecule: name, object, seeds: `${first}-${first + SEEDS_PER_BLOCK - 1}` });
    }
  }
  return records;
}

async function submit(client: Client, blockCount: number): Promise<string[]> {
  const records = await searchRecords(client, blockCount);
  const script = (name: string): string[] => [process.execPath, path.join(example, name)];
  const search = await client.submit({
    name: 'conformer search',
    argv: [...script('search.ts'), '{molecule}', '--seeds', '{seeds}', '--out', 'conformers.json'],
    array: { kind: 'records', records },
    inputs: [{ path: '{molecule}', object: '{object}' }],
    outputs: ['conformers.json'],
    retry: { limit: 1 },
  });
  const jobId = jobNumber(search.id);
  const blocks = records.map((_record, index) => `blocks/${index}/conformers.json`);
  const collate = await client.submit({
    name: 'collate',
    argv: [
      ...script('collate.ts'),
      '--out-table',
      'ranking.csv',
      '--out-svg',
      'landscape.svg',
      '--out-json',
      'ranking.json',
      ...blocks,
    ],
    outputs: ['ranking.*', 'landscape.svg'],
    after: [{ jobId, on: 'ok' }],
    inputsFromJobs: [{ jobId, path: 'blocks' }],
  });
  return [search.id, collate.id];
}

async function checkSucceeded(client: Client, jobs: readonly JobView[]): Promise<void> {
  const failed =
    jobs.find((job) => job.state === 'failed') ?? jobs.find((job) => job.state !== 'succeeded');
  if (failed === undefined) return;
  const { groups } = await client.failures(failed.id);
  const reasons = groups.map((group) => `${group.count} x ${group.reason}`).join('; ');
  throw new CliError(`${failed.name} ended as ${failed.state}: ${reasons}`, EXIT.jobFailed);
}

/** Conformers of twelve molecules by MMFF94: an array of searches and one task that ranks. */
export const conformers: Demo = {
  name: 'conformers',
  async run({ client, folder, isQuick, signal }) {
    const ids = await submit(client, isQuick ? 1 : BLOCKS);
    const jobs = await watchJobs(client, ids, { signal });
    if (signal.aborted) {
      for (const id of ids) await client.cancelJob(id);
      throw new CliError('the demo was interrupted', EXIT.detached);
    }
    await checkSucceeded(client, jobs);
    await fetchJobResults(client, ids.at(-1)!, { folder, hasLogs: true });
    const [table, figure] = [path.join(folder, 'ranking.csv'), path.join(folder, 'landscape.svg')];
    const ranking: unknown = JSON.parse(await readFile(path.join(folder, 'ranking.json'), 'utf8'));
    const text = await readFile(path.join(folder, 'stdout.log'), 'utf8').catch(() => '');
    return {
      data: { table, figure, ranking },
      lines: [text, `table:  ${table}`, `figure: ${figure}`],
    };
  },
};
