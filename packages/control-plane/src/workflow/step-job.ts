import { formatRunId, literal } from '@majorana/core';
import type { JobSpec } from '@majorana/protocol';
import { jobSpecSchema } from '@majorana/protocol';
import type { InstanceRecord, RunRecord, StepResults } from '@majorana/store';
import { writeParameterSet } from '@majorana/store';
import type { Pool } from 'pg';

const NAME_LENGTH_MAX = 200;

/** What of a step's definition says how it runs, and not what it makes. */
export interface RunSettings {
  readonly queue: string;
  readonly resources: JobSpec['resources'];
  readonly retry: JobSpec['retry'];
  readonly timeLimitMs: number;
  readonly graceMs: number;
  readonly parallelMax?: number | undefined;
}

async function* recordTexts(results: StepResults, instanceId: number): AsyncGenerator<string> {
  for await (const { fields } of results.missing(instanceId)) yield JSON.stringify(fields);
}

/** The elements without a result, as records; their index is that of the whole fan-out. */
async function arrayOf(
  pool: Pool,
  results: StepResults,
  instance: InstanceRecord,
): Promise<JobSpec['array']> {
  if (!instance.isFanOut) return { kind: 'range', ranges: [{ from: 0, to: 0, step: 1 }] };
  let recordCount = 0;
  let fieldNames: string[] = [];
  async function* counted(): AsyncGenerator<string> {
    for await (const text of recordTexts(results, instance.instanceId)) {
      if (recordCount === 0) fieldNames = Object.keys(JSON.parse(text) as object);
      recordCount += 1;
      yield text;
    }
  }
  const set = await writeParameterSet(pool, counted(), () => ({ recordCount, fieldNames }));
  return { kind: 'parameter_set', ...set, fieldNames: [...set.fieldNames] };
}

/** An instance of a step as an ordinary job. The same instance is the same job, however often. */
export async function jobOf(
  pool: Pool,
  results: StepResults,
  run: RunRecord,
  of: { readonly instance: InstanceRecord; readonly settings: RunSettings },
): Promise<JobSpec> {
  const { instance, settings } = of;
  const { template, path } = instance;
  const base = jobSpecSchema.parse({
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
  const { queue, resources, retry, timeLimitMs, graceMs, parallelMax } = settings;
  return {
    ...base,
    queue,
    resources,
    retry,
    timeLimitMs,
    graceMs,
    ...(parallelMax === undefined ? {} : { parallelMax }),
    array: await arrayOf(pool, results, instance),
  };
}
