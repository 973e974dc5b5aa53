import type { JobView } from '@majorana/protocol';
import { formatDuration } from '../output.ts';

/** The rate is that of the last seconds: what was fast an hour ago says nothing about the rest. */
const WINDOW_MS = 15_000;

export interface Totals {
  readonly taskCount: number;
  readonly done: number;
  readonly running: number;
  readonly failed: number;
}

export function totals(jobs: readonly JobView[]): Totals {
  const sum = (pick: (job: JobView) => number): number =>
    jobs.reduce((total, job) => total + pick(job), 0);
  const failed = sum((job) => job.counts.failed);
  return {
    taskCount: sum((job) => job.taskCount),
    done: sum((job) => job.counts.succeeded + job.counts.cancelled) + failed,
    running: sum((job) => job.counts.running),
    failed,
  };
}

/** Tasks ended a second over the window; undefined until there are two moments to compare. */
export class RateWindow {
  #samples: { atMs: number; done: number }[] = [];

  add(atMs: number, done: number): void {
    const last = this.#samples.at(-1);
    // After a retry fewer tasks are done than before: what went before is no measure.
    if (last !== undefined && done < last.done) this.#samples = [];
    this.#samples.push({ atMs, done });
    // One sample older than the window stays: it is where the window begins.
    while ((this.#samples[1]?.atMs ?? atMs) <= atMs - WINDOW_MS) this.#samples.shift();
  }

  perSecond(): number | undefined {
    const first = this.#samples[0];
    const last = this.#samples.at(-1);
    if (first === undefined || last === undefined || last.atMs <= first.atMs) return undefined;
    return ((last.done - first.done) / (last.atMs - first.atMs)) * 1000;
  }
}

export function progressLine(now: Totals, rate: number | undefined): string {
  const parts = [
    `${now.done}/${now.taskCount} done`,
    `${now.running} running`,
    `${now.failed} failed`,
  ];
  if (rate !== undefined) parts.push(`${rate.toFixed(1)} tasks/s`);
  const left = now.taskCount - now.done;
  if (rate !== undefined && rate > 0 && left > 0)
    parts.push(`about ${formatDuration((left / rate) * 1000)} left`);
  return parts.join(', ');
}

/** The last line: the rate is that of the whole, from submission to end. */
export function endLine(jobs: readonly JobView[]): string {
  const begunMs = Math.min(...jobs.map((job) => job.submittedAtMs));
  const endedMs = Math.max(...jobs.map((job) => job.endedAtMs ?? begunMs));
  const now = totals(jobs);
  const seconds = Math.max(0.001, (endedMs - begunMs) / 1000);
  return `${progressLine(now, now.done / seconds)}, in ${formatDuration(endedMs - begunMs)}`;
}
