create table dataset (
  dataset_id integer generated always as identity primary key,
  project text not null references project,
  name text not null,
  owner text not null,
  description text not null,
  -- The highest number ever given: that of a removed version is not given again.
  last_version integer not null,
  created_at_ms bigint not null,
  unique (project, name)
);

create table dataset_version (
  version_id integer generated always as identity primary key,
  dataset_id integer not null references dataset on delete cascade,
  version integer not null,
  -- Of the sorted list of paths and objects: equal content has an equal digest.
  digest text not null,
  file_count integer not null,
  size_bytes bigint not null,
  user_name text not null,
  message text not null,
  -- job_3, run_2 or run_2/step; null: files of a person.
  source text,
  created_at_ms bigint not null,
  unique (dataset_id, version)
);

create table dataset_file (
  -- Checked at commit: files are written before the version is numbered.
  version_id integer not null references dataset_version on delete cascade
    deferrable initially deferred,
  path text collate "C" not null,
  object text not null,
  size_bytes bigint not null,
  primary key (version_id, path)
);
create index dataset_file_object on dataset_file (object);

-- Who reads what, drawn from jobs when somebody asks: submitting a job pays nothing for it.
create table lineage_job (job_id integer primary key references job on delete cascade);
create table object_reader (
  job_id integer not null references job on delete cascade,
  object text not null,
  -- First position of the block of parameters that names it; null: the job's own inputs.
  block integer
);
create index object_reader_object on object_reader (object, job_id);
create index object_reader_job on object_reader (job_id);
create table job_reader (
  job_id integer not null references job on delete cascade,
  upstream_job_id integer not null,
  primary key (upstream_job_id, job_id)
);
create index job_reader_job on job_reader (job_id);
