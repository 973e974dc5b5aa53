import type { Resources, Shortage } from '@majorana/core';
import {
  DEFAULT_RESOURCES,
  findShortages,
  findUnknownPlaceholders,
  formatQuantity,
} from '@majorana/core';
import type { JobSpec, SubmittedJobSpec } from '@majorana/protocol';
import { withoutContainer } from '@majorana/protocol';
import { readParameterSet, writeParameterSet } from '@majorana/store';
import { taskCountOf } from '../engine/indexes.ts';
import { COMMON_FIELDS } from '../engine/lease.ts';
import { withInputBytes } from '../input-size.ts';
import type { ApiContext } from './context.ts';
import { RecordReader } from './parameter-records.ts';
import { ProblemError } from './problem.ts';

/** Refuses placeholders that no field answers: better at submission than in 100,000 tasks. */
function checkPlaceholders(spec: SubmittedJobSpec, fieldNames: readonly string[]): void {
  const names = new Set<string>([...COMMON_FIELDS, ...fieldNames]);
  const texts: [string, string][] = [
    ...spec.argv.map((text, position): [string, string] => [`argv.${position}`, text]),
    ...(spec.checkpoint?.argv ?? []).map((text, position): [string, string] => [
      `checkpoint.argv.${position}`,
      text,
    ]),
    ...Object.entries(spec.env).map(([name, text]): [string, string] => [`env.${name}`, text]),
    ...spec.outputs.map((text, position): [string, string] => [`outputs.${position}`, text]),
    ...spec.inputs.flatMap(({ path, object }, position): [string, string][] => [
      [`inputs.${position}.path`, path],
      [`inputs.${position}.object`, object],
    ]),
  ];
  const issues = texts.flatMap(([where, text]) =>
    findUnknownPlaceholders(text, names).map((error) => ({ where, what: error.why })),
  );
  if (issues.length === 0) return;
  const detail = issues.map((issue) => `${issue.where}: ${issue.what}`).join('; ');
  throw new ProblemError(422, 'unknown_placeholder', detail, issues);
}

const sentence = (shortage: Shortage): string =>
  `${formatQuantity(shortage.resource, shortage.requested)} asked, the largest agent has ` +
  formatQuantity(shortage.resource, shortage.available);

/** Refuses what no agent could ever hold. Without an agent nothing is known, and nothing refused. */
export function checkFits(
  spec: Pick<SubmittedJobSpec, 'resources' | 'container'>,
  capacities: readonly Resources[],
): void {
  if (spec.container !== undefined) return;
  const shortages = capacities.map((capacity) => findShortages(spec.resources, capacity));
  const best = shortages.toSorted((a, b) => a.length - b.length)[0];
  if (best === undefined || best.length === 0) return;
  throw new ProblemError(
    422,
    'never_fits',
    `no agent can run this: ${best.map(sentence).join('; ')}`,
  );
}

function checkContainerOnly(spec: SubmittedJobSpec): void {
  const issues = withoutContainer(spec);
  if (issues.length === 0) return;
  const detail = issues.map(({ where, what }) => `${where}: ${what}`).join('; ');
  throw new ProblemError(422, 'invalid_input', detail, issues);
}

/** A file there takes the task's memory: what is beyond it ends the whole pod, its log with it. */
function checkSharedMemory({ resources, container }: SubmittedJobSpec): void {
  const { shmBytes, memoryBytes } = resources;
  const isUnasked = shmBytes <= DEFAULT_RESOURCES.shmBytes;
  if (container === undefined || isUnasked || shmBytes <= memoryBytes) return;
  const where = 'resources.shmBytes';
  const what = `/dev/shm is part of the memory, of which ${formatQuantity('memoryBytes', memoryBytes)} is asked: ask for more than ${formatQuantity('memoryBytes', shmBytes)}`;
  throw new ProblemError(422, 'invalid_input', `${where}: ${what}`, [{ where, what }]);
}

