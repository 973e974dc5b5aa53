import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { DatasetPutAnswer, LineageGraph, LineageTask } from '@majorana/protocol';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Product } from './product.ts';

const product = new Product();
const folder = path.join(product.data, 'here');
const file = (name: string): string => path.join(folder, name);
beforeAll(async () => {
  await product.ok('up', '--detach', '--cores', '4');
  mkdirSync(file('water/small'), { recursive: true });
  writeFileSync(file('water/one.xyz'), 'one\n');
  writeFileSync(file('water/small/{two}.xyz'), 'two\n');
});
afterAll(() => product[Symbol.asyncDispose]());

const put = (...words: string[]): Promise<DatasetPutAnswer & { uploaded: { uploaded: number } }> =>
  product.json('data', 'put', ...words);
const taskNames = (graph: LineageGraph): string[] =>
  graph.nodes.filter((node): node is LineageTask => node.kind === 'task').map(({ id }) => id);

test('only what is not there is sent and fetched; what was changed on disk is fetched again', async () => {
  expect(await put('water', file('water'))).toMatchObject({
    version: 1,
    uploaded: { uploaded: 2 },
  });
  expect(await put('water', file('water'))).toMatchObject({
    version: 1,
    isNew: false,
    uploaded: { uploaded: 0 },
  });
  const get = ['data', 'get', 'water@1', '-o', file('out')] as const;
  expect(await product.json(...get)).toMatchObject({ written: 2, kept: 0 });
  writeFileSync(file('out/one.xyz'), 'ONE\n');
  expect(await product.json(...get)).toMatchObject({ written: 1, kept: 1 });
  expect(readFileSync(file('out/one.xyz'), 'utf8')).toBe('one\n');
});

test('a job takes a version as it was submitted, and its outputs lead back to it', async () => {
  const id = await product.ok(
    'submit',
    '--input',
    'dataset:water=in',
    '--input',
    'dataset:water@1/one.xyz',
    '--output',
    'all.txt',
    '--',
    'sh',
    '-c',
    'cat one.xyz in/one.xyz in/small/*.xyz > all.txt',
  );
  writeFileSync(file('water/one.xyz'), 'changed\n');
  expect(await put('water', file('water'))).toMatchObject({ version: 2 });
  await product.ok('wait', id, '--quiet');
  await product.ok('results', id, '-o', file('results'));
  expect(readFileSync(file('results/all.txt'), 'utf8')).toBe('one\none\ntwo\n');
  const up = await product.json<LineageGraph>('data', 'lineage', `${id}:all.txt`);
  expect(taskNames(up)).toEqual([`${id}.0.1`]);
  const held = up.nodes.flatMap((node) => (node.kind === 'object' ? [node.dataset] : []));
  expect(held).toEqual([null, 'water@1/one.xyz', 'water@1/small/{two}.xyz']);
  const down = await product.json<LineageGraph>('data', 'lineage', 'water@1/one.xyz', '--down');
  expect(taskNames(down)).toEqual([`${id}.0.1`]);
  const removal = await product.ok('data', 'rm', 'water@1', '--dry-run');
  expect(removal).toContain('2 of them named by others and kept');
});

test('a reused result leads to the task that made it; a run is exported with all its files', async () => {
  writeFileSync(
    file('flow.yaml'),
    `name: flow
inputs: { clusters: { kind: files } }
steps:
  up: { argv: [sh, -c, 'tr a-z A-Z < "$1" > up.txt', sh, '{file}'], each: { kind: files, from: clusters }, outputs: [up.txt] }
  join: { argv: [sh, -c, 'cat all/*/* > all.txt'], inputs: [{ path: all, from: up }], outputs: [all.txt] }
outputs: { all: join/all.txt }
`,
  );
  const run = ['workflow', 'run', file('flow.yaml'), '--input', 'clusters=dataset:water@1'];
  await product.ok(...run, '--quiet');
  expect((await product.ok(...run, '--quiet')).match(/reused/g)).toHaveLength(2);
  const first = await product.json<LineageGraph>('data', 'lineage', 'run_1/join/all.txt');
  const reused = await product.json<LineageGraph>('data', 'lineage', 'run_2/join/all.txt');
  expect(taskNames(reused)).toEqual(taskNames(first));
  expect(taskNames(first)).toHaveLength(3);
  expect(await put('joined', '--from-run', 'run_2/join')).toMatchObject({ source: 'run_2/join' });

  await product.ok('workflow', 'export', 'run_2', '-o', file('crate'));
  const { '@graph': graph } = JSON.parse(
    readFileSync(file('crate/ro-crate-metadata.json'), 'utf8'),
  ) as { '@graph': { '@id': string; '@type': string; contentSize?: string }[] };
  const files = graph.filter((one) => one['@type'] === 'File');
  expect(files).toHaveLength(5);
  for (const one of files) {
    const content = readFileSync(file(`crate/${decodeURIComponent(one['@id'])}`));
    expect(String(content.length)).toBe(one.contentSize);
  }
  expect(graph.filter((one) => one['@type'] === 'ControlAction')).toHaveLength(3);
  const { code, stderr } = await product.run('workflow', 'export', 'run_2', '-o', file('crate'));
  expect(code).toBe(2);
  expect(stderr).toContain('is not empty');
});
