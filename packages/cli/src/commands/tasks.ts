import { access } from 'node:fs/promises';
import type { Client } from '@majorana/client';
import { sleep } from '@majorana/client';
import { isTerminal, TASK_STATES } from '@majorana/core';
import type { LogStream, TaskDetail } from '@majorana/protocol';
import type { Command } from 'commander';
import type { JsonOption } from '../command.ts';
import { addCommand, detachOnInterrupt, numberIn } from '../command.ts';
import { connect, connectPatiently } from '../connect.ts';
import type { Target } from '../ids.ts';
import { readTarget } from '../ids.ts';
import { answer, CliError, EXIT, note, plural, printJson } from '../output.ts';

const POLL_MS = 500;
/** How often progress is shown, in a terminal and elsewhere. */

/** A task, or the only task of a job. */
async function readTask(client: Client, text: string): Promise<Target & { kind: 'task' }> {
  const target = readTarget(text);
  if (target.kind === 'task') return target;
  const { tasks, next } = await client.tasks(target.id, { limit: 2 });
  const [only] = tasks;
  if (only !== undefined && tasks.length === 1 && next === null)
    return { kind: 'task', id: only.id };
  throw new CliError(
    `${target.id} has more than one task; name one, such as ${only?.id ?? `${target.id}.0`}`,
  );
}

interface LogsOptions extends JsonOption {
  readonly follow?: boolean;
  readonly stderr?: boolean;
  readonly attempt?: number;
  readonly tail?: number;
}

/** With -f a task that waits is waited for; without, one that never began has no log. */
async function untilLeased(client: Client, id: string, signal: AbortSignal): Promise<TaskDetail> {
  let isTold = false;
  for (;;) {
    const detail = await client.task(id, { signal });
    if (detail.task.attemptNumber > 0 || isTerminal(detail.task.state)) return detail;
    if (!isTold) note(`${id} is ${detail.task.state}: ${detail.explanation.sentence}`);
    isTold = true;
    await sleep(POLL_MS, signal);
  }
}

/** An attempt that never was, or that took its log with it, is not one that wrote nothing. */
function sayWhyEmpty(
  { task, attempts, artifacts }: TaskDetail,
  attempt: number,
  stream: LogStream,
): void {
  const id = `${task.id}.${attempt}`;
  const record = attempts.find((one) => one.id === id);
  if (record === undefined)
    throw new CliError(
      `${task.id} has no attempt ${attempt}; the last is ${task.attemptNumber}`,
      EXIT.notFound,
    );
  const isStored = artifacts.some((one) => one.role === stream && one.attemptNumber === attempt);
  if (record.endedAtMs !== null && record.outcome !== 'succeeded' && !isStored)
    note(`${id} has left no ${stream}: ${record.reason}`);
}

/** A pod that was evicted, say: what is read is not the end of the task. */
function sayWhatFollows({ task, attempts, explanation }: TaskDetail, attempt: number): void {
  if (isTerminal(task.state)) return;
  const record = attempts.find(({ id }) => id === `${task.id}.${attempt}`);
  const how = record?.reason ?? 'it is over';
  note(`attempt ${attempt} ended: ${how}; ${task.id} is ${task.state}: ${explanation.sentence}`);
}

async function printLogs(text: string, options: LogsOptions, signal: AbortSignal): Promise<void> {
  const logs = await import('../logs.ts');
  const isFollowed = options.follow === true;
  const client = isFollowed ? connectPatiently() : connect();
  const target = await readTask(client, text);
  const detail = isFollowed
    ? await untilLeased(client, target.id, signal)
    : await client.task(target.id, { signal });
  const attempt = options.attempt ?? target.attemptNumber ?? detail.task.attemptNumber;
  const stream = options.stderr === true ? 'stderr' : 'stdout';
  if (attempt === 0) {
    const why = `${target.id} is ${detail.task.state} and has written nothing: ${detail.explanation.sentence}`;
    if (options.json === true) printJson({ taskId: target.id, attempt, stream, text: '' });
    note(why);
    return;
  }
  const pieces: Uint8Array[] = [];
  let isEmpty = true;
  const sink = async (piece: Uint8Array): Promise<void> => {
    isEmpty &&= piece.length === 0;
    if (options.json === true) pieces.push(piece);
    else await logs.writeOut(piece);
  };
  const where = { stream, attempt, signal } as const;
  let offset = 0;
  if (options.tail !== undefined) {
    const stored = detail.artifacts.find(
      (artifact) => artifact.role === stream && artifact.attemptNumber === attempt,
    );
    const tail = await logs.readTail(client, target.id, {
      ...where,
      lineCount: options.tail,
      sizeBytes: stored?.sizeBytes,
    });
    await sink(tail.text);
    offset = tail.offset;
  }
  if (isFollowed) await logs.followLog(client, target.id, { ...where, offset }, sink);
  else if (options.tail === undefined)
    await logs.readLog(client, target.id, { ...where, offset }, sink);
  if (isEmpty) sayWhyEmpty(await client.task(target.id, { signal }), attempt, stream);
  if (isFollowed) sayWhatFollows(await client.task(target.id, { signal }), attempt);
  if (options.json === true)
    printJson({ taskId: target.id, attempt, stream, text: Buffer.concat(pieces).toString() });
}

