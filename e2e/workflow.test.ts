import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { kill, Product, until } from './product.ts';

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

/** Every task writes a line when it runs: how often each ran is seen there. */
const counted = (ran: string): string => `
name: counted
inputs:
  tag: {}
steps:
  list:
    argv: [sh, -c, 'echo list >> ${ran}; seq 30 > lines.txt', '{tag}']
    outputs: [lines.txt]
  work:
    argv: [sh, -c, 'echo work {line} >> ${ran}; sleep 0.1; echo {line} squared is $(({line} * {line})) > out.txt', '{tag}']
    each: { kind: lines, from: list/lines.txt }
    outputs: [out.txt]
  rounds:
    with: { sum: '0' }
    workflow:
      inputs: { sum: {} }
      steps:
        add:
          argv: [sh, -c, 'echo add {sum} >> ${ran}; echo $(({sum} + {iteration})) > sum.txt', '{iteration}']
          outputs: [sum.txt]
      outputs: { sum: add/sum.txt }
    repeat: { until: { kind: text, from: add/sum.txt, atLeast: 10 }, iterationsMax: 9, carry: { sum: add/sum.txt } }
  gather:
    argv: [sh, -c, 'echo gather >> ${ran}; cat $(ls -d all/*/* | sort -V) sum.txt > all.txt', '{tag}']
    inputs: [{ path: all, from: work }, { path: sum.txt, from: rounds/sum }]
    outputs: [all.txt]
outputs:
  all: gather/all.txt
`;

const linesOf = (file: string): string[] => readFileSync(file, 'utf8').trim().split('\n');

async function resultOf(run: string): Promise<string> {
  const out = path.join(folder, run);
  await product.ok('workflow', 'results', run, '-o', out);
  return readFileSync(path.join(out, 'all', 'all.txt'), 'utf8');
}

test('a server that is killed again and again makes the same result with the same tasks', async () => {
  const ran = path.join(product.data, 'ran');
  const flow = write('counted.yaml', counted(ran));
  const run = (tag: string): Promise<string> =>
    product.ok('workflow', 'run', flow, '--input', `tag=${tag}`, '--detach');
  const calm = await run('calm');
  await product.ok('workflow', 'watch', calm, '--quiet');
  const expected = linesOf(ran).toSorted();
  expect(expected).toHaveLength(36);

  writeFileSync(ran, '');
  // The loop does not depend on the tag: its results would be there already.
  writeFileSync(flow, counted(ran).replace("'{iteration}']", "'{iteration}', again]"));
  const disturbed = await run('disturbed');
  let killed = 0;
  await until(
    'the end under kills',
    async () => {
      // The supervisor waits longer each time: after some kills it is left in peace.
      if (killed < 5) kill(product.processes('control-plane'));
      killed += 1;
      const shown = await until('an answer', async () => {
        const { code, stdout } = await product.run('workflow', 'show', disturbed, '--json');
        return code === 0 ? (JSON.parse(stdout) as { endedAtMs: number | null }) : undefined;
      });
      return shown.endedAtMs !== null;
    },
    120_000,
  );
  expect(killed).toBeGreaterThan(2);
  expect(linesOf(ran).toSorted()).toEqual(expected);
  expect(await resultOf(disturbed)).toBe(await resultOf(calm));
}, 150_000);

