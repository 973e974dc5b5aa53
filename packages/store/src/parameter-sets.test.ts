import { TestPostgres } from '@majorana/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { BlockReader, writeParameterSet } from './parameter-sets.ts';
import { PostgresStore } from './postgres-store.ts';

const RECORDS = 600;

let postgres: TestPostgres;
let store: PostgresStore;
let setIds: number[];
beforeAll(async () => {
  postgres = await TestPostgres.start();
  store = new PostgresStore(postgres.url);
  await store.becomeWriter();
  setIds = [await write('a'), await write('b')];
});
afterAll(async () => {
  await store[Symbol.asyncDispose]();
  await postgres[Symbol.asyncDispose]();
});

async function write(name: string): Promise<number> {
  async function* lines(): AsyncGenerator<string> {
    for (let at = 0; at < RECORDS; at += 1) yield JSON.stringify({ text: `${name}${at}`, at });
  }
  const described = { recordCount: RECORDS, fieldNames: ['text', 'at'] };
  return (await writeParameterSet(store.pool, lines(), () => described)).parameterSetId;
}

/** Sessions that were taken for what is done: one for each statement. */
async function statementsOf(act: () => Promise<unknown>): Promise<number> {
  let count = 0;
  const onAcquire = (): number => (count += 1);
  store.pool.on('acquire', onAcquire);
  await act();
  store.pool.off('acquire', onAcquire);
  return count;
}

test('records asked for at once are read a block at a time, each by its position', async () => {
  const reader = new BlockReader(store.pool);
  const wanted = setIds.flatMap((setId, set) =>
    Array.from({ length: RECORDS }, (_, at) => ({ setId, at, text: `${'ab'[set]}${at}` })),
  );
  const count = await statementsOf(async () => {
    const found = await Promise.all(wanted.map(({ setId, at }) => reader.fieldsOf(setId, at)));
    expect(found).toEqual(wanted.map(({ text, at }) => ({ text, at: String(at) })));
  });
  // 256 records are a block: three for each set.
  expect(count).toBe(6);
});

test('a record that is not there is refused, and those beside it are answered', async () => {
  const reader = new BlockReader(store.pool);
  const [setId = 0] = setIds;
  const asked = [RECORDS, 3, -1, 4].map((at) => reader.fieldsOf(setId, at));
  const settled = await Promise.allSettled(asked);
  expect(settled.map(({ status }) => status)).toEqual([
    'rejected',
    'fulfilled',
    'rejected',
    'fulfilled',
  ]);
});
