import { randomUUID } from 'node:crypto';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import type { WorkflowBody } from '@majorana/core';
import { formatRunId, isFinalRun, parseRunId } from '@majorana/core';
import type { RunDetail } from '@majorana/protocol';
import type { Command } from 'commander';
import type { JsonOption } from '../command.ts';
import { addCommand, collect, detachOnInterrupt, numberIn } from '../command.ts';
import { connect, connectPatiently } from '../connect.ts';
import {
  answer,
  CliError,
  EXIT,
  formatDuration,
  note,
  plural,
  print,
  printJson,
  table,
  VERSION,
} from '../output.ts';
import { readYamlText } from '../submit/yaml-file.ts';

function readRunId(text: string): string {
  const runId = parseRunId(text);
  if (runId !== undefined) return formatRunId(runId);
  throw new CliError(`"${text}" is no run id; they look like run_7`);
}

interface WaitOptions extends JsonOption {
  readonly quiet?: boolean;
}

async function follow(id: string, options: WaitOptions): Promise<void> {
  const signal = detachOnInterrupt(`${id} goes on`);
  const { watchRun } = await import('../workflow/watch-run.ts');
  const isQuiet = options.quiet === true;
  const run = await watchRun(connectPatiently(), id, { signal, isQuiet });
  if (options.json === true) printJson(run);
  else print(await runText(run));
  const isEnded = isFinalRun(run.status);
  const code = run.status === 'succeeded' ? EXIT.ok : EXIT.jobFailed;
  process.exitCode = isEnded ? code : EXIT.detached;
}

async function runText(run: RunDetail): Promise<string> {
  const { drawRound } = await import('../workflow/picture.ts');
  const { headLine } = await import('../workflow/watch-run.ts');
  const isColoured = process.stdout.isTTY && (process.env['NO_COLOR'] ?? '') === '';
  const rounds = run.rounds.slice(0, -1).map((one) => {
    const ended = one.steps.filter(({ status }) => status === 'succeeded').length;
    return `  round ${one.round}: ${one.status}, ${ended} of ${plural(one.steps.length, 'step')} succeeded`;
  });
  return [headLine(run), ...drawRound(run.rounds.at(-1)!, isColoured), ...rounds].join('\n');
}

interface RunOptions extends WaitOptions {
  readonly input: string[];
  readonly detach?: boolean;
  readonly project?: string;
  readonly idempotencyKey?: string;
}

async function start(file: string, options: RunOptions): Promise<void> {
  const { readWorkflow } = await import('../workflow/workflow-file.ts');
  const { readInputs, sendFiles } = await import('../workflow/run-inputs.ts');
  const workflow = await readWorkflow(file);
  const client = connect();
  const inputs = await readInputs(client, workflow, options.input, options.project);
  const definition = await sendFiles(client, workflow);
  const { project, idempotencyKey = randomUUID() } = options;
  const { id } = await client.createRun({
    definition: { ...definition, ...(project === undefined ? {} : { project }) },
    inputs,
    idempotencyKey,
  });
  if (options.detach === true) {
    answer(options, { id }, () => id);
    return;
  }
  note(id);
  await follow(id, options);
}

interface ResumeOptions extends WaitOptions {
  readonly input: string[];
  readonly detach?: boolean;
  readonly file?: string;
}

async function resume(text: string, options: ResumeOptions): Promise<void> {
  const id = readRunId(text);
  const client = connect();
  const change: Parameters<typeof client.resumeRun>[1] = {};
  if (options.file !== undefined) {
    const { readWorkflow } = await import('../workflow/workflow-file.ts');
    const { readInputs, sendFiles } = await import('../workflow/run-inputs.ts');
    const workflow = await readWorkflow(options.file);
    const last = (await client.run(id)).rounds.at(-1)!.inputs;
    const given = await readInputs(client, workflow, options.input);
    const kept = <T>(all: Record<string, T>): Record<string, T> =>
      Object.fromEntries(Object.entries(all).filter(([name]) => name in workflow.inputs));
    change.inputs = {
      values: { ...kept(last.values), ...given.values },
      files: { ...kept(last.files), ...given.files },
    };
    change.definition = await sendFiles(client, workflow);
  } else if (options.input.length > 0) {
    throw new CliError('--input needs --file too: the file says what the inputs are');
  }
  const done = await client.resumeRun(id, change);
  if (options.detach === true) {
    answer(options, done, () => `${done.id} round ${done.round}`);
    return;
  }
  note(`${done.id} round ${done.round}`);
  await follow(id, options);
}

async function list(options: JsonOption & { readonly limit: number }): Promise<void> {
  const page = await connect().runs({ limit: options.limit });
  const rows = page.runs.map((run) => [
    run.id,
    run.name,
    run.status,
    String(run.round),
    run.user,
    `${formatDuration(Date.now() - run.createdAtMs)} ago`,
  ]);
  answer(options, page, () =>
    rows.length === 0
      ? 'no runs'
      : table(['RUN', 'WORKFLOW', 'STATUS', 'ROUND', 'USER', 'STARTED'], rows),
  );
}

