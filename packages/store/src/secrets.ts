import { randomBytes } from 'node:crypto';
import type pg from 'pg';

/** A random value of the installation: made by whoever asks first, the same for all afterwards. */
export async function readSecret(pool: pg.Pool, name: string): Promise<Buffer> {
  await pool.query('insert into secret values ($1, $2) on conflict do nothing', [
    name,
    randomBytes(32),
  ]);
  const { rows } = await pool.query<{ value: Buffer }>('select value from secret where name = $1', [
    name,
  ]);
  return rows[0]!.value;
}
