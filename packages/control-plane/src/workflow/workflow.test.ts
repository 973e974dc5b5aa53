import type { StepExplanation, WorkflowInput } from '@majorana/protocol';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Program } from './test-runs.ts';
import { fanOut, fanProgram, search, TestRuns } from './test-runs.ts';

let runs: TestRuns;
beforeAll(async () => {
  runs = await TestRuns.start();
});
afterAll(() => runs[Symbol.asyncDispose]());

test('two steps bound by a file run one after the other, and the second gets the file', async () => {
  const id = await runs.submit({
    name: 'linear',
    steps: {
      make: { argv: ['make'], outputs: ['a.txt'] },
      read: {
        argv: ['read'],
        inputs: [{ path: 'in.txt', from: 'make/a.txt' }],
        outputs: ['b.txt'],
      },
    },
    outputs: { result: 'read/b.txt' },
  });
  const ran = await runs.play(id, ([program], inputs) => ({
    files: program === 'make' ? { 'a.txt': 'made' } : { 'b.txt': `read ${inputs.get('in.txt')}` },
  }));
  expect(ran).toEqual(['make', 'read']);
  expect(await runs.statuses(id)).toEqual({ make: 'succeeded', read: 'succeeded' });
  const { files } = (await runs.server.call('GET', `/runs/${id}/files`)).body as {
    files: { path: string; object: string }[];
  };
  expect(files.map(({ path }) => path)).toEqual(['result/b.txt']);
  expect(await runs.textOf(files[0]!.object)).toBe('read made');
});

test('an earlier step decides how many there are, and a later one gathers all they stored', async () => {
  const id = await runs.submit(fanOut());
  const ran = await runs.play(id, fanProgram());
  expect(ran).toHaveLength(7);
  const { files } = (await runs.server.call('GET', `/runs/${id}/files`)).body as {
    files: { object: string }[];
  };
  expect(await runs.textOf(files[0]!.object)).toBe(
    [0, 1, 2, 3, 4].map((at) => `all/${at}/out-${at}.txt`).join('\n'),
  );
});

test('of a longer fan-out only the new elements run, at their own places', async () => {
  const id = await runs.submit(fanOut({}, 'longer'), { values: { count: '3' } });
  await runs.play(id, fanProgram());
  const longer = await runs.submit(fanOut({}, 'longer'), { values: { count: '6' } });
  const ran = await runs.play(longer, fanProgram());
  expect(ran.toSorted()).toEqual([
    'gather',
    'list 6',
    'work longer line3',
    'work longer line4',
    'work longer line5',
  ]);
  expect((await runs.lastSteps(longer))[1]).toMatchObject({ elementCount: 6, reusedCount: 3 });
  const { body } = await runs.server.call('GET', `/runs/${longer}/explain?step=work&limit=6`);
  const [work] = (body as { steps: StepExplanation[] }).steps;
  expect(work!.elements.map(({ position, isReused }) => [position, isReused])).toEqual([
    [3, false],
    [4, false],
    [5, false],
    [0, true],
    [1, true],
    [2, true],
  ]);
  expect(work!.elements[0]!.differences).not.toEqual([]);
  expect(work!.elements[3]).toMatchObject({ origin: `${id} work`, differences: [] });
});

test('equal elements run once, and each has the result', async () => {
  const flow: WorkflowInput = {
    name: 'equal',
    steps: {
      work: {
        argv: ['equal', '{value}'],
        each: { kind: 'values', values: ['a', 'b', 'a'] },
        outputs: ['out.txt'],
      },
      gather: { argv: ['gather'], inputs: [{ path: 'all', from: 'work' }], outputs: ['sum.txt'] },
    },
  };
  const id = await runs.submit(flow);
  let gathered: string[] = [];
  const ran = await runs.play(id, ([program, value = ''], inputs) => {
    if (program === 'gather') gathered = [...inputs.values()];
    return { files: program === 'gather' ? { 'sum.txt': '' } : { 'out.txt': value } };
  });
  expect(ran).toEqual(['equal a', 'equal b', 'gather']);
  expect(gathered).toEqual(['a', 'b', 'a']);
});

test('failures are named; resumed, only what failed and what waited for it runs', async () => {
  const flow = fanOut({}, 'mend');
  const id = await runs.submit(flow, { values: { count: '40' } });
  const first = await runs.play(
    id,
    fanProgram((line) => ['line7', 'line9'].includes(line)),
  );
  expect(first).toHaveLength(41);
  const [, work, gather] = await runs.lastSteps(id);
  expect(work).toMatchObject({
    status: 'failed',
    failedCount: 2,
    failed: [
      { position: 7, label: 'line7', reason: 'exit code 3' },
      { position: 9, label: 'line9' },
    ],
  });
  expect(gather).toMatchObject({ status: 'blocked' });
  await runs.server.call('POST', `/runs/${id}/resume`);
  const second = await runs.play(id, fanProgram());
  expect(second).toEqual(['work mend line7', 'work mend line9', 'gather']);
  const { rounds, status } = await runs.detail(id);
  expect(status).toBe('succeeded');
  expect(rounds.map((round) => round.status)).toEqual(['failed', 'succeeded']);
  expect(rounds[0]!.steps[1]).toMatchObject({ status: 'failed', failedCount: 2 });
});

