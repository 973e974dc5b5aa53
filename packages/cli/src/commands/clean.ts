import { readdir, stat } from 'node:fs/promises';
import path from 'node:path';
import type { Client } from '@majorana/client';
import type { Command } from 'commander';
import type { JsonOption } from '../command.ts';
import { addCommand } from '../command.ts';
import { answer, CliError, EXIT, formatDuration, note, plural } from '../output.ts';

interface CleanOptions extends JsonOption {
  readonly output: string;
  readonly smilesColumn?: string;
  readonly keepSalts?: boolean;
  readonly strict?: boolean;
  readonly put?: string;
}

interface Store {
  readonly client: Client;
  readonly name: string;
}

/** The cleaned folder as a version more of a dataset. */
async function putCleaned(
  { client, name }: Store,
  folder: string,
  message: string,
): Promise<string> {
  const { putFiles } = await import('../data/put.ts');
  const what = { words: [folder], about: { message } };
  const made = await putFiles(client, name, what, () => undefined);
  return `${name}@${made.version}`;
}

/** Where `--put` goes: known before records are cleaned for minutes. */
async function storeOf({ put }: CleanOptions): Promise<Store | undefined> {
  if (put === undefined) return undefined;
  const { connectPatiently } = await import('../connect.ts');
  return { client: connectPatiently(), name: put };
}

/** Files as they are; of a folder those whose names say a format. */
async function findFiles(
  words: readonly string[],
  isKnown: (file: string) => boolean,
): Promise<string[]> {
  const found: string[] = [];
  for (const word of words) {
    const there = await stat(word).catch((error: NodeJS.ErrnoException) => {
      throw new CliError(`${word}: cannot be read (${error.code ?? error.message})`);
    });
    if (!there.isDirectory()) {
      found.push(word);
      continue;
    }
    const entries = await readdir(word, { recursive: true, withFileTypes: true });
    const all = entries
      .filter((entry) => entry.isFile())
      .map((entry) => path.join(entry.parentPath, entry.name));
    const names = all.filter(isKnown).toSorted();
    if (names.length === 0) throw new CliError(`${word}: holds no file of a known format`);
    if (names.length < all.length)
      note(`${word}: ${plural(all.length - names.length, 'file')} of no known format not read`);
    found.push(...names);
  }
  return found;
}

const PROGRESS_MS = 500;

function progressLine(): (recordCount: number, file: string) => void {
  const begin = Date.now();
  let last = begin;
  return (recordCount, file) => {
    const now = Date.now();
    if (!process.stderr.isTTY || now - last < PROGRESS_MS) return;
    last = now;
    const perSecond = Math.round((1000 * recordCount) / (now - begin));
    process.stderr.write(
      `\r\u001b[K${recordCount} records, ${perSecond} a second, ${path.basename(file)}`,
    );
  };
}

function interruptSignal(): AbortSignal {
  const controller = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.once(signal, () => controller.abort());
  return controller.signal;
}

async function clean(words: readonly string[], options: CleanOptions): Promise<void> {
  // Openchemlib takes half a second to load; no other command waits for it.
  const { cleanFiles } = await import('@majorana/molecules/clean-files');
  const { formatByName } = await import('@majorana/molecules/reading/records');
  const files = await findFiles(words, (file) => formatByName(file) !== undefined);
  const store = await storeOf(options);
  const begin = Date.now();
  const signal = interruptSignal();
  const { output, smilesColumn, keepSalts = false } = options;
  const summary = await cleanFiles(files, {
    output,
    keepSalts,
    signal,
    onProgress: progressLine(),
    ...(smilesColumn === undefined ? {} : { smilesColumn }),
  }).catch((error: Error) => {
    if (signal.aborted) throw new CliError('interrupted; nothing was written', EXIT.detached);
    throw error.name === 'InputError' ? new CliError(error.message) : error;
  });
  if (process.stderr.isTTY) process.stderr.write('\r\u001b[K');
  const { statuses, moleculeCount, recordCount, broken } = summary;
  if (statuses.broken > 0) {
    note(`${plural(statuses.broken, 'record')} broken; records.csv names each:`);
    for (const line of broken) note(`  ${line}`);
    if (statuses.broken > broken.length) note(`  and ${statuses.broken - broken.length} more`);
  }
  const message = `cleaned: ${files.join(' ')}`.slice(0, 200);
  const dataset =
    store === undefined || moleculeCount === 0
      ? undefined
      : await putCleaned(store, summary.folder, message);
  answer(options, { ...summary, ...(dataset === undefined ? {} : { dataset }) }, () =>
    [
      `${plural(recordCount, 'record')} in ${formatDuration(Date.now() - begin)}: ${statuses.kept} kept, ${statuses.changed} changed, ${plural(statuses.duplicate, 'duplicate')}, ${statuses.rejected} rejected, ${statuses.broken} broken`,
      `${plural(moleculeCount, 'molecule')} in ${path.join(output, 'cleaned.{smi,sdf,csv}')}; look at ${path.join(output, 'report.html')}`,
      ...(dataset === undefined ? [] : [`stored as ${dataset}`]),
    ].join('\n'),
  );
  if (moleculeCount === 0) throw new CliError('nothing could be cleaned');
  if (options.strict === true && statuses.broken > 0) process.exitCode = EXIT.jobFailed;
}

export function addCleanCommand(data: Command): void {
  addCommand(data, {
    usage: 'clean <files...>',
    description:
      'Cleans molecules: reads SMILES, MOL/SDF, XYZ, CIF and CSV, writes a dataset, what was done to each record, and a first look as a page',
    examples: [
      'majorana data clean compounds.csv structures.sdf -o cleaned',
      'majorana data clean --smiles-column structure --strict hits.csv',
      'majorana data clean crystals/ --put crystals',
    ],
  })
    .option('-o, --output <folder>', 'where the results go', 'cleaned')
    .option('--smiles-column <name>', 'column of a CSV that holds the SMILES')
    .option('--keep-salts', 'leave salts, solvents and charges as they are')
    .option(
      '--put <dataset>',
      'store the results as a new version of a dataset; needs a running product',
    )
    .option('--strict', 'end with code 1 when a record is broken')
    .action(clean);
}
