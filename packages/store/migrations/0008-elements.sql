-- Elements by blocks of 256: a row for each cost more than all else that a fan-out does.
create table element_block (
  instance_id integer not null references workflow_instance on delete cascade,
  first_position integer not null,
  -- SHA-256; they cannot be compressed.
  keys bytea[] storage external not null,
  -- Of each its place in the job; null: its result was there.
  job_positions integer[] not null,
  primary key (instance_id, first_position)
);

alter table workflow_instance
  -- The fields of its elements, as records; null: it is no fan-out.
  add column parameter_set_id integer references parameter_set,
  -- Of those that its job runs: the same set when it runs all, each in its place.
  add column job_parameter_set_id integer references parameter_set;
create index workflow_instance_parameters on workflow_instance (parameter_set_id)
  where parameter_set_id is not null;
create index workflow_instance_job_parameters on workflow_instance (job_parameter_set_id)
  where job_parameter_set_id is not null;

alter table step_result rename to row_result;
alter table row_result drop constraint step_result_pkey;
drop index step_result_nearest;

-- The element that made the result of a key. Its run may be gone; its block is there.
create table step_result (
  key bytea not null,
  project text not null,
  instance_id integer not null,
  position integer not null,
  primary key (key, project)
);
-- What elements of an instance have stored, by the blocks of their positions; kept as long as a
-- result in it is used.
create table result_block (
  project text not null references project,
  instance_id integer not null,
  first_position integer not null,
  step_name text not null,
  -- Of each file the position of its element, its path, object and size.
  positions integer[] not null,
  paths text[] not null,
  objects text[] not null,
  sizes bigint[] not null,
  created_at_ms bigint not null,
  used_at_ms bigint not null,
  primary key (instance_id, first_position, project)
);
create index result_block_nearest
  on result_block (project, step_name, first_position, created_at_ms);

insert into element_block (instance_id, first_position, keys, job_positions)
  select instance_id, position / 256 * 256, array_agg(decode(key, 'hex') order by position),
    array_agg(job_position order by position)
  from workflow_element group by instance_id, position / 256;

alter table parameter_set add column instance_id integer, add column is_of_job boolean;
insert into parameter_set (record_count, field_names, instance_id, is_of_job)
  select i.element_count, array(select json_object_keys(e.fields)), i.instance_id, false
  from workflow_instance i join workflow_element e using (instance_id)
  where i.is_fan_out and e.position = 0;
insert into parameter_block (parameter_set_id, first_position, records)
  select s.parameter_set_id, position / 256 * 256,
    '[' || string_agg(fields::text, ',' order by position) || ']'
  from parameter_set s join workflow_element using (instance_id)
  group by s.parameter_set_id, position / 256;
-- Of those that were not submitted yet: the others have the set of their job.
insert into parameter_set (record_count, field_names, instance_id, is_of_job)
  select count(distinct e.job_position), s.field_names, s.instance_id, true
  from parameter_set s join workflow_instance i using (instance_id)
    join workflow_element e using (instance_id)
  where i.job_id is null and e.job_position is not null
  group by s.instance_id, s.field_names;
insert into parameter_block (parameter_set_id, first_position, records)
  select parameter_set_id, job_position / 256 * 256,
    '[' || string_agg(fields::text, ',' order by job_position) || ']'
  from (
    select distinct on (s.parameter_set_id, e.job_position) s.parameter_set_id, e.job_position,
      e.fields
    from parameter_set s join workflow_element e using (instance_id)
    where s.is_of_job and e.job_position is not null
    order by s.parameter_set_id, e.job_position, e.position) of_job
  group by parameter_set_id, job_position / 256;
update workflow_instance i set parameter_set_id = s.parameter_set_id
  from parameter_set s where s.instance_id = i.instance_id and not s.is_of_job;
update workflow_instance i set job_parameter_set_id = s.parameter_set_id
  from parameter_set s where s.instance_id = i.instance_id and s.is_of_job;
update workflow_instance i set job_parameter_set_id = job.parameter_set_id
  from job where job.job_id = i.job_id;
alter table parameter_set drop column instance_id, drop column is_of_job;

insert into step_result (key, project, instance_id, position)
  select decode(key, 'hex'), project, instance_id, position from row_result;
insert into result_block (project, instance_id, first_position, step_name, positions, paths,
    objects, sizes, created_at_ms, used_at_ms)
  select project, instance_id, position / 256 * 256, min(step_name),
    coalesce(array_agg(position) filter (where file is not null), '{}'),
    coalesce(array_agg(file->>'path') filter (where file is not null), '{}'),
    coalesce(array_agg(file->>'object') filter (where file is not null), '{}'),
    coalesce(array_agg((file->>'sizeBytes')::bigint) filter (where file is not null), '{}'),
    min(created_at_ms), max(used_at_ms)
  from (
    select distinct on (project, instance_id, position) * from row_result
    order by project, instance_id, position) one
    left join lateral json_array_elements(outputs) file on true
  group by project, instance_id, position / 256;

drop table row_result;
drop table workflow_element;
