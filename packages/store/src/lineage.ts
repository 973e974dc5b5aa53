import type pg from 'pg';
import { blockStart, elementsOfBlock } from './elements.ts';

/** Jobs whose readings are drawn in one statement. */
const JOBS = 200;
/** The engine numbers jobs in order and writes a turn at once: a late one is not later than this. */
const LATE_JOBS = 10_000;
const CATCH_UP_LOCK = 7_245_020;
/** Of an object that a million tasks made (an empty file, say) only so many are looked at. */
const LOOKED_AT_MAX = 1000;
const MAKERS_MAX = 100;

/** Outputs such as *.txt also match what was laid in: to keep a file again is not to make it. */
const IS_NO_INPUT = `not exists (select from object_reader r
    where r.object = found.object and r.job_id = found.job_id)
  and not exists (select from job_reader r
    join artifact upstream on upstream.job_id = r.upstream_job_id and upstream.object = found.object
    where r.job_id = found.job_id)`;

export interface MakerRecord {
  readonly object: string;
  readonly jobId: number;
  readonly position: number;
  readonly attemptNumber: number;
  readonly role: string;
  readonly path: string;
  readonly sizeBytes: number;
  /** How many attempts made the same, up to `MAKERS_MAX`. */
  readonly makerCount: number;
}

export interface DatasetPlace {
  readonly object: string;
  readonly name: string;
  readonly version: number;
  readonly path: string;
  readonly sizeBytes: number;
}

export interface ReaderRecord {
  readonly jobId: number;
  /** First position of the block of parameters that names it; null: every task reads it. */
  readonly block: number | null;
}

export interface StepMaker {
  readonly object: string;
  readonly jobId: number;
  readonly position: number;
}

export interface JobStep {
  readonly runId: number;
  readonly round: number;
  readonly path: string;
  readonly tools: Readonly<Record<string, string>>;
}

/** What made an object, and what reads it. */
export class Lineage {
  readonly #pool: pg.Pool;

  constructor(pool: pg.Pool) {
    this.#pool = pool;
  }

  async #rows<R extends pg.QueryResultRow>(sql: string, values: unknown[]): Promise<R[]> {
    return (await this.#pool.query<R>(sql, values)).rows;
  }

  /** Draws what jobs read from those that were submitted since the last time. */
  async catchUp(): Promise<void> {
    while ((await this.#drawSome()) === JOBS);
  }

  async #drawSome(): Promise<number> {
    const client = await this.#pool.connect();
    try {
      await client.query('begin');
      await client.query('select pg_advisory_xact_lock($1)', [CATCH_UP_LOCK]);
      const { rows } = await client.query<{ count: number }>(
        `with fresh as (
           select job_id, spec, parameter_set_id from job
           where job_id > coalesce((select max(job_id) from lineage_job), 0) - ${LATE_JOBS}
             and not is_expired and not exists (select from lineage_job l where l.job_id = job.job_id)
           order by job_id limit ${JOBS}),
         input as (
           select job_id, parameter_set_id, one->>'object' as object
           from fresh, jsonb_array_elements(spec->'inputs') one),
         marked as (insert into lineage_job select job_id from fresh),
         own as (
           insert into object_reader (job_id, object)
           select distinct job_id, object from input where object not like '{%'),
         by_block as (
           insert into object_reader (job_id, object, block)
           select distinct job_id, found[1], first_position
           from (select distinct job_id, parameter_set_id from input where object like '{%') filled
             join parameter_block using (parameter_set_id),
             regexp_matches(records, '[0-9a-f]{64}', 'g') found),
         upstream as (
           insert into job_reader (job_id, upstream_job_id)
           select distinct job_id, (one->>'jobId')::int
           from fresh, jsonb_array_elements(spec->'inputsFromJobs') one)
         select count(*)::int as count from fresh`,
      );
      await client.query('commit');
      client.release();
      return rows[0]!.count;
    } catch (error) {
      client.release(true);
      throw error;
    }
  }

  /** The first attempt found that made each object; `catchUp` goes before. */
  makers(objects: readonly string[], project: string): Promise<MakerRecord[]> {
    return this.#rows(
      `select made.* from unnest($1::text[]) as wanted cross join lateral (
         select object, job_id as "jobId", position, attempt_number as "attemptNumber", role, path,
           size_bytes as "sizeBytes", count(*) over ()::int as "makerCount"
         from (select a.* from (select * from artifact where artifact.object = wanted limit ${LOOKED_AT_MAX}) a
             join job using (job_id)
           where job.project = $2 and not is_expired limit ${MAKERS_MAX}) found
         where ${IS_NO_INPUT}
         order by job_id, position, attempt_number limit 1) made`,
      [objects, project],
    );
  }

