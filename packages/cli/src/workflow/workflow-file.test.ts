import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { WorkflowBuilder } from '@majorana/client';
import type { WorkflowBody } from '@majorana/core';
import type { RoundView, StepView } from '@majorana/protocol';
import { workflowSchema } from '@majorana/protocol';
import { afterAll, expect, test } from 'vitest';
import { stringify } from 'yaml';
import { drawRound, railsOf } from './picture.ts';
import { drawSvg } from './svg.ts';
import { importWfFormat } from './wfformat.ts';
import { readWorkflow } from './workflow-file.ts';

const folder = mkdtempSync(path.join(os.tmpdir(), 'majorana-flows-'));
afterAll(() => rmSync(folder, { recursive: true }));
function write(name: string, text: string): string {
  const file = path.join(folder, name);
  writeFileSync(file, text);
  return file;
}

test('what is built in TypeScript is what is written in YAML', async () => {
  const builder = new WorkflowBuilder('both');
  const count = builder.value('count', '3');
  const seed = builder.file('seed');
  const list = builder.step('list', {
    argv: ['seq', count],
    inputs: [{ path: 'seed', from: seed }],
    outputs: ['l.txt'],
  });
  const work = builder.step('work', {
    argv: ['work', '{line}'],
    each: { kind: 'lines', from: list.file('l.txt') },
    outputs: ['o.txt'],
  });
  builder.output('all', work.all);
  const yaml = `
name: both
inputs: { count: { default: '3' }, seed: { kind: file } }
steps:
  list: { argv: [seq, '{count}'], inputs: [{ path: seed, from: seed }], outputs: [l.txt] }
  work: { argv: [work, '{line}'], each: { kind: lines, from: list/l.txt }, outputs: [o.txt] }
outputs: { all: work }
`;
  expect(await readWorkflow(write('both.yaml', yaml))).toEqual(
    workflowSchema.parse(builder.build()),
  );
});

const complaint = async (file: string): Promise<string> =>
  readWorkflow(file).then(
    () => 'none',
    (error: Error) => error.message.replaceAll(`${folder}/`, ''),
  );

test('mistakes are told with line and column, each in the file where it stands', async () => {
  const missing = write(
    'missing.yaml',
    'name: a\nsteps:\n  x: { argv: [a], argw: [b] }\n  y: {}\n',
  );
  expect(await complaint(missing)).toBe(
    'missing.yaml:3:19: steps.x.argw: "argw" is not known here\n' +
      'missing.yaml:4:6: steps.y: a step has either "argv" or "workflow"',
  );
  const spread = write(
    'spread.yaml',
    [
      'name: a',
      'steps:',
      '  all:',
      '    each: { kind: values, values: [x] }',
      '    with: { one: "{valu}", two: "{file}" }',
      '    workflow:',
      '      inputs: { one: {}, two: { kind: file } }',
      '      steps:',
      '        s: { argv: [s] }',
    ].join('\n'),
  );
  expect(await complaint(spread)).toBe(
    'spread.yaml:5:18: steps.all.with.one: {valu} at position 0 is not a field of this step; known: index, task_count, value. Write {{valu}} for literal braces\n' +
      'spread.yaml:5:33: steps.all.with.two: {file} is the file of an element of "each: { kind: files }"',
  );
  write('inner.yaml', 'steps:\n  x:\n    argv: ["{nobody}"]\n');
  const outer = write('outer.yaml', 'name: a\nsteps:\n  sub: { workflow: inner.yaml }\n');
  expect(await complaint(outer)).toMatch(/^inner.yaml:3:12: steps.x.argv.0: \{nobody\}/);
  const self = write('self.yaml', 'steps:\n  x: { workflow: self.yaml }\n');
  const around = write('around.yaml', 'name: a\nsteps:\n  x: { workflow: self.yaml }\n');
  expect(await complaint(around)).toBe(`${self.replace(`${folder}/`, '')}: is nested in itself`);
  const broken = write('broken.yaml', 'name: [\n');
  expect(await complaint(broken)).toMatch(/^broken.yaml:2:1: /);
  const module = write(
    'bad.ts',
    'export const workflow = { name: "a", steps: { x: { argv: 3 } } };',
  );
  expect(await complaint(module)).toContain('bad.ts: steps.x.argv: Invalid input');
});

test('what a step asks of its tasks is checked where it stands', async () => {
  const asked = [
    'name: a',
    'steps:',
    '  x: { argv: [a], gang: { nodes: 4, ranksPerNode: 8 } }',
    '  y:',
    '    argv: [b]',
    '    container: { image: i }',
    '    gang: { nodes: 0, ranks: 8 }',
    '  z: { workflow: { steps: { s: { argv: [s] } } }, gang: { nodes: 2 } }',
    '  v: { argv: [a], checkpoint: { argv: [save] } }',
  ];
  expect(await complaint(write('asked.yaml', asked.join('\n')))).toBe(
    [
      'asked.yaml:3:25: steps.x.gang: only tasks in containers have several nodes; name an image in "container"',
      'asked.yaml:7:20: steps.y.gang.nodes: Too small: expected number to be >=1',
      'asked.yaml:7:23: steps.y.gang.ranks: "ranks" is not known here',
      'asked.yaml:8:57: steps.z.gang: is of tasks; say it at the steps of the workflow inside',
      'asked.yaml:9:31: steps.v.checkpoint: only tasks in containers have one; name an image in "container"',
    ].join('\n'),
  );
  const filled = [
    'name: a',
    'steps:',
    '  x: { argv: [a], container: { image: i }, checkpoint: { argv: [save, "{nobody}"] } }',
  ];
  expect(await complaint(write('filled.yaml', filled.join('\n')))).toMatch(
    /^filled.yaml:3:71: steps.x.checkpoint.argv.1: \{nobody\}/,
  );
  const good = [
    'name: a',
    'priority: 5',
    'steps:',
    '  x:',
    '    argv: [mpirun, solve, "{index}"]',
    '    container: { image: i }',
    '    gang: { nodes: 4 }',
    '    checkpoint: { argv: [save, "{index}"] }',
    '    queue: wide',
    '    priority: 7',
    '    labels: { lab: blue }',
  ];
  expect(await readWorkflow(write('good.yaml', good.join('\n')))).toMatchObject({
    priority: 5,
    steps: {
      x: {
        gang: { nodes: 4, ranksPerNode: 1 },
        checkpoint: { argv: ['save', '{index}'], timeMs: 30_000 },
        queue: 'wide',
        priority: 7,
      },
    },
  });
});

