import type { DatasetFile, DatasetRemoval, DatasetVersionView } from '@majorana/protocol';
import type { Command } from 'commander';
import type { JsonOption } from '../command.ts';
import { addCommand, numberIn } from '../command.ts';
import { connect, connectPatiently } from '../connect.ts';
import {
  answer,
  CliError,
  EXIT,
  formatBytes,
  formatDuration,
  note,
  plural,
  print,
  printJson,
  table,
} from '../output.ts';
import { addCleanCommand } from './clean.ts';

interface ProjectOption extends JsonOption {
  readonly project?: string;
}
interface PutOptions extends ProjectOption {
  readonly message?: string;
  readonly description?: string;
  readonly fromJob?: string;
  readonly fromRun?: string;
  readonly quiet?: boolean;
}

/** What a reference may name where a whole version is meant. */
async function readVersion(text: string): Promise<{ name: string; version: number | undefined }> {
  const { parseDatasetReference } = await import('../data/reference.ts');
  const { name, version, path } = parseDatasetReference(text);
  if (path !== undefined) throw new CliError(`${text}: NAME or NAME@VERSION is expected`);
  return { name, version };
}

async function put(name: string, words: string[], options: PutOptions): Promise<void> {
  const { fromJob, fromRun, message = '', description, project, quiet } = options;
  const sources = [words.length > 0, fromJob !== undefined, fromRun !== undefined];
  if (sources.filter(Boolean).length !== 1)
    throw new CliError('name files and folders, or --from-job, or --from-run');
  const client = connectPatiently();
  const source = fromJob ?? fromRun;
  if (source !== undefined) {
    const prefix = fromJob === undefined ? 'run_' : 'job_';
    const about = { message, description, source: source.replace(/^(?=\d)/, prefix) };
    const made = await client.copyToDataset(name, about, project);
    answer(options, { name, ...made }, () => putText(name, made));
    return;
  }
  const { putFiles } = await import('../data/put.ts');
  const { Screen } = await import('../follow/screen.ts');
  const screen = new Screen(process.stderr);
  const isShown = quiet !== true && screen.isTerminal;
  const about = { project, message, description };
  const made = await putFiles(client, name, { words, about }, (now) => {
    if (!isShown) return;
    const sent = `${plural(now.uploaded, 'file')} (${formatBytes(now.uploadedBytes)}) sent`;
    screen.draw([`${now.done}/${now.fileCount} files looked at, ${sent}`]);
  });
  screen.finish();
  const { uploaded } = made;
  answer(options, { name, ...made }, () => {
    const sent = `${plural(uploaded.uploaded, 'file')}, ${formatBytes(uploaded.uploadedBytes)} sent`;
    return `${putText(name, made)}; ${sent}`;
  });
}

function putText(name: string, made: DatasetVersionView & { isNew: boolean }): string {
  const what = `${plural(made.fileCount, 'file')}, ${formatBytes(made.sizeBytes)}`;
  const same = made.isNew ? '' : ': the content is the same, no new version was made';
  return `${name}@${made.version}: ${what}${same}`;
}

async function get(
  text: string,
  options: ProjectOption & { readonly output: string },
): Promise<void> {
  const { parseDatasetReference, pinVersion, referencedFiles } =
    await import('../data/reference.ts');
  const { fetchFiles } = await import('../results.ts');
  const { output, project } = options;
  const client = connectPatiently();
  const reference = parseDatasetReference(text);
  const version = await pinVersion(client, reference, project);
  const files = referencedFiles(client, { ...reference, version }, project);
  const report = await fetchFiles(client, files, output);
  answer(options, { name: reference.name, version, ...report }, () => {
    const there = report.kept === 0 ? '' : `, ${report.kept} were there already`;
    return `${plural(report.written, 'file')} (${formatBytes(report.bytes)}) in ${output}${there}`;
  });
}

interface ListOptions extends ProjectOption {
  readonly limit: number;
}

