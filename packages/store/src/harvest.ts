import type { StepFile } from '@majorana/core';
import type pg from 'pg';
import type { InstanceRecord } from './elements.ts';
import { blockStart, blockStartOf, elementsOfBlock } from './elements.ts';

/** Elements in one statement, a multiple of a block's: their files fit into 4 MB, PostgreSQL's memory for a join. */
const PART_ELEMENTS = 4096;
const BULK_ELEMENTS = 1000;
const UNIQUE_VIOLATION = '23505';

/** Whose job has ended, and where what it stored become results. */
export interface Harvest {
  readonly instance: InstanceRecord;
  readonly project: string;
}

export interface StoredFile extends Omit<StepFile, 'position'> {
  readonly sizeBytes: number;
}

/** The element that made a result. */
export interface ResultPlace {
  readonly instanceId: number;
  readonly position: number;
}

/** Elements and places of a job that one statement is about. */
interface Part {
  readonly firstPosition: number;
  readonly afterPosition: number;
  /** Places that no element before has: only the first of equal elements makes a result. */
  readonly firstPlace: number;
  readonly afterPlace: number;
}

/** Places are given in the order of elements, so each part of these has a range of those. */
async function partsOf(
  client: pg.PoolClient,
  { instanceId, elementCount }: InstanceRecord,
): Promise<Part[]> {
  if (elementCount <= PART_ELEMENTS) {
    const all = { firstPosition: 0, afterPosition: elementCount };
    return [{ ...all, firstPlace: 0, afterPlace: elementCount }];
  }
  const { rows } = await client.query<{ part: number; lastPlace: number | null }>(
    `select first_position / ${PART_ELEMENTS} as part, max(e.job_position) as "lastPlace"
     from element_block b cross join ${elementsOfBlock}
     where b.instance_id = $1 group by 1 order by 1`,
    [instanceId],
  );
  let firstPlace = 0;
  return rows.map(({ part, lastPlace }) => {
    const firstPosition = part * PART_ELEMENTS;
    const afterPlace = Math.max(firstPlace, (lastPlace ?? -1) + 1);
    const places = { firstPlace, afterPlace };
    firstPlace = afterPlace;
    return { firstPosition, afterPosition: firstPosition + PART_ELEMENTS, ...places };
  });
}

/** A column of the block: of every file there is, in one order. */
const ofFiles = (column: string): string =>
  `coalesce(array_agg(${column}) filter (where artifact.path is not null), '{}')`;

const harvestPart = (onConflict: string): string => `
  with made as materialized (
    select distinct on (e.job_position) e.key, e.position, e.job_position, task.attempt_number
    from element_block b cross join ${elementsOfBlock}
      join task on task.job_id = $2 and task.position = e.job_position
        and task.position >= $8 and task.position < $9 and task.state = 'succeeded'
    where b.instance_id = $1 and b.first_position >= $6 and b.first_position < $7
    order by e.job_position, e.position),
  block as (
    insert into result_block (project, instance_id, first_position, step_name, positions, paths,
      objects, sizes, created_at_ms, used_at_ms)
    select $3, $1, ${blockStart('made.position')} as first_position, $4,
      ${ofFiles('made.position')}, ${ofFiles('path')}, ${ofFiles('object')},
      ${ofFiles('size_bytes')}, $5::bigint, $5::bigint
    from made left join artifact on artifact.job_id = $2 and artifact.position >= $8
      and artifact.position < $9 and role = 'output' and artifact.position = made.job_position
      and artifact.attempt_number = made.attempt_number
    group by first_position
    on conflict (instance_id, first_position, project) do update
      set positions = excluded.positions, paths = excluded.paths, objects = excluded.objects,
        sizes = excluded.sizes, used_at_ms = excluded.used_at_ms)
  insert into step_result (key, project, instance_id, position)
  select key, $3, $1, position from made order by key ${onConflict}`;
const careful = harvestPart('on conflict (key, project) do nothing');
const quick = harvestPart('');

/**
 * Nearly always no key is there yet, and to look for each first takes as long as to insert it. Where
 * another run has made one meanwhile, its result stays.
 */
async function insertQuickly(client: pg.PoolClient, values: unknown[]): Promise<void> {
  await client.query('savepoint quick');
  try {
    await client.query(quick, values);
  } catch (error) {
    if ((error as { code?: string }).code !== UNIQUE_VIOLATION) throw error;
    await client.query('rollback to savepoint quick');
    await client.query(careful, values);
  }
}

/**
 * Results of what a job has stored: a range of its tasks and files at a time, in the order in which
 * they lie. Fresh tables have no statistics, and without them PostgreSQL looked through all of a
 * range for each of its elements.
 */
export async function harvest(
  client: pg.PoolClient,
  { instance, project }: Harvest,
  nowMs: number,
): Promise<void> {
  const { instanceId, jobId, stepName, elementCount } = instance;
  if (jobId === null) return;
  const isBulk = elementCount >= BULK_ELEMENTS;
  if (isBulk) await client.query('set local enable_nestloop = off');
  for (const part of await partsOf(client, instance)) {
    const { firstPosition, afterPosition, firstPlace, afterPlace } = part;
    const range = [firstPosition, afterPosition, firstPlace, afterPlace];
    const values = [instanceId, jobId, project, stepName, nowMs, ...range];
    if (isBulk) await insertQuickly(client, values);
    else await client.query(careful, values);
  }
  if (isBulk) await client.query('set local enable_nestloop = on');
}

interface BlockRow {
  readonly instanceId: number;
  readonly positions: readonly number[];
  readonly paths: readonly string[];
  readonly objects: readonly string[];
  readonly sizes: readonly number[];
}

const byPath = (a: StoredFile, b: StoredFile): number => (a.path < b.path ? -1 : 1);

/** What elements have stored. Whole blocks are read: those of a step are mostly asked for together. */
export async function readOutputs(
  pool: pg.Pool,
  project: string,
  places: readonly ResultPlace[],
): Promise<(place: ResultPlace) => readonly StoredFile[]> {
  const blocks = new Map(
    places.map(({ instanceId, position }) => {
      const first = blockStartOf(position);
      return [`${instanceId} ${first}`, { instanceId, first }];
    }),
  );
  const wanted = [...blocks.values()];
  const { rows } = await pool.query<BlockRow>(
    `select instance_id as "instanceId", positions, paths, objects, sizes::float8[]
     from unnest($2::int[], $3::int[]) as wanted(instance_id, first_position)
       join result_block using (instance_id, first_position) where project = $1`,
    [project, wanted.map((one) => one.instanceId), wanted.map(({ first }) => first)],
  );
  const found = new Map<string, StoredFile[]>();
  for (const { instanceId, positions, paths, objects, sizes } of rows) {
    for (const [at, position] of positions.entries()) {
      const file = { path: paths[at]!, object: objects[at]!, sizeBytes: sizes[at]! };
      const name = `${instanceId} ${position}`;
      const files = found.get(name);
      if (files === undefined) found.set(name, [file]);
      else files.push(file);
    }
  }
  return ({ instanceId, position }) =>
    found.get(`${instanceId} ${position}`)?.toSorted(byPath) ?? [];
}
