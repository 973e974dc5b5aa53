import type { FailedElement, StepFile, TaskFields, Template } from '@majorana/core';
import { elementLabel, formatTaskId, NAMED_MAX } from '@majorana/core';
import type pg from 'pg';
import type { ParameterSetRecord } from './parameter-sets.ts';
import { BLOCK_RECORDS_MAX } from './parameter-sets.ts';
import { inTransaction } from './transaction.ts';

/** Rows in one statement. */
const ROWS = 5000;

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
  'runId' | 'round' | 'path' | 'stepName' | 'template' | 'isFanOut' | 'reusedCount'
>;
export interface NewElement {
  readonly key: string;
  readonly fields: TaskFields;
  /** Null: its result is there. Equal elements have one place in the job. */
  readonly jobPosition: number | null;
}

/** What becomes true with a run's step, in the transaction that writes it. */
export type RunWrite =
  | {
      readonly kind: 'instance';
      readonly instance: NewInstance;
      readonly elements: readonly NewElement[];
    }
  | { readonly kind: 'job'; readonly instanceId: number; readonly jobId: number }
  /** Results of what the instance's ended job has stored; the first of a key stays. */
  | { readonly kind: 'harvest'; readonly instance: InstanceRecord; readonly project: string };

/** Whose results a run may use: those of its project, and of all that its user may read. */
export interface Reader {
  readonly project: string;
  readonly user: string;
}

/** What drives runs needs of results. */
export interface DrivingResults {
  instance(runId: number, round: number, path: string): Promise<InstanceRecord | undefined>;
  reuse(reader: Reader, keys: readonly string[], nowMs: number): Promise<Set<string>>;
  parametersOf(instanceId: number): Promise<ParameterSetRecord>;
  failed(
    instance: InstanceRecord,
    project: string,
  ): Promise<{ failedCount: number; failed: FailedElement[] }>;
  outputs(
    round: RoundNumber,
    paths: readonly string[],
    project: string,
  ): Promise<Map<string, OutputFile[]>>;
}
export type RoundNumber = Pick<InstanceRecord, 'runId' | 'round'>;

interface OutputsRow {
  readonly path: string;
  readonly isFanOut: boolean;
  readonly position: number;
  readonly outputs: readonly Omit<OutputFile, 'position'>[] | null;
}
type FailedRow = ElementRecord & { readonly reason: string | null; readonly count: number };

export interface OutputFile extends StepFile {
  readonly sizeBytes: number;
}

/** A result that a key is compared with. */
export interface ResultOrigin {
  readonly runId: number;
  readonly project: string;
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

/** Elements from which on a join of all with all tasks needs help, see `inBulk`. */
const BULK_ELEMENTS = 1000;

async function insertInstance(
  client: pg.PoolClient,
  { instance, elements }: Extract<RunWrite, { kind: 'instance' }>,
  nowMs: number,
): Promise<void> {
  const { runId, round, path, stepName, template, isFanOut, reusedCount } = instance;
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
        some.map(({ jobPosition }) => jobPosition),
      ],
    );
    first += some.length;
  }
}

/**
 * Statements that join all elements with all tasks. Fresh tables have no statistics, and without
 * them PostgreSQL looked through all tasks for each element: 65 s for 20,000, and not 1 s.
 */
async function inBulk<R>(
  client: pg.PoolClient,
  { elementCount }: InstanceRecord,
  act: () => Promise<R>,
): Promise<R> {
  if (elementCount < BULK_ELEMENTS) return act();
  await client.query('set local enable_nestloop = off');
  const answer = await act();
  await client.query('set local enable_nestloop = on');
  return answer;
}

