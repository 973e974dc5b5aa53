import { openAsBlob, readFileSync } from 'node:fs';
import path from 'node:path';
import type { Client } from '@majorana/client';
import { parseId } from '@majorana/core';
import type { JobSpecInput } from '@majorana/protocol';
import type { Command } from 'commander';
import { connect } from '../connect.ts';
import { CliError, print, printJson } from '../output.ts';
import type { ArrayOptions } from './array-options.ts';
import { readArray } from './array-options.ts';
import { parseBytes, parseDuration } from './quantities.ts';

interface SubmitOptions extends ArrayOptions {
  readonly name?: string;
  readonly queue?: string;
  readonly priority?: string;
  readonly cores?: string;
  readonly memory?: string;
  readonly gpus?: string;
  readonly resource: string[];
  readonly timeLimit?: string;
  readonly env: string[];
  readonly input: string[];
  readonly output: string[];
  readonly after: string[];
  readonly retries?: string;
  readonly label: string[];
  readonly idempotencyKey?: string;
  readonly json?: boolean;
}

const collect = (value: string, before: string[]): string[] => [...before, value];

function pairs(option: string, values: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    values.map((text) => {
      const at = text.indexOf('=');
      if (at < 1) throw new CliError(`${option} ${text}: NAME=VALUE is expected`);
      return [text.slice(0, at), text.slice(at + 1)];
    }),
  );
}

function readAfter(text: string): { jobId: number; on: 'ok' | 'any' } {
  const [id = '', on = 'ok'] = text.split(':');
  const jobId = parseId(id)?.jobId;
  if (jobId === undefined || (on !== 'ok' && on !== 'any')) {
    throw new CliError(`--after ${text}: JOB, JOB:ok or JOB:any is expected`);
  }
  return { jobId, on };
}

function readResources(options: SubmitOptions): NonNullable<JobSpecInput['resources']> {
  const cpuMillis =
    options.cores === undefined ? undefined : Math.round(Number(options.cores) * 1000);
  if (cpuMillis !== undefined && !(cpuMillis > 0))
    throw new CliError(`--cores ${options.cores}: a number above 0`);
  const countable = Object.fromEntries(
    Object.entries(pairs('--resource', options.resource)).map(([name, count]) => [
      name,
      Number(count),
    ]),
  );
  return {
    ...(cpuMillis === undefined ? {} : { cpuMillis }),
    ...(options.memory === undefined
      ? {}
      : { memoryBytes: parseBytes('--memory', options.memory) }),
    ...(options.gpus === undefined ? {} : { gpuCount: Number(options.gpus) }),
    countable,
  };
}

export async function uploadInput(
  client: Client,
  text: string,
): Promise<{ path: string; object: string; sizeBytes: number }> {
  const [file = '', name] = text.split('=');
  const blob = await openAsBlob(file).catch(() => {
    throw new CliError(`--input ${file}: cannot be read`);
  });
  return { path: name ?? path.basename(file), ...(await client.putObject(blob)) };
}

async function readSpec(
  client: Client,
  words: string[],
  options: SubmitOptions,
): Promise<JobSpecInput> {
  const choice = await readArray(options);
  const inputs = await Promise.all(options.input.map((text) => uploadInput(client, text)));
  if (choice.files !== undefined && choice.array?.kind === 'fields') {
    for (const [position, file] of choice.files.entries()) {
      const { object } = await uploadInput(client, file);
      choice.array.records[position]!['fileObject'] = object;
    }
    inputs.push({ path: '{file}', object: '{fileObject}', sizeBytes: 0 });
  }
  return {
    argv: words,
    name: options.name ?? path.basename(words[0]!),
    ...(options.queue === undefined ? {} : { queue: options.queue }),
    ...(options.priority === undefined ? {} : { priority: Number(options.priority) }),
    labels: pairs('--label', options.label),
    env: pairs('--env', options.env),
    ...(choice.array === undefined ? {} : { array: choice.array }),
    ...(choice.parallelMax === undefined ? {} : { parallelMax: choice.parallelMax }),
    resources: readResources(options),
    ...(options.timeLimit === undefined
      ? {}
      : { timeLimitMs: parseDuration('--time-limit', options.timeLimit) }),
    inputs: inputs.map(({ path: target, object }) => ({ path: target, object })),
    outputs: options.output,
    after: options.after.map(readAfter),
    ...(options.retries === undefined ? {} : { retry: { limit: Number(options.retries) } }),
    ...(options.idempotencyKey === undefined ? {} : { idempotencyKey: options.idempotencyKey }),
  };
}

async function readSpecFile(file: string): Promise<JobSpecInput> {
  const { parse } = await import('yaml');
  try {
    return parse(readFileSync(file, 'utf8')) as JobSpecInput;
  } catch (error) {
    throw new CliError(`${file}: ${(error as Error).message}`);
  }
}

export function addSubmitCommand(program: Command): void {
  program
    .command('submit')
    .description('submit a program, or a job file of the API’s schema (job.yaml)')
    .argument('<words...>', 'program and arguments after --, or one .yaml file')
    .option('--array <ranges>', '0-999, 1,3,10-20:2; %K: at most K at once')
    .option('--each <file>', 'one task per line, as {line}')
    .option('--params <file>', 'CSV or JSON lines: one task per record, fields by name')
    .option('--files <glob>', 'one task per file, as {file} and {stem}')
    .option('--name <name>', 'name of the job; default: the program')
    .option('--queue <name>', 'queue')
    .option('--priority <number>', 'higher goes first')
    .option('--cores <number>', 'cores per task, also fractions; default 1')
    .option('--memory <size>', 'memory per task, such as 500M or 4G; default 2G')
    .option('--gpus <number>', 'GPUs per task')
    .option('--resource <name=count>', 'any countable resource', collect, [])
    .option('--time-limit <time>', 'such as 90s, 30m, 2h', undefined)
    .option('--env <name=value>', 'environment variable', collect, [])
    .option('--label <name=value>', 'label', collect, [])
    .option('--input <file[=name]>', 'a file laid into each task’s folder', collect, [])
    .option('--output <glob>', 'files to keep', collect, [])
    .option('--after <job[:ok|any]>', 'start when that job has ended', collect, [])
    .option('--retries <number>', 'new attempts after a failure')
    .option('--idempotency-key <key>', 'a repeated submission answers with the first job')
    .option('--json', 'as JSON')
    .addHelpText(
      'after',
      '\nExamples:\n  majorana submit --array 0-999%8 -- ./run.sh "{index}"\n  majorana submit --params runs.csv --memory 4G -- ./simulate --t "{temperature}"\n  majorana submit --files "molecules/*.xyz" --output "*.out" -- xtb "{file}"\n  majorana submit job.yaml',
    )
    .action(async (words: string[], options: SubmitOptions) => {
      const client = connect();
      const isFile = words.length === 1 && /\.ya?ml$/.test(words[0]!);
      const spec = isFile ? await readSpecFile(words[0]!) : await readSpec(client, words, options);
      const answer = await client.submit(spec);
      if (options.json === true) printJson(answer);
      else print(answer.id);
    });
}
