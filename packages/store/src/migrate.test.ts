import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { TestPostgres } from '@majorana/testing';
import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { listExecutions } from './executions.ts';
import { DatabaseTooNewError } from './migrate.ts';
import { PostgresStore } from './postgres-store.ts';
import { Reads } from './reads.ts';
import { StepResults } from './step-results.ts';
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

/** A database of its own that a release with so many migrations left. */
async function databaseAt(count: number, name: string): Promise<{ pool: pg.Pool; url: string }> {
  const administrator = new pg.Client(postgres.url);
  await administrator.connect();
  await administrator.query(`create database ${name}`);
  await administrator.end();
  const url = Object.assign(new URL(postgres.url), { pathname: `/${name}` }).href;
  const pool = new pg.Pool({ connectionString: url });
  const files = await readdir(new URL('../migrations/', import.meta.url));
  await pool.query('create table migration (number integer primary key, sha256 text not null)');
  for (const [at, file] of files.toSorted().slice(0, count).entries()) {
    await pool.query(await sqlOf(file.replace('.sql', '')));
    await pool.query(`insert into migration values ($1, 'x')`, [at + 1]);
  }
  return { pool, url };
}

test('a run whose steps were one text keeps them, each in a row', async () => {
  const { pool, url } = await databaseAt(3, 'with_runs');
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

const keyOf = (text: string): string => createHash('sha256').update(text).digest('hex');

/** Elements and results as rows: fan-out 1 of 301 has run, 2 has found one of it; 3 is no fan-out. */
async function layOutElements(pool: pg.Pool): Promise<void> {
  const template = JSON.stringify({ argv: ['x'], tools: {} });
  await pool.query(`insert into project values ('other')`);
  await pool.query(
    `insert into parameter_set (record_count, field_names) values (300, '{index,line}')`,
  );
  await pool.query(`insert into job (job_id, spec, parameter_set_id, task_count, next_position,
      untouched_state, counts, submitted_at_ms, row_count, untouched_since_ms)
    values (1, '{}', 1, 300, 300, 'queued', '{}', 1, 300, 1)`);
  await pool.query(`insert into workflow_run (project, name, user_name, round, status, created_at_ms)
    values ('default', 'w', 'u', 1, 'running', 1)`);
  for (const [path, isFanOut, elements, reused, jobId] of [
    ['all', true, 301, 0, 1],
    ['later', true, 3, 1, null],
    ['one', false, 1, 0, null],
  ]) {
    await pool.query(
      `insert into workflow_instance (run_id, round, path, step_name, template, is_fan_out,
         element_count, reused_count, job_id, created_at_ms)
       values (1, 1, $1, 'step', $2, $3, $4, $5, $6, 5)`,
      [path, template, isFanOut, elements, reused, jobId],
    );
  }
  const element = (instanceId: number, position: number, line: string, at: number | null) =>
    pool.query('insert into workflow_element values ($1, $2, $3, $4, $5)', [
      instanceId,
      position,
      keyOf(line),
      JSON.stringify({ index: `${position}`, line }),
      at,
    ]);
  for (let at = 0; at < 300; at += 1) await element(1, at, `l${at}`, at);
  await element(1, 300, 'l7', 7);
  await element(2, 0, 'l299', null);
  await element(2, 1, 'new', 0);
  await element(2, 2, 'new', 0);
  await element(3, 0, 'alone', 0);
  for (const [project, line, position] of [
    ['default', 'l7', 7],
    ['default', 'l299', 299],
    ['other', 'l7', 7],
  ] as const) {
    const outputs = JSON.stringify([
      { path: 'out', object: keyOf(`file of ${line}`), sizeBytes: 3 },
    ]);
    await pool.query(`insert into step_result values ($1, $2, 'step', $3, 1, $4, 2, $5)`, [
      project,
      keyOf(line),
      outputs,
      position,
      position,
    ]);
  }
}

test('elements and results that had a row each are found in blocks', async () => {
  const { pool, url } = await databaseAt(7, 'with_elements');
  await layOutElements(pool);
  await pool.end();
  await using store = new PostgresStore(url);
  await store.load(10);
  const results = new StepResults(store.pool);
  const file = (line: string, position: number): object => ({
    path: 'out',
    object: keyOf(`file of ${line}`),
    sizeBytes: 3,
    position,
  });
  const all = (await results.outputs({ runId: 1, round: 1 }, ['all', 'later'], 'default')).get(
    'all',
  );
  expect(all).toEqual([file('l7', 7), file('l299', 299), file('l7', 300)]);
  const elements = await results.elements(1, 400);
  expect(elements).toHaveLength(301);
  expect(elements[300]).toEqual({
    position: 300,
    jobPosition: 7,
    key: keyOf('l7'),
    fields: { index: '300', line: 'l7' },
  });
  expect((await results.elements(3, 1))[0]!.fields).toEqual({ index: '0', task_count: '1' });
  expect(await results.parametersOf(1)).toMatchObject({ parameterSetId: 1, recordCount: 300 });
  const { parameterSetId, ...set } = await results.parametersOf(2);
  expect(set).toEqual({ recordCount: 1, fieldNames: ['index', 'line'] });
  expect(await store.loadFields(parameterSetId, 0)).toEqual({ index: '1', line: 'new' });
  const reader = { project: 'other', user: 'nobody' };
  const found = await results.reuse(reader, ['l7', 'l299', 'new'].map(keyOf), 9);
  expect(found).toEqual(new Set([keyOf('l7')]));
  expect(await results.origin('default', keyOf('l299'))).toMatchObject({
    runId: 1,
    path: 'all',
    position: 299,
    fields: { line: 'l299' },
  });
  const executions = await listExecutions(
    store.pool,
    { runId: 1, round: 1, project: 'default' },
    { instanceId: 1, position: 300 },
    10,
  );
  expect(executions.map(({ key, isReused, hasResult }) => ({ key, isReused, hasResult }))).toEqual([
    { key: keyOf('l299'), isReused: true, hasResult: true },
    { key: keyOf('new'), isReused: false, hasResult: false },
    { key: keyOf('new'), isReused: false, hasResult: false },
    { key: keyOf('alone'), isReused: false, hasResult: false },
  ]);
});

test('a database that is newer than the program is refused', async () => {
  const pool = new pg.Pool({ connectionString: postgres.url });
  await pool.query(`insert into migration values (9999, 'x')`);
  await pool.end();
  await using store = new PostgresStore(postgres.url);
  await expect(store.load(10)).rejects.toThrow(DatabaseTooNewError);
});
