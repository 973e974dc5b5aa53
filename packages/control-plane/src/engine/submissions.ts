import type { JobSpec } from '@majorana/protocol';
import type { EngineStore, JobRecord } from '@majorana/store';
import { NotFoundError } from './lease-maker.ts';
import { onSubmit } from './reactor.ts';
import type { Turns } from './turns.ts';

export interface Submitted {
  readonly jobId: number;
  readonly isNew: boolean;
}

/** New jobs: each key once, however often and by how many it is said. */
export class Submissions {
  readonly #turns: Turns;
  readonly #store: EngineStore;
  readonly #submitting = new Map<string, Promise<Submitted>>();

  constructor(turns: Turns, store: EngineStore) {
    this.#turns = turns;
    this.#store = store;
  }

  /** The new job's number, or that of the first job with the same key. */
  async submit(spec: JobSpec): Promise<Submitted> {
    if (spec.idempotencyKey === undefined) return this.#submitNow(spec);
    const key = `${spec.project}/${spec.idempotencyKey}`;
    // Two at once with one key: the second waits, and finds in the store what the first has made,
    // ended or not. The unique index would refuse it, and with it the whole turn.
    while (this.#submitting.has(key)) await this.#submitting.get(key)!.catch(() => undefined);
    const submitted = this.#submitNow(spec);
    this.#submitting.set(key, submitted);
    return submitted.finally(() => this.#submitting.delete(key));
  }

  /** Whether a job of this key is there, or comes from what was submitted until now. */
  async has(project: string, idempotencyKey: string): Promise<boolean> {
    const key = `${project}/${idempotencyKey}`;
    while (this.#submitting.has(key)) await this.#submitting.get(key)!.catch(() => undefined);
    const known = await this.#turns.ask(() => this.#store.findJobByKey(project, idempotencyKey));
    return known !== undefined;
  }

  async #submitNow(spec: JobSpec): Promise<Submitted> {
    if (spec.idempotencyKey !== undefined) {
      const key = spec.idempotencyKey;
      const known = await this.#turns.ask(() => this.#store.findJobByKey(spec.project, key));
      if (known !== undefined) return { jobId: known, isNew: false };
    }
    const jobId = await this.#turns.ask(() => this.#store.allocateJobId());
    const job =
      spec.after.length === 0
        ? await this.#turns.do((state, nowMs) =>
            onSubmit(state, { jobId, spec, endedUpstream: [] }, nowMs),
          )
        : await this.#submitAfter(jobId, spec);
    return { jobId: job.jobId, isNew: job.jobId === jobId };
  }

  /** Between turns: only then memory and store agree on which of those it comes after have ended. */
  async #submitAfter(jobId: number, spec: JobSpec): Promise<JobRecord> {
    const submitted = await this.#turns.between(async (state, nowMs) => {
      const endedUpstream: JobRecord[] = [];
      for (const { jobId: upstreamId } of spec.after) {
        if (state.jobs.has(upstreamId)) continue;
        const upstream = await this.#store.loadJob(upstreamId);
        if (upstream === undefined) return upstreamId;
        endedUpstream.push(upstream);
      }
      const job = onSubmit(state, { jobId, spec, endedUpstream }, nowMs);
      if (job.jobId === jobId) this.#turns.settleNew(state, job, nowMs);
      await this.#turns.write(state, nowMs);
      return job;
    });
    if (typeof submitted !== 'number') return submitted;
    throw new NotFoundError(`there is no job_${submitted} to come after`);
  }
}
