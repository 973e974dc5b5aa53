import type { FailedElement, StepFile, TaskFields, Template } from '@majorana/core';
import { elementLabel, formatTaskId } from '@majorana/core';
import type pg from 'pg';

/** Rows in one statement. */
const ROWS = 5000;
/** Failed elements that are named; the job has them all. */
const NAMED_MAX = 20;

export interface InstanceRecord {
  readonly instanceId: number;
  readonly runId: number;
  readonly round: number;
  readonly path: string;
  readonly stepName: string;
  readonly template: Template;
  readonly isFanOut: boolean;
  readonly elementCount: number;
  readonly reusedCount: number;
  readonly jobId: number | null;
  readonly createdAtMs: number;
}
export interface ElementRecord {
  readonly position: number;
  readonly key: string;
  readonly fields: TaskFields;
  readonly jobPosition: number | null;
}
export type NewInstance = Pick<
  InstanceRecord,
  'runId' | 'round' | 'path' | 'stepName' | 'template' | 'isFanOut'
> & { readonly project: string };

export interface OutputFile extends StepFile {
  readonly sizeBytes: number;
}

/** A result that a key is compared with. */
export interface ResultOrigin {
  readonly runId: number;
  readonly round: number;
  readonly path: string;
  readonly position: number;
  readonly template: Template;
  readonly fields: TaskFields;
}

const instanceFields = `instance_id as "instanceId", run_id as "runId", round, path,
  step_name as "stepName", template, is_fan_out as "isFanOut", element_count as "elementCount",
  reused_count as "reusedCount", job_id as "jobId", created_at_ms as "createdAtMs"`;
const elementFields = 'position, key, fields, job_position as "jobPosition"';

const chunks = <T>(items: readonly T[]): T[][] =>
  Array.from({ length: Math.ceil(items.length / ROWS) }, (_, at) =>
    items.slice(at * ROWS, (at + 1) * ROWS),
  );

/** Instances of steps, their elements, and the results that keys lead to. */
export class StepResults {
  readonly #pool: pg.Pool;

  constructor(pool: pg.Pool) {
    this.#pool = pool;
  }

  async #rows<R extends pg.QueryResultRow>(sql: string, values: unknown[]): Promise<R[]> {
    return (await this.#pool.query<R>(sql, values)).rows;
  }

  async instance(runId: number, round: number, path: string): Promise<InstanceRecord | undefined> {
    const sql = `select ${instanceFields} from workflow_instance
      where run_id = $1 and round = $2 and path = $3`;
    return (await this.#rows<InstanceRecord>(sql, [runId, round, path]))[0];
  }

  instances(runId: number, round: number): Promise<InstanceRecord[]> {
    const sql = `select ${instanceFields} from workflow_instance
      where run_id = $1 and round = $2 order by instance_id`;
    return this.#rows(sql, [runId, round]);
  }

  /**
   * Keeps an instance and its elements, and says which of them have no result. Equal elements have
   * one place in the job. Whole or not at all: what is there already was prepared before.
   */
  async prepare(
    instance: NewInstance,
    elements: readonly { readonly key: string; readonly fields: TaskFields }[],
    nowMs: number,
  ): Promise<void> {
    const client = await this.#pool.connect();
    try {
      await client.query('begin');
      const places = await this.#placesInJob(client, instance.project, elements, nowMs);
      const reusedCount = elements.filter(({ key }) => !places.has(key)).length;
      const { runId, round, path, stepName, template, isFanOut } = instance;
      const { rows } = await client.query<{ id: number }>(
        `insert into workflow_instance (run_id, round, path, step_name, template, is_fan_out,
           element_count, reused_count, created_at_ms)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9) returning instance_id as id`,
        [
          runId,
          round,
          path,
          stepName,
          JSON.stringify(template),
          isFanOut,
          elements.length,
          reusedCount,
          nowMs,
        ],
      );
      let first = 0;
      for (const some of chunks(elements)) {
        await client.query(
          `insert into workflow_element (instance_id, position, key, fields, job_position)
           select $1, $2 + (n - 1)::int, key, fields, job_position
           from unnest($3::text[], $4::json[], $5::int[]) with ordinality as e(key, fields, job_position, n)`,
          [
            rows[0]!.id,
            first,
            some.map(({ key }) => key),
            some.map(({ fields }) => JSON.stringify(fields)),
            some.map(({ key }) => places.get(key) ?? null),
          ],
        );
        first += some.length;
      }
      await client.query('commit');
      client.release();
    } catch (error) {
      client.release(true);
      throw error;
    }
  }

  /** Place in the job of each key that has no result; those found are used anew. */
  async #placesInJob(
    client: pg.PoolClient,
    project: string,
    elements: readonly { readonly key: string }[],
    nowMs: number,
  ): Promise<Map<string, number>> {
    const places = new Map<string, number>();
    for (const some of chunks([...new Set(elements.map(({ key }) => key))])) {
      const { rows } = await client.query<{ key: string }>(
        `update step_result set used_at_ms = $3 where project = $1 and key = any($2) returning key`,
        [project, some, nowMs],
      );
      const found = new Set(rows.map(({ key }) => key));
      for (const key of some) if (!found.has(key)) places.set(key, places.size);
    }
    return places;
  }

