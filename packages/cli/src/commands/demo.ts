import { mkdtempSync, rmSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Client } from '@majorana/client';
import { connect } from '../connect.ts';
import { CliError, EXIT, print } from '../output.ts';
import { watchJobs } from '../progress.ts';
import { fetchResults } from './jobs.ts';
import { startDetached, stopRunning } from './service.ts';
import { uploadInput } from './submit.ts';

const example = fileURLToPath(new URL('../../../../examples/conformers/', import.meta.url));
/** 1.2 s of start-up per process: blocks of this size keep it below half of the work. */
const SEEDS_PER_BLOCK = 16;
const BLOCKS = 3;

async function submitSearch(client: Client): Promise<string[]> {
  const folder = path.join(example, 'molecules');
  const files = (await readdir(folder)).filter((name) => name.endsWith('.cjson')).toSorted();
  const records: Record<string, string>[] = [];
  for (const name of files) {
    const { object } = await uploadInput(client, path.join(folder, name));
    for (let block = 0; block < BLOCKS; block += 1) {
      const first = block * SEEDS_PER_BLOCK;
      records.push({ molecule: name, object, seeds: `${first}-${first + SEEDS_PER_BLOCK - 1}` });
    }
  }
  const search = await client.submit({
    name: 'conformer search',
    argv: [
      process.execPath,
      path.join(example, 'search.ts'),
      '{molecule}',
      '--seeds',
      '{seeds}',
      '--out',
      'conformers.json',
    ],
    array: { kind: 'fields', records },
    inputs: [{ path: '{molecule}', object: '{object}' }],
    outputs: ['conformers.json'],
    retry: { limit: 1 },
  });
  const jobId = Number(search.id.slice('job_'.length));
  const blocks = records.map((_record, index) => `blocks/${index}/conformers.json`);
  const collate = await client.submit({
    name: 'collate',
    argv: [
      process.execPath,
      path.join(example, 'collate.ts'),
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

/** Starts the product in a folder of its own, runs the search, and leaves nothing but the results. */
export async function runDemo(output: string): Promise<void> {
  const data = mkdtempSync(path.join(os.tmpdir(), 'majorana-demo-'));
  const folder = path.resolve(output);
  try {
    process.stderr.write('starting database, server and agent\n');
    await startDetached(data);
    const client = connect(data);
    const ids = await submitSearch(client);
    const jobs = await watchJobs(client, ids, new AbortController().signal);
    await fetchResults(client, ids[1]!, folder);
    if (jobs.some((job) => job.state !== 'succeeded')) {
      const { groups } = await client.failures(ids[0]!);
      const reasons = groups.map((group) => `${group.count} x ${group.reason}`).join('; ');
      throw new CliError(`the search did not succeed: ${reasons}`, EXIT.jobFailed);
    }
    const { artifacts } = await client.artifacts(ids[1]!);
    const stdout = artifacts.find((artifact) => artifact.role === 'stdout');
    if (stdout !== undefined) print(await (await client.getObject(stdout.object)).text());
    print(`table:  ${path.join(folder, 'ranking.csv')}`);
    print(`figure: ${path.join(folder, 'landscape.svg')}`);
    print(
      'Your own work: npx majorana up --detach; npx majorana submit --array 0-9 -- echo "{index}"; npx majorana jobs',
    );
  } finally {
    await stopRunning(data).catch(() => undefined);
    rmSync(data, { recursive: true, force: true, maxRetries: 5 });
  }
}
