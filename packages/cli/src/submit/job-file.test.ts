import { jobSpecSchema } from '@majorana/protocol';
import { expect, test } from 'vitest';
import { stringify } from 'yaml';
import { draftSchema, parseJobFile } from './job-file.ts';
import { readOptions } from './spec-options.ts';

const parse = (text: string): unknown => parseJobFile('/home/ada/job.yaml', text);

test('what is written comes through, local files relative to the job file', () => {
  const text = `
argv: [cat, "{line}"]
array: { kind: each, file: runs.txt }
inputs:
  - file: data/a.txt
  - { file: /abs/b.txt, path: in/b.txt }
`;
  expect(parse(text)).toEqual({
    argv: ['cat', '{line}'],
    array: { kind: 'each', file: '/home/ada/runs.txt' },
    inputs: [{ file: '/home/ada/data/a.txt' }, { file: '/abs/b.txt', path: 'in/b.txt' }],
  });
});

test.each([
  ['argv: [true, 1]\n', '/home/ada/job.yaml:1:8: argv.0: '],
  [
    'argv: [a]\nresources:\n  memory: 4G\n',
    '/home/ada/job.yaml:3:3: resources.memory: "memory" is not known here',
  ],
  ['argv: [a]\nresources:\n  cpuMillis: fast\n', '/home/ada/job.yaml:3:14: resources.cpuMillis: '],
  ['name: x\n', 'argv: '],
  [
    'argv: [a]\nenv:\n  N: 4\n',
    '/home/ada/job.yaml:3:6: env.N: Invalid input: expected string, received number; put it in quotes',
  ],
  ['argv: [a\n', '/home/ada/job.yaml:2:1: '],
  ['argv: [a]\nargv: [b]\n', '/home/ada/job.yaml:2:1: '],
  ['argv: [a]\narray: { kind: lines }\n', '/home/ada/job.yaml:2:16: array.kind: '],
  ['argv: [a]\ninputs:\n  - path: x\n', '/home/ada/job.yaml:3:5: inputs.0: an input has either'],
  ['- a\n', '/home/ada/job.yaml:1:1: '],
])('a mistake is told by line and column: %j', (text, message) => {
  expect(() => parse(text)).toThrow(message);
});

test('all mistakes are told at once, in the order of the file', () => {
  expect(() => parse('argv: []\nqueeu: x\npriority: high\n')).toThrow(
    /job.yaml:1:7: argv.*\n.*job.yaml:2:1: queeu: "queeu" is not known here\n.*job.yaml:3:11: priority/,
  );
});

test('the job file that a command line makes says the same as the command line', () => {
  const draft = readOptions(['./run.sh', '{index}'], {
    array: '0-9:3%2',
    cores: '0.5',
    memory: '4G',
    scratch: '1G',
    shm: '128M',
    gpus: 1,
    resource: ['licence=2'],
    nodeSelector: [],
    toleration: [],
    mount: [],
    timeLimit: '1h',
    grace: '5s',
    checkpoint: './save.sh  {index}',
    checkpointTime: '1m',
    env: ['A=1'],
    label: ['series=7'],
    input: ['/etc/hostname=name'],
    output: ['*.out'],
    after: ['job_1:any'],
    retries: 2,
    retryOn: ['exit'],
    retryExitCode: ['75'],
    retrySignal: [],
    priority: -5,
    project: 'chemistry',
    queue: 'night',
  });
  const again = parse(stringify(draft));
  expect(again).toEqual(draft);
  expect(draftSchema.parse(again)).toBeDefined();
  const { inputs: _local, ...rest } = draft;
  expect(jobSpecSchema.parse(rest)).toMatchObject({
    name: 'run.sh',
    parallelMax: 2,
    resources: { cpuMillis: 500, gpuCount: 1, countable: { licence: 2 } },
    retry: { limit: 2, on: ['exit_code'], exitCodes: [75] },
    timeLimitMs: 3_600_000,
    checkpoint: { argv: ['./save.sh', '{index}'], timeMs: 60_000 },
  });
});
