import type { TaskState } from '@majorana/core';
import { indexAt, positionOf } from '@majorana/core';
import type pg from 'pg';
import type {
  ArtifactRecord,
  AttemptRecord,
  JobRecord,
  TaskRecord,
  TransitionRecord,
} from './engine-store.ts';
import { artifactColumns, attemptColumns, jobColumns, taskColumns } from './postgres-store.ts';

/** Reads for people; they never go through the engine and never block it. */
export class Reads {
  readonly #pool: pg.Pool;

  constructor(pool: pg.Pool) {
    this.#pool = pool;
  }

  async #rows<R extends pg.QueryResultRow>(sql: string, values: unknown[]): Promise<R[]> {
    return (await this.#pool.query<R>(sql, values)).rows;
  }

  listJobs(before: number, limit: number): Promise<JobRecord[]> {
    return this.#rows(
      `select ${jobColumns} from job where job_id < $1 order by job_id desc limit $2`,
      [before, limit],
    );
  }

  async job(jobId: number): Promise<JobRecord | undefined> {
    return (
      await this.#rows<JobRecord>(`select ${jobColumns} from job where job_id = $1`, [jobId])
    )[0];
  }

  /** Tasks with a row from an index on, of one state or of all. */
  tasks(jobId: number, from: number, limit: number, state?: TaskState): Promise<TaskRecord[]> {
    return this.#rows(
      `select ${taskColumns} from task where job_id = $1 and task_index >= $2
       and ($4::text is null or state = $4) order by task_index limit $3`,
      [jobId, from, limit, state ?? null],
    );
  }

  attempts(jobId: number, taskIndex: number): Promise<AttemptRecord[]> {
    return this.#rows(
      `select ${attemptColumns} from attempt where job_id = $1 and task_index = $2
       order by attempt_number`,
      [jobId, taskIndex],
    );
  }

  transitions(jobId: number, taskIndex: number): Promise<TransitionRecord[]> {
    return this.#rows(
      `select sequence, job_id as "jobId", task_index as "taskIndex", at_ms as "atMs",
       from_state as "fromState", to_state as "toState", attempt_number as "attemptNumber", reason
       from transition where job_id = $1 and task_index = $2 order by sequence`,
      [jobId, taskIndex],
    );
  }

  artifacts(jobId: number, taskIndex?: number): Promise<ArtifactRecord[]> {
    return this.#rows(
      `select ${artifactColumns} from artifact where job_id = $1
       and ($2::int is null or task_index = $2) order by task_index, attempt_number, role, path`,
      [jobId, taskIndex ?? null],
    );
  }

  /** Failures by their reason, the most frequent first. */
  failures(jobId: number): Promise<{ reason: string; count: number; firstIndex: number }[]> {
    return this.#rows(
      `select reason, count(*) as count, min(task_index) as "firstIndex" from task
       where job_id = $1 and state = 'failed' group by reason order by count desc limit 100`,
      [jobId],
    );
  }

  /** The state of every task by position, run-length encoded: a million tasks are one picture. */
  async stateMap(job: JobRecord): Promise<{ state: TaskState; count: number }[]> {
    const rows = await this.#rows<{ state: TaskState; first: number; last: number }>(
      `with numbered as (
         select task_index, state, row_number() over (order by task_index)
           - row_number() over (partition by state order by task_index) as run
         from task where job_id = $1)
       select state, min(task_index) as first, max(task_index) as last
       from numbered group by state, run order by first`,
      [job.jobId],
    );
    const position = (index: number): number =>
      job.spec.array.kind === 'range' ? positionOf(job.spec.array.ranges, index)! : index;
    const runs = rows.map((row) => ({
      state: row.state,
      count: position(row.last) - position(row.first) + 1,
    }));
    const untouched = job.taskCount - job.nextPosition;
    if (untouched > 0) runs.push({ state: job.untouchedState, count: untouched });
    return runs;
  }

  /** The index of the first task without a row, for listings that go on past the rows. */
  untouchedIndex(job: JobRecord): number | undefined {
    if (job.nextPosition >= job.taskCount) return undefined;
    return job.spec.array.kind === 'range'
      ? indexAt(job.spec.array.ranges, job.nextPosition)
      : job.nextPosition;
  }

  async roleOf(tokenSha256: string): Promise<string | undefined> {
    const rows = await this.#rows<{ role: string }>(
      'select role from api_token where token_sha256 = $1',
      [tokenSha256],
    );
    return rows[0]?.role;
  }

  async addToken(tokenSha256: string, name: string, role: string): Promise<void> {
    await this.#rows('insert into api_token values ($1, $2, $3) on conflict do nothing', [
      tokenSha256,
      name,
      role,
    ]);
  }
}
