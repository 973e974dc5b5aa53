import type pg from 'pg';
import { blockStart } from './elements.ts';

/** Rows deleted in one statement: long ones would hold locks and swell the log. */
const DELETE_ROWS = 10_000;

/** An open job comes after it, or takes its outputs. */
const NEEDED = `exists (select from job open where open.ended_at_ms is null and (
  open.spec->'after' @> jsonb_build_array(jsonb_build_object('jobId', job.job_id)) or
  open.spec->'inputsFromJobs' @> jsonb_build_array(jsonb_build_object('jobId', job.job_id))))`;

/** What has been kept long enough: ended jobs and runs, unused results and parameter sets. */
export class Retention {
  readonly #pool: pg.Pool;

  constructor(pool: pg.Pool) {
    this.#pool = pool;
  }

  /** Ended before a time, and no open job comes after them or takes their outputs; oldest first. */
  async expiredJobs(endedBeforeMs: number, limit: number): Promise<number[]> {
    const { rows } = await this.#pool.query<{ jobId: number }>(
      `select job_id as "jobId" from job where ended_at_ms < $1 and not ${NEEDED}
       order by ended_at_ms limit $2`,
      [endedBeforeMs, limit],
    );
    return rows.map((row) => row.jobId);
  }

  /** From the mark on nobody finds or retries it; what is half pruned is found again. */
  async removeJob(jobId: number): Promise<void> {
    const { rowCount: marked } = await this.#pool.query(
      `update job set is_expired = true where job_id = $1 and ended_at_ms is not null
       and not ${NEEDED}`,
      [jobId],
    );
    if (marked === 0) return;
    for (const table of ['artifact', 'transition', 'attempt', 'task']) {
      let rowCount: number | null = DELETE_ROWS;
      while (rowCount === DELETE_ROWS) {
        ({ rowCount } = await this.#pool.query(
          `delete from ${table} where ctid = any(array(
             select ctid from ${table} where job_id = $1 limit $2))`,
          [jobId, DELETE_ROWS],
        ));
      }
    }
    await this.#pool.query('delete from job where job_id = $1', [jobId]);
  }

  /** Uploaded for a job that was never submitted, or whose job and run are gone. */
  async removeUnusedParameterSets(createdBeforeMs: number): Promise<void> {
    await this.#pool.query(
      `delete from parameter_set s where created_at < to_timestamp($1 / 1000.0)
       and not exists (select from job where job.parameter_set_id = s.parameter_set_id)
       and not exists (
         select from workflow_instance i where i.parameter_set_id = s.parameter_set_id)
       and not exists (
         select from workflow_instance i where i.job_parameter_set_id = s.parameter_set_id)`,
      [createdBeforeMs],
    );
  }

  /** Ended runs, with their rounds and what was known of their elements; results stay. */
  async removeRuns(endedBeforeMs: number): Promise<void> {
    await this.#pool.query('delete from workflow_run where ended_at_ms < $1', [endedBeforeMs]);
  }

  /** Blocks of results of which no run has found or made one for so long, nor any that is still open. */
  async removeUnusedResults(usedBeforeMs: number): Promise<void> {
    await this.#pool.query(
      `with block as (
         delete from result_block where used_at_ms < least($1::bigint, (
           select min(started_at_ms) from workflow_round where ended_at_ms is null))
         returning project, instance_id, first_position)
       delete from step_result r using block b where r.project = b.project
         and r.instance_id = b.instance_id and ${blockStart('r.position')} = b.first_position`,
      [usedBeforeMs],
    );
  }

  /**
   * When the oldest attempt that has not ended was leased; Infinity when there is none. It may have
   * put objects ever since, which nothing names before its end.
   */
  async oldestOpenLeaseMs(): Promise<number> {
    const { rows } = await this.#pool.query<{ leasedAtMs: number | null }>(
      'select min(leased_at_ms) as "leasedAtMs" from attempt where ended_at_ms is null',
    );
    return rows[0]?.leasedAtMs ?? Infinity;
  }

  /** Every object that a dataset, a run, a result, a job, an attempt or a parameter set names, in pieces. */
  async *usedObjects(): AsyncGenerator<string[]> {
    const client = await this.#pool.connect();
    try {
      await client.query('begin read only');
      await client.query(
        `declare used cursor for
         select object from artifact
         union all select object from dataset_file
         union all select one->>'object' from job, jsonb_array_elements(job.spec->'inputs') one
         union all select found[1] from parameter_block,
           regexp_matches(records, '[0-9a-f]{64}', 'g') found
         union all select unnest(objects) from result_block
         union all select found[1] from workflow_round,
           regexp_matches(definition::text || inputs::text, '[0-9a-f]{64}', 'g') found`,
      );
      for (;;) {
        const { rows } = await client.query<{ object: string }>(`fetch ${DELETE_ROWS} from used`);
        if (rows.length === 0) return;
        yield rows.map((row) => row.object);
      }
    } finally {
      await client.query('rollback').catch(() => undefined);
      client.release();
    }
  }
}
