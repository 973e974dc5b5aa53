import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import type { DatasetFiles, DatasetPutAnswer, DatasetRemoval } from '@majorana/protocol';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { TestServer } from './test-server.ts';

let server: TestServer;
beforeAll(async () => {
  server = await TestServer.start();
});
afterAll(() => server[Symbol.asyncDispose]());

async function keep(text: string): Promise<string> {
  return (await server.objects.putStream(Readable.from([text]))).object;
}
const lines = (files: Readonly<Record<string, string>>): string =>
  Object.entries(files)
    .map(([path, object]) => JSON.stringify({ path, object, sizeBytes: 0 }))
    .join('\n');

async function put(name: string, files: Readonly<Record<string, string>>, token?: string) {
  return server.call(
    'POST',
    `/datasets/${name}/versions?message=m`,
    lines(files),
    token,
  ) as Promise<{
    status: number;
    body: never;
  }>;
}

test('equal content is the same version, whatever the order; other content is the next', async () => {
  const [a, b] = [await keep('a'), await keep('bb')];
  const first: DatasetPutAnswer = (await put('same', { x: a, 'd/y': b })).body;
  expect(first).toMatchObject({ version: 1, isNew: true, fileCount: 2, sizeBytes: 3 });
  const again: DatasetPutAnswer = (await put('same', { 'd/y': b, x: a })).body;
  expect(again).toMatchObject({ version: 1, isNew: false, digest: first.digest });
  expect((await put('same', { x: b })).body).toMatchObject({ version: 2, isNew: true });
  const diff = await server.call('GET', '/datasets/same/diff?from=1&to=2');
  expect(diff.body).toMatchObject({
    differences: [
      { path: 'd/y', change: 'removed', now: null },
      { path: 'x', change: 'changed', before: a, now: b },
    ],
  });
});

test('versions put at once are numbered one after the other, and none is lost', async () => {
  const objects = await Promise.all(Array.from({ length: 8 }, (_, at) => keep(`once ${at}`)));
  const made = await Promise.all(objects.map((object) => put('once', { x: object })));
  const numbers = made.map(({ body }) => (body as DatasetPutAnswer).version);
  expect(numbers.toSorted((a, b) => a - b)).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
});

test.each([
  ['../x', 'the part ".."'],
  ['/x', 'absolute'],
  ['a//b', 'the part ""'],
  ['a\0b', 'NUL'],
])('the path %j is refused with its reason', async (path, why) => {
  const { status, body } = await put('bad', { [path]: await keep('a') });
  expect(status).toBe(422);
  expect(body).toMatchObject({ title: 'bad_dataset', detail: expect.stringContaining(why) });
});

test('a path twice, a file that is a folder too, and an object that is not there are refused', async () => {
  const a = await keep('a');
  const twice = `${lines({ x: a })}\n${lines({ x: a })}`;
  expect((await server.call('POST', '/datasets/bad/versions', twice)).body).toMatchObject({
    detail: 'x is there twice',
  });
  expect((await put('bad', { x: a, 'x-1': a, 'x/y': a })).body).toMatchObject({
    title: 'bad_dataset',
    detail: 'x is a file, and x/y needs it to be a folder',
  });
  expect(
    (await put('bad', { x: createHash('sha256').update('no').digest('hex') })).body,
  ).toMatchObject({ title: 'no_such_object' });
  expect((await server.call('GET', '/datasets/bad')).status).toBe(404);
});

test('files come in pages, or only those of a folder', async () => {
  const a = await keep('a');
  const names = ['a/1', 'a/2', 'a.txt', 'a0', 'b'];
  await put('paged', Object.fromEntries(names.map((name) => [name, a])));
  const seen: string[] = [];
  for (let cursor: string | null = ''; cursor !== null;) {
    const at = cursor === '' ? '' : `&cursor=${cursor}`;
    const page: DatasetFiles = (await server.call('GET', `/datasets/paged/files?limit=2${at}`))
      .body;
    seen.push(...page.files.map(({ path }) => path));
    cursor = page.next;
  }
  expect(seen).toEqual(['a.txt', 'a/1', 'a/2', 'a0', 'b']);
  const below: DatasetFiles = (await server.call('GET', '/datasets/paged/files?path=a')).body;
  expect(below.files.map(({ path }) => path)).toEqual(['a/1', 'a/2']);
});

test('a removed version frees what nothing else names; its number is not given again', async () => {
  const [own, shared] = [await keep('only here'), await keep('shared')];
  await put('gone', { x: own, y: shared });
  await put('gone', { y: shared });
  const dry = await server.call('DELETE', '/datasets/gone/versions/1?dryRun=true');
  expect(dry.body as DatasetRemoval).toEqual({
    versions: [1],
    objectCount: 2,
    keptCount: 1,
    freedBytes: 9,
  });
  await server.call('DELETE', '/datasets/gone/versions/2');
  await server.call('DELETE', '/datasets/gone/versions/1');
  const used: string[] = [];
  for await (const some of server.retention.usedObjects()) used.push(...some);
  expect(used).not.toContain(own);
  expect((await put('gone', { x: own })).body).toMatchObject({ version: 3, isNew: true });
});

test('a token of one project sees and changes no dataset of another; a viewer changes none', async () => {
  const made = async (role: string, project: string): Promise<string> =>
    ((await server.call('POST', '/tokens', { user: 'u', role, project })).body as { token: string })
      .token;
  const ours = await made('member', 'ours');
  const viewer = await made('viewer', 'ours');
  const a = await keep('a');
  expect((await put('private', { x: a }, ours)).status).toBe(201);
  expect((await put('private', { x: a }, viewer)).status).toBe(403);
  expect((await server.call('GET', '/datasets/private')).status).toBe(404);
  expect((await server.call('GET', '/datasets/private', undefined, viewer)).status).toBe(200);
  const other = await server.call('GET', '/datasets/same?project=default', undefined, ours);
  expect(other.status).toBe(403);
  const lineage = await server.call('GET', '/lineage?of=same@1', undefined, ours);
  expect(lineage.status).toBe(404);
});
