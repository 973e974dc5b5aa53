-- Records of named fields, however many: written as a stream, read a block at a time.
create table parameter_set (
  parameter_set_id integer generated always as identity primary key,
  record_count integer not null,
  field_names text[] not null,
  created_at timestamptz not null default now()
);
create table parameter_block (
  parameter_set_id integer not null references parameter_set on delete cascade,
  first_position integer not null,
  -- A JSON array of objects, kept as it came.
  records text not null,
  primary key (parameter_set_id, first_position)
);

create table project (name text primary key);
insert into project values ('default');
create table app_user (name text primary key);
insert into app_user select distinct name from api_token;
alter table api_token rename column name to user_name;
alter table api_token
  add column token_id integer generated always as identity unique,
  add column project text references project,
  add foreign key (user_name) references app_user;

create table queue (
  name text primary key,
  weight double precision not null,
  parallel_max integer,
  is_paused boolean not null
);

alter table job
  add column project text not null default 'default' references project,
  add column queue text not null default 'default',
  add column row_count integer,
  add column untouched_since_ms bigint,
  add column parameter_set_id integer references parameter_set,
  -- Being pruned: to everybody else it is gone already.
  add column is_expired boolean not null default false;
update job set row_count = next_position, untouched_since_ms = submitted_at_ms,
  queue = coalesce(spec->>'queue', 'default');
alter table job alter column row_count set not null, alter column untouched_since_ms set not null;
alter table job drop constraint job_idempotency_key_key;
create unique index job_idempotency on job (project, idempotency_key)
  where idempotency_key is not null;
create index job_queue on job (queue, job_id);

-- Records that stood in the spec become parameter sets of one block each.
alter table parameter_set add column job_id integer;
insert into parameter_set (record_count, field_names, job_id)
  select task_count,
    (select coalesce(array_agg(name order by name), '{}')
     from jsonb_object_keys(spec->'array'->'records'->0) as name), job_id
  from job where spec->'array'->>'kind' = 'fields';
insert into parameter_block
  select s.parameter_set_id, 0, (spec->'array'->'records')::text
  from parameter_set s join job using (job_id);
update job set parameter_set_id = s.parameter_set_id,
  spec = jsonb_set(spec, '{array}', jsonb_build_object('kind', 'parameter_set',
    'parameterSetId', s.parameter_set_id, 'recordCount', s.record_count,
    'fieldNames', to_jsonb(s.field_names)))
  from parameter_set s where s.job_id = job.job_id;
alter table parameter_set drop column job_id;
update job set spec = jsonb_set(jsonb_set(spec, '{project}', '"default"'), '{retry,signals}', '[]');
update job set spec = jsonb_set(spec, '{after}', (
  select coalesce(jsonb_agg(one || '{"each": false}'), '[]') from jsonb_array_elements(spec->'after') as one));

-- Tasks are kept by position from 0, not by the index the user wrote.
create function pg_temp.position_of(job_spec jsonb, task_index integer) returns integer
language sql as $$
  with range as (
    select (one->>'from')::integer as first, (one->>'to')::integer as last,
      (one->>'step')::integer as step
    from jsonb_array_elements(job_spec->'array'->'ranges') as one)
  select coalesce((
    select (task_index - first) / step + (
      select coalesce(sum((b.last - b.first) / b.step + 1), 0) from range b where b.last < task_index)
    from range where task_index between first and last), task_index)::integer
$$;
alter table task drop constraint task_pkey;
alter table attempt drop constraint attempt_pkey;
alter table artifact drop constraint artifact_pkey;
drop index transition_task;
alter table transition drop constraint transition_pkey;
alter table task rename column task_index to position;
alter table attempt rename column task_index to position;
alter table artifact rename column task_index to position;
alter table transition rename column task_index to position;
update task set position = pg_temp.position_of(spec, position) from job where job.job_id = task.job_id;
update attempt set position = pg_temp.position_of(spec, position) from job where job.job_id = attempt.job_id;
update artifact set position = pg_temp.position_of(spec, position) from job where job.job_id = artifact.job_id;
update transition set position = pg_temp.position_of(spec, position) from job where job.job_id = transition.job_id;
alter table task add primary key (job_id, position);
alter table attempt add primary key (job_id, position, attempt_number);
alter table artifact add primary key (job_id, position, attempt_number, role, path);
-- By job for its event stream; by task for its history.
alter table transition add primary key (job_id, sequence);
create index transition_task on transition (job_id, position);

alter table task
  add column since_ms bigint not null default 0,
  add column is_cancelling boolean not null default false;
drop index task_open;
create index task_held on task (job_id) where state in ('leased', 'starting', 'running');
create index task_queued on task (job_id, not_before_ms, position) where state = 'queued';
drop index task_failed;
create index task_failed on task (job_id, reason, exit_code, position) where state = 'failed';

alter table attempt
  add column queued_at_ms bigint,
  add column waited_for text not null default '';
update attempt set queued_at_ms = leased_at_ms;
alter table attempt alter column queued_at_ms set not null;
drop index attempt_open;

-- One row: where the engine's numbering stands.
create table engine_state (
  is_only boolean primary key default true check (is_only),
  last_sequence bigint not null
);
insert into engine_state (last_sequence) select coalesce(max(sequence), 0) from transition;