  /** A version that holds each object, the earliest, and its first path. */
  datasets(objects: readonly string[], project: string): Promise<DatasetPlace[]> {
    return this.#rows(
      `select held.* from unnest($1::text[]) as wanted cross join lateral (
         select object, name, version, path, sizeBytes as "sizeBytes" from (
           select f.object, d.name, v.version, f.path, f.size_bytes as sizeBytes
           from dataset_file f join dataset_version v using (version_id)
             join dataset d using (dataset_id)
           where f.object = wanted and d.project = $2 limit ${MAKERS_MAX}) found
         order by name, version, path limit 1) held`,
      [objects, project],
    );
  }

  /** Every version that holds an object. */
  holders(object: string, project: string, limit: number): Promise<DatasetPlace[]> {
    return this.#rows(
      `select f.object, d.name, v.version, f.path, f.size_bytes as "sizeBytes"
       from dataset_file f join dataset_version v using (version_id) join dataset d using (dataset_id)
       where f.object = $1 and d.project = $2 limit $3`,
      [object, project, limit],
    );
  }

  /** Jobs whose own inputs, or records, name an object. */
  readers(object: string, project: string, limit: number): Promise<ReaderRecord[]> {
    return this.#rows(
      `select r.job_id as "jobId", r.block from object_reader r join job using (job_id)
       where r.object = $1 and job.project = $2 and not is_expired
       order by r.job_id, r.block limit $3`,
      [object, project, limit],
    );
  }

  /** Jobs that take every output of a job. */
  async jobReaders(jobId: number, limit: number): Promise<number[]> {
    const rows = await this.#rows<{ jobId: number }>(
      `select r.job_id as "jobId" from job_reader r join job using (job_id)
       where upstream_job_id = $1 and not is_expired order by r.job_id limit $2`,
      [jobId, limit],
    );
    return rows.map((row) => row.jobId);
  }

  async step(jobId: number): Promise<JobStep | undefined> {
    const rows = await this.#rows<JobStep>(
      `select run_id as "runId", round, path, template->'tools' as tools
       from workflow_instance where job_id = $1 limit 1`,
      [jobId],
    );
    return rows[0];
  }

  /**
   * The tasks whose results a run's step has, be they of this run or of an earlier one: for each of
   * these objects that is among them, the first. Every element is looked at, once for all objects.
   */
  stepMakers(
    at: { readonly runId: number; readonly round: number; readonly path: string },
    project: string,
    objects: readonly string[],
  ): Promise<StepMaker[]> {
    return this.#rows(
      `with result as materialized (
         select e.position as at, r.* from workflow_instance i join element_block b using (instance_id)
           cross join ${elementsOfBlock}
           join step_result r on r.project = $4 and r.key = e.key
         where i.run_id = $1 and i.round = $2 and i.path = $3),
       holder as materialized (
         select instance_id, one.position, one.object
         from result_block, unnest(positions, objects) as one(position, object)
         where project = $4 and (instance_id, first_position) in (
             select instance_id, ${blockStart('position')} from result)
           and one.object = any($5))
       select distinct on (holder.object) holder.object, made.job_id as "jobId",
         b.job_positions[result.position - b.first_position + 1] as position
       from result join holder using (instance_id, position)
         join workflow_instance made using (instance_id)
         join element_block b on b.instance_id = made.instance_id
           and b.first_position = ${blockStart('result.position')}
       where made.job_id is not null
         and b.job_positions[result.position - b.first_position + 1] is not null
       order by holder.object, result.at`,
      [at.runId, at.round, at.path, project, objects],
    );
  }
}