test('a mended program runs again with all that depends on it, and nothing else', async () => {
  const id = await runs.submit(fanOut({}, 'before'), { values: { count: '4' } });
  await runs.play(id, fanProgram());
  const { body } = await runs.server.call('POST', `/runs/${id}/resume`, {
    definition: fanOut({}, 'after'),
  });
  expect(body).toEqual({ id, round: 2 });
  const ran = await runs.play(id, fanProgram());
  expect(ran).toHaveLength(5);
  expect(ran.filter((one) => one.startsWith('list'))).toEqual([]);
});

test('it goes on when enough have succeeded, with the failed ones named', async () => {
  const id = await runs.submit(fanOut({ successPercentMin: 80 }, 'enough'), {
    values: { count: '10' },
  });
  await runs.play(
    id,
    fanProgram((line) => line === 'line3'),
  );
  const [, work, gather] = await runs.lastSteps(id);
  expect(work).toMatchObject({ status: 'succeeded', failedCount: 1, failed: [{ label: 'line3' }] });
  expect(gather).toMatchObject({ status: 'succeeded' });
});

test('a fan-out over the files of a fan-out gives each its file', async () => {
  const flow = fanOut({}, 'files');
  const id = await runs.submit({
    ...flow,
    steps: {
      list: flow.steps['list']!,
      work: flow.steps['work']!,
      next: {
        argv: ['next', '{file}', '{stem}'],
        each: { kind: 'files', from: 'work/*.txt' },
        outputs: ['n.txt'],
      },
    },
    outputs: {},
  });
  const given: string[] = [];
  const base = fanProgram();
  const ran = await runs.play(id, (argv, inputs) => {
    if (argv[0] !== 'next') return base(argv, inputs);
    given.push(`${argv[1]} ${inputs.get(argv[1]!)}`);
    return { files: { 'n.txt': '' } };
  });
  expect(ran.filter((one) => one.startsWith('next'))).toHaveLength(5);
  expect(given.toSorted()[0]).toBe('out-0.txt files line0');
});

/** Each file of a list goes through a workflow of its own: relaxed in rounds, ranked, or left out. */
const spread = (version: string, edit: object = {}): WorkflowInput => ({
  name: 'spread',
  inputs: { count: { default: '4' } },
  steps: {
    list: { argv: ['list', version, '{count}'], outputs: ['*.mol'] },
    all: {
      each: { kind: 'files', from: 'list' },
      with: { molecule: '{file}', name: '{stem}' },
      workflow: {
        inputs: { molecule: { kind: 'file' }, name: {} },
        steps: {
          relax: {
            with: { name: '{name}' },
            workflow: {
              inputs: { name: {} },
              steps: {
                turn: { argv: ['turn', version, '{name}', '{iteration}'], outputs: ['n.txt'] },
              },
              outputs: { n: 'turn/n.txt' },
            },
            repeat: { until: { kind: 'text', from: 'turn/n.txt', atLeast: 2 }, iterationsMax: 3 },
          },
          rank: {
            argv: ['rank', version, '{name}'],
            inputs: [
              { path: 'm', from: 'molecule' },
              { path: 'n', from: 'relax/n' },
            ],
            outputs: ['best.txt'],
          },
        },
        outputs: { best: 'rank/best.txt' },
      },
      ...edit,
    },
    gather: {
      argv: ['gather', version],
      inputs: [{ path: 'all', from: 'all/best' }],
      outputs: ['sum.txt'],
    },
  },
  outputs: { each: 'all/best', sum: 'gather/sum.txt' },
});

const spreadProgram =
  (fails: (name: string) => boolean = () => false): Program =>
  ([program, , name = '', iteration = ''], inputs) => {
    if (program === 'list') {
      const names = Array.from({ length: Number(name) }, (_, at) => `m${at}`);
      return { files: Object.fromEntries(names.map((one) => [`${one}.mol`, `atoms of ${one}`])) };
    }
    if (program === 'turn') return { files: { 'n.txt': iteration } };
    if (program === 'gather') {
      const all = [...inputs].map(([path, text]) => `${path}: ${text}`);
      return { files: { 'sum.txt': all.toSorted().join('\n') } };
    }
    if (fails(name)) return { exitCode: 3 };
    return { files: { 'best.txt': `${inputs.get('m')}, ${inputs.get('n')} turns` } };
  };

