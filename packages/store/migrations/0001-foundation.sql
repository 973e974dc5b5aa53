create table api_token (
  token_sha256 text primary key,
  name text not null,
  role text not null check (role in ('viewer', 'member', 'operator', 'admin')),
  created_at timestamptz not null default now()
);

create table job (
  job_id integer primary key,
  spec jsonb not null,
  task_count integer not null,
  -- Tasks at this position and later have no row: they are all in untouched_state.
  next_position integer not null,
  untouched_state text not null,
  counts jsonb not null,
  idempotency_key text unique,
  submitted_at_ms bigint not null,
  ended_at_ms bigint
);
create sequence job_number;
create index job_open on job (job_id) where ended_at_ms is null;

create table task (
  job_id integer not null references job on delete cascade,
  task_index integer not null,
  state text not null check (state in ('pending', 'queued', 'leased', 'starting', 'running',
    'suspended', 'succeeded', 'failed', 'cancelled')),
  attempt_number integer not null,
  retry_count integer not null,
  memory_bytes bigint not null,
  not_before_ms bigint not null,
  agent_id text,
  reason text not null,
  exit_code integer,
  primary key (job_id, task_index)
);
create index task_open on task (job_id) where state not in ('succeeded', 'failed', 'cancelled');
create index task_failed on task (job_id, reason) where state = 'failed';

create table attempt (
  job_id integer not null references job on delete cascade,
  task_index integer not null,
  attempt_number integer not null,
  agent_id text not null,
  leased_at_ms bigint not null,
  started_at_ms bigint,
  ended_at_ms bigint,
  outcome text,
  exit_code integer,
  signal integer,
  reason text,
  peak_memory_bytes bigint,
  cpu_time_ms bigint,
  primary key (job_id, task_index, attempt_number)
);

create index attempt_open on attempt (job_id) where ended_at_ms is null;

create table transition (
  sequence bigint primary key,
  job_id integer not null references job on delete cascade,
  task_index integer not null,
  at_ms bigint not null,
  from_state text not null,
  to_state text not null,
  attempt_number integer not null,
  reason text not null
);
create index transition_task on transition (job_id, task_index, sequence);

create table artifact (
  job_id integer not null references job on delete cascade,
  task_index integer not null,
  attempt_number integer not null,
  role text not null check (role in ('output', 'stdout', 'stderr')),
  path text not null,
  object text not null,
  size_bytes bigint not null,
  primary key (job_id, task_index, attempt_number, role, path)
);
create index artifact_object on artifact (object);