async function show(text: string, options: JsonOption): Promise<void> {
  const run = await connect().run(readRunId(text));
  const shown = await runText(run);
  answer(options, run, () => shown);
}

async function cancel(text: string, options: JsonOption): Promise<void> {
  const done = await connect().cancelRun(readRunId(text));
  answer(options, done, () => `${done.id} is being cancelled; its results stay`);
}

interface ExplainOptions extends JsonOption {
  readonly step?: string;
  readonly round?: number;
  readonly limit: number;
}

async function explain(text: string, options: ExplainOptions): Promise<void> {
  const { step, round, limit } = options;
  const explained = await connect().explainRun(readRunId(text), {
    limit,
    ...(step === undefined ? {} : { step }),
    ...(round === undefined ? {} : { round }),
  });
  const { explainStep } = await import('../workflow/explanation.ts');
  answer(options, explained, () => explained.steps.flatMap(explainStep).join('\n'));
}

interface GraphOptions extends JsonOption {
  readonly svg?: string;
}

/** A file that is there is a workflow; anything else is looked up as a run. */
async function graph(what: string, options: GraphOptions): Promise<void> {
  const { drawSvg } = await import('../workflow/svg.ts');
  const { railsOf } = await import('../workflow/picture.ts');
  const statuses = new Map<string, string>();
  let body: WorkflowBody;
  if (parseRunId(what) === undefined) {
    const { readWorkflow } = await import('../workflow/workflow-file.ts');
    body = (await readWorkflow(what)) as unknown as WorkflowBody;
  } else {
    const round = (await connect().run(readRunId(what))).rounds.at(-1)!;
    body = round.definition as WorkflowBody;
    // Of several iterations the last one's status stays.
    for (const { path, status } of round.steps)
      statuses.set(path.replaceAll(/\[(?:\d+|\*)\]/g, ''), status);
  }
  if (options.svg === undefined) {
    const rails = railsOf(body);
    const width = Math.max(...rails.map(({ rail }) => rail.length));
    answer(options, body, () =>
      rails.map(({ name, rail }) => `${rail.padEnd(width)} ${name}`).join('\n'),
    );
    return;
  }
  const svg = drawSvg(body, statuses);
  if (options.svg === '-') print(svg.trimEnd());
  else writeFileSync(options.svg, svg);
}

async function results(
  text: string,
  options: JsonOption & { readonly output: string; readonly from?: string },
): Promise<void> {
  const { fetchRunFiles } = await import('../workflow/run-files.ts');
  const { from, output } = options;
  const client = connect();
  const { files } = await client.runFiles(readRunId(text), from === undefined ? {} : { from });
  const written = await fetchRunFiles(client, files, output);
  answer(options, { files: written }, () => `${plural(written.length, 'file')} in ${output}`);
}

interface ExportOptions extends JsonOption {
  readonly output: string;
  readonly data: boolean;
  readonly license?: string;
}

async function exportCrate(text: string, options: ExportOptions): Promise<void> {
  const { exportRun, zipFolder } = await import('../crate/export-run.ts');
  const { data: hasData, license, output } = options;
  const id = readRunId(text);
  const client = connectPatiently();
  const isZip = output.endsWith('.zip');
  if (isZip && existsSync(output)) throw new CliError(`${output}: is there already`);
  const folder = isZip ? mkdtempSync(path.join(os.tmpdir(), 'majorana-crate-')) : output;
  try {
    const report = await exportRun(client, id, folder, { hasData, license, version: VERSION });
    if (isZip) await zipFolder(folder, output);
    const { executionCount, fileCount } = report;
    const files = `${plural(fileCount, 'file')}${hasData ? '' : ' named, none'} in ${output}`;
    answer(options, report, () => `${plural(executionCount, 'execution')}, ${files}`);
  } finally {
    if (isZip) rmSync(folder, { recursive: true, force: true });
  }
}

interface ImportOptions extends JsonOption {
  readonly wfformat: string;
  readonly timeScale: number;
  readonly sizeScale: number;
}

async function importFile(options: ImportOptions): Promise<void> {
  const { importWfFormat } = await import('../workflow/wfformat.ts');
  const { stringify } = await import('yaml');
  const { wfformat: file, timeScale: time, sizeScale: size } = options;
  const workflow = importWfFormat(file, readYamlText(file), { time, size });
  answer(options, workflow, () => stringify(workflow, { lineWidth: 0 }).trimEnd());
}