test('a nested workflow is run for each element, and a later step gathers what all have shown', async () => {
  const id = await runs.submit(spread('1'));
  const ran = await runs.play(id, spreadProgram());
  expect(ran.filter((one) => one.startsWith('turn'))).toHaveLength(8);
  expect(ran).toHaveLength(1 + 8 + 4 + 1);
  const { files } = (await runs.server.call('GET', `/runs/${id}/files`)).body as {
    files: { path: string; object: string }[];
  };
  expect(files.map(({ path }) => path)).toEqual([
    ...[0, 1, 2, 3].map((at) => `each/${at}/best.txt`),
    'sum/sum.txt',
  ]);
  expect(await runs.textOf(files.at(-1)!.object)).toBe(
    [0, 1, 2, 3].map((at) => `all/${at}/best.txt: atoms of m${at}, 2 turns`).join('\n'),
  );
  const [, all, , turn] = await runs.lastSteps(id);
  expect(all).toMatchObject({ elementCount: 4, countsByStatus: { succeeded: 4 } });
  expect(turn).toMatchObject({ path: 'all[*].relax[1].turn', countsByStatus: { succeeded: 4 } });
  const longer = await runs.submit(spread('1'), { values: { count: '5' } });
  expect((await runs.play(longer, spreadProgram())).toSorted()).toEqual([
    'gather 1',
    'list 1 5',
    'rank 1 m4',
    'turn 1 m4 1',
    'turn 1 m4 2',
  ]);
  expect((await runs.lastSteps(longer))[1]).toMatchObject({ elementCount: 5, reusedCount: 4 });
  const { body } = await runs.server.call(
    'GET',
    `/runs/${longer}/explain?step=all[*].rank&limit=2`,
  );
  const [rank] = (body as { steps: StepExplanation[] }).steps;
  expect(rank).toMatchObject({ path: 'all[*].rank', elementCount: 5, reusedCount: 4 });
  expect(rank!.elements.map(({ label, isReused }) => [label, isReused])).toEqual([
    ['m4.mol', false],
    ['m0.mol', true],
  ]);
});

test('of a nested fan-out what failed is named; enough go on, and a mended run does the rest', async () => {
  const flow = spread('2');
  const id = await runs.submit(flow);
  await runs.play(
    id,
    spreadProgram((name) => name === 'm2'),
  );
  const [, all] = await runs.lastSteps(id);
  expect(all).toMatchObject({
    status: 'failed',
    countsByStatus: { succeeded: 3, failed: 1 },
    failed: [{ position: 2, label: 'm2.mol', reason: 'rank: exit code 3' }],
  });
  expect(all!.failed[0]!.taskId).toMatch(/^job_\d+\.0$/);
  await runs.server.call('POST', `/runs/${id}/resume`);
  expect(await runs.play(id, spreadProgram())).toEqual(['rank 2 m2', 'gather 2']);
  const enough = await runs.submit(spread('3', { successPercentMin: 75 }));
  const ran = await runs.play(
    enough,
    spreadProgram((name) => name === 'm2'),
  );
  expect(ran.at(-1)).toBe('gather 3');
  const { files } = (await runs.server.call('GET', `/runs/${enough}/files`)).body as {
    files: { path: string }[];
  };
  expect(files.map(({ path }) => path)).not.toContain('each/2/best.txt');
});

test('a cancelled nested fan-out ends the jobs of all its elements', async () => {
  const id = await runs.submit(spread('4'));
  const base = spreadProgram();
  await runs.play(
    id,
    (argv, inputs) => (argv[0] === 'turn' ? undefined : base(argv, inputs)),
    () => runs.server.call('POST', `/runs/${id}/cancel`),
  );
  const [, all, relax] = await runs.lastSteps(id);
  expect(all).toMatchObject({ status: 'cancelled', countsByStatus: { cancelled: 4 } });
  expect(relax).toMatchObject({ path: 'all[*].relax', status: 'cancelled' });
});

test('what is not repeatable is found again by its own run only', async () => {
  const flow: WorkflowInput = {
    name: 'once',
    steps: {
      roll: { argv: ['roll'], outputs: ['n.txt'], isRepeatable: false },
      fail: { argv: ['fail'], inputs: [{ path: 'n', from: 'roll/n.txt' }] },
    },
  };
  const program: Program = ([name]) =>
    name === 'fail' ? { exitCode: 1 } : { files: { 'n.txt': '4' } };
  const id = await runs.submit(flow);
  expect(await runs.play(id, program)).toEqual(['roll', 'fail']);
  await runs.server.call('POST', `/runs/${id}/resume`);
  expect(await runs.play(id, program)).toEqual(['fail']);
  expect(await runs.play(await runs.submit(flow), program)).toEqual(['roll', 'fail']);
});