async function listFiles(text: string, options: ListOptions): Promise<void> {
  const { parseDatasetReference, pinVersion, referencedFiles } =
    await import('../data/reference.ts');
  const { project } = options;
  const client = connect();
  const reference = parseDatasetReference(text);
  const version = await pinVersion(client, reference, project);
  const files: DatasetFile[] = [];
  let isMore = false;
  for await (const file of referencedFiles(client, { ...reference, version }, project)) {
    isMore = files.length === options.limit;
    if (isMore) break;
    files.push(file);
  }
  answer(options, { name: reference.name, version, files, isMore }, () => {
    const rows = files.map((file) => [
      file.path,
      formatBytes(file.sizeBytes),
      file.object.slice(0, 12),
    ]);
    const more = isMore ? [`more than ${options.limit}: --limit shows them`] : [];
    return [table(['PATH', 'SIZE', 'SHA-256'], rows), ...more].join('\n');
  });
}

async function list(text: string | undefined, options: ListOptions): Promise<void> {
  if (text !== undefined) return listFiles(text, options);
  const { project, limit } = options;
  const page = await connect().datasets({ project, limit });
  const rows = page.datasets.map((one) => [
    one.name,
    one.project,
    one.latestVersion === null ? 'none' : String(one.latestVersion),
    String(one.fileCount),
    formatBytes(one.sizeBytes),
    one.owner,
    one.description,
  ]);
  answer(options, page, () =>
    rows.length === 0
      ? 'no datasets'
      : table(['DATASET', 'PROJECT', 'LATEST', 'FILES', 'SIZE', 'OWNER', 'DESCRIPTION'], rows),
  );
}

const sourceText = ({ source, user }: DatasetVersionView): string =>
  source === null ? `files of ${user}` : `outputs of ${source}`;

async function show(text: string, options: ProjectOption): Promise<void> {
  const { name, version: wanted } = await readVersion(text);
  const { project } = options;
  const client = connect();
  const before = wanted === undefined ? undefined : wanted + 1;
  const detail = await client.dataset(name, { project, before });
  const versions = detail.versions.filter(({ version }) => (wanted ?? version) === version);
  if (wanted !== undefined && versions.length === 0)
    throw new CliError(`${name} has no version ${wanted}`, EXIT.notFound);
  answer(options, { ...detail, versions }, () => {
    const head = `${detail.name}: ${detail.description || 'no description'}`;
    const owner = `  project ${detail.project}, owner ${detail.owner}`;
    const rows = versions.map((one) => [
      `${name}@${one.version}`,
      String(one.fileCount),
      formatBytes(one.sizeBytes),
      one.user,
      `${formatDuration(Date.now() - one.createdAtMs)} ago`,
      sourceText(one),
      one.digest.slice(0, 12),
      one.message,
    ]);
    const headers = ['VERSION', 'FILES', 'SIZE', 'BY', 'PUT', 'FROM', 'DIGEST', 'MESSAGE'];
    return [head, owner, table(headers, rows)].join('\n');
  });
}

async function diff(from: string, to: string, options: ProjectOption): Promise<void> {
  const { parseDatasetReference } = await import('../data/reference.ts');
  const { differences } = await import('../data/diff.ts');
  const counts = { added: 0, removed: 0, changed: 0 };
  const all = [];
  const pair = [parseDatasetReference(from), parseDatasetReference(to)] as const;
  for await (const one of differences(connect(), ...pair, options.project)) {
    counts[one.change] += 1;
    if (options.json === true) all.push(one);
    else print(`${{ added: '+', removed: '-', changed: '~' }[one.change]} ${one.path}`);
  }
  if (options.json === true) printJson({ ...counts, differences: all });
  else print(`${counts.added} added, ${counts.removed} removed, ${counts.changed} changed`);
}

function removalText({ objectCount, keptCount, freedBytes }: DatasetRemoval): string {
  const kept = keptCount === 0 ? '' : `, ${keptCount} of them named by others and kept`;
  return `${plural(objectCount, 'object')}${kept}; ${formatBytes(freedBytes)} go at the next sweep`;
}

async function confirm(question: string): Promise<boolean> {
  if (!process.stdin.isTTY)
    throw new CliError(`${question} Say --yes: nobody is here to be asked`, EXIT.refused);
  const { createInterface } = await import('node:readline/promises');
  const asked = createInterface({ input: process.stdin, output: process.stderr });
  const said = await asked.question(`${question} [y/N] `);
  asked.close();
  return /^y(es)?$/i.test(said.trim());
}