async function harvest(
  client: pg.PoolClient,
  { instance, project }: Extract<RunWrite, { kind: 'harvest' }>,
  nowMs: number,
): Promise<void> {
  const { instanceId, jobId, stepName } = instance;
  await inBulk(client, instance, () =>
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
       on conflict (key, project) do nothing`,
      [instanceId, jobId, project, stepName, nowMs],
    ),
  );
}

export async function applyWrite(
  client: pg.PoolClient,
  write: RunWrite,
  nowMs: number,
): Promise<void> {
  if (write.kind === 'instance') await insertInstance(client, write, nowMs);
  else if (write.kind === 'harvest') await harvest(client, write, nowMs);
  else {
    await client.query('update workflow_instance set job_id = $2 where instance_id = $1', [
      write.instanceId,
      write.jobId,
    ]);
  }
}

/** Instances of steps, their elements, and the results that keys lead to. */
export class StepResults implements DrivingResults {
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
   * Which keys have a result. Those found are used anew; what another project has that the user may
   * read at this moment becomes a result of this one too, made by whom it was made by.
   */
  async reuse(
    { project, user }: Reader,
    keys: readonly string[],
    nowMs: number,
  ): Promise<Set<string>> {
    const found = new Set<string>();
    for (const some of chunks([...new Set(keys)])) {
      const own = await this.#rows<{ key: string }>(
        'update step_result set used_at_ms = $3 where project = $1 and key = any($2) returning key',
        [project, some, nowMs],
      );
      for (const { key } of own) found.add(key);
      const missing = some.filter((key) => !found.has(key));
      if (missing.length === 0) continue;
      const shared = await this.#rows<{ key: string }>(
        `insert into step_result (project, key, step_name, outputs, instance_id, position,
           created_at_ms, used_at_ms)
         select distinct on (r.key) $1, r.key, r.step_name, r.outputs, r.instance_id, r.position,
           r.created_at_ms, $3::bigint
         from step_result r where r.key = any($2) and exists (
           select from api_token t
           where t.user_name = $4 and (t.project is null or t.project = r.project))
         order by r.key, r.created_at_ms
         on conflict (key, project) do update set used_at_ms = excluded.used_at_ms
         returning key`,
        [project, missing, nowMs, user],
      );
      for (const { key } of shared) found.add(key);
    }
    return found;
  }

  /** The elements that are to be run as records of a job, made where they are. */
  async parametersOf(instanceId: number): Promise<ParameterSetRecord> {
    const rows = await this.#rows<ParameterSetRecord>(
      `with element as (
         select distinct on (job_position) job_position, fields from workflow_element
         where instance_id = $1 and job_position is not null order by job_position, position),
       made as (
         insert into parameter_set (record_count, field_names)
         select (select count(*) from element), array(select json_object_keys(fields))
         from element where job_position = 0
         returning parameter_set_id, record_count, field_names),
       block as (
         insert into parameter_block (parameter_set_id, first_position, records)
         select parameter_set_id, min(job_position),
           '[' || string_agg(fields::text, ',' order by job_position) || ']'
         from made, element group by parameter_set_id, job_position / ${BLOCK_RECORDS_MAX})
       select parameter_set_id as "parameterSetId", record_count as "recordCount",
         field_names as "fieldNames" from made`,
      [instanceId],
    );
    return rows[0]!;
  }

  /** Elements of an instance whose job has ended, that have none and will have none: how many, and the first of them by name. */
  async failed(
    instance: InstanceRecord,
    project: string,
  ): Promise<{ failedCount: number; failed: FailedElement[] }> {
    const { instanceId, jobId } = instance;
    const sql = `select e.position, e.fields, e.job_position as "jobPosition", t.reason,
        count(*) over () as count
      from workflow_element e
        left join task t on t.job_id = $3 and t.position = e.job_position
        left join step_result r on r.project = $2 and r.key = e.key
      where e.instance_id = $1 and e.job_position is not null and r.key is null
        and t.state is distinct from 'succeeded'
      order by e.position limit ${NAMED_MAX}`;
    const values = [instanceId, project, jobId];
    const isBulk = instance.elementCount >= BULK_ELEMENTS;
    const rows = isBulk
      ? await inTransaction(this.#pool, (client) =>
          inBulk(client, instance, async () => (await client.query<FailedRow>(sql, values)).rows),
        )
      : await this.#rows<FailedRow>(sql, values);
    const failed = rows.map(({ position, fields, jobPosition, reason }) => ({
      position,
      label: instance.isFanOut ? elementLabel(fields) : '',
      taskId: formatTaskId({ jobId: jobId ?? 0, taskIndex: jobPosition ?? 0 }),
      reason: reason ?? 'cancelled before it began',
    }));
    return { failedCount: rows[0]?.count ?? 0, failed };
  }

  /** What the elements of steps have stored, in their order; a step without an instance is left out. */
  async outputs(
    { runId, round }: RoundNumber,
    paths: readonly string[],
    project: string,
  ): Promise<Map<string, OutputFile[]>> {
    const rows = await this.#rows<OutputsRow>(
      `select i.path, i.is_fan_out as "isFanOut", e.position, r.outputs from workflow_instance i
         left join workflow_element e using (instance_id)
         left join step_result r on r.project = $4 and r.key = e.key
       where i.run_id = $1 and i.round = $2 and i.path = any($3) order by i.path, e.position`,
      [runId, round, paths, project],
    );
    const found = new Map<string, OutputFile[]>();
    for (const { path, isFanOut, position, outputs } of rows) {
      const files = found.get(path) ?? [];
      found.set(path, files);
      for (const file of outputs ?? []) {
        files.push({ ...file, position: isFanOut ? position : null });
      }
    }
    return found;
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
      `select i.run_id as "runId", run.project, i.round, i.path, e.position, i.template, e.fields
       from step_result r join workflow_instance i on i.instance_id = r.instance_id
         join workflow_run run on run.run_id = i.run_id
       join workflow_element e on e.instance_id = r.instance_id and e.position = r.position
       where ${condition} order by ${order}`,
      values,
    );
  }
}