test('a condition skips a step and what needs it; what may do without goes on', async () => {
  const id = await runs.submit({
    name: 'choice',
    inputs: { mode: { default: 'quick' } },
    steps: {
      count: { argv: ['count'], outputs: ['n.json'] },
      many: {
        argv: ['many'],
        when: { kind: 'json', from: 'count/n.json', pointer: '/found/0', above: 10 },
        outputs: ['m.txt'],
      },
      after_many: { argv: ['after'], inputs: [{ path: 'm', from: 'many/m.txt' }] },
      quick: { argv: ['quick'], when: { kind: 'value', value: '{mode}', equals: 'quick' } },
      end: {
        argv: ['end'],
        after: ['quick'],
        inputs: [{ path: 'm', from: 'many/m.txt', isOptional: true }],
      },
    },
  });
  const ran = await runs.play(id, ([name]) =>
    name === 'count' ? { files: { 'n.json': '{"found": [7]}' } } : {},
  );
  expect(ran.toSorted()).toEqual(['count', 'end', 'quick']);
  const steps = await runs.lastSteps(id);
  expect(steps.map(({ path, status }) => `${path} ${status}`)).toEqual([
    'count succeeded',
    'many skipped',
    'after_many skipped',
    'quick succeeded',
    'end succeeded',
  ]);
  expect(steps[1]!.reason).toBe('json of count/n.json is 7, not above 10');
  const { body } = await runs.server.call('GET', `/runs/${id}/explain`);
  const told = (body as { steps: StepExplanation[] }).steps.map(
    ({ path, sentence }) => `${path}: ${sentence}`,
  );
  expect(told).toContain('many: skipped: json of count/n.json is 7, not above 10');
  expect(told).toContain('after_many: skipped: many was skipped');
  expect(told).toContain('count: run: there was no result of this key');
});

const searchProgram: Program = ([name, iteration], inputs) => {
  if (name === 'report') return { files: { 'r.txt': inputs.get('all')! } };
  const isNew = Number(iteration) < 4;
  const known = inputs.get('known')! + (isNew ? `,${iteration}` : '');
  return { files: { 'known.txt': known, 'new.txt': isNew ? 'one more\n' : '' } };
};

test('a nested workflow is repeated, with what one iteration found, until nothing is new', async () => {
  const start = [{ path: 's.txt', object: await runs.putText('0') }];
  const id = await runs.submit(search(10), { files: { start } });
  const ran = await runs.play(id, searchProgram);
  expect(ran).toEqual([1, 2, 3, 4].map((at) => `look ${at} from {start}`).concat('report'));
  const { files } = (await runs.server.call('GET', `/runs/${id}/files`)).body as {
    files: { object: string }[];
  };
  expect(await runs.textOf(files[0]!.object)).toBe('0,1,2,3');
  expect((await runs.lastSteps(id)).map(({ path }) => path)).toEqual([
    'rounds',
    'rounds[1].look',
    'rounds[2].look',
    'rounds[3].look',
    'rounds[4].look',
    'report',
  ]);
});

test('a loop that does not end in its iterations has failed, and resumed with more it goes on', async () => {
  const start = [{ path: 's.txt', object: await runs.putText('too few') }];
  const id = await runs.submit(search(2), { files: { start } });
  expect(await runs.play(id, searchProgram)).toHaveLength(2);
  const [rounds] = await runs.lastSteps(id);
  expect(rounds).toMatchObject({ status: 'failed' });
  expect(rounds!.reason).toContain('after 2 iterations');
  await runs.server.call('POST', `/runs/${id}/resume`, { definition: search(10) });
  expect(await runs.play(id, searchProgram)).toEqual([
    'look 3 from {start}',
    'look 4 from {start}',
    'report',
  ]);
});

test('a cancelled run ends its jobs, keeps what succeeded, and can be resumed', async () => {
  const id = await runs.submit(fanOut({}, 'cancel'), { values: { count: '8' } });
  const base = fanProgram();
  const isLong = (argv: readonly string[]): boolean => argv[0] === 'work' && argv[2] !== 'line0';
  const first = await runs.play(
    id,
    (argv, inputs) => (isLong(argv) ? undefined : base(argv, inputs)),
    () => runs.server.call('POST', `/runs/${id}/cancel`),
  );
  expect(first).toContain('work cancel line0');
  const { status, rounds } = await runs.detail(id);
  expect(status).toBe('cancelled');
  expect(rounds[0]!.steps[1]!.reason).toBe('cancelled; 1 of 8 had succeeded');
  await runs.server.call('POST', `/runs/${id}/resume`);
  const second = await runs.play(id, base);
  expect(second).toHaveLength(8);
  expect(second).not.toContain('work cancel line0');
  expect((await runs.detail(id)).status).toBe('succeeded');
});