async function remove(
  text: string,
  options: ProjectOption & { readonly yes?: boolean; readonly dryRun?: boolean },
): Promise<void> {
  const { name, version } = await readVersion(text);
  const { project } = options;
  const client = connect();
  const which = { version, project };
  if (options.dryRun === true || options.yes !== true) {
    const report = await client.removeDataset(name, { ...which, dryRun: true });
    const versions = report.versions.map((one) => `${name}@${one}`).join(', ') || name;
    const what = `${versions}: ${removalText(report)}`;
    if (options.dryRun === true) {
      answer(options, report, () => what);
      return;
    }
    if (!(await confirm(`Remove ${what}?`))) {
      note('nothing was removed');
      process.exitCode = EXIT.refused;
      return;
    }
  }
  const report = await client.removeDataset(name, which);
  answer(options, report, () => `removed ${text}: ${removalText(report)}`);
}

interface LineageOptions extends ProjectOption {
  readonly down?: boolean;
  readonly depth: number;
  readonly width: number;
}

async function lineage(of: string, options: LineageOptions): Promise<void> {
  const { down, depth, width, project } = options;
  const direction = down === true ? 'down' : 'up';
  const graph = await connect().lineage(of, { direction, depth, width, project });
  const { lineageText } = await import('../data/lineage-text.ts');
  answer(options, graph, () => lineageText(graph));
}

const PROJECT = ['--project <project>', 'project; default: that of the token, or default'] as const;

function addWrites(data: Command): void {
  addCommand(data, {
    usage: 'put <name> [files...]',
    description: 'a version more of a dataset, of files and folders or of what a job or run made',
    examples: [
      'majorana data put water water/ notes.txt --message "first 20 clusters"',
      'majorana data put energies --from-job job_3',
      'majorana data put ranking --from-run run_2/rank',
    ],
  })
    .option('--from-job <job>', 'the outputs of a job; no bytes move')
    .option('--from-run <run>', 'the outputs of a run, or of RUN/STEP; no bytes move')
    .option('--message <text>', 'what this version is')
    .option('--description <text>', 'what the dataset is')
    .option(...PROJECT)
    .option('--quiet', 'no progress')
    .action(put);
  addCommand(data, {
    usage: 'rm <dataset>',
    description: 'remove a dataset, or one version of it; says what of it others still name',
    examples: ['majorana data rm water@1', 'majorana data rm water --yes'],
  })
    .option('--yes', 'do not ask')
    .option('--dry-run', 'only say what it would do')
    .option(...PROJECT)
    .action(remove);
}

function addReads(data: Command): void {
  addCommand(data, {
    usage: 'get <dataset>',
    description: 'fetch a version, or a file or folder of it; again: only what is missing',
    examples: ['majorana data get water -o water', 'majorana data get water@1/small/*.xyz -o out'],
  })
    .requiredOption('-o, --output <folder>', 'where it goes')
    .option(...PROJECT)
    .action(get);
  addCommand(data, {
    usage: 'ls [dataset]',
    description: 'the datasets, or the files of one',
    examples: ['majorana data ls', 'majorana data ls water@1/small --limit 10000 --json'],
  })
    .option('--limit <number>', 'how many', numberIn(1, 10_000), 1000)
    .option(...PROJECT)
    .action(list);
  addCommand(data, {
    usage: 'show <dataset>',
    description: 'versions of a dataset: how large, by whom, from what',
    examples: ['majorana data show water', 'majorana data show water@1 --json'],
  })
    .option(...PROJECT)
    .action(show);
  addCommand(data, {
    usage: 'diff <from> <to>',
    description: 'files that were added, removed or changed between two versions',
    examples: ['majorana data diff water@1 water@2', 'majorana data diff water@2 ice@1 --json'],
  })
    .option(...PROJECT)
    .action(diff);
}

function addLineage(data: Command): void {
  addCommand(data, {
    usage: 'lineage <what>',
    description: 'what a file was made by and from, back to what was uploaded; or what came of it',
    examples: [
      'majorana data lineage job_1.2:energies.csv',
      'majorana data lineage run_1/rank/ranking.csv --json',
      'majorana data lineage water@1/a.xyz --down --depth 4',
    ],
  })
    .option('--down', 'what was made from it')
    .option('--depth <number>', 'steps to go', numberIn(1, 1000), 20)
    .option('--width <number>', 'files of one task or dataset', numberIn(1, 1000), 20)
    .option(...PROJECT)
    .action(lineage);
}

export function addDataCommands(program: Command): void {
  const data = program
    .command('data')
    .description('datasets: named, versioned files; and where each file came from');
  addWrites(data);
  addReads(data);
  addLineage(data);
  addCleanCommand(data);
}
