import type { TaskState } from '@majorana/core';
import type { LogStream, QueueSettings } from '@majorana/protocol';
import type pg from 'pg';
import {
  artifactColumns,
  attemptColumns,
  jobColumns,
  selectList,
  taskColumns,
  transitionColumns,
} from './columns.ts';
import type {
  ArtifactRecord,
  AttemptRecord,
  JobRecord,
  TaskRecord,
  TransitionRecord,
} from './engine-store.ts';

export const JOB_STATE_CONDITIONS = {
  pending: `ended_at_ms is null and (counts->>'pending')::int = task_count`,
  queued: `ended_at_ms is null and (counts->>'queued')::int > 0
    and (counts->>'queued')::int + (counts->>'pending')::int = task_count`,
  running: `ended_at_ms is null
    and (counts->>'queued')::int + (counts->>'pending')::int < task_count`,
  succeeded: `ended_at_ms is not null and (counts->>'succeeded')::int = task_count`,
  failed: `ended_at_ms is not null and (counts->>'failed')::int > 0`,
  cancelled: `ended_at_ms is not null and (counts->>'failed')::int = 0
    and (counts->>'succeeded')::int < task_count`,
} as const;

export interface JobFilter {
  readonly before: number;
  readonly limit: number;
  readonly state?: keyof typeof JOB_STATE_CONDITIONS | undefined;
  readonly queue?: string | undefined;
  readonly project?: string | undefined;
}

/** A task of a listing; `task` is undefined while it has no row. */
export interface ListedTask {
  readonly position: number;
  readonly task: TaskRecord | undefined;
}

export interface ArtifactCursor {
  readonly position: number;
  readonly role: string;
  readonly path: string;
}

export interface QueueSummary {
  readonly name: string;
  readonly settings: QueueSettings | null;
  readonly openJobs: number;
  readonly counts: Partial<Record<TaskState, number>>;
}

/** Reads for people; they never go through the engine and never block it. */
export class Reads {
  readonly #pool: pg.Pool;

  constructor(pool: pg.Pool) {
    this.#pool = pool;
  }

  async #rows<R extends pg.QueryResultRow>(sql: string, values: unknown[]): Promise<R[]> {
    return (await this.#pool.query<R>(sql, values)).rows;
  }