async function logs(text: string, options: LogsOptions): Promise<void> {
  const signal =
    options.follow === true ? detachOnInterrupt('the task goes on') : new AbortController().signal;
  try {
    await printLogs(text, options, signal);
  } catch (error) {
    if (!signal.aborted) throw error;
    process.exitCode = EXIT.detached;
  }
}

/** Of a job the first task that needs a word: failed, else waiting, else held. */
async function findTask(client: Client, text: string): Promise<string | undefined> {
  const target = readTarget(text);
  if (target.kind === 'task') return target.id;
  const job = await client.job(target.id);
  const order = [
    'failed',
    'pending',
    'queued',
    'suspended',
    'leased',
    'starting',
    'running',
    'cancelled',
  ] as const;
  const state =
    order.find((one) => job.counts[one] > 0) ?? TASK_STATES.find((one) => job.counts[one] > 0);
  const { tasks } = await client.tasks(target.id, { limit: 1, state });
  return tasks[0]?.id;
}

async function why(text: string, options: JsonOption): Promise<void> {
  const client = connect();
  const id = await findTask(client, text);
  if (id === undefined)
    throw new CliError(`${text}: its tasks have just changed; ask again`, EXIT.refused);
  const detail = await client.task(id);
  const { explainTask } = await import('../explain.ts');
  answer(options, detail, () => explainTask(detail));
}

interface ResultsCliOptions extends JsonOption {
  readonly output: string;
  readonly logs?: boolean;
}

async function results(text: string, options: ResultsCliOptions): Promise<void> {
  const { fetchJobResults, fetchTaskResults } = await import('../results.ts');
  const { TransferProgress } = await import('../transfer-progress.ts');
  const target = readTarget(text);
  const client = connectPatiently();
  const fetchResults = target.kind === 'job' ? fetchJobResults : fetchTaskResults;
  using progress = new TransferProgress('fetched');
  const hasLogs = options.logs === true;
  const report = await fetchResults(client, target.id, {
    folder: options.output,
    hasLogs,
    progress,
  });
  const state = target.kind === 'job' ? (await client.job(target.id)).state : undefined;
  const total = report.written + report.kept;
  const already = report.kept === 0 ? '' : `, ${report.kept} of them there already`;
  const open =
    state === 'running' || state === 'queued'
      ? `; ${target.id} is ${state}: run it again for the rest`
      : '';
  answer(
    options,
    { folder: options.output, ...report },
    () => `${plural(total, 'file')} in ${options.output}${already}${open}`,
  );
  if (total === 0)
    await access(options.output).catch(() =>
      note('no task has kept a file: --output of submit says what is kept'),
    );
  if (report.refused.length > 0)
    throw new CliError(
      `not written, since the names lead out of the folder:\n  ${report.refused.join('\n  ')}`,
      EXIT.refused,
    );
}

export function addTaskCommands(program: Command): void {
  addCommand(program, {
    usage: 'logs <task>',
    description: 'what a task has written so far; Ctrl-C on -f detaches',
    examples: [
      'majorana logs job_1.17',
      'majorana logs -f --tail 10 job_1',
      'majorana logs job_1.17 --stderr --attempt 1',
    ],
  })
    .option('-f, --follow', 'go on until the attempt has ended')
    .option('--stderr', 'its errors instead')
    .option('--attempt <number>', 'of this attempt; default: the last', numberIn(1))
    .option('--tail <lines>', 'only so many last lines', numberIn(0, 1_000_000))
    .action(logs);
  addCommand(program, {
    usage: 'why <task|job>',
    description: 'why a task waits, or how it ended; of a job the first that failed or waits',
    examples: ['majorana why job_1.17', 'majorana why job_1 --json'],
  }).action(why);
  addCommand(program, {
    usage: 'results <job|task>',
    description:
      'write what tasks have kept so far to a folder; again fetches only what is missing',
    examples: ['majorana results job_1 -o out', 'majorana results job_1.17 -o out --logs'],
  })
    .requiredOption('-o, --output <folder>', 'where to; an array gets one folder per task')
    .option('--logs', 'stdout.log and stderr.log too')
    .action(results);
}
