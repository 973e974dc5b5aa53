import type { StateCounts, TaskState } from '@majorana/core';
import { TERMINAL_STATES } from '@majorana/core';
import type { PoolClient } from 'pg';
import { jobColumns, selectList } from './columns.ts';
import type { BulkMove, BulkResult, ElementMove, JobRecord } from './engine-store.ts';

const moveRows = `
  with chosen as (
    select position, state, attempt_number from task
    where job_id = $1 and state = any($2) and ($3::int is null or exit_code = $3)
      and ($4::text is null or reason = $4) and ($5::int is null or position = $5)
      and position >= $11
    order by position limit $6),
  moved as (
    update task set state = $7, reason = $8, since_ms = $9, not_before_ms = 0,
      retry_count = case when $7 = 'queued' then 0 else retry_count end,
      agent_id = null, is_cancelling = false
    from chosen where task.job_id = $1 and task.position = chosen.position),
  written as (
    insert into transition (sequence, job_id, position, at_ms, from_state, to_state,
      attempt_number, reason)
    select $10 + row_number() over (order by position), $1, position, $9, state, $7,
      attempt_number, $8 from chosen)
  select state as "from", $7 as "to", count(*), max(position) as last from chosen group by state`;

/** A task without a row is pending; its upstream task has ended, and nothing else will make the row. */
const makeRows = `
  with chosen as (
    select u.position, case when u.state = 'succeeded' or $3 = 'any' then 'queued'
      else 'cancelled' end as state, u.state as upstream_state
    from task u
    where u.job_id = $2 and u.state = any($4)
      and not exists (select from task d where d.job_id = $1 and d.position = u.position)),
  made as (
    insert into task (job_id, position, state, attempt_number, retry_count, memory_bytes,
      not_before_ms, since_ms, agent_id, reason, exit_code, is_cancelling)
    select $1, position, state, 0, 0, $5, 0, $6, null, 'the task it waited for ' || upstream_state,
      null, false from chosen),
  written as (
    insert into transition (sequence, job_id, position, at_ms, from_state, to_state,
      attempt_number, reason)
    select $7 + row_number() over (order by position), $1, position, $6, 'pending', state, 0,
      'the task it waited for ' || upstream_state from chosen)
  select 'pending' as "from", state as "to", count(*), max(position) as last
  from chosen group by state`;

interface Moved {
  readonly from: TaskState;
  readonly to: TaskState;
  readonly count: number;
  readonly last: number;
}

function moveCounts(counts: StateCounts, moved: readonly Moved[]): StateCounts {
  const next: Record<TaskState, number> = { ...counts };
  for (const { from, to, count } of moved) {
    next[from] -= count;
    next[to] += count;
  }
  return next;
}

async function lockJob(client: PoolClient, jobId: number): Promise<JobRecord> {
  const { rows } = await client.query<JobRecord>(
    `select ${selectList(jobColumns, 'job')} from job
     where job_id = $1 and not is_expired for update`,
    [jobId],
  );
  if (rows[0] === undefined) throw new Error(`there is no job_${jobId}`);
  return rows[0];
}

async function inTransaction<T>(client: PoolClient, act: () => Promise<T>): Promise<T> {
  await client.query('begin');
  try {
    const value = await act();
    await client.query('commit');
    return value;
  } catch (error) {
    await client.query('rollback');
    throw error;
  }
}

async function finish(
  client: PoolClient,
  job: JobRecord,
  step: { readonly moved: readonly Moved[]; readonly newRows: boolean; readonly last: number },
): Promise<BulkResult> {
  const movedCount = step.moved.reduce((sum, { count }) => sum + count, 0);
  const counts = moveCounts(job.counts, step.moved);
  const terminal = TERMINAL_STATES.reduce((sum, state) => sum + counts[state], 0);
  const next: JobRecord = {
    ...job,
    counts,
    rowCount: job.rowCount + (step.newRows ? movedCount : 0),
    endedAtMs: terminal < job.taskCount ? null : job.endedAtMs,
  };
  await client.query(
    'update job set counts = $2, row_count = $3, ended_at_ms = $4 where job_id = $1',
    [job.jobId, next.counts, next.rowCount, next.endedAtMs],
  );
  await client.query('update engine_state set last_sequence = $1', [step.last + movedCount]);
  const lastPosition = Math.max(-1, ...step.moved.map(({ last }) => last));
  return { job: next, movedCount, lastPosition };
}

export function moveTasks(client: PoolClient, move: BulkMove): Promise<BulkResult> {
  return inTransaction(client, async () => {
    const job = await lockJob(client, move.jobId);
    const { rows } = await client.query<Moved>(moveRows, [
      move.jobId,
      move.from,
      move.exitCode ?? null,
      move.reason ?? null,
      move.position ?? null,
      move.limit,
      move.to,
      move.because,
      move.nowMs,
      move.lastSequence,
      move.fromPosition,
    ]);
    return finish(client, job, { moved: rows, newRows: false, last: move.lastSequence });
  });
}

export function moveElements(client: PoolClient, move: ElementMove): Promise<BulkResult> {
  return inTransaction(client, async () => {
    const job = await lockJob(client, move.jobId);
    const { rows } = await client.query<Moved>(makeRows, [
      move.jobId,
      move.upstreamJobId,
      move.on,
      TERMINAL_STATES,
      job.spec.resources.memoryBytes,
      move.nowMs,
      move.lastSequence,
    ]);
    return finish(client, job, { moved: rows, newRows: true, last: move.lastSequence });
  });
}
