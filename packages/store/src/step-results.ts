import type { FailedElement, TaskFields, Template } from '@majorana/core';
import { elementLabel, formatTaskId, NAMED_MAX } from '@majorana/core';
import type pg from 'pg';
import type { ElementRecord, FieldsPlace, InstanceRecord } from './elements.ts';
import type { NewElement, NewInstance } from './elements.ts';
import {
  blockStart,
  elementsOfBlock,
  FieldsReader,
  insertInstance,
  instanceFields,
} from './elements.ts';
import type { Harvest, ResultPlace, StoredFile } from './harvest.ts';
import { harvest, readOutputs } from './harvest.ts';
import type { ParameterSetRecord } from './parameter-sets.ts';
import type { Reader } from './reuse.ts';
import { findResults } from './reuse.ts';

/** Earlier results that a key is compared with: so many at its position, and as many of any. */
const CANDIDATES = 20;

/** What becomes true with a run's step, in the transaction that writes it. */
export type RunWrite =
  | {
      readonly kind: 'instance';
      readonly instance: NewInstance;
      readonly elements: readonly NewElement[];
    }
  | { readonly kind: 'job'; readonly instanceId: number; readonly jobId: number }
  /** Results of what the instance's ended job has stored; the first of a key stays. */
  | ({ readonly kind: 'harvest' } & Harvest);

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

interface OutputsRow extends ResultPlace {
  readonly path: string;
  readonly isFanOut: boolean;
  /** Null: its step has no elements. */
  readonly elementPosition: number | null;
  readonly hasResult: boolean;
}
interface FailedRow extends FieldsPlace {
  readonly jobPosition: number;
  readonly reason: string | null;
  readonly count: number;
}

