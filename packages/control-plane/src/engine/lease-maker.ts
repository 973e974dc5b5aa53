import type { Lease, StagedObject } from '@majorana/protocol';
import type { EngineStore, TaskRecord } from '@majorana/store';
import { taskIndexOf } from './indexes.ts';
import { makeLease } from './lease.ts';
import type { EngineState } from './state.ts';

export class NotFoundError extends Error {
  override name = 'NotFoundError';
  readonly code = 'not_found';
}

/** Makes leases of what is in memory and what the store holds: records, and outputs of other jobs. */
export class LeaseMaker {
  readonly #store: EngineStore;
  #outputs: { readonly key: string; readonly objects: StagedObject[] } | undefined;

  constructor(store: EngineStore) {
    this.#store = store;
  }

  async make(state: EngineState, task: TaskRecord): Promise<Lease> {
    const { spec } = state.jobs.get(task.jobId)!;
    const record =
      spec.array.kind === 'range'
        ? {}
        : await this.#store.loadFields(spec.array.parameterSetId, task.position);
    const staged = await Promise.all(
      spec.inputsFromJobs.map(async ({ jobId, path }) =>
        (await this.#outputsOf(state, jobId)).map((one) => ({
          ...one,
          path: `${path}/${one.path}`,
        })),
      ),
    );
    return makeLease(spec, task, record, staged.flat());
  }

  /**
   * An array's tasks all ask for the same: the last answer is kept, but only of a job that has
   * ended, and not beyond a retry of it.
   */
  async #outputsOf(state: EngineState, jobId: number): Promise<StagedObject[]> {
    const job = state.jobs.get(jobId) ?? (await this.#store.loadJob(jobId));
    if (job === undefined) throw new NotFoundError(`there is no job_${jobId} to take inputs from`);
    const key = `${jobId} ${job.endedAtMs}`;
    if (job.endedAtMs !== null && this.#outputs?.key === key) return this.#outputs.objects;
    const outputs = await this.#store.loadOutputs(jobId);
    const objects = outputs.map(({ position, path, object }) => ({
      path: `${taskIndexOf(job.spec, position)}/${path}`,
      object,
    }));
    this.#outputs = { key, objects };
    return objects;
  }
}
