import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Product } from './product.ts';

const product = new Product();
const folder = path.join(product.data, 'flows');
beforeAll(async () => {
  await product.ok('up', '--detach', '--cores', '4');
  mkdirSync(folder);
});
afterAll(() => product[Symbol.asyncDispose]());

function write(name: string, text: string): string {
  const file = path.join(folder, name);
  writeFileSync(file, text);
  return file;
}

const LINEAR = `
name: linear
inputs:
  who: { default: world }
steps:
  make:
    argv: [sh, -c, 'echo "hello {who}" > a.txt']
    outputs: [a.txt]
  shout:
    argv: [sh, -c, 'tr a-z A-Z < in.txt > b.txt']
    inputs: [{ path: in.txt, from: make/a.txt }]
    outputs: [b.txt]
outputs:
  result: shout/b.txt
`;

test('two steps bound by a file run, the second time from what is there, and explain says why', async () => {
  const flow = write('linear.yaml', LINEAR);
  const first = await product.ok('workflow', 'run', flow, '--input', 'who=carol', '--detach');
  await product.ok('workflow', 'watch', first, '--quiet');
  const out = path.join(folder, 'out');
  await product.ok('workflow', 'results', first, '-o', out);
  expect(readFileSync(path.join(out, 'result', 'b.txt'), 'utf8')).toBe('HELLO CAROL\n');
  const again = await product.ok('workflow', 'run', flow, '--input', 'who=carol', '--quiet');
  expect(again.match(/reused/g)).toHaveLength(2);
  const other = await product.ok('workflow', 'run', flow, '--input', 'who=dan', '--quiet');
  const id = /^run_\d+/.exec(other)![0];
  expect(await product.ok('workflow', 'explain', id)).toContain(
    'argument 2: echo "hello carol" > a.txt -> echo "hello dan" > a.txt',
  );
});

test('a wrong workflow is refused with line and column of every mistake', async () => {
  const flow = write(
    'wrong.yaml',
    `name: wrong
steps:
  make:
    argv: [echo, '{nobody}']
    outputs: [a.txt]
  read:
    argv: [cat]
    inputs: [{ path: x, from: make/b.txt }]
`,
  );
  const { code, stderr } = await product.run('workflow', 'run', flow);
  expect(code).toBe(2);
  expect(stderr).toContain('wrong.yaml:4:18: steps.make.argv.1: {nobody} at position 0');
  expect(stderr).toContain('wrong.yaml:8:31: steps.read.inputs.0.from: make has the outputs a.txt');
});
