import { setImmediate } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import type { StandardiseOptions } from './chemistry/standardise.ts';
import type { CleanOutcome } from './clean-record.ts';
import { cleanRecord } from './clean-record.ts';
import type { SourceRecord } from './source-record.ts';

const BATCH_RECORDS = 100;
/** Loading openchemlib into a thread takes as long as cleaning so many records. */
const RECORDS_BEFORE_THREADS = 200;
/** For each thread: one batch that it works on, one that waits. */
const BATCHES_PER_THREAD = 2;

type Batch = readonly SourceRecord[];

async function* inBatches(records: AsyncIterable<SourceRecord>): AsyncGenerator<Batch> {
  let batch: SourceRecord[] = [];
  for await (const record of records) {
    batch.push(record);
    if (batch.length < BATCH_RECORDS) continue;
    yield batch;
    batch = [];
  }
  if (batch.length > 0) yield batch;
}

interface Waiting {
  readonly resolve: (outcomes: CleanOutcome[]) => void;
  readonly reject: (error: Error) => void;
}

class CleaningThread {
  readonly #worker: Worker;
  readonly #waiting: Waiting[] = [];

  constructor(options: StandardiseOptions) {
    this.#worker = new Worker(new URL('clean-worker.ts', import.meta.url), { workerData: options });
    this.#worker.on('message', (outcomes: CleanOutcome[]) =>
      this.#waiting.shift()!.resolve(outcomes),
    );
    this.#worker.on('error', (error: Error) => {
      for (const { reject } of this.#waiting.splice(0)) reject(error);
    });
  }

  clean(batch: Batch): Promise<CleanOutcome[]> {
    const { promise, resolve, reject } = Promise.withResolvers<CleanOutcome[]>();
    // Whoever waits for an earlier batch is told first; until then this is nobody's error.
    promise.catch(() => undefined);
    this.#waiting.push({ resolve, reject });
    this.#worker.postMessage(batch);
    return promise;
  }

  async close(): Promise<void> {
    await this.#worker.terminate();
  }
}

export interface CleanRecordsOptions extends StandardiseOptions {
  /** 1: none beside this one. */
  readonly threadCount: number;
}

export type CleanedRecord = readonly [SourceRecord, CleanOutcome];

const paired = (batch: Batch, outcomes: readonly CleanOutcome[]): CleanedRecord[] =>
  batch.map((record, at) => [record, outcomes[at]!]);

interface Begun {
  readonly batch: Batch;
  readonly outcomes: Promise<CleanOutcome[]>;
}

const ended = async ({ batch, outcomes }: Begun): Promise<CleanedRecord[]> =>
  paired(batch, await outcomes);

/** Every record with its outcome, in the order of the records however many threads clean them. */
export async function* cleanRecords(
  records: AsyncIterable<SourceRecord>,
  { threadCount, ...options }: CleanRecordsOptions,
): AsyncGenerator<readonly CleanedRecord[]> {
  const threads: CleaningThread[] = [];
  const begun: Begun[] = [];
  let count = 0;
  try {
    for await (const batch of inBatches(records)) {
      count += batch.length;
      if (threadCount < 2 || count <= RECORDS_BEFORE_THREADS) {
        yield paired(
          batch,
          batch.map((record) => cleanRecord(record, options)),
        );
        // Chemistry is synchronous: without a pause no signal would arrive.
        await setImmediate();
        continue;
      }
      if (threads.length < threadCount) threads.push(new CleaningThread(options));
      const thread = threads[Math.ceil(count / BATCH_RECORDS) % threads.length]!;
      begun.push({ batch, outcomes: thread.clean(batch) });
      if (begun.length >= BATCHES_PER_THREAD * threadCount) yield await ended(begun.shift()!);
    }
    for (const one of begun) yield await ended(one);
  } finally {
    await Promise.all(threads.map((thread) => thread.close()));
  }
}
