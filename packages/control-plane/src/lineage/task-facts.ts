import { formatAttemptId, formatJobId, formatRunId } from '@majorana/core';
import type { LineageTask, StagedObject } from '@majorana/protocol';
import type { AttemptRecord, EngineStore, JobRecord, Lineage, Reads } from '@majorana/store';
import { fieldsOf, makeLease } from '../engine/lease.ts';
import { taskIndexOf } from '../engine/indexes.ts';

export interface LineageSources {
  readonly reads: Reads;
  readonly lineage: Lineage;
  readonly store: Pick<EngineStore, 'loadFields'>;
}

export interface TaskFacts {
  readonly node: LineageTask;
  readonly inputs: readonly StagedObject[];
}

/** Files taken from whole jobs, as the engine lays them in; at most so many. */
async function filesFromJobs(
  { reads }: LineageSources,
  { spec }: JobRecord,
  limit: number,
): Promise<StagedObject[]> {
  const files: StagedObject[] = [];
  for (const { jobId, path } of spec.inputsFromJobs) {
    const upstream = await reads.job(jobId);
    if (upstream === undefined) continue;
    const left = limit - files.length;
    if (left <= 0) break;
    const first = { position: -1, role: '', path: '' };
    for (const one of await reads.artifacts(jobId, first, left, 'output')) {
      const index = taskIndexOf(upstream.spec, one.position);
      files.push({ path: `${path}/${index}/${one.path}`, object: one.object });
    }
  }
  return files;
}

const noAttempt = { agentId: null, startedAtMs: null, endedAtMs: null, outcome: null };

/** A job whose tasks all read a file: what it says itself, placeholders unfilled. */
export async function jobFacts(sources: LineageSources, job: JobRecord): Promise<LineageTask> {
  const step = await sources.lineage.step(job.jobId);
  return {
    kind: 'task',
    id: formatJobId(job.jobId),
    name: job.spec.name,
    taskCount: job.taskCount,
    argv: [...job.spec.argv],
    image: job.spec.container?.image ?? null,
    env: { ...job.spec.env },
    parameters: {},
    tools: { ...step?.tools },
    step: step === undefined ? null : `${formatRunId(step.runId)}/${step.path}`,
    ...noAttempt,
    inputCount: job.spec.inputs.length,
    isCut: false,
  };
}

/** What one attempt ran on: filled from the job and its record exactly as its lease was. */
export async function taskFacts(
  sources: LineageSources,
  job: JobRecord,
  at: { readonly position: number; readonly attempt: AttemptRecord },
  limit: number,
): Promise<TaskFacts> {
  const { spec, jobId } = job;
  const { position, attempt } = at;
  const record =
    spec.array.kind === 'range'
      ? {}
      : await sources.store.loadFields(spec.array.parameterSetId, position);
  const fromJobs = await filesFromJobs(sources, job, limit + 1);
  const { attemptNumber } = attempt;
  const task = { jobId, position, attemptNumber, memoryBytes: spec.resources.memoryBytes };
  const lease = makeLease(spec, task, record, fromJobs);
  const whole = await jobFacts(sources, job);
  const { agentId, startedAtMs, endedAtMs, outcome } = attempt;
  const id = { jobId, taskIndex: taskIndexOf(spec, position), attemptNumber };
  return {
    node: {
      ...whole,
      id: formatAttemptId(id),
      taskCount: 1,
      argv: [...lease.argv],
      env: { ...lease.env },
      parameters: fieldsOf(spec, { jobId, position }, record),
      agentId,
      startedAtMs,
      endedAtMs,
      outcome,
      inputCount: lease.inputs.length,
      isCut: lease.inputs.length > limit,
    },
    inputs: lease.inputs.slice(0, limit),
  };
}
