import { readFile } from 'node:fs/promises';
import { TestPostgres } from '@majorana/testing';
import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { DatabaseTooNewError } from './migrate.ts';
import { PostgresStore } from './postgres-store.ts';
import { Reads } from './reads.ts';
import { WorkflowRuns } from './workflow-runs.ts';

let postgres: TestPostgres;
beforeAll(async () => {
  postgres = await TestPostgres.start();
});
afterAll(() => postgres[Symbol.asyncDispose]());

const sqlOf = (name: string): Promise<string> =>
  readFile(new URL(`../migrations/${name}.sql`, import.meta.url), 'utf8');
const first = await sqlOf('0001-foundation');

/** A database as the first release left it: a range with steps, and records in the spec. */
async function layOut(pool: pg.Pool): Promise<void> {
  await pool.query(first);
  await pool.query('create table migration (number integer primary key, sha256 text not null)');
  await pool.query(`insert into migration values (1, 'x')`);
  const retry = { limit: 0 };
  const spec = (array: object): string =>
    JSON.stringify({ argv: ['x'], queue: 'q', array, retry, after: [{ jobId: 9, on: 'ok' }] });
  const ranges = [
    { from: 1, to: 3, step: 1 },
    { from: 10, to: 20, step: 5 },
  ];
  const records = [
    { t: '1', m: 'a' },
    { t: '2', m: 'b' },
  ];
  const insert = `insert into job values ($1, $2, $3, $4, 'queued', '{}', null, 5, null)`;
  await pool.query(insert, [1, spec({ kind: 'range', ranges }), 6, 6]);
  await pool.query(insert, [2, spec({ kind: 'fields', records }), 2, 0]);
  for (const index of [1, 2, 3, 10, 15, 20]) {
    await pool.query(`insert into task values (1, $1, 'succeeded', 1, 0, 1, 0, 'a', '', 0);`, [
      index,
    ]);
    await pool.query(`insert into transition values ($1, 1, $2, 7, 'queued', 'leased', 1, '')`, [
      index,
      index,
    ]);
  }
}

test('a database of the first release keeps its tasks, by position, and its records', async () => {
  const pool = new pg.Pool({ connectionString: postgres.url });
  await layOut(pool);
  await pool.end();
  await using store = new PostgresStore(postgres.url);
  const hot = await store.load(10);
  expect(hot.lastSequence).toBe(20);
  const reads = new Reads(store.pool);
  const job = await reads.job(1);
  const tasks = await reads.tasks(job!, 0, 10);
  expect(tasks.map(({ task }) => task?.position)).toEqual([0, 1, 2, 3, 4, 5]);
  const records = await reads.job(2);
  expect(records!.spec.array).toMatchObject({ kind: 'parameter_set', fieldNames: ['m', 't'] });
  const { parameterSetId } = records!.spec.array as { parameterSetId: number };
  expect(await store.loadFields(parameterSetId, 1)).toEqual({ t: '2', m: 'b' });
  expect(records!.spec.after).toEqual([{ jobId: 9, on: 'ok', each: false }]);
});

test('a run whose steps were one text keeps them, each in a row', async () => {
  const administrator = new pg.Client(postgres.url);
  await administrator.connect();
  await administrator.query('create database with_runs');
  await administrator.end();
  const url = Object.assign(new URL(postgres.url), { pathname: '/with_runs' }).href;
  const pool = new pg.Pool({ connectionString: url });
  for (const name of ['0001-foundation', '0002-positions-and-parameter-sets', '0003-workflows']) {
    await pool.query(await sqlOf(name));
  }
  await pool.query('create table migration (number integer primary key, sha256 text not null)');
  await pool.query(`insert into migration values (1, 'x'), (2, 'x'), (3, 'x')`);
  const step = { status: 'preparing', startedAtMs: 1, sinceMs: 2 };
  const state = { status: 'running', steps: { a: step, 'rounds[2].b': step } };
  await pool.query(`insert into workflow_run (project, name, user_name, round, status, created_at_ms)
    values ('default', 'w', 'u', 1, 'running', 1)`);
  await pool.query(
    `insert into workflow_round (run_id, round, definition, inputs, state, version, started_at_ms)
     values (1, 1, '{}', '{}', $1, 3, 1)`,
    [JSON.stringify(state)],
  );
  await pool.end();
  await using store = new PostgresStore(url);
  await store.load(10);
  expect(await new WorkflowRuns(store.pool).latestRound(1)).toMatchObject({ state, version: 3 });
});

test('a database that is newer than the program is refused', async () => {
  const pool = new pg.Pool({ connectionString: postgres.url });
  await pool.query(`insert into migration values (9999, 'x')`);
  await pool.end();
  await using store = new PostgresStore(postgres.url);
  await expect(store.load(10)).rejects.toThrow(DatabaseTooNewError);
});
