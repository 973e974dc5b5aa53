import type { ObjectStore } from '@majorana/objects';
import type { Retention } from '@majorana/store';
import type { FastifyBaseLogger } from 'fastify';
import type { Uploads } from './api/uploads.ts';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
/** The first round waits: agents may still hold results of before this server started. */
const FIRST_ROUND_MS = HOUR_MS;
const ROUND_MS = 6 * HOUR_MS;
/** An object younger than this may belong to a submission on its way. */
const OBJECT_AGE_MS = DAY_MS;
/** Agents and the store may have other clocks than this server. */
const CLOCKS_APART_MS = HOUR_MS;
const JOBS_PER_ROUND = 1000;
/** An object in S3 costs six requests one after the other. */
const REMOVALS_AT_ONCE = 16;

export interface RetentionOptions {
  readonly retention: Retention;
  readonly objects: ObjectStore;
  readonly uploads: Pick<Uploads, 'removeOld'>;
  readonly keepDays: number;
  readonly log: FastifyBaseLogger;
}

/** Prunes what has been kept long enough: jobs, parameter sets, and objects that nothing names. */
export class RetentionLoop {
  readonly #options: RetentionOptions;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: RetentionOptions) {
    this.#options = options;
  }

  start(): void {
    this.#schedule(FIRST_ROUND_MS);
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  #schedule(delayMs: number): void {
    this.#timer = setTimeout(() => {
      this.round(Date.now())
        .catch((error: Error) => this.#options.log.error({ error: error.stack }, 'pruning failed'))
        .finally(() => this.#schedule(ROUND_MS));
    }, delayMs);
    this.#timer.unref();
  }

  /** One round; answers what it removed. */
  async round(nowMs: number): Promise<{ jobs: number; objects: number }> {
    const { retention, objects, uploads, keepDays } = this.#options;
    const endedBeforeMs = nowMs - keepDays * DAY_MS;
    const jobIds = await retention.expiredJobs(endedBeforeMs, JOBS_PER_ROUND);
    for (const jobId of jobIds) await retention.removeJob(jobId);
    await retention.removeRuns(endedBeforeMs);
    await retention.removeUnusedResults(endedBeforeMs);
    await retention.removeUnusedParameterSets(nowMs - DAY_MS);
    const unusedBeforeMs = nowMs - OBJECT_AGE_MS;
    const openLeaseMs = (await retention.oldestOpenLeaseMs()) - CLOCKS_APART_MS;
    const count = await this.#removeObjects(Math.min(unusedBeforeMs, openLeaseMs));
    const removed = { jobs: jobIds.length, objects: count };
    await objects.removeLeftovers(unusedBeforeMs);
    await uploads.removeOld(unusedBeforeMs);
    if (removed.jobs + removed.objects > 0) this.#options.log.info(removed, 'pruned');
    return removed;
  }

  /**
   * Marks before it sweeps, and looks at ages before it marks: what is named after the mark was put
   * by an attempt that was open, or is younger than a day, or was put again, which makes it young.
   */
  async #removeObjects(usedBeforeMs: number): Promise<number> {
    const { retention, objects } = this.#options;
    const old = new Set<string>();
    for await (const { object, usedAtMs } of objects.list()) {
      if (usedAtMs < usedBeforeMs) old.add(object);
    }
    if (old.size === 0) return 0;
    for await (const used of retention.usedObjects()) {
      for (const object of used) old.delete(object);
    }
    const left = old.values();
    let count = 0;
    const removeNext = async (): Promise<void> => {
      for (const object of left) if (await objects.remove(object, usedBeforeMs)) count += 1;
    };
    await Promise.all(Array.from({ length: REMOVALS_AT_ONCE }, removeNext));
    return count;
  }
}
