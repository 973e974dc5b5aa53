import type { Client, JobFilter } from '@majorana/client';
import { TASK_STATES } from '@majorana/core';
import type { FailureGroup, JobDetail, JobView, TaskView } from '@majorana/protocol';
import type { Command } from 'commander';
import { Option } from 'commander';
import type { JsonOption } from '../command.ts';
import { addCommand, collect, numberIn } from '../command.ts';
import { connect } from '../connect.ts';
import { readJobId, readTarget } from '../ids.ts';
import { answer, CliError, formatDuration, plural, table } from '../output.ts';
import { parsePairs } from '../submit/quantities.ts';

const JOB_STATES = ['pending', 'queued', 'running', 'succeeded', 'failed', 'cancelled'] as const;
const PAGE_SIZE = 200;
/** Labels are compared here: so many jobs are looked through before we say that it ends. */
const SCAN_MAX = 20_000;

const countsText = (job: JobView): string =>
  TASK_STATES.filter((state) => job.counts[state] > 0)
    .map((state) => `${job.counts[state]} ${state}`)
    .join(', ');

interface JobsOptions extends JsonOption {
  readonly limit: number;
  readonly before?: string;
  readonly state?: string;
  readonly queue?: string;
  readonly project?: string;
  readonly label: string[];
}

const hasLabels = (job: JobView, labels: Readonly<Record<string, string>>): boolean =>
  Object.entries(labels).every(([name, value]) => job.labels[name] === value);

/** Pages until so many jobs have been found, or there are no more. */
async function findJobs(
  client: Client,
  filter: JobFilter,
  labels: Readonly<Record<string, string>>,
  limit: number,
): Promise<{ jobs: JobView[]; next: number | null }> {
  const jobs: JobView[] = [];
  let { before } = filter;
  for (let seen = 0; seen < SCAN_MAX;) {
    const page = await client.jobs({ ...filter, before, limit: Math.min(limit, PAGE_SIZE) });
    for (const job of page.jobs) {
      before = Number(job.id.slice('job_'.length));
      if (hasLabels(job, labels)) jobs.push(job);
      if (jobs.length === limit) return { jobs, next: before };
    }
    seen += page.jobs.length;
    if (page.next === null) return { jobs, next: null };
    before = page.next;
  }
  return { jobs, next: before ?? null };
}

function jobsTable(jobs: readonly JobView[]): string {
  if (jobs.length === 0) return 'no jobs';
  const rows = jobs.map((job) => [
    job.id,
    job.name,
    job.queue,
    job.state,
    countsText(job),
    `${formatDuration(Date.now() - job.submittedAtMs)} ago`,
  ]);
  return table(['JOB', 'NAME', 'QUEUE', 'STATE', 'TASKS', 'SUBMITTED'], rows);
}

async function jobs(options: JobsOptions): Promise<void> {
  const before =
    options.before === undefined ? undefined : Number(readJobId(options.before).slice(4));
  const { state, queue, project, limit } = options;
  const labels = parsePairs('--label', options.label);
  const page = await findJobs(connect(), { before, state, queue, project }, labels, limit);
  const more = page.next === null ? '' : `\nearlier ones: --before ${page.next}`;
  answer(options, page, () => jobsTable(page.jobs) + more);
}

function dependencyText(detail: JobDetail): string[] {
  return detail.spec.after.map(
    (one) =>
      `  after job_${one.jobId}: ${one.on === 'ok' ? 'when it succeeded' : 'however it ended'}${one.each ? ', task by task' : ''}`,
  );
}

function jobText(detail: JobDetail, groups: readonly FailureGroup[]): string {
  const endedMs = detail.endedAtMs ?? Date.now();
  const took = formatDuration(endedMs - detail.submittedAtMs);
  return [
    `${detail.id} ${detail.name}: ${detail.state}; ${plural(detail.taskCount, 'task')}: ${countsText(detail)}`,
    `  queue ${detail.queue}, project ${detail.project}, submitted ${new Date(detail.submittedAtMs).toISOString()}, ${detail.endedAtMs === null ? `open for ${took}` : `took ${took}`}`,
    ...dependencyText(detail),
    ...groups.map(
      (group, at) =>
        `  [${at + 1}] ${group.count} failed: ${group.reason} (first: ${group.firstTaskId})`,
    ),
  ].join('\n');
}

async function job(text: string, options: JsonOption): Promise<void> {
  const id = readJobId(text);
  const client = connect();
  const [detail, { groups }] = await Promise.all([client.job(id), client.failures(id)]);
  answer(options, { ...detail, failures: groups }, () => jobText(detail, groups));
}

interface TasksOptions extends JsonOption {
  readonly state?: TaskView['state'];
  readonly cursor?: string;
  readonly limit: number;
}

