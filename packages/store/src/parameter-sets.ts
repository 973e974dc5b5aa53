import type { Pool, PoolClient } from 'pg';
import { inTransaction } from './transaction.ts';

/** Records in one row: 256 short ones are about 20 kB, one page of TOAST or two. */
export const BLOCK_RECORDS_MAX = 256;
const BLOCK_CHARACTERS_MAX = 65_536;
/** Blocks in one statement. */
const BATCH_BLOCKS = 32;

export interface ParameterSetRecord {
  readonly parameterSetId: number;
  readonly recordCount: number;
  readonly fieldNames: readonly string[];
}

interface Block {
  readonly firstPosition: number;
  readonly records: string;
}

/** Cuts a stream of JSON texts into blocks. */
async function* blocksOf(records: AsyncIterable<string> | Iterable<string>): AsyncGenerator<Block> {
  let lines: string[] = [];
  let characters = 0;
  let firstPosition = 0;
  for await (const record of records) {
    lines.push(record);
    characters += record.length;
    if (lines.length < BLOCK_RECORDS_MAX && characters < BLOCK_CHARACTERS_MAX) continue;
    yield { firstPosition, records: `[${lines.join(',')}]` };
    firstPosition += lines.length;
    lines = [];
    characters = 0;
  }
  if (lines.length > 0) yield { firstPosition, records: `[${lines.join(',')}]` };
}

/** A parameter for each text: in an array every quote of theirs is escaped, sent and read twice. */
async function writeBlocks(client: PoolClient, setId: number, blocks: Block[]): Promise<void> {
  const rows = blocks.map((_, at) => `($1::int, $${2 * at + 2}::int, $${2 * at + 3}::text)`);
  await client.query(
    `insert into parameter_block (parameter_set_id, first_position, records)
     values ${rows.join(', ')}`,
    [setId, ...blocks.flatMap(({ firstPosition, records }) => [firstPosition, records])],
  );
}

/**
 * Writes a set in the transaction that is open. `records` are JSON objects as text, checked by the
 * caller, who knows the names of their fields and their number when all were read.
 */
export async function writeRecords(
  client: PoolClient,
  records: AsyncIterable<string> | Iterable<string>,
  describe: () => { readonly recordCount: number; readonly fieldNames: readonly string[] },
): Promise<ParameterSetRecord> {
  const { rows } = await client.query<{ id: number }>(
    `insert into parameter_set (record_count, field_names) values (0, '{}')
     returning parameter_set_id as id`,
  );
  const parameterSetId = rows[0]!.id;
  let batch: Block[] = [];
  for await (const block of blocksOf(records)) {
    batch.push(block);
    if (batch.length < BATCH_BLOCKS) continue;
    await writeBlocks(client, parameterSetId, batch);
    batch = [];
  }
  if (batch.length > 0) await writeBlocks(client, parameterSetId, batch);
  const { recordCount, fieldNames } = describe();
  await client.query(
    'update parameter_set set record_count = $2, field_names = $3 where parameter_set_id = $1',
    [parameterSetId, recordCount, fieldNames],
  );
  return { parameterSetId, recordCount, fieldNames };
}

/** Keeps a set whole or not at all, see `writeRecords`. */
export function writeParameterSet(
  pool: Pool,
  records: AsyncIterable<string>,
  describe: () => { readonly recordCount: number; readonly fieldNames: readonly string[] },
): Promise<ParameterSetRecord> {
  return inTransaction(pool, (client) => writeRecords(client, records, describe));
}

export async function readParameterSet(
  pool: Pool,
  parameterSetId: number,
): Promise<ParameterSetRecord | undefined> {
  const { rows } = await pool.query<ParameterSetRecord>(
    `select parameter_set_id as "parameterSetId", record_count as "recordCount",
     field_names as "fieldNames" from parameter_set where parameter_set_id = $1`,
    [parameterSetId],
  );
  return rows[0];
}

const asText = (value: unknown): string =>
  typeof value === 'string' ? value : JSON.stringify(value);

/** A block as it is used: its records as text fields. */
interface ReadBlock {
  readonly firstPosition: number;
  readonly records: readonly Record<string, string>[];
}

/** The block with a position; refused when there is no such record. */
export async function readBlock(
  pool: Pool,
  parameterSetId: number,
  position: number,
): Promise<ReadBlock> {
  const { rows } = await pool.query<Block>(
    `select first_position as "firstPosition", records from parameter_block
     where parameter_set_id = $1 and first_position <= $2
     order by first_position desc limit 1`,
    [parameterSetId, position],
  );
  const block = rows[0];
  const records = JSON.parse(block?.records ?? '[]') as Record<string, unknown>[];
  if (block === undefined || records[position - block.firstPosition] === undefined)
    throw new Error(`parameter set ${parameterSetId} has no ${position}`);
  return {
    firstPosition: block.firstPosition,
    records: records.map((record) =>
      Object.fromEntries(Object.entries(record).map(([name, value]) => [name, asText(value)])),
    ),
  };
}

/** Sets whose last block is kept: as many arrays may be leased by turns. */
const KEPT_SETS = 16;

/**
 * Reads records one by one. Tasks are leased in order and many at once: the block read last nearly
 * always has the next record too, and who asks while it is being read waits for it. Without that
 * each of 250 leases read and parsed the same 256 records, a quarter of all the server did.
 */
export class BlockReader {
  readonly #pool: Pool;
  readonly #blocks = new Map<number, ReadBlock>();
  readonly #reading = new Map<number, Promise<ReadBlock>>();

  constructor(pool: Pool) {
    this.#pool = pool;
  }

  async fieldsOf(parameterSetId: number, position: number): Promise<Record<string, string>> {
    for (;;) {
      const known = this.#blocks.get(parameterSetId);
      const fields = known?.records[position - known.firstPosition];
      if (fields !== undefined) return fields;
      const reading = this.#reading.get(parameterSetId);
      // What fails for another record is no answer to this one.
      if (reading === undefined) await this.#read(parameterSetId, position);
      else await reading.catch(() => undefined);
    }
  }

  async #read(parameterSetId: number, position: number): Promise<void> {
    const reading = readBlock(this.#pool, parameterSetId, position);
    this.#reading.set(parameterSetId, reading);
    try {
      const block = await reading;
      this.#blocks.delete(parameterSetId);
      this.#blocks.set(parameterSetId, block);
      const [oldest] = this.#blocks.keys();
      if (this.#blocks.size > KEPT_SETS) this.#blocks.delete(oldest!);
    } finally {
      this.#reading.delete(parameterSetId);
    }
  }
}
