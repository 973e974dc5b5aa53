import type { ObjectStore } from '@majorana/objects';
import { ObjectMissingError } from '@majorana/objects';
import type { JobSpec } from '@majorana/protocol';
import type { EngineStore, Reads } from '@majorana/store';
import { taskCountOf } from './engine/indexes.ts';

export interface InputParts {
  readonly objects: Pick<ObjectStore, 'stat'>;
  readonly store: Pick<EngineStore, 'loadFields'>;
  readonly reads: Pick<Reads, 'job'>;
}

/** A gather names 100,000 files, an array a million: so many tell the mean, in one round of asking. */
const SAMPLE_MAX = 64;

/** So many of 0 to `count` - 1, evenly spread. */
const sampled = (count: number, most: number): number[] =>
  Array.from({ length: Math.min(count, most) }, (_, at) =>
    Math.floor((at * count) / Math.min(count, most)),
  );

/** What is not there is refused or fails elsewhere, with its name. */
const sizeOf = async ({ objects }: InputParts, object: string): Promise<number> => {
  const stat = await objects.stat(object).catch((error: Error) => {
    if (error instanceof ObjectMissingError) return undefined;
    throw error;
  });
  return stat?.sizeBytes ?? 0;
};

async function meanSize(parts: InputParts, objects: readonly string[]): Promise<number> {
  const sizes = await Promise.all(objects.map((object) => sizeOf(parts, object)));
  return sizes.reduce((sum, size) => sum + size, 0) / Math.max(1, sizes.length);
}

/** Objects that records name, of tasks all over the array. */
async function sampleRecords(
  { store }: InputParts,
  { array }: JobSpec,
  fields: readonly string[],
): Promise<string[]> {
  if (array.kind === 'range' || fields.length === 0) return [];
  const positions = sampled(array.recordCount, Math.ceil(SAMPLE_MAX / fields.length));
  const records = await Promise.all(
    positions.map((position) => store.loadFields(array.parameterSetId, position)),
  );
  return records.flatMap((record) =>
    fields.flatMap((field) => {
      const object = record[field] ?? '';
      return /^[0-9a-f]{64}$/.test(object) ? [object] : [];
    }),
  );
}

/** Those of jobs that it comes after are known when it is dispatched. */
async function fromEndedJobs({ reads }: InputParts, spec: JobSpec): Promise<number> {
  const awaited = new Set(spec.after.map(({ jobId }) => jobId));
  const ended = spec.inputsFromJobs.filter(({ jobId }) => !awaited.has(jobId));
  const jobs = await Promise.all(ended.map(({ jobId }) => reads.job(jobId)));
  return jobs.reduce((sum, job) => sum + (job?.outputBytes ?? 0), 0);
}

/**
 * A job in containers with the bytes of one of its tasks' inputs, a mean of those looked at: known
 * once, so that no later decision has to ask the object store. Others run where they can.
 */
export async function withInputBytes(parts: InputParts, spec: JobSpec): Promise<JobSpec> {
  if (spec.container === undefined || taskCountOf(spec) === 0) return spec;
  const named = spec.inputs.map(({ object }) => object);
  const fixed = named.filter((object) => !object.startsWith('{'));
  const fields = named.filter((object) => object.startsWith('{')).map((text) => text.slice(1, -1));
  const ofFixed = sampled(fixed.length, SAMPLE_MAX).map((at) => fixed[at]!);
  const ofRecords = await sampleRecords(parts, spec, fields.slice(0, SAMPLE_MAX));
  const inputBytes =
    fixed.length * (await meanSize(parts, ofFixed)) +
    fields.length * (await meanSize(parts, ofRecords)) +
    (await fromEndedJobs(parts, spec));
  return { ...spec, inputBytes: Math.round(inputBytes) };
}
