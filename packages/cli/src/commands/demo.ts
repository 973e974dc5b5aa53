import { mkdtempSync, rmSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import type { Client } from '@majorana/client';
import type { JobView } from '@majorana/protocol';
import type { JsonOption } from '../command.ts';
import { connect } from '../connect.ts';
import { conformers } from '../demo/conformers.ts';
import { crystals } from '../demo/crystals.ts';
import type { Demo } from '../demo/demo.ts';
import { watchJobs } from '../follow/watch.ts';
import { answer, CliError, EXIT, note } from '../output.ts';
import { fetchJobResults } from '../results.ts';
import { startDetached, stopRunning } from './service.ts';

const DEMOS: readonly Demo[] = [conformers, crystals];

function findDemo(name: string): Demo {
  const demo = DEMOS.find((one) => one.name === name);
  if (demo !== undefined) return demo;
  const known = DEMOS.map((one) => one.name).join(' and ');
  throw new CliError(`there is no demo ${name}; there are ${known}`);
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

/** Starts the product in a folder of its own, runs a demo, and leaves nothing but the results. */
export async function runDemo(
  name: string,
  options: JsonOption & { readonly output: string },
): Promise<void> {
  const demo = findDemo(name);
  const data = mkdtempSync(path.join(os.tmpdir(), 'majorana-demo-'));
  const folder = path.resolve(options.output);
  const signal = interruptSignal();
  try {
    note('starting database, server and agent');
    await startDetached(data);
    const client = connect(data);
    const ids = await demo.submit(client);
    const jobs = await watchJobs(client, ids, { signal });
    if (signal.aborted) {
      for (const id of ids) await client.cancelJob(id);
      throw new CliError('the demo was interrupted', EXIT.detached);
    }
    await checkSucceeded(client, jobs);
    await fetchJobResults(client, ids.at(-1)!, { folder, hasLogs: true });
    const { data: found, lines } = await demo.read(folder);
    const text = await readFile(path.join(folder, 'stdout.log'), 'utf8').catch(() => '');
    answer(options, { folder, ...found }, () =>
      [
        text,
        ...lines,
        'Your own work: npx majorana up --detach; npx majorana submit --array 0-9 -- echo "{index}"; npx majorana jobs',
      ].join('\n'),
    );
  } finally {
    await stopRunning(data).catch(() => undefined);
    rmSync(data, { recursive: true, force: true, maxRetries: 5 });
  }
}
