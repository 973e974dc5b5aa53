import type pg from 'pg';
import { blockStartOf, keysLiteral } from './elements.ts';
import type { ResultPlace } from './harvest.ts';

/** Keys in one statement. */
const KEYS = 5000;

/** Whose results a run may use: those of its project, and of all that its user may read. */
export interface Reader {
  readonly project: string;
  readonly user: string;
}

interface Known extends ResultPlace {
  readonly key: string;
  /** Whose result it is; the reader's own comes before those of others. */
  readonly project: string;
}

const blockName = ({ project, instanceId, position }: Omit<Known, 'key'>): string =>
  `${instanceId} ${blockStartOf(position)} ${project}`;

async function find(
  pool: pg.Pool,
  { project, user }: Reader,
  keys: readonly string[],
): Promise<Known[]> {
  const { rows } = await pool.query<Known>(
    `select distinct on (r.key) encode(r.key, 'hex') as key, r.project,
       r.instance_id as "instanceId", r.position
     from step_result r where r.key = any($2::bytea[]) and (r.project = $1 or exists (
       select from api_token t
       where t.user_name = $3 and (t.project is null or t.project = r.project)))
     order by r.key, r.project <> $1, r.instance_id`,
    [project, keysLiteral(keys), user],
  );
  return rows;
}

/**
 * Marks blocks as used by a project, those of others as its own from then on; answers which are
 * there. Who removes unused ones either waits for the lock, or has removed them. The order of the
 * locks is everybody's, so that no two wait for each other.
 */
async function useBlocks(
  pool: pg.Pool,
  project: string,
  known: readonly Known[],
  nowMs: number,
): Promise<ReadonlySet<string>> {
  const blocks = [...new Map(known.map((one) => [blockName(one), one])).values()];
  const { rows } = await pool.query<Omit<Known, 'key'>>(
    `with source as materialized (
       select b.* from unnest($2::text[], $3::int[], $4::int[])
           as one(project, instance_id, first_position)
         join result_block b using (project, instance_id, first_position)
       order by b.instance_id, b.first_position, b.project for update of b),
     own as (
       insert into result_block (project, instance_id, first_position, step_name, positions, paths,
         objects, sizes, created_at_ms, used_at_ms)
       select distinct on (instance_id, first_position) $1, instance_id, first_position,
         step_name, positions, paths, objects, sizes, created_at_ms, $5::bigint from source
       order by instance_id, first_position, project
       on conflict (instance_id, first_position, project)
         do update set used_at_ms = excluded.used_at_ms)
     select project, instance_id as "instanceId", first_position as position from source`,
    [
      project,
      blocks.map((one) => one.project),
      blocks.map(({ instanceId }) => instanceId),
      blocks.map(({ position }) => blockStartOf(position)),
      nowMs,
    ],
  );
  return new Set(rows.map(blockName));
}

/**
 * Which keys have a result. Those found are used anew; what another project has that the user may
 * read at this moment becomes a result of this one too, made by whom it was made by.
 */
export async function findResults(
  pool: pg.Pool,
  reader: Reader,
  keys: readonly string[],
  nowMs: number,
): Promise<Set<string>> {
  const { project } = reader;
  const all = [...new Set(keys)];
  const found = new Set<string>();
  for (let at = 0; at < all.length; at += KEYS) {
    const known = await find(pool, reader, all.slice(at, at + KEYS));
    if (known.length === 0) continue;
    const there = await useBlocks(pool, project, known, nowMs);
    const kept = known.filter((one) => there.has(blockName(one)));
    const shared = kept.filter((one) => one.project !== project);
    if (shared.length > 0) {
      await pool.query(
        `insert into step_result (key, project, instance_id, position)
         select key, $1, instance_id, position
         from unnest($2::bytea[], $3::int[], $4::int[]) as one(key, instance_id, position)
         order by key on conflict (key, project) do nothing`,
        [
          project,
          keysLiteral(shared.map(({ key }) => key)),
          shared.map(({ instanceId }) => instanceId),
          shared.map(({ position }) => position),
        ],
      );
    }
    for (const { key } of kept) found.add(key);
  }
  return found;
}
