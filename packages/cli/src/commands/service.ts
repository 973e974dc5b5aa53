import { spawn } from 'node:child_process';
import { openSync, readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import path from 'node:path';
import type { Command } from 'commander';
import { Option } from 'commander';
import type { JsonOption } from '../command.ts';
import { addCommand, collect, numberIn } from '../command.ts';
import { connect } from '../connect.ts';
import { dataFolder, makeDataFolder, readRunning } from '../local/data-folder.ts';
import { livingParts } from '../local/parts-file.ts';
import { isAlive, signalProcess } from '../local/process-identity.ts';
import type { SupervisorOptions } from '../local/supervisor.ts';
import { answer, CliError, EXIT, note, plural } from '../output.ts';
import { parseBytes, parseCores, parseCounts } from '../submit/quantities.ts';

/** Longer than the supervisor itself waits, so that its reason is told and nothing goes on unseen. */
const START_DEADLINE_MS = 90_000;
const POLL_MS = 30;

export interface UpOptions extends JsonOption {
  readonly detach?: boolean;
  readonly host?: string;
  readonly port?: number;
  readonly cores?: string;
  readonly memory?: string;
  readonly gpus?: number;
  readonly scratch?: string;
  readonly resource?: readonly string[];
  readonly memoryLimits?: string;
  readonly keepDays?: number;
}

function supervisorOptions(options: UpOptions): SupervisorOptions {
  const { cores, memory, gpus, scratch, resource = [] } = options;
  const { host, port, memoryLimits, keepDays } = options;
  if (host !== undefined && isIP(host) === 0)
    throw new CliError(`--host ${host}: an IP address of this machine is expected`);
  if (cores !== undefined) parseCores('--cores', cores);
  return {
    host,
    port,
    keepDays,
    memoryLimits,
    capacity: {
      cores,
      memoryBytes: memory === undefined ? undefined : parseBytes('--memory', memory),
      gpus,
      scratchBytes: scratch === undefined ? undefined : parseBytes('--scratch', scratch),
      countable: parseCounts('--resource', resource),
    },
  };
}

/** The options as the words that say them again. */
function upArguments(options: UpOptions): string[] {
  const { host, port, cores, memory, gpus, scratch, resource = [] } = options;
  const { memoryLimits, keepDays } = options;
  const pairs = {
    host,
    port,
    cores,
    memory,
    gpus,
    scratch,
    'memory-limits': memoryLimits,
    'keep-days': keepDays,
  };
  return [
    ...Object.entries(pairs).flatMap(([name, value]) =>
      value === undefined ? [] : [`--${name}`, String(value)],
    ),
    ...resource.flatMap((text) => ['--resource', text]),
  ];
}

async function runInForeground(data: string, options: UpOptions): Promise<void> {
  const { Supervisor } = await import('../local/supervisor.ts');
  const { AlreadyRunningError } = await import('../local/supervisor-claim.ts');
  const supervisor = new Supervisor(data);
  const stopped = new Promise<string>((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => resolve(''));
  });
  try {
    await supervisor.start(supervisorOptions(options));
    if (supervisor.orphans.length > 0)
      note(`ended what a killed "majorana up" had left: ${supervisor.orphans.join(', ')}`);
    const { url } = supervisor;
    answer(
      options,
      { url, data, supervisorPid: process.pid },
      () => `majorana runs at ${url}; data in ${data}; Ctrl-C stops it, running tasks go on`,
    );
    const message = await Promise.race([stopped, supervisor.fatal]);
    if (message !== '') throw new CliError(message, EXIT.refused);
  } catch (error) {
    if (error instanceof AlreadyRunningError) throw new CliError(error.message, EXIT.refused);
    throw error;
  } finally {
    await supervisor.stop();
  }
}