/** In the manner of WfFormat 1.5, made up. */
const recorded = {
  name: 'a diamond',
  schemaVersion: '1.5',
  workflow: {
    specification: {
      tasks: [
        { id: 'top 1', parents: [], inputFiles: ['in*.dat'], outputFiles: ['a', 'b'] },
        { id: 'left', parents: ['top 1'], inputFiles: ['a'], outputFiles: ['/abs/l'] },
        { id: 'right', parents: ['top 1'], inputFiles: ['b', 'b'], outputFiles: ['r'] },
        { id: 'end', parents: ['left', 'right'], inputFiles: ['/abs/l', 'r'], outputFiles: ['r'] },
      ],
      files: [{ id: 'a', sizeInBytes: 2000 }],
    },
    execution: { tasks: [{ id: 'left', runtimeInSeconds: 3.5 }] },
  },
};

test('a recorded execution becomes a workflow of the same shape, to a scale', async () => {
  const text = JSON.stringify(recorded);
  const imported = importWfFormat('d.json', text, { time: 0.1, size: 0.01 });
  const read = await readWorkflow(write('imported.yaml', stringify(imported)));
  expect(Object.keys(read.steps)).toEqual(['given_files', 'top_1', 'left', 'right', 'end']);
  expect(imported.steps['top_1']!.argv!.slice(3)).toEqual(['top_1', '0', 'a=20', 'b=0']);
  expect(imported.steps['top_1']!.inputs).toEqual([
    { path: 'in_.dat', from: 'given_files/in_.dat' },
  ]);
  expect(imported.steps['left']!.argv!.slice(3)).toEqual(['left', '0.35', 'abs/l=0']);
  // The second maker of a file gets it from the first.
  expect(imported.steps['end']!.inputs).toContainEqual({ path: 'r', from: 'right/r' });
  expect(() => importWfFormat('d.json', '{"workflow": {}}', { time: 1, size: 1 })).toThrow(
    'd.json: workflow.specification',
  );
});

test('a fan-out of a nested workflow is one line for each of its steps, with counts', () => {
  const view = (path: string, edit: object): StepView => ({
    path,
    status: 'running',
    reason: '',
    startedAtMs: null,
    endedAtMs: null,
    iteration: null,
    elementCount: 1000,
    reusedCount: 0,
    failedCount: 0,
    failed: [],
    jobId: null,
    countsByStatus: null,
    ...edit,
  });
  const definition = workflowSchema.parse({
    name: 'a',
    steps: {
      all: {
        each: { kind: 'range', range: '0-999' },
        with: { n: '{value}' },
        workflow: { inputs: { n: {} }, steps: { relax: { argv: ['x', '{n}'] } } },
      },
    },
  });
  const failed = [{ position: 7, label: '7', taskId: 'job_9.0', reason: 'relax: exit code 3' }];
  const counts = { succeeded: 990, running: 9, failed: 1 };
  const round: RoundView = {
    round: 1,
    status: 'running',
    startedAtMs: 0,
    endedAtMs: null,
    definition,
    inputs: { values: {}, files: {} },
    steps: [
      view('all', { countsByStatus: counts, failed }),
      view('all[*].relax', { elementCount: 0, countsByStatus: counts }),
    ],
  };
  expect(drawRound(round, false)).toEqual([
    '●     all        running    1000 elements, 990 succeeded, 9 running, 1 failed',
    '    ● [*] relax  running    990 succeeded, 9 running, 1 failed',
    'did not succeed',
    '  all element 7 (7): relax: exit code 3; job_9.0',
  ]);
});

test('the graph is drawn with rails in the terminal, and as a picture', () => {
  const body = workflowSchema.parse(
    importWfFormat('d.json', JSON.stringify(recorded), { time: 1, size: 1 }),
  ) as unknown as WorkflowBody;
  expect(railsOf(body).map(({ rail, name }) => `${rail} ${name}`)).toEqual([
    '● given_files',
    '╰─● top_1',
    '  ├─● left',
    '  ╰─┼─● right',
    '    ╰─┴─● end',
  ]);
  const svg = drawSvg(body, new Map([['left', 'failed']]));
  expect(svg.match(/<rect /g)).toHaveLength(5);
  expect(svg.match(/marker-end/g)).toHaveLength(5);
  expect(svg).toContain('<title>left: failed</title>');
});
