import { TestPostgres } from '@majorana/testing';
import pg from 'pg';
import { afterAll, beforeAll } from 'vitest';
import {
  artifactColumns,
  attemptColumns,
  selectList,
  taskColumns,
  transitionColumns,
} from './columns.ts';
import type { StoreUnderTest } from './conformance/ground.ts';
import { describeEngineStore } from './conformance/engine-store.conformance.ts';
import type { EngineStore } from './engine-store.ts';
import { writeParameterSet } from './parameter-sets.ts';
import { PostgresStore } from './postgres-store.ts';

let postgres: TestPostgres;
let administrator: pg.Client;
let databaseCount = 0;

beforeAll(async () => {
  postgres = await TestPostgres.start();
  administrator = new pg.Client(postgres.url);
  await administrator.connect();
});
afterAll(async () => {
  await administrator.end();
  await postgres[Symbol.asyncDispose]();
});

/** One database for each test: every process's handle has a pool of its own on it. */
class PostgresUnderTest implements StoreUnderTest {
  readonly #url: string;
  readonly #open = new Set<PostgresStore>();

  constructor(url: string) {
    this.#url = url;
  }

  connect(): PostgresStore {
    const store = new PostgresStore(this.#url);
    this.#open.add(store);
    return store;
  }

  async disconnect(store: EngineStore): Promise<void> {
    if (!(store instanceof PostgresStore) || !this.#open.delete(store)) return;
    await store[Symbol.asyncDispose]();
  }

  async addProject(name: string): Promise<void> {
    await this.#query('insert into project values ($1)', [name]);
  }

  async addParameterSet(records: readonly Readonly<Record<string, string>>[]): Promise<number> {
    const lines = async function* (): AsyncGenerator<string> {
      for (const record of records) yield JSON.stringify(record);
    };
    const { pool } = this.#any();
    const written = await writeParameterSet(pool, lines(), () => ({
      recordCount: records.length,
      fieldNames: Object.keys(records[0]!),
    }));
    return written.parameterSetId;
  }

  readTasks: StoreUnderTest['readTasks'] = (jobId) =>
    this.#query(
      `select ${selectList(taskColumns, 'task')} from task where job_id = $1 order by position`,
      [jobId],
    );

  readAttempts: StoreUnderTest['readAttempts'] = (jobId) =>
    this.#query(
      `select ${selectList(attemptColumns, 'attempt')} from attempt where job_id = $1
       order by position, attempt_number`,
      [jobId],
    );

  readArtifacts: StoreUnderTest['readArtifacts'] = (jobId) =>
    this.#query(
      `select ${selectList(artifactColumns, 'artifact')} from artifact where job_id = $1
       order by position, attempt_number, path`,
      [jobId],
    );

  readTransitions: StoreUnderTest['readTransitions'] = (jobId) =>
    this.#query(
      `select ${selectList(transitionColumns, 'transition')} from transition where job_id = $1
       order by sequence`,
      [jobId],
    );

  async [Symbol.asyncDispose](): Promise<void> {
    for (const store of this.#open) await this.disconnect(store);
  }

  #any(): PostgresStore {
    return [...this.#open][0]!;
  }

  async #query<R extends pg.QueryResultRow>(sql: string, values: readonly unknown[]): Promise<R[]> {
    return (await this.#any().pool.query<R>(sql, [...values])).rows;
  }
}

describeEngineStore('the store in PostgreSQL', async () => {
  databaseCount += 1;
  const name = `conformance_${databaseCount}`;
  await administrator.query(`create database ${name}`);
  const url = new URL(postgres.url);
  url.pathname = `/${name}`;
  return new PostgresUnderTest(url.href);
});
