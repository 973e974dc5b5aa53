import pg from 'pg';
import { moveElements, moveTasks } from './bulk-moves.ts';
import {
  artifactColumns,
  attemptColumns,
  clusterColumns,
  jobColumns,
  queueColumns,
  recordset,
  selectList,
  taskColumns,
  transitionColumns,
  update,
  upsert,
} from './columns.ts';
import type {
  ArtifactRecord,
  AttemptRecord,
  BulkMove,
  BulkResult,
  Change,
  ClusterRecord,
  ElementMove,
  EngineStore,
  HotSet,
  JobRecord,
  QueueRecord,
  TaskRecord,
} from './engine-store.ts';
import { migrate } from './migrate.ts';
import { BlockReader } from './parameter-sets.ts';

// bigint columns hold milliseconds and bytes, all below 2^53.
pg.types.setTypeParser(20, Number);

/** One writer: the session that holds this lock is the engine. */
const ENGINE_LOCK = 7_245_002;

const jobFields = [
  'rowCount',
  'nextPosition',
  'untouchedState',
  'counts',
  'untouchedSinceMs',
  'endedAtMs',
  'outputBytes',
];

const insertJobs = `
  insert into job (job_id, spec, project, queue, parameter_set_id, idempotency_key, task_count,
    row_count, next_position, untouched_state, counts, submitted_at_ms, untouched_since_ms,
    ended_at_ms, output_bytes)
  select r."jobId", r.spec, r.spec->>'project', r.spec->>'queue',
    (r.spec->'array'->>'parameterSetId')::int, r.spec->>'idempotencyKey', r."taskCount",
    r."rowCount", r."nextPosition", r."untouchedState", r.counts, r."submittedAtMs",
    r."untouchedSinceMs", r."endedAtMs", r."outputBytes"
  from ${recordset(jobColumns)}
  on conflict (job_id) do update set row_count = excluded.row_count,
    next_position = excluded.next_position, untouched_state = excluded.untouched_state,
    counts = excluded.counts, untouched_since_ms = excluded.untouched_since_ms,
    ended_at_ms = excluded.ended_at_ms, output_bytes = excluded.output_bytes`;

const statements = {
  queues: upsert('queue', queueColumns, 'name', ['weight', 'parallelMax', 'isPaused']),
  clusters: upsert('cluster', clusterColumns, 'name', Object.keys(clusterColumns).slice(1)),
  newJobs: insertJobs,
  jobs: update('job', jobColumns, 'jobId', jobFields),
  tasks: upsert('task', taskColumns, 'job_id, position', Object.keys(taskColumns).slice(2)),
  attempts: upsert(
    'attempt',
    attemptColumns,
    'job_id, position, attempt_number',
    Object.keys(attemptColumns).slice(7),
  ),
  transitions: upsert('transition', transitionColumns, 'job_id, sequence', []),
  artifacts: upsert(
    'artifact',
    artifactColumns,
    'job_id, position, attempt_number, role, path',
    [],
  ),
};

const openJobs = `select ${selectList(jobColumns, 'job')} from job where ended_at_ms is null`;
const heldStates = `('leased', 'starting', 'running')`;
const openTasks = `
  select ${selectList(taskColumns, 'task')} from task where state in ${heldStates}
  union all
  select ${selectList(taskColumns, 'queued')} from job cross join lateral (
    select * from task where task.job_id = job.job_id and state = 'queued'
    order by not_before_ms, position limit $1) queued
  where job.ended_at_ms is null`;
const heldAttempts = `
  select ${selectList(attemptColumns, 'attempt')} from attempt
  join task using (job_id, position, attempt_number) where task.state in ${heldStates}`;
const upstreamJobs = `
  select ${selectList(jobColumns, 'job')} from job where ended_at_ms is not null and job_id in (
    select (one->>'jobId')::int from job open, jsonb_array_elements(open.spec->'after') one
    where open.ended_at_ms is null)`;
const rowsAhead = `
  select task.job_id as "jobId", array_agg(position) as positions from task join job using (job_id)
  where ended_at_ms is null and position >= next_position group by task.job_id`;

export class PostgresStore implements EngineStore, AsyncDisposable {
  readonly pool: pg.Pool;
  #writer: pg.PoolClient | undefined;
  /** Jobs that are in the database: their specs are not sent again with each step of a task. */
  #knownJobs = new Set<number>();
  readonly #blocks: BlockReader;

