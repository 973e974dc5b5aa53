import type { Client, JobView } from '@majorana/client';
import { formatAge } from './output.ts';

const POLL_MS = 300;
/** Without a terminal a line now and then, not one for every change. */
const PLAIN_INTERVAL_MS = 5000;

export function progressLine(jobs: readonly JobView[], nowMs: number): string {
  const sum = (pick: (job: JobView) => number): number =>
    jobs.reduce((total, job) => total + pick(job), 0);
  const total = sum((job) => job.taskCount);
  const failed = sum((job) => job.counts.failed);
  const done = sum((job) => job.counts.succeeded) + failed + sum((job) => job.counts.cancelled);
  const running = sum((job) => job.counts.running + job.counts.starting + job.counts.leased);
  const elapsedMs = Math.max(1, nowMs - Math.min(...jobs.map((job) => job.submittedAtMs)));
  const rate = (done / elapsedMs) * 1000;
  const left =
    done === 0 || done === total ? '' : `, about ${formatAge(((total - done) / rate) * 1000)} left`;
  return `${done}/${total} done, ${running} running, ${failed} failed, ${rate.toFixed(1)} tasks/s${left}`;
}

/** Shows progress on stderr until all jobs have ended; answers with their last state. */
export async function watchJobs(
  client: Client,
  ids: readonly string[],
  signal: AbortSignal,
): Promise<JobView[]> {
  const isTerminal = process.stderr.isTTY;
  let lastPlainMs = 0;
  for (;;) {
    const jobs = await Promise.all(ids.map((id) => client.job(id)));
    const isEnded = jobs.every((job) => job.endedAtMs !== null);
    const nowMs = Date.now();
    if (isTerminal) process.stderr.write(`\r\x1b[2K${progressLine(jobs, nowMs)}`);
    else if (isEnded || nowMs - lastPlainMs >= PLAIN_INTERVAL_MS) {
      lastPlainMs = nowMs;
      process.stderr.write(`${progressLine(jobs, nowMs)}\n`);
    }
    if (isEnded || signal.aborted) {
      if (isTerminal) process.stderr.write('\n');
      return jobs;
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}