export interface OutputFile extends StoredFile {
  /** Of the element that stored it; null: its step is no fan-out. */
  readonly position: number | null;
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

export async function applyWrite(
  client: pg.PoolClient,
  write: RunWrite,
  nowMs: number,
): Promise<void> {
  if (write.kind === 'instance') {
    await insertInstance(client, write.instance, write.elements, nowMs);
  } else if (write.kind === 'harvest') await harvest(client, write, nowMs);
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
  readonly #fields: FieldsReader;

  constructor(pool: pg.Pool) {
    this.#pool = pool;
    this.#fields = new FieldsReader(pool);
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

  reuse(reader: Reader, keys: readonly string[], nowMs: number): Promise<Set<string>> {
    return findResults(this.#pool, reader, keys, nowMs);
  }

  /** The elements that are to be run, as records of a job. */
  async parametersOf(instanceId: number): Promise<ParameterSetRecord> {
    const rows = await this.#rows<ParameterSetRecord>(
      `select parameter_set_id as "parameterSetId", record_count as "recordCount",
         field_names as "fieldNames"
       from parameter_set where parameter_set_id = (
         select job_parameter_set_id from workflow_instance where instance_id = $1)`,
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
    const rows = await this.#rows<FailedRow>(
      `select i.parameter_set_id as "parameterSetId", e.position, e.job_position as "jobPosition",
         t.reason, count(*) over () as count
       from workflow_instance i join element_block b using (instance_id)
         cross join ${elementsOfBlock}
         left join lateral (
           select state, reason from task where job_id = $3 and position = e.job_position limit 1
         ) t on true
         left join step_result r on r.project = $2 and r.key = e.key
       where i.instance_id = $1 and e.job_position is not null and r.key is null
         and t.state is distinct from 'succeeded'
       order by e.position limit ${NAMED_MAX}`,
      [instanceId, project, jobId],
    );
    const failed = (await this.#fields.fill(rows)).map(
      ({ position, fields, jobPosition, reason }) => ({
        position,
        label: instance.isFanOut ? elementLabel(fields) : '',
        taskId: formatTaskId({ jobId: jobId ?? 0, taskIndex: jobPosition }),
        reason: reason ?? 'cancelled before it began',
      }),
    );
    return { failedCount: rows[0]?.count ?? 0, failed };
  }

  /** What the elements of steps have stored, in their order; a step without an instance is left out. */
  async outputs(
    { runId, round }: RoundNumber,
    paths: readonly string[],
    project: string,
  ): Promise<Map<string, OutputFile[]>> {
    const rows = await this.#rows<OutputsRow>(
      `select i.path, i.is_fan_out as "isFanOut", e.position as "elementPosition",
         r.key is not null as "hasResult", r.instance_id as "instanceId", r.position
       from workflow_instance i left join element_block b using (instance_id)
         left join ${elementsOfBlock} on true
         left join step_result r on r.project = $4 and r.key = e.key
       where i.run_id = $1 and i.round = $2 and i.path = any($3) order by i.path, e.position`,
      [runId, round, paths, project],
    );
    const made = rows.filter(({ hasResult }) => hasResult);
    const filesOf = await readOutputs(this.#pool, project, made);
    const found = new Map<string, OutputFile[]>();
    for (const { path, isFanOut, elementPosition, hasResult, ...place } of rows) {
      const files = found.get(path) ?? [];
      found.set(path, files);
      if (!hasResult) continue;
      const position = isFanOut ? elementPosition : null;
      for (const file of filesOf(place)) files.push({ ...file, position });
    }
    return found;
  }

  /** Elements for a person: those that were run first. */
  async elements(instanceId: number, limit: number): Promise<ElementRecord[]> {
    const rows = await this.#rows<FieldsPlace & Omit<ElementRecord, 'fields'>>(
      `select i.parameter_set_id as "parameterSetId", e.position, encode(e.key, 'hex') as key,
         e.job_position as "jobPosition"
       from workflow_instance i join element_block b using (instance_id)
         cross join ${elementsOfBlock}
       where i.instance_id = $1 order by e.job_position is null, e.position limit $2`,
      [instanceId, limit],
    );
    return this.#fields.fill(rows);
  }

  async origin(project: string, key: string): Promise<ResultOrigin | undefined> {
    const made = `select instance_id, position, 0 as created_at_ms from step_result
      where project = $1 and key = decode($2, 'hex')`;
    return (await this.#origins(made, [project, key]))[0];
  }

  /** Earlier results of the same step: at the same position, and the latest of all. */
  async candidates(
    instance: InstanceRecord,
    project: string,
    position: number,
  ): Promise<ResultOrigin[]> {
    const { stepName, createdAtMs, instanceId } = instance;
    const values = [project, stepName, createdAtMs, instanceId];
    const blocks = `select instance_id, first_position, created_at_ms from result_block
      where project = $1 and step_name = $2 and created_at_ms <= $3 and instance_id <> $4
        and instance_id in (select instance_id from workflow_instance)`;
    const elements = (of: string): string => `
      select instance_id, e.position, stored.created_at_ms from (${of}) stored
        join element_block b using (instance_id, first_position) cross join ${elementsOfBlock}
      where e.job_position is not null and exists (
        select from step_result r where r.project = $1 and r.key = e.key)`;
    const order = `order by created_at_ms desc`;
    const near = `${elements(`${blocks} and first_position = ${blockStart('$5::int')}`)}
      and e.position = $5 ${order} limit ${CANDIDATES}`;
    const latest = `${elements(`${blocks} ${order} limit ${CANDIDATES}`)}
      ${order}, position limit ${CANDIDATES}`;
    return [
      ...(await this.#origins(near, [...values, position])),
      ...(await this.#origins(latest, values)),
    ];
  }

  /** Of the elements that a query finds, the latest first, whose run is still there. */
  async #origins(made: string, values: unknown[]): Promise<ResultOrigin[]> {
    const rows = await this.#rows<FieldsPlace & Omit<ResultOrigin, 'fields'>>(
      `select i.run_id as "runId", run.project, i.round, i.path, made.position, i.template,
         i.parameter_set_id as "parameterSetId"
       from (${made}) made join workflow_instance i using (instance_id)
         join workflow_run run using (run_id)
       order by made.created_at_ms desc, made.position`,
      values,
    );
    return this.#fields.fill(rows);
  }
}