async function waitForStart(data: string, child: ReturnType<typeof spawn>): Promise<string> {
  const deadline = Date.now() + START_DEADLINE_MS;
  while (Date.now() < deadline && child.exitCode === null && child.signalCode === null) {
    const running = readRunning(data);
    if (running?.supervisor.pid === child.pid) return running!.url;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  const log = readFileSync(path.join(data, 'up.log'), 'utf8').trim();
  throw new CliError(
    `majorana did not start; the end of its log:\n${log.slice(-2500)}`,
    child.exitCode === EXIT.refused ? EXIT.refused : EXIT.unreachable,
  );
}

/** Starts the product in the background and answers with its address once it is ready. */
export async function startDetached(data: string, options: UpOptions = {}): Promise<string> {
  const log = openSync(path.join(data, 'up.log'), 'w', 0o600);
  const args = [...process.execArgv, process.argv[1]!, 'up', ...upArguments(options)];
  const child = spawn(process.execPath, args, {
    detached: true,
    stdio: ['ignore', log, log],
    env: { ...process.env, MAJORANA_DATA: data },
  });
  child.unref();
  return waitForStart(data, child);
}

/** Stops the product of a data folder, or what a killed supervisor left of it; false when nothing ran. */
export async function stopRunning(data: string): Promise<boolean> {
  const running = readRunning(data);
  if (running === undefined) {
    const { endOrphans } = await import('../local/parts-file.ts');
    return (await endOrphans(data)).length > 0;
  }
  const { supervisor } = running;
  signalProcess(supervisor, 'SIGTERM');
  const deadline = Date.now() + START_DEADLINE_MS;
  while (isAlive(supervisor)) {
    if (Date.now() > deadline)
      throw new CliError(`process ${supervisor.pid} does not stop`, EXIT.refused);
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  return true;
}

async function up(options: UpOptions): Promise<void> {
  const data = dataFolder();
  supervisorOptions(options);
  makeDataFolder(data);
  const running = readRunning(data);
  if (running !== undefined) {
    throw new CliError(
      `majorana already runs here at ${running.url} (process ${running.supervisor.pid})`,
      EXIT.refused,
    );
  }
  if (options.detach !== true) return runInForeground(data, options);
  const url = await startDetached(data, options);
  const supervisorPid = readRunning(data)?.supervisor.pid;
  answer(options, { url, data, supervisorPid }, () => `majorana runs at ${url}`);
}

async function down(options: JsonOption): Promise<void> {
  const isStopped = await stopRunning(dataFolder());
  answer(options, { isStopped }, () =>
    isStopped ? 'stopped; running tasks go on' : 'majorana did not run',
  );
}

async function status(options: JsonOption): Promise<void> {
  const data = dataFolder();
  const client = connect(data);
  const [{ queues }, { agents }, me] = await Promise.all([
    client.queues(),
    client.agents(),
    client.whoami(),
  ]);
  const sum = (pick: (queue: (typeof queues)[number]) => number): number =>
    queues.reduce((total, queue) => total + pick(queue), 0);
  const value = {
    url: client.url,
    ...me,
    openJobs: sum((queue) => queue.openJobs),
    runningTasks: sum(({ counts }) => counts.running),
    waitingTasks: sum(({ counts }) => counts.queued + counts.pending + counts.suspended),
    agents: agents.length,
    ...(process.env['MAJORANA_URL'] === undefined
      ? { data, parts: livingParts(data).map(({ name, process: { pid } }) => ({ name, pid })) }
      : {}),
  };
  const parts = value.parts?.map(({ name, pid }) => `${name} (${pid})`).join(', ');
  answer(options, value, () =>
    [
      `running at ${value.url}: ${plural(value.openJobs, 'open job')}, ${plural(value.runningTasks, 'task')} running, ${value.waitingTasks} waiting, ${plural(agents.length, 'agent')}`,
      ...(parts === undefined ? [] : [`processes: ${parts}; data in ${data}`]),
    ].join('\n'),
  );
}

export function addServiceCommands(program: Command): void {
  addCommand(program, {
    usage: 'demo',
    description: 'real science on this machine, start to figure',
    examples: [
      'majorana demo',
      'majorana demo --quick',
      'majorana demo conformers -o figures --json',
    ],
  })
    .argument(
      '[name]',
      'crystals: the crystal structure of benzene from its SMILES; conformers: a search over twelve molecules',
      'crystals',
    )
    .option('-o, --output <folder>', 'where tables and figures go', 'majorana-demo')
    .option('--quick', 'fewer structures, fewer conformers')
    .action(async (name: string, options: JsonOption & { output: string; quick?: boolean }) => {
      const { runDemo } = await import('./demo.ts');
      await runDemo(name, options);
    });
  addCommand(program, {
    usage: 'up',
    description: 'start database, server and agent on this machine; Ctrl-C stops them',
    examples: [
      'majorana up --detach',
      'majorana up --cores 4 --memory 8G --resource licence=2',
      'majorana up --detach --port 8080 --keep-days 30',
      'majorana up --detach --host 10.0.0.4 --port 8080',
    ],
  })
    .option('--detach', 'return once it is ready')
    .option(
      '--host <address>',
      'address the API listens on, such as one that pods of a cluster can reach; default: 127.0.0.1',
    )
    .option('--port <number>', 'port of the API; default: a free one', numberIn(1, 65_535))
    .option('--cores <number>', 'cores the local agent hands out; default: all')
    .option('--memory <size>', 'memory the local agent hands out; default: most of it')
    .option('--gpus <number>', 'GPUs the local agent hands out', numberIn(0, 10_000))
    .option('--scratch <size>', 'disk space the local agent hands out')
    .option('--resource <name=count>', 'any other countable resource it hands out', collect, [])
    .addOption(
      new Option(
        '--memory-limits <how>',
        'how tasks are held to their memory: groups of the kernel where it lets us, or sampling, for many very short tasks; default: groups',
      ).choices(['groups', 'sampling']),
    )
    .option(
      '--keep-days <number>',
      'forget ended jobs after so many days',
      numberIn(0.001, 36_500, false),
    )
    .action(up);
  addCommand(program, {
    usage: 'down',
    description: 'stop the product; running tasks go on and are re-attached at the next up',
    examples: ['majorana down'],
  }).action(down);
  addCommand(program, {
    usage: 'status',
    description: 'whether the product runs here, and what it has to do',
    examples: ['majorana status', 'majorana status --json'],
  }).action(status);
}