function addExport(workflow: Command): void {
  addCommand(workflow, {
    usage: 'export <run>',
    description: 'a run as an RO-Crate (Provenance Run Crate 0.5): what it ran, on what, and made',
    examples: [
      'majorana workflow export run_7 -o crate',
      'majorana workflow export run_7 -o run_7.crate.zip --no-data',
    ],
  })
    .requiredOption('-o, --output <folder>', 'a new folder, or a FILE.zip')
    .option('--no-data', 'only the metadata: files are named by their SHA-256')
    .option('--license <url>', 'of what is exported; default: none is stated')
    .action(exportCrate);
}

function addImport(workflow: Command): void {
  addCommand(workflow, {
    usage: 'import',
    description: 'a recorded execution as a workflow that waits as long and writes as much',
    examples: [
      'majorana workflow import --wfformat montage.json --time-scale 0.01 > montage.yaml',
      'majorana workflow run montage.yaml',
    ],
  })
    .requiredOption('--wfformat <file>', 'a WfFormat file (WfCommons, 1.5)')
    .option('--time-scale <number>', 'of measured run times', numberIn(0, 1000, false), 1)
    .option('--size-scale <number>', 'of sizes of files', numberIn(0, 1000, false), 1)
    .action(importFile);
}

function addRuns(workflow: Command): void {
  addCommand(workflow, {
    usage: 'run <file>',
    description: 'run a workflow: a YAML file, or a TypeScript file that exports "workflow"',
    examples: [
      'majorana workflow run flow.yaml --input molecules=all.smi --input count=20',
      'majorana workflow run flow.yaml --input molecules=dataset:molecules@2',
      'majorana workflow run flow.ts --detach',
    ],
  })
    .option(
      '--input <name=value>',
      'a value, a file, a glob of files, or dataset:NAME@3/PATH',
      collect,
      [],
    )
    .option('--project <project>', 'project')
    .option('--detach', 'do not wait for the end')
    .option('--quiet', 'no progress')
    .option('--idempotency-key <key>', 'a repeated command answers with the first run')
    .action(start);
  addCommand(workflow, {
    usage: 'resume <run>',
    description: 'go on with an ended run, mended or as it was: only what has no result is run',
    examples: [
      'majorana workflow resume run_7',
      'majorana workflow resume run_7 --file mended.yaml --input count=40',
    ],
  })
    .option('--file <file>', 'the mended workflow')
    .option('--input <name=value>', 'a changed input', collect, [])
    .option('--detach', 'do not wait for the end')
    .option('--quiet', 'no progress')
    .action(resume);
  addCommand(workflow, {
    usage: 'cancel <run>',
    description: 'end a run; its jobs are cancelled, its results stay',
    examples: ['majorana workflow cancel run_7'],
  }).action(cancel);
}

function addReads(workflow: Command): void {
  addCommand(workflow, {
    usage: 'list',
    description: 'the latest runs',
    examples: ['majorana workflow list', 'majorana workflow list --limit 100 --json'],
  })
    .option('--limit <number>', 'how many', numberIn(1, 10_000), 20)
    .action(list);
  addCommand(workflow, {
    usage: 'show <run>',
    description: 'the graph of a run, and where each step stands',
    examples: ['majorana workflow show run_7', 'majorana workflow show run_7 --json'],
  }).action(show);
  addCommand(workflow, {
    usage: 'watch <run>',
    description: 'show a run until it has ended; Ctrl-C detaches',
    examples: ['majorana workflow watch run_7'],
  })
    .option('--quiet', 'no progress')
    .action((text: string, options: WaitOptions) => follow(readRunId(text), options));
  addCommand(workflow, {
    usage: 'explain <run>',
    description: 'why each step was reused or run: what differs from the nearest earlier result',
    examples: [
      'majorana workflow explain run_7',
      'majorana workflow explain run_7 --step search --limit 100',
    ],
  })
    .option('--step <path>', 'only this one')
    .option('--round <number>', 'of an earlier round', numberIn(1))
    .option('--limit <number>', 'elements of each step', numberIn(1, 1000), 5)
    .action(explain);
  addCommand(workflow, {
    usage: 'graph <file|run>',
    description: 'the graph of a workflow, in the terminal or as a picture',
    examples: ['majorana workflow graph flow.yaml', 'majorana workflow graph run_7 --svg flow.svg'],
  })
    .option('--svg <file>', 'write a picture; - is standard output')
    .action(graph);
  addCommand(workflow, {
    usage: 'results <run>',
    description: 'fetch the files that the workflow names as its outputs',
    examples: [
      'majorana workflow results run_7 -o out',
      'majorana workflow results run_7 --from search -o all',
    ],
  })
    .requiredOption('-o, --output <folder>', 'where they go')
    .option('--from <reference>', 'a step, or STEP/FILE, instead of the outputs')
    .action(results);
}

export function addWorkflowCommands(program: Command): void {
  const workflow = program.command('workflow').description('steps bound by files and values');
  addRuns(workflow);
  addReads(workflow);
  addExport(workflow);
  addImport(workflow);
}
