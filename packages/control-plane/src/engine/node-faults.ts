import type { TaskRecord } from '@majorana/store';

type Key = Pick<TaskRecord, 'jobId' | 'position'>;

/**
 * The nodes that broke under tasks, in a row of their attempts. In memory only: an engine that
 * starts anew counts anew, which lets a poisoned task break a few nodes more.
 */
export class NodeFaults {
  readonly #byJob = new Map<number, Map<number, readonly string[]>>();

  of({ jobId, position }: Key): readonly string[] {
    return this.#byJob.get(jobId)?.get(position) ?? [];
  }

  set({ jobId, position }: Key, faultyNodes: readonly string[]): void {
    const ofJob = this.#byJob.get(jobId) ?? new Map<number, readonly string[]>();
    if (faultyNodes.length > 0) this.#byJob.set(jobId, ofJob.set(position, faultyNodes));
    else if (ofJob.delete(position) && ofJob.size === 0) this.#byJob.delete(jobId);
  }

  forgetJob(jobId: number): void {
    this.#byJob.delete(jobId);
  }
}
