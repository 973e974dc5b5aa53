import { createWriteStream } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { ReadableStream } from 'node:stream/web';
import type { ArtifactView, Client, JobView } from '@majorana/client';
import type { TaskState } from '@majorana/core';
import { TASK_STATES } from '@majorana/core';
import type { Command } from 'commander';
import { connect } from '../connect.ts';
import { CliError, EXIT, formatAge, print, printJson, table } from '../output.ts';
import { watchJobs } from '../progress.ts';
import { explain } from './why.ts';

interface JsonOption {
  readonly json?: boolean;
}

const countsText = (job: JobView): string =>
  TASK_STATES.filter((state) => job.counts[state] > 0)
    .map((state) => `${job.counts[state]} ${state}`)
    .join(', ');

function jobRow(job: JobView, nowMs: number): string[] {
  return [job.id, job.name, job.state, countsText(job), formatAge(nowMs - job.submittedAtMs)];
}

/** Ctrl-C detaches from what is watched and cancels nothing. */
function detachOnInterrupt(): AbortSignal {
  const controller = new AbortController();
  process.once('SIGINT', () => {
    process.stderr.write('\ndetached; the job goes on\n');
    controller.abort();
  });
  return controller.signal;
}

async function waitFor(ids: string[], options: JsonOption): Promise<void> {
  const jobs = await watchJobs(connect(), ids, detachOnInterrupt());
  if (options.json === true) printJson(jobs);
  if (jobs.some((job) => job.state === 'failed' || job.state === 'cancelled')) {
    process.exitCode = EXIT.jobFailed;
  }
}

/** Writes the kept files of a job's last attempts below a folder, one folder per task in an array. */
export async function fetchResults(client: Client, id: string, folder: string): Promise<string[]> {
  const job = await client.job(id);
  const { artifacts } = await client.artifacts(id);
  const latest = new Map<number, number>();
  for (const { taskIndex, attemptNumber } of artifacts) {
    latest.set(taskIndex, Math.max(latest.get(taskIndex) ?? 0, attemptNumber));
  }
  const written: string[] = [];
  for (const artifact of artifacts) {
    if (artifact.attemptNumber !== latest.get(artifact.taskIndex)) continue;
    const base = job.taskCount === 1 ? folder : path.join(folder, String(artifact.taskIndex));
    const target = path.join(base, artifact.path);
    await mkdir(path.dirname(target), { recursive: true });
    await download(client, artifact, target);
    written.push(target);
  }
  return written;
}

async function download(client: Client, artifact: ArtifactView, target: string): Promise<void> {
  const response = await client.getObject(artifact.object);
  await pipeline(Readable.fromWeb(response.body as ReadableStream), createWriteStream(target));
}

async function printLogs(id: string, options: { stderr?: boolean }): Promise<void> {
  const client = connect();
  const task = id.includes('.') ? id : `${id}.0`;
  const { artifacts, attempts, state } = await client.task(task);
  const role = options.stderr === true ? 'stderr' : 'stdout';
  const last = artifacts.findLast((artifact) => artifact.role === role);
  if (last === undefined || last.attemptNumber < attempts.length) {
    process.stderr.write(`${task} is ${state}; its last attempt has no stored ${role}\n`);
    return;
  }
  const response = await client.getObject(last.object);
  await pipeline(Readable.fromWeb(response.body as ReadableStream), process.stdout, { end: false });
}

function addReads(program: Command): void {
  program
    .command('jobs')
    .description('the latest jobs')
    .option('--limit <number>', 'how many', '20')
    .option('--json', 'as JSON')
    .action(async (options: JsonOption & { limit: string }) => {
      const answer = await connect().jobs(Number(options.limit));
      if (options.json === true) printJson(answer);
      else
        print(
          table(
            ['JOB', 'NAME', 'STATE', 'TASKS', 'AGE'],
            answer.jobs.map((job) => jobRow(job, Date.now())),
          ),
        );
    });
  program
    .command('job <id>')
    .description('one job, with its failures by reason')
    .option('--json', 'as JSON')
    .action(async (id: string, options: JsonOption) => {
      const client = connect();
      const [job, { groups }] = await Promise.all([client.job(id), client.failures(id)]);
      if (options.json === true) {
        printJson({ ...job, failures: groups });
        return;
      }
      print(`${job.id} ${job.name}: ${job.state}; ${job.taskCount} tasks: ${countsText(job)}`);
      for (const group of groups)
        print(`  ${group.count} failed: ${group.reason} (first: ${job.id}.${group.firstIndex})`);
    });
  program
    .command('tasks <id>')
    .description('the tasks of a job')
    .option('--state <state>', 'only these')
    .option('--from <index>', 'first index', '0')
    .option('--limit <number>', 'how many', '50')
    .option('--json', 'as JSON')
    .action(
      async (
        id: string,
        options: JsonOption & { state?: TaskState; from: string; limit: string },
      ) => {
        const page = await connect().tasks(
          id,
          Number(options.from),
          Number(options.limit),
          options.state,
        );
        if (options.json === true) {
          printJson(page);
          return;
        }
        const rows = page.tasks.map((task) => [
          task.id,
          task.state,
          String(task.attemptNumber),
          task.reason,
        ]);
        print(table(['TASK', 'STATE', 'ATTEMPT', 'REASON'], rows));
        const { untouched } = page;
        if (untouched.count > 0)
          print(`and ${untouched.count} ${untouched.state} from index ${untouched.firstIndex} on`);
      },
    );
}

function addActions(program: Command): void {
  for (const name of ['wait', 'watch'] as const) {
    program
      .command(`${name} <ids...>`)
      .description(
        name === 'wait'
          ? 'return when the jobs have ended; Ctrl-C detaches'
          : 'show progress until the jobs have ended; Ctrl-C detaches',
      )
      .option('--json', 'as JSON')
      .action(waitFor);
  }
  program
    .command('results <id>')
    .description('write what a job’s tasks have kept so far to a folder')
    .requiredOption('-o, --output <folder>', 'where to')
    .option('--json', 'as JSON')
    .action(async (id: string, options: JsonOption & { output: string }) => {
      const files = await fetchResults(connect(), id, options.output);
      if (options.json === true) printJson({ files });
      else print(`${files.length} files in ${options.output}`);
    });
  program
    .command('logs <task>')
    .description('what a task wrote')
    .option('--stderr', 'its errors instead')
    .action(printLogs);
  program
    .command('cancel <id>')
    .description('end a job or one task')
    .option('--json', 'as JSON')
    .action(async (id: string, options: JsonOption) => {
      const answer = await connect().cancel(id);
      if (options.json === true) printJson(answer);
      else print(`${answer.cancelled} tasks cancelled`);
    });
  program
    .command('retry <id>')
    .description('put failed and cancelled tasks of a job back into the queue')
    .option('--state <states...>', 'failed, cancelled or succeeded')
    .option('--json', 'as JSON')
    .action(async (id: string, options: JsonOption & { state?: string[] }) => {
      const answer = await connect().retry(id, options.state);
      if (options.json === true) printJson(answer);
      else print(`${answer.retried} tasks queued again`);
    });
  program
    .command('why <task>')
    .description('why a task waits, or why it failed')
    .option('--json', 'as JSON')
    .action(async (id: string, options: JsonOption) => {
      if (!id.includes('.')) throw new CliError(`${id} is a job; ask for a task, such as ${id}.0`);
      const detail = await connect().task(id);
      if (options.json === true) printJson(detail);
      else print(explain(id, detail));
    });
}

export function addJobCommands(program: Command): void {
  addReads(program);
  addActions(program);
}
