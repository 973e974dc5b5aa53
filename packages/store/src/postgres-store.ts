import type { TaskState } from '@majorana/core';
import pg from 'pg';
import type {
  ArtifactRecord,
  AttemptRecord,
  Change,
  EngineStore,
  HotSet,
  JobRecord,
  TaskRecord,
} from './engine-store.ts';
import { migrate } from './migrate.ts';

// bigint columns hold milliseconds and bytes, all below 2^53.
pg.types.setTypeParser(20, Number);

export const jobColumns = `job_id as "jobId", spec, task_count as "taskCount",
  next_position as "nextPosition", untouched_state as "untouchedState", counts,
  submitted_at_ms as "submittedAtMs", ended_at_ms as "endedAtMs"`;
export const taskColumns = `job_id as "jobId", task_index as "taskIndex", state,
  attempt_number as "attemptNumber", retry_count as "retryCount", memory_bytes as "memoryBytes",
  not_before_ms as "notBeforeMs", agent_id as "agentId", reason, exit_code as "exitCode"`;
export const attemptColumns = `job_id as "jobId", task_index as "taskIndex",
  attempt_number as "attemptNumber", agent_id as "agentId", leased_at_ms as "leasedAtMs",
  started_at_ms as "startedAtMs", ended_at_ms as "endedAtMs", outcome, exit_code as "exitCode",
  signal, reason, peak_memory_bytes as "peakMemoryBytes", cpu_time_ms as "cpuTimeMs"`;
export const artifactColumns = `job_id as "jobId", task_index as "taskIndex",
  attempt_number as "attemptNumber", role, path, object, size_bytes as "sizeBytes"`;

/** One writer: the session that holds this lock is the engine. */
const ENGINE_LOCK = 7_245_002;

const upsertJobs = `
  insert into job select r."jobId", r.spec, r."taskCount", r."nextPosition", r."untouchedState",
    r.counts, r.spec->>'idempotencyKey', r."submittedAtMs", r."endedAtMs"
  from jsonb_to_recordset($1::jsonb) as r("jobId" int, spec jsonb, "taskCount" int,
    "nextPosition" int, "untouchedState" text, counts jsonb, "submittedAtMs" bigint,
    "endedAtMs" bigint)
  on conflict (job_id) do update set next_position = excluded.next_position,
    untouched_state = excluded.untouched_state, counts = excluded.counts,
    ended_at_ms = excluded.ended_at_ms`;

const upsertTasks = `
  insert into task select r."jobId", r."taskIndex", r.state, r."attemptNumber", r."retryCount",
    r."memoryBytes", r."notBeforeMs", r."agentId", r.reason, r."exitCode"
  from jsonb_to_recordset($1::jsonb) as r("jobId" int, "taskIndex" int, state text,
    "attemptNumber" int, "retryCount" int, "memoryBytes" bigint, "notBeforeMs" bigint,
    "agentId" text, reason text, "exitCode" int)
  on conflict (job_id, task_index) do update set state = excluded.state,
    attempt_number = excluded.attempt_number, retry_count = excluded.retry_count,
    memory_bytes = excluded.memory_bytes, not_before_ms = excluded.not_before_ms,
    agent_id = excluded.agent_id, reason = excluded.reason, exit_code = excluded.exit_code`;

const upsertAttempts = `
  insert into attempt select r."jobId", r."taskIndex", r."attemptNumber", r."agentId",
    r."leasedAtMs", r."startedAtMs", r."endedAtMs", r.outcome, r."exitCode", r.signal, r.reason,
    r."peakMemoryBytes", r."cpuTimeMs"
  from jsonb_to_recordset($1::jsonb) as r("jobId" int, "taskIndex" int, "attemptNumber" int,
    "agentId" text, "leasedAtMs" bigint, "startedAtMs" bigint, "endedAtMs" bigint, outcome text,
    "exitCode" int, signal int, reason text, "peakMemoryBytes" bigint, "cpuTimeMs" bigint)
  on conflict (job_id, task_index, attempt_number) do update set
    started_at_ms = excluded.started_at_ms, ended_at_ms = excluded.ended_at_ms,
    outcome = excluded.outcome, exit_code = excluded.exit_code, signal = excluded.signal,
    reason = excluded.reason, peak_memory_bytes = excluded.peak_memory_bytes,
    cpu_time_ms = excluded.cpu_time_ms`;

