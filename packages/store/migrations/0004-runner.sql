-- Random values of this installation, each made once: all its control planes have the same.
create table secret (
  name text primary key,
  value bytea not null
);
