create table workflow_run (
  run_id integer generated always as identity primary key,
  project text not null references project,
  name text not null,
  user_name text not null,
  -- The latest; each resume is a round more.
  round integer not null,
  status text not null check (status in ('running', 'cancelling', 'succeeded', 'failed',
    'cancelled')),
  created_at_ms bigint not null,
  ended_at_ms bigint,
  idempotency_key text
);
create unique index workflow_run_idempotency on workflow_run (project, idempotency_key)
  where idempotency_key is not null;
create index workflow_run_open on workflow_run (run_id) where ended_at_ms is null;

create table workflow_round (
  run_id integer not null references workflow_run on delete cascade,
  round integer not null,
  -- json, not jsonb: the order of steps is the one in which they were written.
  definition json not null,
  inputs json not null,
  state json not null,
  -- Raised with each write: of two that would write, the later one is refused.
  version integer not null,
  started_at_ms bigint not null,
  ended_at_ms bigint,
  primary key (run_id, round)
);

-- One step, in one iteration of what it is nested in, in one round.
create table workflow_instance (
  instance_id integer generated always as identity primary key,
  run_id integer not null references workflow_run on delete cascade,
  round integer not null,
  path text not null,
  -- Without iterations: results of the same step are compared over these.
  step_name text not null,
  template json not null,
  is_fan_out boolean not null,
  element_count integer not null,
  reused_count integer not null,
  job_id integer,
  created_at_ms bigint not null,
  unique (run_id, round, path)
);

create table workflow_element (
  instance_id integer not null references workflow_instance on delete cascade,
  position integer not null,
  key text not null,
  fields json not null,
  -- Its place in the job; null: its result was there.
  job_position integer,
  primary key (instance_id, position)
);

create table step_result (
  project text not null references project,
  key text not null,
  step_name text not null,
  outputs json not null,
  -- The element that made it, which knows the parts of the key.
  instance_id integer not null,
  position integer not null,
  created_at_ms bigint not null,
  used_at_ms bigint not null,
  primary key (project, key)
);
create index step_result_nearest on step_result (project, step_name, position, created_at_ms);
