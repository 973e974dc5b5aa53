import { spawn } from 'node:child_process';
import { openSync, readFileSync } from 'node:fs';
import path from 'node:path';
import type { Command } from 'commander';
import { connect } from '../connect.ts';
import { dataFolder, readRunning } from '../local/data-folder.ts';
import { CliError, EXIT, print, printJson } from '../output.ts';

const START_DEADLINE_MS = 60_000;

interface UpOptions {
  readonly detach?: boolean;
  readonly port?: string;
  readonly cores?: string;
}

async function runInForeground(data: string, options: UpOptions): Promise<void> {
  const { Supervisor } = await import('../local/supervisor.ts');
  const supervisor = new Supervisor(data);
  const stopped = new Promise<string>((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => resolve(''));
  });
  try {
    await supervisor.start({
      ...(options.port === undefined ? {} : { port: Number(options.port) }),
      ...(options.cores === undefined ? {} : { cores: Number(options.cores) }),
    });
    print(
      `majorana runs at ${supervisor.url}; data in ${data}; Ctrl-C stops it, running tasks go on`,
    );
    const message = await Promise.race([stopped, supervisor.fatal]);
    if (message !== '') throw new CliError(message, EXIT.refused);
  } finally {
    await supervisor.stop();
  }
}

async function waitForStart(data: string, child: ReturnType<typeof spawn>): Promise<string> {
  const deadline = Date.now() + START_DEADLINE_MS;
  while (Date.now() < deadline && child.exitCode === null) {
    const running = readRunning(data);
    if (running !== undefined) return running.url;
    await new Promise((resolve) => setTimeout(resolve, 30));
  }
  const log = readFileSync(path.join(data, 'up.log'), 'utf8').trim();
  throw new CliError(
    `majorana did not start; the end of its log:\n${log.slice(-1000)}`,
    EXIT.unreachable,
  );
}

/** Starts the product in the background and answers with its address once it is ready. */
export async function startDetached(data: string, options: UpOptions = {}): Promise<string> {
  const log = openSync(path.join(data, 'up.log'), 'a', 0o600);
  const args = [
    'up',
    ...(options.port ? ['--port', options.port] : []),
    ...(options.cores ? ['--cores', options.cores] : []),
  ];
  const child = spawn(process.execPath, [...process.execArgv, process.argv[1]!, ...args], {
    detached: true,
    stdio: ['ignore', log, log],
    env: { ...process.env, MAJORANA_DATA: data },
  });
  child.unref();
  return waitForStart(data, child);
}

/** Stops the product of a data folder; false when it did not run. */
export async function stopRunning(data: string): Promise<boolean> {
  const running = readRunning(data);
  if (running === undefined) return false;
  process.kill(running.supervisorPid, 'SIGTERM');
  const deadline = Date.now() + START_DEADLINE_MS;
  while (readRunning(data) !== undefined) {
    if (Date.now() > deadline) throw new CliError(`process ${running.supervisorPid} does not stop`);
    await new Promise((resolve) => setTimeout(resolve, 30));
  }
  return true;
}

async function up(options: UpOptions): Promise<void> {
  const data = dataFolder();
  const running = readRunning(data);
  if (running !== undefined) {
    throw new CliError(
      `majorana already runs here at ${running.url} (process ${running.supervisorPid})`,
      EXIT.refused,
    );
  }
  if (options.detach === true) print(`majorana runs at ${await startDetached(data, options)}`);
  else await runInForeground(data, options);
}

export function addServiceCommands(program: Command): void {
  program
    .command('demo')
    .description('a real conformer search of twelve molecules on this machine, start to figure')
    .option('-o, --output <folder>', 'where the table and the figure go', 'majorana-demo')
    .action(async (options: { output: string }) => {
      const { runDemo } = await import('./demo.ts');
      await runDemo(options.output);
    });
  program
    .command('up')
    .description('start database, server and agent on this machine')
    .option('--detach', 'return once it is ready')
    .option('--port <number>', 'port of the API on 127.0.0.1; default: a free one')
    .option('--cores <number>', 'cores the local agent hands out; default: all')
    .action(up);
  program
    .command('down')
    .description('stop the product; running tasks go on and are re-attached at the next up')
    .action(async () => {
      print(
        (await stopRunning(dataFolder())) ? 'stopped; running tasks go on' : 'majorana did not run',
      );
    });
  program
    .command('status')
    .description('whether the product runs here, and what it has to do')
    .option('--json', 'as JSON')
    .action(async (options: { json?: boolean }) => {
      const running = readRunning(dataFolder());
      const { jobs } = await connect().jobs(1000);
      const open = jobs.filter((job) => job.endedAtMs === null);
      const runningTasks = open.reduce((sum, job) => sum + job.counts.running, 0);
      const queuedTasks = open.reduce(
        (sum, job) => sum + job.counts.queued + job.counts.pending,
        0,
      );
      const status = {
        url: running?.url ?? process.env['MAJORANA_URL'],
        openJobs: open.length,
        runningTasks,
        queuedTasks,
      };
      if (options.json === true) printJson(status);
      else
        print(
          `running at ${status.url}: ${open.length} open jobs, ${runningTasks} tasks run, ${queuedTasks} wait`,
        );
    });
}
