import { makeLease } from '@majorana/control-plane/engine/lease';
import { formatJobId } from '@majorana/core';
import type { RoundRecord } from '@majorana/store';
import type { MemoryDatabase } from '@majorana/store/memory-store';
import type { MemoryWorkflows } from '@majorana/store/memory-workflows';
import { predictRun } from './predict.ts';
import { executionOf } from './programs.ts';

interface Made {
  readonly execution: string;
  readonly isDone: boolean;
}

/** Every task that a round has made, by what it runs on, and whether it succeeded. */
async function madeIn(
  store: MemoryWorkflows,
  database: MemoryDatabase,
  { runId, round }: RoundRecord,
): Promise<Made[]> {
  const instances = await store.instances(runId, round);
  return instances.flatMap(({ jobId }) => {
    const job = jobId === null ? undefined : database.jobs.get(jobId);
    if (job === undefined) return [];
    const { spec, taskCount } = job;
    const { tasks } = database.rowsOf(job.jobId);
    return Array.from({ length: taskCount }, (_, position) => {
      const task = { jobId: job.jobId, position, attemptNumber: 1, memoryBytes: 0 };
      const record =
        spec.array.kind === 'range' ? {} : database.fieldsAt(spec.array.parameterSetId, position);
      const execution = executionOf(makeLease(spec, task, record, []));
      return { execution, isDone: tasks.get(position)?.state === 'succeeded' };
    });
  });
}

/** By the paths of steps: where they stand, and what each element has stored. */
export async function outputsOf(
  store: MemoryWorkflows,
  { runId, round, state }: RoundRecord,
): Promise<string> {
  const lines: string[] = [];
  for (const path of Object.keys(state.steps).toSorted()) {
    lines.push(`${path} ${state.steps[path]!.status}`);
    const files = (await store.outputs({ runId, round }, [path], 'default')).get(path) ?? [];
    for (const { position, object } of files) lines.push(`${path} ${position} ${object}`);
  }
  return lines.join('\n');
}

const firstOf = (some: Iterable<string>, isWrong: (one: string) => boolean): string | undefined =>
  [...some].find(isWrong);

/**
 * The rounds of one run against what their definitions alone say. What succeeded in one is never
 * made again; a round that was left alone makes exactly what is lacking, one that was cancelled no
 * more than that; and in the end all is there as if there had been no other round.
 */
export async function wrongWithRounds(
  store: MemoryWorkflows,
  database: MemoryDatabase,
  runId: number,
): Promise<string | undefined> {
  const done = new Set<string>();
  const rounds = await store.rounds(runId);
  for (const round of rounds) {
    const { definition, state } = round;
    const predicted = predictRun(definition);
    const isCancelled = state.status === 'cancelled';
    const made = await madeIn(store, database, round);
    const executions = made.map(({ execution }) => execution);
    const wrong = wrongWithMade(executions, { done, predicted: predicted.executions, isCancelled });
    if (wrong !== undefined) return `round ${round.round}: ${wrong}`;
    for (const { execution, isDone } of made) if (isDone) done.add(execution);
    if (isCancelled) continue;
    const found = `${state.status}\n${await outputsOf(store, round)}`;
    const expected = `${predicted.isWell ? 'succeeded' : 'failed'}\n${predicted.outputs}`;
    if (found !== expected) {
      return `round ${round.round} has ended as ${found}\nand should have as ${expected}`;
    }
  }
  return undefined;
}

function wrongWithMade(
  made: readonly string[],
  by: {
    readonly done: ReadonlySet<string>;
    readonly predicted: ReadonlySet<string>;
    readonly isCancelled: boolean;
  },
): string | undefined {
  const { done, predicted, isCancelled } = by;
  const all = new Set(made);
  const twice = made.find((one, at) => made.indexOf(one) !== at);
  if (twice !== undefined) return `made twice: ${twice}`;
  const again = firstOf(all, (one) => done.has(one));
  if (again !== undefined) return `has its result, and was made again: ${again}`;
  const unasked = firstOf(all, (one) => !predicted.has(one));
  if (unasked !== undefined) return `nothing asks for it: ${unasked}`;
  const lacking = firstOf(predicted, (one) => !done.has(one) && !all.has(one));
  return isCancelled || lacking === undefined ? undefined : `was not made: ${lacking}`;
}

/** Every job is that of one instance: a second one for the same would run all of it again. */
export async function strayJob(
  store: MemoryWorkflows,
  database: MemoryDatabase,
  runIds: readonly number[],
): Promise<string | undefined> {
  const known = new Set<number>();
  for (const runId of runIds) {
    for (const { round } of await store.rounds(runId)) {
      for (const { jobId } of await store.instances(runId, round)) known.add(jobId ?? 0);
    }
  }
  const stray = [...database.jobs.values()].find(({ jobId }) => !known.has(jobId));
  return stray && `${formatJobId(stray.jobId)} ${stray.spec.name} is of no step`;
}
