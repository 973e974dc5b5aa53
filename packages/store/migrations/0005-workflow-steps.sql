-- A row for each step: one that changes is written alone. Whole, 10,000 steps are 2 MB each time.
create table workflow_step (
  run_id integer not null,
  round integer not null,
  path text not null,
  state json not null,
  primary key (run_id, round, path),
  foreign key (run_id, round) references workflow_round on delete cascade
);
insert into workflow_step (run_id, round, path, state)
  select run_id, round, step.key, step.value from workflow_round, json_each(state->'steps') step;

alter table workflow_round add column status text;
update workflow_round set status = state->>'status';
alter table workflow_round alter column status set not null;
alter table workflow_round drop column state;

-- A result is looked for in all projects that a run's user may read.
alter table step_result drop constraint step_result_pkey;
alter table step_result add primary key (key, project);

-- Whose step a job runs.
create index workflow_instance_job on workflow_instance (job_id) where job_id is not null;
