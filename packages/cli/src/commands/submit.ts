import { randomUUID } from 'node:crypto';
import type { Command } from 'commander';
import type { JsonOption } from '../command.ts';
import { addCommand, collect, numberIn } from '../command.ts';
import { connect } from '../connect.ts';
import { answer, CliError, note, print } from '../output.ts';
import type { Draft } from '../submit/draft.ts';
import type { SpecOptions } from '../submit/spec-options.ts';
import { detachFrom, waitFor } from './wait.ts';
import { addContainerOptions } from '../submit/container-options.ts';

interface SubmitOptions extends SpecOptions, JsonOption {
  readonly wait?: boolean;
  readonly dryRun?: boolean;
  readonly quiet?: boolean;
}

const isJobFile = (words: readonly string[]): boolean =>
  words.length === 1 && /(^-|\.ya?ml)$/.test(words[0]!);

/** What belongs to the command and not to the job. */
const COMMAND_OPTIONS = new Set(['json', 'wait', 'dryRun', 'quiet', 'idempotencyKey']);

async function readDraft(
  words: string[],
  options: SubmitOptions,
  command: Command,
): Promise<Draft> {
  if (!isJobFile(words)) {
    const { readOptions } = await import('../submit/spec-options.ts');
    return readOptions(words, options);
  }
  const extra = command.options.filter(
    (option) =>
      command.getOptionValueSource(option.attributeName()) === 'cli' &&
      !COMMAND_OPTIONS.has(option.attributeName()),
  );
  if (extra.length > 0)
    throw new CliError(
      `${extra[0]!.long} and a job file exclude each other: write it into ${words[0]}`,
    );
  const { readJobFile } = await import('../submit/job-file.ts');
  return readJobFile(words[0]!);
}

async function submit(words: string[], options: SubmitOptions, command: Command): Promise<void> {
  const draft = await readDraft(words, options, command);
  if (options.dryRun === true) {
    const { stringify } = await import('yaml');
    answer(options, draft, () => stringify(draft).trimEnd());
    return;
  }
  const client = connect();
  const { resolveDraft } = await import('../submit/upload.ts');
  const { TransferProgress } = await import('../transfer-progress.ts');
  const progress = options.quiet === true ? undefined : new TransferProgress('sent');
  const spec = await resolveDraft({ client, progress }, draft).finally(() =>
    progress?.[Symbol.dispose](),
  );
  // With a key of its own a submission may be repeated when the answer was lost on the way.
  const idempotencyKey = options.idempotencyKey ?? spec.idempotencyKey ?? randomUUID();
  const submitted = await client.submit({ ...spec, idempotencyKey });
  if (options.wait !== true) {
    answer(options, submitted, () => submitted.id);
    return;
  }
  // Before the id is told, so that whoever has read it can detach.
  const signal = detachFrom([submitted.id]);
  if (options.json === true) note(submitted.id);
  else print(submitted.id);
  await waitFor([submitted.id], options, { signal });
}

function addArrayOptions(command: Command): void {
  command
    .option('--array <ranges>', '0-999, 1,3,10-20:2; %K at the end: at most K at once')
    .option('--each <file>', 'one task per line, as {line}; - is standard input')
    .option('--params <file>', 'CSV with header or JSON lines: one task per record, fields by name')
    .option('--files <glob>', 'one task per file, as {file} and {stem}; the file is laid in')
    .option('--parallel <number>', 'at most so many tasks at once', numberIn(1));
}

function addResourceOptions(command: Command): void {
  command
    .option('--cores <number>', 'cores per task, also fractions; default 1')
    .option('--memory <size>', 'memory per task, such as 500M or 4G; default 2G')
    .option('--scratch <size>', 'disk space in the task’s folder')
    .option('--shm <size>', 'size of /dev/shm, a part of the memory; default 64M')
    .option('--gpus <number>', 'GPUs per task', numberIn(0))
    .option(
      '--resource <name=count>',
      'any other countable resource, such as a licence',
      collect,
      [],
    )
    .option('--time-limit <time>', 'such as 90s, 30m, 2h: the task is ended then')
    .option('--grace <time>', 'from TERM to KILL; default 10s')
    .option(
      '--checkpoint <words>',
      'program and arguments to run in the container before TERM, when its pod has to go',
    )
    .option('--checkpoint-time <time>', 'how long that may take; default 30s');
}

function addRetryOptions(command: Command): void {
  command
    .option('--retries <number>', 'new attempts after a failure', numberIn(0, 100))
    .option('--retry-on <kinds>', 'only exit,signal,memory,time,start', collect, [])
    .option('--retry-exit-code <codes>', 'of exits only these codes', collect, [])
    .option('--retry-signal <signals>', 'of signals only these, such as SIGSEGV', collect, [])
    .option('--retry-backoff <time>', 'first wait, doubling each time; default 1s')
    .option('--retry-backoff-max <time>', 'longest wait; default 5m')
    .option(
      '--retry-memory-factor <number>',
      'memory after out-of-memory; default 2',
      numberIn(1, 16, false),
    )
    .option('--retry-memory-max <size>', 'up to so much memory');
}

export function addSubmitCommand(program: Command): void {
  const command = addCommand(program, {
    usage: 'submit',
    description: 'submit a program, or a job file of the API’s schema (job.yaml)',
    examples: [
      'majorana submit --array 0-999%8 -- ./run.sh "{index}"',
      'majorana submit --params runs.csv --memory 4G -- ./simulate --t "{temperature}"',
      'seq 10 | majorana submit --each - --wait -- ./run.sh "{line}"',
      'majorana submit --files "molecules/*.xyz" --output "*.out" -- xtb "{file}"',
      'majorana submit --retries 3 --retry-on memory --retry-memory-max 16G -- ./fit',
      'majorana submit --input dataset:water@2=clusters --array 0-9 -- ./relax clusters "{index}"',
      'majorana submit --image science/xtb:6.7.1 --mount pvc:data:/data -- xtb /data/a.xyz',
      'majorana submit --image science/vasp:6 --nodes 4 --ranks-per-node 8 --cores 8 -- mpirun vasp',
      'majorana submit --after job_1:ok:each --array 0-99 -- ./next "{index}"',
      'majorana submit --dry-run --cores 4 -- ./run.sh > job.yaml && majorana submit job.yaml',
    ],
  })
    .argument(
      '<words...>',
      'program and arguments after --, or one .yaml file, or - for standard input',
    )
    .option('--name <name>', 'name of the job; default: the program')
    .option('--project <project>', 'project')
    .option('--queue <queue>', 'queue')
    .option('--priority <number>', 'higher goes first in the queue', numberIn(-1000, 1000))
    .option('--env <name=value>', 'environment variable', collect, [])
    .option('--label <name=value>', 'label', collect, [])
    .option(
      '--input <file[=name]>',
      'a file laid into each task’s folder; dataset:NAME@3/PATH: a file or all files of a dataset',
      collect,
      [],
    )
    .option('--output <glob>', 'files to keep', collect, [])
    .option(
      '--after <job[:ok|any][:each]>',
      'start when that job, or its same task, has ended',
      collect,
      [],
    )
    .option('--idempotency-key <key>', 'a repeated submission answers with the first job')
    .option('--wait', 'wait for its end, as majorana wait does')
    .option('--quiet', 'with --wait: no progress')
    .option('--dry-run', 'submit nothing; print the job file that says the same');
  addArrayOptions(command);
  addResourceOptions(command);
  addContainerOptions(command);
  addRetryOptions(command);
  command.action(submit);
}
