-- How long a cluster's agent may be silent before what it holds is run elsewhere. The default is
-- what a cut of an hour needs, with time to come back.
alter table cluster add column lease_ttl_ms bigint not null default 5400000;
