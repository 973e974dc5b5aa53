-- What decides where a task costs least: the price of bringing a gigabyte to a cluster or back, and
-- what a job's tasks have stored, by which later ones and the jobs that take it are judged.
alter table cluster add column data_price_per_gb double precision not null default 0;
alter table job add column output_bytes bigint not null default 0;
