import type { TaskFields } from '@majorana/core';
import type pg from 'pg';
import type { FieldsPlace } from './elements.ts';
import { blockStart, elementsOfBlock, FieldsReader } from './elements.ts';
import type { ResultPlace, StoredFile } from './harvest.ts';
import { readOutputs } from './harvest.ts';

/** One element of a step with the task that made its result, be it in this run or an earlier one. */
export interface ExecutionRecord {
  readonly instanceId: number;
  readonly path: string;
  readonly position: number;
  readonly key: string;
  readonly fields: TaskFields;
  readonly isReused: boolean;
  readonly hasResult: boolean;
  readonly outputs: readonly StoredFile[];
  /** Of the task; null: its job is not kept any more, or it never began. */
  readonly jobId: number | null;
  readonly jobPosition: number | null;
  readonly attemptNumber: number | null;
  readonly agentId: string | null;
  readonly startedAtMs: number | null;
  readonly endedAtMs: number | null;
  readonly exitCode: number | null;
  readonly reason: string | null;
  readonly peakMemoryBytes: number | null;
  readonly cpuTimeMs: number | null;
}

type ExecutionRow = Omit<ExecutionRecord, 'fields' | 'outputs'> &
  FieldsPlace & { readonly madeBy: number; readonly madeAt: number };

/** Executions of a run's round by step and position, a page at a time. */
export async function listExecutions(
  pool: pg.Pool,
  of: { readonly runId: number; readonly round: number; readonly project: string },
  after: { readonly instanceId: number; readonly position: number },
  limit: number,
): Promise<ExecutionRecord[]> {
  const { rows } = await pool.query<ExecutionRow>(
    `with element as materialized (
       select i.instance_id, i.path, i.job_id, i.parameter_set_id, e.*
       from workflow_instance i join element_block b using (instance_id)
         cross join ${elementsOfBlock}
       where i.run_id = $1 and i.round = $2
         and (i.instance_id, b.first_position) >= ($4, ${blockStart('greatest($5, 0)')})
         and (i.instance_id, e.position) > ($4, $5)
       order by i.instance_id, e.position limit $6)
     select e.instance_id as "instanceId", e.path, e.parameter_set_id as "parameterSetId",
       e.position, encode(e.key, 'hex') as key, e.job_position is null as "isReused",
       r.key is not null as "hasResult", r.instance_id as "madeBy", r.position as "madeAt",
       a.job_id as "jobId", a.position as "jobPosition", a.attempt_number as "attemptNumber",
       a.agent_id as "agentId", a.started_at_ms as "startedAtMs", a.ended_at_ms as "endedAtMs",
       a.exit_code as "exitCode", a.reason, a.peak_memory_bytes as "peakMemoryBytes",
       a.cpu_time_ms as "cpuTimeMs"
     from element e
       left join step_result r on r.project = $3 and r.key = e.key
       left join workflow_instance made on made.instance_id = r.instance_id
       left join element_block origin on origin.instance_id = r.instance_id
         and origin.first_position = ${blockStart('r.position')}
       left join lateral (
         select * from attempt
         where job_id = case when r.key is null then e.job_id else made.job_id end
           and position = case when r.key is null then e.job_position
             else origin.job_positions[r.position - origin.first_position + 1] end
         order by attempt_number desc limit 1) a on true
     order by e.instance_id, e.position`,
    [of.runId, of.round, of.project, after.instanceId, after.position, limit],
  );
  const placeOf = (row: ExecutionRow): ResultPlace => ({
    instanceId: row.madeBy,
    position: row.madeAt,
  });
  const made = rows.filter(({ hasResult }) => hasResult).map(placeOf);
  const filesOf = await readOutputs(pool, of.project, made);
  const outputs = rows.map((row) => (row.hasResult ? filesOf(placeOf(row)) : []));
  const filled = await new FieldsReader(pool).fill(rows);
  return filled.map(({ madeBy: _by, madeAt: _at, ...row }, at) => ({
    ...row,
    outputs: outputs[at]!,
  }));
}