  constructor(connectionString: string) {
    // 12: the engine's one session and eleven readers, far below PostgreSQL's default of 100.
    this.pool = new pg.Pool({ connectionString, max: 12 });
    this.pool.on('error', () => undefined);
    this.#blocks = new BlockReader(this.pool);
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

  async load(queuedMax: number): Promise<HotSet> {
    await this.becomeWriter();
    const client = this.#client();
    const query = async <R extends pg.QueryResultRow>(
      sql: string,
      values: unknown[] = [],
    ): Promise<R[]> => (await client.query<R>(sql, values)).rows;
    const jobs = await query<JobRecord>(openJobs);
    this.#knownJobs = new Set(jobs.map((job) => job.jobId));
    const ahead = await query<{ jobId: number; positions: number[] }>(rowsAhead);
    const sequences = await query<{ last: number }>(
      'select last_sequence as last from engine_state',
    );
    return {
      jobs,
      tasks: await query<TaskRecord>(openTasks, [queuedMax]),
      attempts: await query<AttemptRecord>(heldAttempts),
      upstreamJobs: await query<JobRecord>(upstreamJobs),
      rowsAhead: new Map(ahead.map(({ jobId, positions }) => [jobId, positions])),
      queues: await query<QueueRecord>(`select ${selectList(queueColumns, 'queue')} from queue`),
      clusters: await query<ClusterRecord>(
        `select ${selectList(clusterColumns, 'cluster')} from cluster`,
      ),
      lastSequence: sequences[0]!.last,
    };
  }

  async commit(change: Change): Promise<void> {
    const client = this.#client();
    const newJobs = change.jobs.filter((job) => !this.#knownJobs.has(job.jobId));
    const known = change.jobs.filter((job) => this.#knownJobs.has(job.jobId));
    const steps: [string, readonly object[]][] = [
      [statements.queues, change.queues],
      [statements.clusters, change.clusters],
      [statements.newJobs, newJobs],
      [statements.jobs, known.map((job) => ({ ...job, spec: undefined }))],
      [statements.tasks, change.tasks],
      [statements.attempts, change.attempts],
      [statements.transitions, change.transitions],
      [statements.artifacts, change.artifacts],
    ];
    await client.query('begin');
    for (const [sql, rows] of steps) {
      if (rows.length > 0) await client.query(sql, [JSON.stringify(rows)]);
    }
    const last = change.transitions.at(-1)?.sequence;
    if (last !== undefined)
      await client.query('update engine_state set last_sequence = $1', [last]);
    await client.query('commit');
    for (const { jobId, endedAtMs } of change.jobs) {
      if (endedAtMs === null) this.#knownJobs.add(jobId);
      else this.#knownJobs.delete(jobId);
    }
  }

  async allocateJobId(): Promise<number> {
    const { rows } = await this.pool.query<{ id: number }>(`select nextval('job_number') as id`);
    return rows[0]!.id;
  }

  async findJobByKey(project: string, idempotencyKey: string): Promise<number | undefined> {
    const { rows } = await this.pool.query<{ jobId: number }>(
      'select job_id as "jobId" from job where project = $1 and idempotency_key = $2',
      [project, idempotencyKey],
    );
    return rows[0]?.jobId;
  }

  async loadJob(jobId: number): Promise<JobRecord | undefined> {
    const { rows } = await this.pool.query<JobRecord>(
      `select ${selectList(jobColumns, 'job')} from job
       where job_id = $1 and not is_expired`,
      [jobId],
    );
    return rows[0];
  }

  async loadQueuedTasks(jobId: number, limit: number): Promise<TaskRecord[]> {
    const { rows } = await this.#client().query<TaskRecord>(
      `select ${selectList(taskColumns, 'task')} from task where job_id = $1 and state = 'queued'
       order by not_before_ms, position limit $2`,
      [jobId, limit],
    );
    return rows;
  }

  async loadRowsAhead(jobId: number, fromPosition: number): Promise<number[]> {
    const { rows } = await this.#client().query<{ position: number }>(
      'select position from task where job_id = $1 and position >= $2',
      [jobId, fromPosition],
    );
    return rows.map((row) => row.position);
  }

  moveTasks(move: BulkMove): Promise<BulkResult> {
    return moveTasks(this.#client(), move);
  }

  moveElements(move: ElementMove): Promise<BulkResult> {
    return moveElements(this.#client(), move);
  }

  async loadOutputs(jobId: number): Promise<ArtifactRecord[]> {
    const { rows } = await this.pool.query<ArtifactRecord>(
      `select ${selectList(artifactColumns, 'artifact')} from artifact
       join task using (job_id, position, attempt_number)
       where artifact.job_id = $1 and role = 'output' and state = 'succeeded'
       order by artifact.position, path`,
      [jobId],
    );
    return rows;
  }

  loadFields(parameterSetId: number, position: number): Promise<Record<string, string>> {
    return this.#blocks.fieldsOf(parameterSetId, position);
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