const insertTransitions = `
  insert into transition select r.sequence, r."jobId", r."taskIndex", r."atMs", r."fromState",
    r."toState", r."attemptNumber", r.reason
  from jsonb_to_recordset($1::jsonb) as r(sequence bigint, "jobId" int, "taskIndex" int,
    "atMs" bigint, "fromState" text, "toState" text, "attemptNumber" int, reason text)`;

const insertArtifacts = `
  insert into artifact select r."jobId", r."taskIndex", r."attemptNumber", r.role, r.path,
    r.object, r."sizeBytes"
  from jsonb_to_recordset($1::jsonb) as r("jobId" int, "taskIndex" int, "attemptNumber" int,
    role text, path text, object text, "sizeBytes" bigint)
  on conflict do nothing`;

export class PostgresStore implements EngineStore, AsyncDisposable {
  readonly pool: pg.Pool;
  #writer: pg.PoolClient | undefined;

  constructor(connectionString: string) {
    // 12: the engine's one session and eleven readers, far below PostgreSQL's default of 100.
    this.pool = new pg.Pool({ connectionString, max: 12 });
    this.pool.on('error', () => undefined);
  }

  /** Waits until this process is the one writer, then brings the schema up to date. */
  async becomeWriter(): Promise<void> {
    this.#writer?.release(true);
    this.#writer = undefined;
    const client = await this.pool.connect();
    try {
      client.on('error', () => undefined);
      await client.query('select pg_advisory_lock($1)', [ENGINE_LOCK]);
      await migrate(client);
    } catch (error) {
      client.release(true);
      throw error;
    }
    this.#writer = client;
  }

  async load(): Promise<HotSet> {
    await this.becomeWriter();
    const query = async <R extends pg.QueryResultRow>(sql: string): Promise<R[]> =>
      (await this.#client().query<R>(sql)).rows;
    const openTasks = `state not in ('succeeded', 'failed', 'cancelled')`;
    return {
      jobs: await query<JobRecord>(`select ${jobColumns} from job where ended_at_ms is null`),
      tasks: await query<TaskRecord>(`select ${taskColumns} from task where ${openTasks}`),
      attempts: await query<AttemptRecord>(
        `select ${attemptColumns} from attempt where ended_at_ms is null`,
      ),
      lastSequence:
        (await query<{ last: number | null }>('select max(sequence) as last from transition'))[0]
          ?.last ?? 0,
    };
  }

  async commit(change: Change): Promise<void> {
    const client = this.#client();
    await client.query('begin');
    const steps: [string, readonly object[]][] = [
      [upsertJobs, change.jobs],
      [upsertTasks, change.tasks],
      [upsertAttempts, change.attempts],
      [insertTransitions, change.transitions],
      [insertArtifacts, change.artifacts],
    ];
    for (const [sql, rows] of steps) {
      if (rows.length > 0) await client.query(sql, [JSON.stringify(rows)]);
    }
    await client.query('commit');
  }

  async allocateJobId(): Promise<number> {
    const { rows } = await this.#client().query<{ id: number }>(
      `select nextval('job_number') as id`,
    );
    return rows[0]!.id;
  }

  async findJobByKey(idempotencyKey: string): Promise<number | undefined> {
    const { rows } = await this.pool.query<{ jobId: number }>(
      'select job_id as "jobId" from job where idempotency_key = $1',
      [idempotencyKey],
    );
    return rows[0]?.jobId;
  }

  async loadJob(jobId: number): Promise<JobRecord | undefined> {
    const { rows } = await this.pool.query<JobRecord>(
      `select ${jobColumns} from job where job_id = $1`,
      [jobId],
    );
    return rows[0];
  }

  async loadTasks(jobId: number, states: readonly TaskState[]): Promise<TaskRecord[]> {
    const { rows } = await this.pool.query<TaskRecord>(
      `select ${taskColumns} from task where job_id = $1 and state = any($2) order by task_index`,
      [jobId, states],
    );
    return rows;
  }

  async loadOutputs(jobId: number): Promise<ArtifactRecord[]> {
    const { rows } = await this.pool.query<ArtifactRecord>(
      `select ${artifactColumns} from artifact join task using (job_id, task_index, attempt_number)
       where job_id = $1 and role = 'output' and state = 'succeeded' order by task_index, path`,
      [jobId],
    );
    return rows;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#writer?.release(true);
    await this.pool.end();
  }

  #client(): pg.PoolClient {
    if (this.#writer === undefined)
      throw new Error('the store is not the writer: call load() first');
    return this.#writer;
  }
}
