import { formatRunId, literal } from '@majorana/core';
import type { JobSpec } from '@majorana/protocol';
import { jobSpecSchema } from '@majorana/protocol';
import type { DrivingResults, InstanceRecord, RunRecord } from '@majorana/store';
import type { z } from 'zod';
import { RefusedError } from './sources.ts';

const NAME_LENGTH_MAX = 200;

/** What of a step's definition says how it runs, and not what it makes. */
export interface RunSettings {
  readonly queue: string;
  readonly resources: JobSpec['resources'];
  readonly retry: JobSpec['retry'];
  readonly timeLimitMs: number;
  readonly graceMs: number;
  readonly parallelMax?: number | undefined;
  readonly container?: JobSpec['container'];
  readonly cluster?: string | undefined;
}

/** The elements without a result, as records; their index is that of the whole fan-out. */
async function arrayOf(
  results: DrivingResults,
  instance: InstanceRecord,
): Promise<JobSpec['array']> {
  if (!instance.isFanOut) return { kind: 'range', ranges: [{ from: 0, to: 0, step: 1 }] };
  const set = await results.parametersOf(instance.instanceId);
  return { kind: 'parameter_set', ...set, fieldNames: [...set.fieldNames] };
}

/** What files and values have made of a step may be what no job can be. */
const whyOf = (error: z.ZodError): string =>
  error.issues
    .slice(0, 5)
    .map(({ path, message }) => `${path.join('.')}: ${message}`)
    .join('; ');

/** An instance of a step as an ordinary job. The same instance is the same job, however often. */
export async function jobOf(
  results: DrivingResults,
  run: RunRecord,
  of: {
    readonly instance: InstanceRecord;
    readonly settings: RunSettings;
    readonly place: NonNullable<JobSpec['place']>;
  },
): Promise<JobSpec> {
  const { instance, settings, place } = of;
  const { template, path } = instance;
  const checked = jobSpecSchema.safeParse({
    name: `${run.name}.${path}`.slice(0, NAME_LENGTH_MAX),
    project: run.project,
    labels: { run: formatRunId(run.runId), step: path.slice(0, NAME_LENGTH_MAX) },
    argv: [...template.argv],
    env: template.env,
    outputs: [...template.outputs],
    inputs: [
      ...template.inputs.map((input) => ({ path: literal(input.path), object: input.object })),
      ...template.elementInputs,
    ],
    idempotencyKey: `workflow ${instance.instanceId} ${instance.createdAtMs}`,
  });
  if (!checked.success) throw new RefusedError(`as a job it is refused: ${whyOf(checked.error)}`);
  const { queue, resources, retry, timeLimitMs, graceMs } = settings;
  const { parallelMax, container, cluster } = settings;
  return {
    ...checked.data,
    place,
    queue,
    resources,
    retry,
    timeLimitMs,
    graceMs,
    ...(parallelMax === undefined ? {} : { parallelMax }),
    ...(container === undefined ? {} : { container }),
    ...(cluster === undefined ? {} : { cluster }),
    array: await arrayOf(results, instance),
  };
}