  /** The elements of an instance that are to be run, in their order in the job. */
  async *missing(instanceId: number): AsyncGenerator<ElementRecord> {
    for (let next = 0; ;) {
      const rows = await this.#rows<ElementRecord>(
        `select distinct on (job_position) ${elementFields} from workflow_element
         where instance_id = $1 and job_position >= $2 and job_position < $3
         order by job_position, position`,
        [instanceId, next, next + ROWS],
      );
      yield* rows;
      if (rows.length < ROWS) return;
      next += ROWS;
    }
  }

  async setJob(instanceId: number, jobId: number): Promise<void> {
    await this.#pool.query('update workflow_instance set job_id = $2 where instance_id = $1', [
      instanceId,
      jobId,
    ]);
  }

  /**
   * Statements that join all elements with all tasks. Fresh tables have no statistics, and without
   * them PostgreSQL looked through all tasks for each element: 65 s for 20,000, and not 1 s.
   */
  async #inBulk<R>(act: (client: pg.PoolClient) => Promise<R>): Promise<R> {
    const client = await this.#pool.connect();
    try {
      await client.query('begin');
      await client.query('set local enable_nestloop = off');
      const answer = await act(client);
      await client.query('commit');
      client.release();
      return answer;
    } catch (error) {
      client.release(true);
      throw error;
    }
  }

  /** Makes results of what an instance's ended job has stored; the first of a key stays. */
  async harvest(instance: InstanceRecord, project: string, nowMs: number): Promise<void> {
    const { instanceId, jobId, stepName } = instance;
    await this.#inBulk((client) =>
      client.query(
        `with stored as (
           select position, attempt_number,
             json_agg(json_build_object('path', path, 'object', object, 'sizeBytes', size_bytes)
               order by path) as outputs
           from artifact where job_id = $2 and role = 'output' group by position, attempt_number)
         insert into step_result (project, key, step_name, outputs, instance_id, position,
           created_at_ms, used_at_ms)
         select distinct on (e.key) $3, e.key, $4, coalesce(stored.outputs, '[]'), $1, e.position,
           $5::bigint, $5::bigint
         from workflow_element e
           join task t on t.job_id = $2 and t.position = e.job_position
           left join stored on stored.position = t.position
             and stored.attempt_number = t.attempt_number
         where e.instance_id = $1 and t.state = 'succeeded'
         order by e.key, e.position
         on conflict (project, key) do nothing`,
        [instanceId, jobId, project, stepName, nowMs],
      ),
    );
  }

  /** Elements of an ended instance without a result: how many, and the first of them by name. */
  async failed(
    instance: InstanceRecord,
    project: string,
  ): Promise<{ failedCount: number; failed: FailedElement[] }> {
    const { instanceId, jobId } = instance;
    const { rows } = await this.#inBulk((client) =>
      client.query<ElementRecord & { reason: string | null; count: number }>(
        `select e.position, e.fields, e.job_position as "jobPosition", t.reason,
           count(*) over () as count
         from workflow_element e
           left join task t on t.job_id = $3 and t.position = e.job_position
           left join step_result r on r.project = $2 and r.key = e.key
         where e.instance_id = $1 and e.job_position is not null and r.key is null
         order by e.position limit ${NAMED_MAX}`,
        [instanceId, project, jobId],
      ),
    );
    const failed = rows.map(({ position, fields, jobPosition, reason }) => ({
      position,
      label: instance.isFanOut ? elementLabel(fields) : '',
      taskId: formatTaskId({ jobId: jobId ?? 0, taskIndex: jobPosition ?? 0 }),
      reason: reason ?? 'cancelled before it began',
    }));
    return { failedCount: rows[0]?.count ?? 0, failed };
  }

  /** What the elements of an instance have stored, in their order. */
  async outputs(instance: InstanceRecord, project: string): Promise<OutputFile[]> {
    const rows = await this.#rows<{ position: number; outputs: Omit<OutputFile, 'position'>[] }>(
      `select e.position, r.outputs from workflow_element e join step_result r
         on r.project = $2 and r.key = e.key
       where e.instance_id = $1 order by e.position`,
      [instance.instanceId, project],
    );
    return rows.flatMap(({ position, outputs }) =>
      outputs.map((file) => ({ ...file, position: instance.isFanOut ? position : null })),
    );
  }

  /** Elements for a person: those that were run first. */
  elements(instanceId: number, limit: number): Promise<ElementRecord[]> {
    return this.#rows(
      `select ${elementFields} from workflow_element where instance_id = $1
       order by job_position is null, position limit $2`,
      [instanceId, limit],
    );
  }

  async origin(project: string, key: string): Promise<ResultOrigin | undefined> {
    return (
      await this.#origins('r.project = $1 and r.key = $2', 'r.created_at_ms', [project, key])
    )[0];
  }

  /** Earlier results of the same step: at the same position, and the latest of all. */
  async candidates(
    instance: InstanceRecord,
    project: string,
    position: number,
  ): Promise<ResultOrigin[]> {
    const { stepName, createdAtMs, instanceId } = instance;
    const earlier = `r.project = $1 and r.step_name = $2 and r.created_at_ms <= $3
      and r.instance_id <> $4`;
    const values = [project, stepName, createdAtMs, instanceId];
    const order = 'r.created_at_ms desc limit 20';
    const near = await this.#origins(`${earlier} and r.position = $5`, order, [
      ...values,
      position,
    ]);
    return [...near, ...(await this.#origins(earlier, order, values))];
  }

  #origins(condition: string, order: string, values: unknown[]): Promise<ResultOrigin[]> {
    return this.#rows(
      `select i.run_id as "runId", i.round, i.path, e.position, i.template, e.fields
       from step_result r join workflow_instance i on i.instance_id = r.instance_id
       join workflow_element e on e.instance_id = r.instance_id and e.position = r.position
       where ${condition} order by ${order}`,
      values,
    );
  }
}
