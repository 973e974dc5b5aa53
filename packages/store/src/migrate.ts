import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import type { PoolClient } from 'pg';

const folder = new URL('../migrations/', import.meta.url);

export class DatabaseTooNewError extends Error {
  override name = 'DatabaseTooNewError';
  readonly code = 'database_too_new';
}

/** Two servers that start together must not both migrate; any constant does. */
const MIGRATION_LOCK = 7_245_001;

/** Applies the numbered migrations that the database lacks, each once, in one transaction. */
export async function migrate(client: PoolClient): Promise<void> {
  const files = (await readdir(folder)).filter((file) => file.endsWith('.sql')).toSorted();
  await client.query('begin');
  try {
    await client.query('select pg_advisory_xact_lock($1)', [MIGRATION_LOCK]);
    await client.query(
      'create table if not exists migration (number integer primary key, sha256 text not null)',
    );
    const { rows } = await client.query<{ last: number }>(
      'select coalesce(max(number), 0) as last from migration',
    );
    const last = rows[0]?.last ?? 0;
    if (last > files.length) {
      throw new DatabaseTooNewError(
        `the database is at migration ${last}, this program knows ${files.length}: use a newer majorana`,
      );
    }
    for (const file of files.slice(last)) {
      const sql = await readFile(new URL(file, folder), 'utf8');
      await client.query(sql);
      const sha256 = createHash('sha256').update(sql).digest('hex');
      await client.query('insert into migration values ($1, $2)', [
        Number(file.slice(0, 4)),
        sha256,
      ]);
    }
    await client.query('commit');
  } catch (error) {
    await client.query('rollback');
    throw error;
  }
}
