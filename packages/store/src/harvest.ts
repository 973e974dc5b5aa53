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

const harvestPart = (onConflict: string): string => `
  with element as (
    select distinct on (e.job_position) e.* from element_block b cross join ${elementsOfBlock}
    where b.instance_id = $1 and b.first_position >= $6 and b.first_position < $7
      and e.job_position >= $8 order by e.job_position, e.position),
  done as (
    select position, attempt_number from task
    where job_id = $2 and position >= $8 and position < $9 and state = 'succeeded'),
  file as (
    select position, attempt_number,
      json_agg(json_build_object('path', path, 'object', object, 'sizeBytes', size_bytes)
        order by path) as outputs
    from artifact
    where job_id = $2 and position >= $8 and position < $9 and role = 'output'
    group by position, attempt_number),
  stored as materialized (
    select ${blockStart('element.position')} as first_position, array_agg(key) as keys,
      array_agg(element.position) as positions,
      json_object_agg(element.position, coalesce(file.outputs, '[]')) as outputs
    from element join done on done.position = element.job_position
      left join file on file.position = done.position
        and file.attempt_number = done.attempt_number
    group by 1),
  block as (
    insert into result_block (project, instance_id, first_position, step_name, outputs,
      created_at_ms, used_at_ms)
    select $3, $1, first_position, $4, outputs, $5::bigint, $5::bigint from stored
    on conflict (instance_id, first_position, project) do update
      set outputs = excluded.outputs, used_at_ms = excluded.used_at_ms)
  insert into step_result (key, project, instance_id, position)
  select key, $3, $1, position from stored, unnest(keys, positions) as one(key, position)
  order by key ${onConflict}`;
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
  readonly outputs: Readonly<Record<string, readonly StoredFile[]>>;
}

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
    `select instance_id as "instanceId", outputs
     from unnest($2::int[], $3::int[]) as wanted(instance_id, first_position)
       join result_block using (instance_id, first_position) where project = $1`,
    [project, wanted.map((one) => one.instanceId), wanted.map(({ first }) => first)],
  );
  const found = new Map<string, readonly StoredFile[]>();
  for (const { instanceId, outputs } of rows) {
    for (const [position, files] of Object.entries(outputs)) {
      found.set(`${instanceId} ${position}`, files);
    }
  }
  return ({ instanceId, position }) => found.get(`${instanceId} ${position}`) ?? [];
}
