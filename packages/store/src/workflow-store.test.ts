import { TestPostgres } from '@majorana/testing';
import pg from 'pg';
import { afterAll, beforeAll } from 'vitest';
import { PostgresStore } from './postgres-store.ts';
import { StepResults } from './step-results.ts';
import { WorkflowRuns } from './workflow-runs.ts';
import { describeWorkflowStore } from './conformance/workflow-store.conformance.ts';

let postgres: TestPostgres;
let databaseCount = 0;
beforeAll(async () => {
  postgres = await TestPostgres.start();
});
afterAll(() => postgres[Symbol.asyncDispose]());

/** One database for each test. */
async function newDatabase(): Promise<string> {
  databaseCount += 1;
  const name = `runs_${databaseCount}`;
  const administrator = new pg.Client(postgres.url);
  await administrator.connect();
  await administrator.query(`create database ${name}`);
  await administrator.end();
  return Object.assign(new URL(postgres.url), { pathname: `/${name}` }).href;
}

describeWorkflowStore('runs in PostgreSQL', async () => {
  const engine = new PostgresStore(await newDatabase());
  const runs = new WorkflowRuns(engine.pool);
  return {
    runs,
    results: new StepResults(engine.pool),
    engine,
    create: async (run) => (await runs.create(run, 0)).runId,
    [Symbol.asyncDispose]: () => engine[Symbol.asyncDispose](),
  };
});
