import type pg from 'pg';

/** Closing the session rolls back, also when the connection is what failed. */
export async function inTransaction<R>(
  pool: pg.Pool,
  act: (client: pg.PoolClient) => Promise<R>,
): Promise<R> {
  const client = await pool.connect();
  try {
    await client.query('begin');
    const answer = await act(client);
    await client.query('commit');
    client.release();
    return answer;
  } catch (error) {
    client.release(true);
    throw error;
  }
}
