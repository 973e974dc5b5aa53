import { spawn } from 'node:child_process';
import { createWriteStream, readFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import path from 'node:path';
import { once } from 'node:events';
import { Product } from '../e2e/product.ts';
import type { Figure } from './figure.ts';
import { median, seconds, timed } from './figure.ts';

const MILLION = 1_000_000;

async function startFigures(product: Product): Promise<Figure[]> {
  const fresh = await timed(() => product.ok('up', '--detach', '--cores', '2'));
  const version = await median(9, () => product.ok('--version'));
  const jobs = await median(9, () => product.ok('jobs'));
  await product.ok('down');
  const again = await timed(() => product.ok('up', '--detach', '--cores', '2'));
  return [
    {
      name: '`up --detach` in an empty folder',
      value: seconds(fresh.ms),
      beside: 'initdb included',
    },
    { name: '`up --detach` again', value: seconds(again.ms), beside: '' },
    { name: '`majorana --version`', value: seconds(version), beside: 'goal: under 150 ms' },
    { name: '`majorana jobs`', value: seconds(jobs), beside: 'goal: under 150 ms' },
  ];
}

async function writeLines(file: string, count: number): Promise<void> {
  const stream = createWriteStream(file);
  for (let line = 0; line < count; line += 1) {
    const text = `{"molecule":"m${line}","temperature":${line % 400},"seed":"s${line * 7}"}\n`;
    if (!stream.write(text)) await once(stream, 'drain');
  }
  stream.end();
  await once(stream, 'close');
}

const residentMib = (pid: number): number =>
  Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1]) / 1024;

async function submitFigures(product: Product): Promise<Figure[]> {
  const range = (): Promise<string> =>
    product.ok('submit', '--array', `0-${MILLION - 1}%1`, '--', 'true');
  const ids: string[] = [];
  const whole = await median(5, async () => ids.push(await range()));
  const { url } = await product.json<{ url: string }>('status');
  const token = readFileSync(path.join(product.data, 'token'), 'utf8').trim();
  const spec = {
    argv: ['true'],
    parallelMax: 1,
    array: { kind: 'range', ranges: [{ from: 0, to: MILLION - 1, step: 1 }] },
  };
  const request = await median(9, async () => {
    const response = await fetch(`${url}/api/v1/jobs`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: JSON.stringify(spec),
    });
    ids.push(((await response.json()) as { id: string }).id);
  });
  for (const id of ids) await product.ok('cancel', id);
  const server = product.processes('control-plane')[0]!;
  const before = residentMib(server);
  const file = path.join(product.data, 'runs.jsonl');
  await writeLines(file, MILLION);
  const distinct = await timed(() =>
    product.ok('submit', '--params', file, '--queue', 'later', '--', 'echo', '{molecule} {seed}'),
  );
  await rm(file);
  await product.ok('cancel', distinct.value);
  const grown = residentMib(server) - before;
  return [
    {
      name: 'submit of 1,000,000 tasks as a range, one request',
      value: seconds(request),
      beside: 'goal: under 100 ms',
    },
    { name: 'the same as a whole command', value: seconds(whole), beside: '' },
    {
      name: 'submit of 1,000,000 different parameter lines, whole command',
      value: seconds(distinct.ms),
      beside: `goal: under 10 s; the server's peak memory grew by ${Math.round(grown)} MiB`,
    },
  ];
}

/** Two at a time, as the product with two cores: the floor of starting a process from Node. */
async function bareSpawns(count: number): Promise<number> {
  let left = count;
  const lane = async (): Promise<void> => {
    while ((left -= 1) >= 0) await once(spawn('true', { stdio: 'ignore' }), 'exit');
  };
  const { ms } = await timed(() => Promise.all([lane(), lane()]));
  return count / (ms / 1000);
}

async function runFigures(product: Product): Promise<Figure[]> {
  const noop = await timed(async () =>
    product.ok('wait', await product.ok('submit', '--array', '0-1999', '--', 'true')),
  );
  const bare = await bareSpawns(2000);
  const perSecond = 2000 / (noop.ms / 1000);
  const id = await product.ok('submit', '--array', '0-99', '--', 'sleep', '1');
  await product.ok('wait', id);
  const job = await product.json<{ submittedAtMs: number; endedAtMs: number }>('job', id);
  const used = 100 / (((job.endedAtMs - job.submittedAtMs) / 1000) * 2);
  return [
    {
      name: '2,000 tasks that run `true`, two at a time',
      value: `${Math.round(perSecond)} tasks/s`,
      beside: `a bare loop of spawns in the same run: ${Math.round(bare)}/s (ratio ${(perSecond / bare).toFixed(2)})`,
    },
    {
      name: 'efficiency with 100 tasks of 1 s on two cores',
      value: `${(used * 100).toFixed(1)} %`,
      beside: 'task seconds over paid core seconds, from submission to the last end; goal: 97 %',
    },
  ];
}

export async function productFigures(): Promise<Figure[]> {
  await using product = new Product();
  return [
    ...(await startFigures(product)),
    ...(await runFigures(product)),
    ...(await submitFigures(product)),
  ];
}
