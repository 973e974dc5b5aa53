import type { TaskFields, Template } from '@majorana/core';
import { elementFields } from '@majorana/core';
import type pg from 'pg';
import { BlockReader, writeRecords } from './parameter-sets.ts';

/** Elements in one row. The migrations say it too: it cannot be changed without moving rows. */
const BLOCK_ELEMENTS = 256;
/** Blocks in one statement. */
const BATCH_BLOCKS = 20;

export interface InstanceRecord {
  readonly instanceId: number;
  readonly runId: number;
  readonly round: number;
  readonly path: string;
  readonly stepName: string;
  readonly template: Template;
  readonly isFanOut: boolean;
  readonly elementCount: number;
  readonly reusedCount: number;
  readonly jobId: number | null;
  readonly createdAtMs: number;
}
export interface ElementRecord {
  readonly position: number;
  readonly key: string;
  readonly fields: TaskFields;
  readonly jobPosition: number | null;
}
export type NewInstance = Pick<
  InstanceRecord,
  'runId' | 'round' | 'path' | 'stepName' | 'template' | 'isFanOut' | 'reusedCount'
>;
export interface NewElement {
  readonly key: string;
  readonly fields: TaskFields;
  /** Null: its result is there. Equal elements have one place in the job. */
  readonly jobPosition: number | null;
}

export const instanceFields = `instance_id as "instanceId", run_id as "runId", round, path,
  step_name as "stepName", template, is_fan_out as "isFanOut", element_count as "elementCount",
  reused_count as "reusedCount", job_id as "jobId", created_at_ms as "createdAtMs"`;

/** The first position of the block that a position is in. */
export const blockStart = (position: string): string =>
  `${position} / ${BLOCK_ELEMENTS} * ${BLOCK_ELEMENTS}`;
export const blockStartOf = (position: number): number => position - (position % BLOCK_ELEMENTS);

/** To join to blocks `b`: their elements, as rows `e`. */
export const elementsOfBlock = `lateral (
  select b.first_position + place::int - 1 as position, key, job_position
  from unnest(b.keys, b.job_positions) with ordinality as one(key, job_position, place)) e`;

/** Keys as an array of PostgreSQL's: a driver's array of buffers costs three times as much. */
export const keysLiteral = (keys: readonly string[]): string =>
  keys.length === 0 ? '{}' : `{"\\\\x${keys.join('","\\\\x')}"}`;

function blocksOf(elements: readonly NewElement[]): object[] {
  const count = Math.ceil(elements.length / BLOCK_ELEMENTS);
  return Array.from({ length: count }, (_, at) => {
    const firstPosition = at * BLOCK_ELEMENTS;
    const some = elements.slice(firstPosition, firstPosition + BLOCK_ELEMENTS);
    return {
      firstPosition,
      keys: some.map(({ key }) => `\\x${key}`),
      jobPositions: some.map(({ jobPosition }) => jobPosition),
    };
  });
}

async function writeFields(
  client: pg.PoolClient,
  elements: readonly NewElement[],
): Promise<number | null> {
  const [first] = elements;
  if (first === undefined) return null;
  const records = function* (): Generator<string> {
    for (const { fields } of elements) yield JSON.stringify(fields);
  };
  const description = { recordCount: elements.length, fieldNames: Object.keys(first.fields) };
  return (await writeRecords(client, records(), () => description)).parameterSetId;
}

/** The fields of all, and of those that are run: they are one set when these are the same. */
async function writeSets(
  client: pg.PoolClient,
  elements: readonly NewElement[],
): Promise<{ ofAll: number | null; ofJob: number | null }> {
  const ofAll = await writeFields(client, elements);
  if (elements.every(({ jobPosition }, at) => jobPosition === at)) return { ofAll, ofJob: ofAll };
  const run: NewElement[] = [];
  for (const element of elements) {
    if (element.jobPosition !== null) run[element.jobPosition] ??= element;
  }
  return { ofAll, ofJob: await writeFields(client, run) };
}

export async function insertInstance(
  client: pg.PoolClient,
  instance: NewInstance,
  elements: readonly NewElement[],
  nowMs: number,
): Promise<void> {
  const { runId, round, path, stepName, template, isFanOut, reusedCount } = instance;
  const sets = isFanOut ? await writeSets(client, elements) : { ofAll: null, ofJob: null };
  const { rows } = await client.query<{ id: number }>(
    `insert into workflow_instance (run_id, round, path, step_name, template, is_fan_out,
       element_count, reused_count, created_at_ms, parameter_set_id, job_parameter_set_id)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) returning instance_id as id`,
    [
      runId,
      round,
      path,
      stepName,
      JSON.stringify(template),
      isFanOut,
      elements.length,
      reusedCount,
      nowMs,
      sets.ofAll,
      sets.ofJob,
    ],
  );
  const blocks = blocksOf(elements);
  for (let at = 0; at < blocks.length; at += BATCH_BLOCKS) {
    await client.query(
      `insert into element_block (instance_id, first_position, keys, job_positions)
       select $1, r."firstPosition", r.keys, r."jobPositions" from json_to_recordset($2::json)
         as r("firstPosition" int, keys bytea[], "jobPositions" int[])`,
      [rows[0]!.id, JSON.stringify(blocks.slice(at, at + BATCH_BLOCKS))],
    );
  }
}

/** Where the fields of an element are. */
export interface FieldsPlace {
  /** Null: its step is no fan-out. */
  readonly parameterSetId: number | null;
  readonly position: number;
}

/** Reads the fields of elements, a block of them at a time. */
export class FieldsReader {
  readonly #blocks: BlockReader;

  constructor(pool: pg.Pool) {
    this.#blocks = new BlockReader(pool);
  }

  /** Rows with the fields of their elements; those of one set best stand together. */
  async fill<R extends FieldsPlace>(
    rows: readonly R[],
  ): Promise<(Omit<R, 'parameterSetId'> & { readonly fields: TaskFields })[]> {
    const filled = [];
    for (const { parameterSetId, ...row } of rows) {
      const fields =
        parameterSetId === null
          ? elementFields({}, 0, 1)
          : await this.#blocks.fieldsOf(parameterSetId, row.position);
      filled.push({ ...row, fields });
    }
    return filled;
  }
}