  listJobs({ before, limit, state, queue, project }: JobFilter): Promise<JobRecord[]> {
    const condition = state === undefined ? 'true' : JOB_STATE_CONDITIONS[state];
    return this.#rows(
      `select ${selectList(jobColumns, 'job')} from job where job_id < $1 and not is_expired
       and ($3::text is null or queue = $3) and ($4::text is null or project = $4) and ${condition}
       order by job_id desc limit $2`,
      [before, limit, queue ?? null, project ?? null],
    );
  }

  async job(jobId: number): Promise<JobRecord | undefined> {
    const sql = `select ${selectList(jobColumns, 'job')} from job
      where job_id = $1 and not is_expired`;
    return (await this.#rows<JobRecord>(sql, [jobId]))[0];
  }

  async task(jobId: number, position: number): Promise<TaskRecord | undefined> {
    const sql = `select ${selectList(taskColumns, 'task')} from task
      where job_id = $1 and position = $2`;
    return (await this.#rows<TaskRecord>(sql, [jobId, position]))[0];
  }

  /** Tasks by position from one on, with or without a row, of one state or of all. */
  async tasks(
    job: JobRecord,
    from: number,
    limit: number,
    state?: TaskState,
  ): Promise<ListedTask[]> {
    if (state === undefined) return this.#allTasks(job, from, limit);
    const rows = await this.#rows<TaskRecord>(
      `select ${selectList(taskColumns, 'task')} from task
       where job_id = $1 and position >= $2 and state = $4 order by position limit $3`,
      [job.jobId, from, limit, state],
    );
    const listed: ListedTask[] = rows.map((task) => ({ position: task.position, task }));
    if (state !== job.untouchedState) return listed;
    // A set-returning function in the select list is read no further than the limit.
    const untouched = await this.#rows<{ position: number }>(
      `select position from (select generate_series($2::int, $3::int) as position) every
       where not exists (select from task
         where task.job_id = $1 and task.position = every.position) limit $4`,
      [job.jobId, Math.max(from, job.nextPosition), job.taskCount - 1, limit],
    );
    return [...listed, ...untouched.map(({ position }) => ({ position, task: undefined }))]
      .toSorted((a, b) => a.position - b.position)
      .slice(0, limit);
  }

  async #allTasks(job: JobRecord, from: number, limit: number): Promise<ListedTask[]> {
    const to = Math.min(from + limit, job.taskCount);
    const rows = await this.#rows<TaskRecord>(
      `select ${selectList(taskColumns, 'task')} from task
       where job_id = $1 and position >= $2 and position < $3`,
      [job.jobId, from, to],
    );
    const byPosition = new Map(rows.map((task) => [task.position, task]));
    return Array.from({ length: Math.max(0, to - from) }, (_, offset) => ({
      position: from + offset,
      task: byPosition.get(from + offset),
    }));
  }

  attempts(jobId: number, position: number): Promise<AttemptRecord[]> {
    return this.#rows(
      `select ${selectList(attemptColumns, 'attempt')} from attempt
       where job_id = $1 and position = $2 order by attempt_number`,
      [jobId, position],
    );
  }

  transitions(jobId: number, position: number): Promise<TransitionRecord[]> {
    return this.#rows(
      `select ${selectList(transitionColumns, 'transition')} from transition
       where job_id = $1 and position = $2 order by sequence`,
      [jobId, position],
    );
  }

  /** A job's transitions after a sequence number, for its event stream. */
  transitionsAfter(jobId: number, sequence: number, limit: number): Promise<TransitionRecord[]> {
    return this.#rows(
      `select ${selectList(transitionColumns, 'transition')} from transition
       where job_id = $1 and sequence > $2 order by sequence limit $3`,
      [jobId, sequence, limit],
    );
  }

  taskArtifacts(jobId: number, position: number): Promise<ArtifactRecord[]> {
    return this.#rows(
      `select ${selectList(artifactColumns, 'artifact')} from artifact
       where job_id = $1 and position = $2 order by attempt_number, role, path`,
      [jobId, position],
    );
  }

  /** What the latest attempts of a job's tasks have stored, a page at a time. */
  artifacts(
    jobId: number,
    after: ArtifactCursor,
    limit: number,
    role?: LogStream | 'output',
  ): Promise<ArtifactRecord[]> {
    return this.#rows(
      `select ${selectList(artifactColumns, 'artifact')} from artifact
       join task using (job_id, position, attempt_number)
       where artifact.job_id = $1 and ($6::text is null or artifact.role = $6)
         and (artifact.position, artifact.role, artifact.path) > ($2, $3, $4)
       order by artifact.position, artifact.role, artifact.path limit $5`,
      [jobId, after.position, after.role, after.path, limit, role ?? null],
    );
  }

  /** Failures by their reason, the most frequent first. */
  failures(
    jobId: number,
  ): Promise<{ reason: string; exitCode: number | null; count: number; firstPosition: number }[]> {
    return this.#rows(
      `select reason, exit_code as "exitCode", count(*) as count,
         min(position) as "firstPosition" from task
       where job_id = $1 and state = 'failed'
       group by reason, exit_code order by count desc, reason limit 100`,
      [jobId],
    );
  }

  /** The state of every task by position, run-length encoded: a million tasks are one picture. */
  async stateMap(job: JobRecord): Promise<{ state: TaskState; count: number }[]> {
    // A run begins where the state changes, or where rows are missing before it.
    const rows = await this.#rows<{ state: TaskState; first: number; before: number }>(
      `select state, position as first, before from (
         select position, state, lag(state) over w as last, coalesce(lag(position) over w, -1) as before
         from task where job_id = $1 window w as (order by position)) step
       where last is distinct from state or before <> position - 1 order by position`,
      [job.jobId],
    );
    const lastRow = await this.#rows<{ last: number | null }>(
      'select max(position) as last from task where job_id = $1',
      [job.jobId],
    );
    const runs: { state: TaskState; count: number }[] = [];
    const add = (state: TaskState, count: number): void => {
      const last = runs.at(-1);
      if (last?.state === state) last.count += count;
      else if (count > 0) runs.push({ state, count });
    };
    let covered = 0;
    for (const [index, row] of rows.entries()) {
      add(job.untouchedState, row.first - row.before - 1);
      const end = (rows[index + 1]?.before ?? lastRow[0]!.last ?? -1) + 1;
      add(row.state, end - row.first);
      covered = end;
    }
    add(job.untouchedState, job.taskCount - covered);
    return runs;
  }

  queues(): Promise<QueueSummary[]> {
    return this.#rows(
      `with open as (
         select queue as name, count(distinct job_id)::int as open_jobs,
           jsonb_object_agg(state, total) as counts
         from (
           select queue, state, sum(amount::int) as total, array_agg(job_id) as job_ids
           from job, jsonb_each_text(counts) as c(state, amount)
           where ended_at_ms is null group by queue, state) by_state,
           unnest(job_ids) as job_id
         group by queue)
       select name, coalesce(open_jobs, 0) as "openJobs", coalesce(counts, '{}') as counts,
         case when queue.weight is null then null else jsonb_strip_nulls(jsonb_build_object(
           'weight', weight, 'parallelMax', parallel_max, 'isPaused', is_paused)) end as settings
       from open full join queue using (name)
       union all select 'default', 0, '{}', null
         where not exists (select from open where name = 'default')
           and not exists (select from queue where name = 'default')
       order by name`,
      [],
    );
  }
}