async function tasks(text: string, options: TasksOptions): Promise<void> {
  const id = readJobId(text);
  const { state, limit, cursor } = options;
  const page = await connect().tasks(id, { cursor, limit, state });
  const rows = page.tasks.map((task) => [
    task.id,
    task.state,
    task.attemptNumber === 0 ? '' : String(task.attemptNumber),
    task.agentId ?? '',
    task.reason,
  ]);
  const more = page.next === null ? '' : `\nmore: majorana tasks ${id} --cursor ${page.next}`;
  answer(options, page, () =>
    rows.length === 0
      ? `no ${state ?? ''} tasks`.replace('  ', ' ')
      : table(['TASK', 'STATE', 'ATTEMPT', 'AGENT', 'REASON'], rows) + more,
  );
}

async function cancel(text: string, options: JsonOption): Promise<void> {
  const target = readTarget(text);
  const client = connect();
  const done = await (target.kind === 'job'
    ? client.cancelJob(target.id)
    : client.cancelTask(target.id));
  answer(options, done, () => `${plural(done.cancelled, 'task')} cancelled`);
}

interface RetryOptions extends JsonOption {
  readonly state?: ('failed' | 'cancelled' | 'succeeded')[];
  readonly exitCode?: number;
  readonly reason?: string;
  readonly group?: number;
}

async function reasonOf(
  client: Client,
  id: string,
  options: RetryOptions,
): Promise<string | undefined> {
  if (options.group === undefined) return options.reason;
  const { groups } = await client.failures(id);
  const group = groups[options.group - 1];
  if (group !== undefined) return group.reason;
  throw new CliError(
    `--group ${options.group}: ${id} has ${plural(groups.length, 'group')} of failures; "majorana job ${id}" lists them`,
  );
}

async function retry(text: string, options: RetryOptions): Promise<void> {
  const target = readTarget(text);
  const client = connect();
  const { state, exitCode } = options;
  if (target.kind === 'task') {
    const isNarrowed = [state, exitCode, options.reason, options.group].some(
      (one) => one !== undefined,
    );
    if (isNarrowed)
      throw new CliError(
        `${text} is one task; --state, --exit-code, --reason and --group choose among the tasks of a job`,
      );
    const done = await client.retryTask(target.id);
    answer(options, done, () => `${plural(done.retried, 'task')} queued again`);
    return;
  }
  const reason = await reasonOf(client, target.id, options);
  // A code or a reason belongs to tasks that failed; cancelled ones have neither.
  const isOfFailures = exitCode !== undefined || reason !== undefined;
  const states = state ?? (isOfFailures ? (['failed'] as const) : undefined);
  const done = await client.retryJob(target.id, {
    ...(states === undefined ? {} : { states: [...states] }),
    ...(exitCode === undefined ? {} : { exitCode }),
    ...(reason === undefined ? {} : { reason }),
  });
  answer(options, done, () => `${plural(done.retried, 'task')} queued again`);
}

function addReads(program: Command): void {
  addCommand(program, {
    usage: 'jobs',
    description: 'the latest jobs',
    examples: [
      'majorana jobs',
      'majorana jobs --state failed --label series=7',
      'majorana jobs --limit 1000 --json',
    ],
  })
    .option('--limit <number>', 'how many', numberIn(1, SCAN_MAX), 20)
    .option('--before <job>', 'only jobs submitted before this one')
    .addOption(new Option('--state <state>', 'only these').choices(JOB_STATES))
    .option('--queue <queue>', 'only of this queue')
    .option('--project <project>', 'only of this project')
    .option('--label <name=value>', 'only with this label', collect, [])
    .action(jobs);
  addCommand(program, {
    usage: 'job <job>',
    description: 'one job: counts, duration, dependencies, failures by reason',
    examples: ['majorana job job_1', 'majorana job job_1 --json'],
  }).action(job);
  addCommand(program, {
    usage: 'tasks <job>',
    description: 'the tasks of a job, page by page',
    examples: ['majorana tasks job_1', 'majorana tasks job_1 --state failed --limit 1000 --json'],
  })
    .addOption(new Option('--state <state>', 'only these').choices(TASK_STATES))
    .option('--cursor <cursor>', 'where the page before ended')
    .option('--limit <number>', 'how many', numberIn(1, 10_000), 50)
    .action(tasks);
}

export function addJobCommands(program: Command): void {
  addReads(program);
  addCommand(program, {
    usage: 'cancel <job|task>',
    description: 'end a job or one task; running programs get TERM, then KILL',
    examples: ['majorana cancel job_1', 'majorana cancel job_1.17'],
  }).action(cancel);
  addCommand(program, {
    usage: 'retry <job|task>',
    description: 'put failed and cancelled tasks back into the queue',
    examples: [
      'majorana retry job_1',
      'majorana retry job_1 --exit-code 75',
      'majorana retry job_1 --group 2',
      'majorana retry job_1.17',
    ],
  })
    .addOption(
      new Option('--state <states...>', 'only these').choices(['failed', 'cancelled', 'succeeded']),
    )
    .option('--exit-code <number>', 'only tasks that ended with this code', numberIn(0, 255))
    .option('--reason <text>', 'only tasks that failed with this reason')
    .option(
      '--group <number>',
      'only this group of the failures that "majorana job" lists',
      numberIn(1),
    )
    .action(retry);
}
