import type { TaskStep, WorkflowDefinition } from '@majorana/core';
import { formatRunId, literal } from '@majorana/core';
import type { JobSpec } from '@majorana/protocol';
import { jobSpecSchema } from '@majorana/protocol';
import type { DrivingResults, InstanceRecord, RunRecord } from '@majorana/store';
import type { z } from 'zod';
import { RefusedError } from './sources.ts';

const NAME_LENGTH_MAX = 200;

/** What a step says word for word as a job does; nothing of it is to be filled. */
const SETTINGS = [
  'labels',
  'queue',
  'priority',
  'resources',
  'retry',
  'timeLimitMs',
  'graceMs',
  'parallelMax',
  'container',
  'gang',
  'cluster',
] as const;
export type RunSettings = Pick<JobSpec, (typeof SETTINGS)[number]>;

const saidBy = (one: object): Partial<RunSettings> => {
  const names: ReadonlySet<string> = new Set(SETTINGS);
  const said = Object.entries(one).filter(
    ([name, value]) => names.has(name) && value !== undefined,
  );
  return Object.fromEntries(said) as Partial<RunSettings>;
};
/** A step's own, else the workflow's; what neither says is as in any job. */
export const settingsOf = (
  definition: WorkflowDefinition,
  step: TaskStep,
): Partial<RunSettings> => ({
  ...saidBy(definition),
  ...saidBy(step),
});

/** The elements without a result, as records; their index is that of the whole fan-out. */
async function arrayOf(
  results: DrivingResults,
  instance: InstanceRecord,
): Promise<JobSpec['array']> {
  if (!instance.isFanOut) return { kind: 'range', ranges: [{ from: 0, to: 0, step: 1 }] };
  const set = await results.parametersOf(instance.instanceId);
  return { kind: 'parameter_set', ...set, fieldNames: [...set.fieldNames] };
}

/** The same instance is the same job, however often it is submitted. */
export const jobKeyOf = ({ instanceId, createdAtMs }: InstanceRecord): string =>
  `workflow ${instanceId} ${createdAtMs}`;

/** What files and values have made of a step may be what no job can be. */
const whyOf = (error: z.ZodError): string =>
  error.issues
    .slice(0, 5)
    .map(({ path, message }) => `${path.join('.')}: ${message}`)
    .join('; ');

/** An instance of a step as an ordinary job. */
export async function jobOf(
  results: DrivingResults,
  run: RunRecord,
  of: {
    readonly instance: InstanceRecord;
    readonly settings: Partial<RunSettings>;
    readonly place: NonNullable<JobSpec['place']>;
  },
): Promise<JobSpec> {
  const { instance, settings, place } = of;
  const { template, path } = instance;
  const checked = jobSpecSchema.safeParse({
    name: `${run.name}.${path}`.slice(0, NAME_LENGTH_MAX),
    project: run.project,
    labels: {
      ...settings.labels,
      run: formatRunId(run.runId),
      step: path.slice(0, NAME_LENGTH_MAX),
    },
    argv: [...template.argv],
    env: template.env,
    outputs: [...template.outputs],
    checkpoint: template.checkpoint,
    inputs: [
      ...template.inputs.map((input) => ({ path: literal(input.path), object: input.object })),
      ...template.elementInputs,
    ],
    idempotencyKey: jobKeyOf(instance),
  });
  if (!checked.success) throw new RefusedError(`as a job it is refused: ${whyOf(checked.error)}`);
  const { labels } = checked.data;
  return { ...checked.data, ...settings, labels, place, array: await arrayOf(results, instance) };
}
