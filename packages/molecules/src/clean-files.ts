import { writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import path from 'node:path';
import type { CleanedRecord } from './clean-records.ts';
import { cleanRecords } from './clean-records.ts';
import type { Outcome, Status } from './outcome.ts';
import { Judge } from './outcome.ts';
import { readRecords } from './reading/records.ts';
import { reportPage } from './report/page.ts';
import type { SourceRecord } from './source-record.ts';
import { Tally } from './report/tally.ts';
import { DatasetWriter } from './writing/dataset-writer.ts';
import { OutputFolder } from './writing/output-folder.ts';

export interface CleanOptions {
  readonly output: string;
  readonly keepSalts?: boolean;
  readonly smilesColumn?: string;
  readonly signal?: AbortSignal;
  /** As many as the machine has processors, if nothing is said. */
  readonly threadCount?: number;
  /** Called after every hundred records. */
  readonly onProgress?: (recordCount: number, file: string) => void;
}

export interface CleanSummary {
  readonly folder: string;
  readonly recordCount: number;
  readonly moleculeCount: number;
  readonly statuses: Readonly<Record<Status, number>>;
  /** The first broken records, as a person is told of them. */
  readonly broken: readonly string[];
}

/** Each takes 150 MB. */
const THREADS_MAX = 8;
const BROKEN_TOLD_MAX = 10;

async function* allRecords(
  files: readonly string[],
  smilesColumn: string | undefined,
): AsyncGenerator<SourceRecord> {
  for (const file of files)
    yield* readRecords(file, smilesColumn === undefined ? {} : { smilesColumn });
}

const brokenLine = ({ record, faultLine, reasons }: Outcome): string =>
  `${record.file}:${faultLine ?? record.line}: ${reasons.at(-1)!.words}`;

async function cleanInto(
  folder: string,
  files: readonly string[],
  options: CleanOptions,
): Promise<{ tally: Tally; broken: string[] }> {
  const writer = new DatasetWriter(folder);
  const [tally, judge, broken] = [new Tally(), new Judge(), [] as string[]];
  const { keepSalts = false, smilesColumn } = options;
  const threadCount = Math.min(options.threadCount ?? availableParallelism(), THREADS_MAX);
  const records = allRecords(files, smilesColumn);
  const add = ([record, cleaned]: CleanedRecord): void => {
    const outcome = judge.judge(record, cleaned);
    writer.write(outcome);
    tally.add(outcome);
    if (outcome.status === 'broken' && broken.length < BROKEN_TOLD_MAX)
      broken.push(brokenLine(outcome));
  };
  try {
    for await (const batch of cleanRecords(records, { keepSalts, threadCount })) {
      for (const one of batch) add(one);
      options.onProgress?.(tally.total, batch.at(-1)![0].file);
      options.signal?.throwIfAborted();
    }
  } finally {
    writer.close();
  }
  return { tally, broken };
}

/** Reads all files, cleans each record, and writes the dataset, the table and the page. */
export async function cleanFiles(
  files: readonly string[],
  options: CleanOptions,
): Promise<CleanSummary> {
  const output = new OutputFolder(options.output);
  try {
    const { tally, broken } = await cleanInto(output.staging, files, options);
    writeFileSync(path.join(output.staging, 'report.html'), reportPage(tally));
    output.commit();
    return {
      folder: output.folder,
      recordCount: tally.total,
      moleculeCount: tally.cleaned,
      statuses: tally.statuses,
      broken,
    };
  } finally {
    output.discard();
  }
}
