import type {
  ArtifactRecord,
  AttemptRecord,
  ClusterRecord,
  JobRecord,
  QueueRecord,
  TaskRecord,
  TransitionRecord,
} from './engine-store.ts';

/** Each field of a record, its column and its SQL type: every statement's lists are made of these. */
export type Columns<R> = { readonly [K in keyof R]-?: readonly [column: string, type: string] };

export const jobColumns = {
  jobId: ['job_id', 'int'],
  spec: ['spec', 'jsonb'],
  taskCount: ['task_count', 'int'],
  rowCount: ['row_count', 'int'],
  nextPosition: ['next_position', 'int'],
  untouchedState: ['untouched_state', 'text'],
  counts: ['counts', 'jsonb'],
  submittedAtMs: ['submitted_at_ms', 'bigint'],
  untouchedSinceMs: ['untouched_since_ms', 'bigint'],
  endedAtMs: ['ended_at_ms', 'bigint'],
  outputBytes: ['output_bytes', 'bigint'],
} satisfies Columns<JobRecord>;

export const taskColumns = {
  jobId: ['job_id', 'int'],
  position: ['position', 'int'],
  state: ['state', 'text'],
  attemptNumber: ['attempt_number', 'int'],
  retryCount: ['retry_count', 'int'],
  memoryBytes: ['memory_bytes', 'bigint'],
  notBeforeMs: ['not_before_ms', 'bigint'],
  sinceMs: ['since_ms', 'bigint'],
  agentId: ['agent_id', 'text'],
  reason: ['reason', 'text'],
  exitCode: ['exit_code', 'int'],
  isCancelling: ['is_cancelling', 'boolean'],
} satisfies Columns<TaskRecord>;

export const attemptColumns = {
  jobId: ['job_id', 'int'],
  position: ['position', 'int'],
  attemptNumber: ['attempt_number', 'int'],
  agentId: ['agent_id', 'text'],
  queuedAtMs: ['queued_at_ms', 'bigint'],
  leasedAtMs: ['leased_at_ms', 'bigint'],
  waitedFor: ['waited_for', 'text'],
  startedAtMs: ['started_at_ms', 'bigint'],
  endedAtMs: ['ended_at_ms', 'bigint'],
  outcome: ['outcome', 'text'],
  exitCode: ['exit_code', 'int'],
  signal: ['signal', 'int'],
  reason: ['reason', 'text'],
  peakMemoryBytes: ['peak_memory_bytes', 'bigint'],
  cpuTimeMs: ['cpu_time_ms', 'bigint'],
} satisfies Columns<AttemptRecord>;

export const transitionColumns = {
  sequence: ['sequence', 'bigint'],
  jobId: ['job_id', 'int'],
  position: ['position', 'int'],
  atMs: ['at_ms', 'bigint'],
  fromState: ['from_state', 'text'],
  toState: ['to_state', 'text'],
  attemptNumber: ['attempt_number', 'int'],
  reason: ['reason', 'text'],
} satisfies Columns<TransitionRecord>;

export const artifactColumns = {
  jobId: ['job_id', 'int'],
  position: ['position', 'int'],
  attemptNumber: ['attempt_number', 'int'],
  role: ['role', 'text'],
  path: ['path', 'text'],
  object: ['object', 'text'],
  sizeBytes: ['size_bytes', 'bigint'],
} satisfies Columns<ArtifactRecord>;

export const queueColumns = {
  name: ['name', 'text'],
  weight: ['weight', 'double precision'],
  parallelMax: ['parallel_max', 'int'],
  isPaused: ['is_paused', 'boolean'],
} satisfies Columns<QueueRecord>;

export const clusterColumns = {
  name: ['name', 'text'],
  state: ['state', 'text'],
  sinceMs: ['since_ms', 'bigint'],
  endsAtMs: ['ends_at_ms', 'bigint'],
  sessionId: ['session_id', 'text'],
  leaseTtlMs: ['lease_ttl_ms', 'bigint'],
  dataPricePerGb: ['data_price_per_gb', 'double precision'],
} satisfies Columns<ClusterRecord>;

type AnyColumns = Readonly<Record<string, readonly [string, string]>>;

/** `t.job_id as "jobId", …` */
export const selectList = (columns: AnyColumns, table: string): string =>
  Object.entries(columns)
    .map(([field, [column]]) => `${table}.${column} as "${field}"`)
    .join(', ');

/** `r` is the JSON array in $1, as rows. */
export const recordset = (columns: AnyColumns): string =>
  `json_to_recordset($1::json) as r(${Object.entries(columns)
    .map(([field, [, type]]) => `"${field}" ${type}`)
    .join(', ')})`;

/** Inserts the records of $1; of a known key it replaces `replace`, or keeps what is there. */
export function upsert(
  table: string,
  columns: AnyColumns,
  key: string,
  replace: readonly string[],
): string {
  const names = Object.values(columns).map(([column]) => column);
  const fields = Object.keys(columns).map((field) => `r."${field}"`);
  const set = replace
    .map((field) => columns[field]![0])
    .map((name) => `${name} = excluded.${name}`);
  const conflict = set.length === 0 ? 'do nothing' : `do update set ${set.join(', ')}`;
  return `insert into ${table} (${names.join(', ')}) select ${fields.join(', ')}
    from ${recordset(columns)} on conflict (${key}) ${conflict}`;
}

/** Replaces fields of rows that are there, found by an integer key. */
export function update(
  table: string,
  columns: AnyColumns,
  key: string,
  replace: readonly string[],
): string {
  const set = replace.map((field) => `${columns[field]![0]} = r."${field}"`);
  return `update ${table} set ${set.join(', ')} from ${recordset(columns)}
    where ${table}.${columns[key]![0]} = r."${key}"`;
}
