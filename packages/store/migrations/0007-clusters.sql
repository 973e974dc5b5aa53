-- A cluster by the name of its agent: what the platform engineer decided, and who speaks for it.
create table cluster (
  name text primary key,
  state text not null check (state in ('active', 'cordoned', 'draining', 'removed')),
  since_ms bigint not null,
  -- Of a drain: when what still runs is ended.
  ends_at_ms bigint,
  -- Of the one agent of this name that acts; null: the next that asks.
  session_id text
);

-- An agent's token may exchange with the control plane, under the name of its user, and no more.
alter table api_token drop constraint api_token_role_check;
alter table api_token add constraint api_token_role_check
  check (role in ('viewer', 'member', 'operator', 'admin', 'agent'));
