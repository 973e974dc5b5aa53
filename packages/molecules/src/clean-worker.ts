import { parentPort, workerData } from 'node:worker_threads';
import type { StandardiseOptions } from './chemistry/standardise.ts';
import { cleanRecord } from './clean-record.ts';
import type { SourceRecord } from './source-record.ts';

/** A thread that cleans what it is sent, in the order it is sent. */
parentPort!.on('message', (records: readonly SourceRecord[]) => {
  const options = workerData as StandardiseOptions;
  parentPort!.postMessage(records.map((record) => cleanRecord(record, options)));
});
