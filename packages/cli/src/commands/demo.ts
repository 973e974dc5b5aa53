import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import type { JsonOption } from '../command.ts';
import { connect } from '../connect.ts';
import { conformers } from '../demo/conformers.ts';
import { crystals } from '../demo/crystals.ts';
import type { Demo } from '../demo/demo.ts';
import { answer, CliError, note } from '../output.ts';
import { startDetached, stopRunning } from './service.ts';

const DEMOS: readonly Demo[] = [crystals, conformers];

function findDemo(name: string): Demo {
  const demo = DEMOS.find((one) => one.name === name);
  if (demo !== undefined) return demo;
  const known = DEMOS.map((one) => one.name).join(' and ');
  throw new CliError(`there is no demo ${name}; there are ${known}`);
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
  options: JsonOption & { readonly output: string; readonly quick?: boolean },
): Promise<void> {
  const demo = findDemo(name);
  const data = mkdtempSync(path.join(os.tmpdir(), 'majorana-demo-'));
  const folder = path.resolve(options.output);
  const signal = interruptSignal();
  try {
    note('starting database, server and agent');
    await startDetached(data);
    const isQuick = options.quick === true;
    const { data: found, lines } = await demo.run({
      client: connect(data),
      folder,
      isQuick,
      signal,
    });
    answer(options, { folder, ...found }, () =>
      [
        ...lines,
        'Your own work: npx majorana up --detach; npx majorana submit --array 0-9 -- echo "{index}"; npx majorana jobs',
      ].join('\n'),
    );
  } finally {
    await stopRunning(data).catch(() => undefined);
    rmSync(data, { recursive: true, force: true, maxRetries: 5 });
  }
}
