import type { TaskFields } from '@majorana/core';
import type pg from 'pg';
import type { OutputFile } from './step-results.ts';

/** One element of a step with the task that made its result, be it in this run or an earlier one. */
export interface ExecutionRecord {
  readonly instanceId: number;
  readonly path: string;
  readonly position: number;
  readonly key: string;
  readonly fields: TaskFields;
  readonly isReused: boolean;
  readonly hasResult: boolean;
  readonly outputs: readonly Omit<OutputFile, 'position'>[];
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

/** Executions of a run's round by step and position, a page at a time. */
export async function listExecutions(
  pool: pg.Pool,
  of: { readonly runId: number; readonly round: number; readonly project: string },
  after: { readonly instanceId: number; readonly position: number },
  limit: number,
): Promise<ExecutionRecord[]> {
  const { rows } = await pool.query<ExecutionRecord>(
    `select i.instance_id as "instanceId", i.path, e.position, e.key, e.fields,
       e.job_position is null as "isReused", r.key is not null as "hasResult",
       coalesce(r.outputs, '[]') as outputs, a.job_id as "jobId", a.position as "jobPosition",
       a.attempt_number as "attemptNumber", a.agent_id as "agentId",
       a.started_at_ms as "startedAtMs", a.ended_at_ms as "endedAtMs", a.exit_code as "exitCode",
       a.reason, a.peak_memory_bytes as "peakMemoryBytes", a.cpu_time_ms as "cpuTimeMs"
     from workflow_instance i join workflow_element e using (instance_id)
       left join step_result r on r.project = $3 and r.key = e.key
       left join workflow_instance made on made.instance_id = r.instance_id
       left join workflow_element origin
         on origin.instance_id = r.instance_id and origin.position = r.position
       left join lateral (
         select * from attempt
         where job_id = case when r.key is null then i.job_id else made.job_id end
           and position = case when r.key is null then e.job_position else origin.job_position end
         order by attempt_number desc limit 1) a on true
     where i.run_id = $1 and i.round = $2 and (e.instance_id, e.position) > ($4, $5)
     order by e.instance_id, e.position limit $6`,
    [of.runId, of.round, of.project, after.instanceId, after.position, limit],
  );
  return rows;
}