/** Ranges end on a step, ascend, do not overlap, and are at most a million. */
function checkRanges(spec: SubmittedJobSpec): void {
  if (spec.array.kind !== 'range') return;
  let last = -1;
  for (const [position, { from, to, step }] of spec.array.ranges.entries()) {
    const where = `array.ranges.${position}`;
    if (to < from || (to - from) % step !== 0) {
      const what = `${where}: "to" is ${to}; it must be "from" or some steps of ${step} after it`;
      throw new ProblemError(422, 'invalid_input', what, [{ where, what }]);
    }
    if (from <= last) {
      const what = `${where}: ${from} does not come after ${last}; indexes must ascend`;
      throw new ProblemError(422, 'invalid_input', what, [{ where, what }]);
    }
    last = to;
  }
}

async function checkUpstream(context: ApiContext, spec: JobSpec): Promise<void> {
  const jobIds = [...spec.after, ...spec.inputsFromJobs].map((one) => one.jobId);
  for (const jobId of new Set(jobIds)) {
    const upstream = await context.reads.job(jobId);
    if (upstream === undefined || upstream.spec.project !== spec.project) {
      const what = `there is no job_${jobId} in project ${spec.project}`;
      throw new ProblemError(422, 'no_such_job', what);
    }
    const isEach = spec.after.some((one) => one.each && one.jobId === jobId);
    if (isEach && upstream.taskCount !== taskCountOf(spec)) {
      const what = `job_${jobId} has ${upstream.taskCount} tasks and this job ${taskCountOf(spec)}: task by task they must be equal`;
      throw new ProblemError(422, 'unequal_arrays', what);
    }
  }
}

/** What tasks take must be there, and is spared by garbage collection until the job is on record. */
async function checkInputs(context: ApiContext, spec: SubmittedJobSpec): Promise<void> {
  for (const [position, { object }] of spec.inputs.entries()) {
    if (object.startsWith('{') || (await context.objects.touch(object))) continue;
    const where = `inputs.${position}.object`;
    const what = `there is no object ${object}; upload it first`;
    throw new ProblemError(422, 'no_such_object', `${where}: ${what}`, [{ where, what }]);
  }
}

/** Records become a parameter set; a named set is looked up. */
async function storeArray(
  context: ApiContext,
  { array }: SubmittedJobSpec,
): Promise<JobSpec['array']> {
  if (array.kind === 'range') return array;
  if (array.kind === 'parameter_set') {
    const set = await readParameterSet(context.pool, array.parameterSetId);
    if (set !== undefined)
      return { kind: 'parameter_set', ...set, fieldNames: [...set.fieldNames] };
    const what = `there is no parameter set ${array.parameterSetId}`;
    throw new ProblemError(422, 'no_such_parameter_set', what);
  }
  const reader = new RecordReader();
  const texts = array.records.map((record) => reader.take(JSON.stringify(record)));
  const set = await writeParameterSet(
    context.pool,
    (async function* () {
      yield* texts;
    })(),
    () => reader,
  );
  return { kind: 'parameter_set', ...set, fieldNames: [...set.fieldNames] };
}

/** A submission as the engine takes it, or a refusal that says what is wrong and where. */
export async function acceptSpec(
  context: ApiContext,
  submitted: SubmittedJobSpec,
): Promise<JobSpec> {
  checkRanges(submitted);
  checkContainerOnly(submitted);
  checkSharedMemory(submitted);
  if (!(await context.access.hasProject(submitted.project))) {
    const what = `there is no project ${submitted.project}`;
    throw new ProblemError(422, 'no_such_project', what);
  }
  checkFits(submitted, context.engine.capacities());
  await checkInputs(context, submitted);
  if (submitted.array.kind === 'records') {
    checkPlaceholders(submitted, Object.keys(submitted.array.records[0]!));
  }
  const spec: JobSpec = { ...submitted, array: await storeArray(context, submitted) };
  const count = taskCountOf(spec);
  if (count > 1_000_000) {
    throw new ProblemError(422, 'too_many_tasks', `${count} tasks are more than 1,000,000`);
  }
  checkPlaceholders(submitted, spec.array.kind === 'range' ? [] : spec.array.fieldNames);
  await checkUpstream(context, spec);
  return withInputBytes(context, spec);
}
