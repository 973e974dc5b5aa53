import { expect } from 'vitest';
import type { TestPostgres } from '@majorana/testing';
import type { Product } from './product.ts';
import { until } from './product.ts';

/** What KWOK plays for a job's pods, by the name of its image. */
interface Play {
  readonly runMs: number;
  readonly exitCode: number;
}

export interface PlayedJob extends Play {
  readonly jobId: number;
  readonly taskCount: number;
}

const imageOf = ({ runMs, exitCode }: Play): string => `play:run-${runMs}-exit-${exitCode}`;

export async function submitPlayed(
  product: Product,
  play: Play,
  taskCount: number,
  ...options: string[]
): Promise<PlayedJob> {
  const array = `0-${taskCount - 1}`;
  const image = ['--image', imageOf(play), '--array', array];
  const id = await product.ok('submit', ...image, ...options, '--', 'true');
  return { ...play, jobId: Number(id.replace('job_', '')), taskCount };
}

const RUN_MS = [0, 30, 100, 300, 1000];
const EXIT_CODES = [0, 0, 0, 3];

/** Jobs of short tasks, drawn from a seed. */
export async function submitWorkload(
  product: Product,
  random: () => number,
  taskCount: number,
): Promise<PlayedJob[]> {
  const jobs: PlayedJob[] = [];
  const pick = (list: readonly number[]): number => list[Math.floor(random() * list.length)]!;
  for (let left = taskCount; left > 0;) {
    const count = Math.min(left, 10 + Math.floor(random() * 50));
    const cores = ['--cores', String(pick([0.5, 1, 2]))];
    const play = { runMs: pick(RUN_MS), exitCode: pick(EXIT_CODES) };
    jobs.push(await submitPlayed(product, play, count, ...cores));
    left -= count;
  }
  return jobs;
}

export async function untilEnded(
  postgres: TestPostgres,
  jobs: readonly PlayedJob[],
  deadlineMs: number,
): Promise<void> {
  const ids = jobs.map(({ jobId }) => jobId);
  await until(
    `the end of ${ids.join()}`,
    async () => {
      const text = 'select job_id from job where job_id = any($1) and ended_at_ms is null';
      return (await postgres.query(text, [ids])).length === 0;
    },
    deadlineMs,
  );
}

interface AttemptRow {
  readonly position: number;
  readonly attempt_number: number;
  readonly outcome: string | null;
  readonly exit_code: number | null;
  readonly reason: string | null;
}

/** What a fault may end an attempt by; its task runs again. */
const BY_FAULT = ['lost', 'reclaimed'];

/** Each task has ended once, as its program did; every attempt but the last was ended by a fault. */
export async function expectEndedOnce(postgres: TestPostgres, job: PlayedJob): Promise<void> {
  const { jobId, taskCount, exitCode } = job;
  const state = exitCode === 0 ? 'succeeded' : 'failed';
  const tasks = await postgres.query<{ position: number; state: string }>(
    'select position, state from task where job_id = $1 order by position',
    [jobId],
  );
  expect(tasks).toEqual(Array.from({ length: taskCount }, (_, position) => ({ position, state })));
  const ends = await postgres.query<{ position: number; count: number }>(
    `select position, count(*)::integer as count from transition where job_id = $1
     and to_state in ('succeeded', 'failed', 'cancelled') group by position having count(*) <> 1`,
    [jobId],
  );
  expect(ends, 'tasks that ended more than once').toEqual([]);
  const attempts = await postgres.query<AttemptRow>(
    `select position, attempt_number, outcome, exit_code, reason from attempt where job_id = $1
     order by position, attempt_number`,
    [jobId],
  );
  for (const [at, attempt] of attempts.entries()) {
    const isLast = attempts[at + 1]?.position !== attempt.position;
    if (!isLast) expect(BY_FAULT, attempt.reason ?? 'open').toContain(attempt.outcome);
    else expect(attempt).toMatchObject({ exit_code: exitCode, outcome: outcomeOf(exitCode) });
  }
}

const outcomeOf = (exitCode: number): string => (exitCode === 0 ? 'succeeded' : 'exit_code');