test('a mended step runs again with what depends on it; the run keeps both histories', async () => {
  const ran = path.join(product.data, 'mended');
  const text = (limit: number): string => `
name: mend
steps:
  list:
    argv: [sh, -c, 'echo list >> ${ran}; seq 40 > lines.txt']
    outputs: [lines.txt]
  work:
    argv: [sh, -c, 'echo work {line} >> ${ran}; [ $(({line} % 10)) -ne 7 ] || [ -e ${ran}.mended ] || exit 3; echo {line} > out.txt']
    each: { kind: lines, from: list/lines.txt }
    outputs: [out.txt]
  count:
    argv: [sh, -c, 'echo count >> ${ran}; ls all | head -${limit} | wc -l > n.txt']
    inputs: [{ path: all, from: work }]
    outputs: [n.txt]
`;
  const flow = write('mend.yaml', text(99));
  const { code, stdout } = await product.run('workflow', 'run', flow, '--quiet');
  expect(code).toBe(1);
  expect(stdout).toContain('work element 6 (7): exit code 3; job_');
  expect(linesOf(ran)).toHaveLength(41);
  const id = /run_\d+/.exec(stdout)![0];
  writeFileSync(`${ran}.mended`, '');
  writeFileSync(ran, '');
  await product.ok('workflow', 'resume', id, '--quiet');
  expect(linesOf(ran).toSorted()).toEqual(['count', 'work 17', 'work 27', 'work 37', 'work 7']);
  writeFileSync(ran, '');
  const mended = write('mended.yaml', text(5));
  const shown = await product.ok('workflow', 'resume', id, '--file', mended, '--quiet');
  expect(linesOf(ran)).toEqual(['count']);
  expect(shown).toContain('round 1: failed');
  expect(shown).toContain('round 2: succeeded');
  expect(await product.ok('workflow', 'explain', id, '--step', 'count')).toMatch(
    /argument 2: .*head -99.* -> .*head -5/,
  );
});

test('a workflow in TypeScript, with a nested one in a file of its own, is drawn and runs', async () => {
  write(
    'shout.yaml',
    'inputs: { said: { kind: file } }\nsteps:\n  up:\n    argv: [sh, -c, "tr a-z A-Z < said > up.txt"]\n    inputs: [{ path: said, from: said }]\n    outputs: [up.txt]\noutputs: { loud: up/up.txt }\n',
  );
  const flow = write(
    'flow.ts',
    `export const workflow = {
  name: 'typed',
  inputs: { words: { kind: 'file' } },
  steps: {
    loud: { workflow: 'shout.yaml', with: { said: 'words' } },
    end: { argv: ['cp', 'in', 'all.txt'], inputs: [{ path: 'in', from: 'loud/loud' }], outputs: ['all.txt'] },
  },
  outputs: { all: 'end/all.txt' },
} as const;
`,
  );
  const words = write('words.txt', 'nested\n');
  const graph = await product.ok('workflow', 'graph', flow);
  expect(graph).toBe('●   loud\n╰─● end');
  const id = await product.ok('workflow', 'run', flow, '--input', `words=${words}`, '--detach');
  await product.ok('workflow', 'watch', id, '--quiet');
  expect(await resultOf(id)).toBe('NESTED\n');
  const svg = await product.ok('workflow', 'graph', id, '--svg', '-');
  expect(svg).toContain('<title>loud.up: succeeded</title>');
});

test('the workflow of the tutorial that is built in TypeScript runs wherever its file lies', async () => {
  const tutorial = readFileSync(new URL('../docs/workflows.md', import.meta.url), 'utf8');
  const flow = write('built.ts', /```ts\n(.*?)```/s.exec(tutorial)![1]!);
  const shown = await product.ok('workflow', 'run', flow, '--quiet');
  expect(shown).toContain('5 elements');
  const broken = write('broken.ts', "import 'nothing-here';\nexport const workflow = {};\n");
  const { code, stderr } = await product.run('workflow', 'run', broken);
  expect(code).toBe(2);
  expect(stderr).toContain("broken.ts: Cannot find package 'nothing-here'");
  expect(stderr).not.toContain('    at ');
});

test('the example searches in rounds until nothing is new, and its ranking is there', async () => {
  const examples = fileURLToPath(new URL('../examples/', import.meta.url));
  const id = await product.ok(
    'workflow',
    'run',
    path.join(examples, 'workflow', 'conformers.yaml'),
    '--input',
    `molecules=${examples}conformers/molecules/urea.cjson`,
    '--input',
    `modules=${path.join(examples, '..', 'node_modules')}`,
    '--detach',
  );
  const shown = await product.ok('workflow', 'watch', id, '--quiet');
  expect(shown).toContain('[2] merge');
  const out = path.join(folder, 'conformers');
  await product.ok('workflow', 'results', id, '-o', out);
  const [, row] = linesOf(path.join(out, 'ranking', 'ranking.csv'));
  expect(row).toMatch(/^urea,2,/);
});
