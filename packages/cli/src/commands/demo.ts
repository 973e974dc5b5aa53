import { mkdtempSync, rmSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Client } from '@majorana/client';
import type { JobView } from '@majorana/protocol';
import type { JsonOption } from '../command.ts';
import { connect } from '../connect.ts';
import { watchJobs } from '../follow/watch.ts';
import { answer, CliError, EXIT, note } from '../output.ts';
import { fetchJobResults } from '../results.ts';
import { uploadFile } from '../submit/upload.ts';
import { startDetached, stopRunning } from './service.ts';

const example = fileURLToPath(new URL('../../../../examples/conformers/', import.meta.url));
/** 1.2 s of start-up per process: blocks of this size keep it below half of the work. */
const SEEDS_PER_BLOCK = 16;
const BLOCKS = 3;

async function searchRecords(client: Client): Promise<Record<string, string>[]> {
  const folder = path.join(example, 'molecules');
  const files = (await readdir(folder)).filter((name) => name.endsWith('.cjson')).toSorted();
  const records: Record<string, string>[] = [];
  for (const name of files) {
    const object = await uploadFile(client, path.join(folder, name));
    for (let block = 0; block < BLOCKS; block += 1) {
      const first = block * SEEDS_PER_BLOCK;
      records.push({ molecule: name, object, seeds: `${first}-${first + SEEDS_PER_BLOCK - 1}` });
    }
  }
  return records;
}

async function submitSearch(client: Client): Promise<{ search: string; collate: string }> {
  const records = await searchRecords(client);
  const script = (name: string): string[] => [process.execPath, path.join(example, name)];
  const search = await client.submit({
    name: 'conformer search',
    argv: [...script('search.ts'), '{molecule}', '--seeds', '{seeds}', '--out', 'conformers.json'],
    array: { kind: 'records', records },
    inputs: [{ path: '{molecule}', object: '{object}' }],
    outputs: ['conformers.json'],
    retry: { limit: 1 },
  });
  const jobId = Number(search.id.slice('job_'.length));
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
  return { search: search.id, collate: collate.id };
}

async function checkSucceeded(client: Client, jobs: readonly JobView[]): Promise<void> {
  const failed =
    jobs.find((job) => job.state === 'failed') ?? jobs.find((job) => job.state !== 'succeeded');
  if (failed === undefined) return;
  const { groups } = await client.failures(failed.id);
  const reasons = groups.map((group) => `${group.count} x ${group.reason}`).join('; ');
  throw new CliError(`${failed.name} ended as ${failed.state}: ${reasons}`, EXIT.jobFailed);
}

/** Ctrl-C ends the demo as a whole: it takes down what it has started. */
function interruptSignal(): AbortSignal {
  const controller = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.once(signal, () => controller.abort());
  return controller.signal;
}

/** Starts the product in a folder of its own, runs the search, and leaves nothing but the results. */
export async function runDemo(options: JsonOption & { readonly output: string }): Promise<void> {
  const data = mkdtempSync(path.join(os.tmpdir(), 'majorana-demo-'));
  const folder = path.resolve(options.output);
  const signal = interruptSignal();
  try {
    note('starting database, server and agent');
    await startDetached(data);
    const client = connect(data);
    const { search, collate } = await submitSearch(client);
    const jobs = await watchJobs(client, [search, collate], { signal });
    if (signal.aborted) {
      await client.cancelJob(search);
      throw new CliError('the demo was interrupted', EXIT.detached);
    }
    await checkSucceeded(client, jobs);
    await fetchJobResults(client, collate, { folder, hasLogs: true });
    const [table, figure] = [path.join(folder, 'ranking.csv'), path.join(folder, 'landscape.svg')];
    const ranking = JSON.parse(
      await readFile(path.join(folder, 'ranking.json'), 'utf8'),
    ) as unknown;
    const text = await readFile(path.join(folder, 'stdout.log'), 'utf8').catch(() => '');
    answer(options, { folder, table, figure, ranking }, () =>
      [
        text,
        `table:  ${table}`,
        `figure: ${figure}`,
        'Your own work: npx majorana up --detach; npx majorana submit --array 0-9 -- echo "{index}"; npx majorana jobs',
      ].join('\n'),
    );
  } finally {
    await stopRunning(data).catch(() => undefined);
    rmSync(data, { recursive: true, force: true, maxRetries: 5 });
  }
}
