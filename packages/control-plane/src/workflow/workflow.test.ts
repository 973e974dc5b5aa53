import type { RunDetail, StepExplanation, WorkflowInput } from '@majorana/protocol';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { TestServer } from '../api/test-server.ts';

let server: TestServer;
beforeAll(async () => {
  server = await TestServer.start();
});
afterAll(() => server[Symbol.asyncDispose]());

const DEADLINE_MS = 20_000;

type Program = (argv: readonly string[], inputs: ReadonlyMap<string, string>) => Made | undefined;
/** What a task stores, or how it fails. */
interface Made {
  readonly exitCode?: number;
  readonly files?: Readonly<Record<string, string>>;
}

async function textOf(object: string): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of await server.objects.read(object)) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
}

const putText = async (text: string): Promise<string> => {
  const { Readable } = await import('node:stream');
  return (await server.objects.putStream(Readable.from([Buffer.from(text)]))).object;
};

/**
 * An agent that plays the program; answers what it ran, argument vectors joined. A program that
 * makes nothing goes on until it is told to end; `whenStill` is called once, when nothing moves.
 */
async function play(
  id: string,
  program: Program,
  whenStill: () => Promise<unknown> = async () => undefined,
): Promise<string[]> {
  const ran: string[] = [];
  const held = new Set<string>();
  let ended: never[] = [];
  let isStill = false;
  const deadlineMs = Date.now() + DEADLINE_MS;
  while (Date.now() < deadlineMs) {
    const orders = await server.sync({ events: ended, heldAttemptIds: [...held] });
    ended = [];
    for (const lease of orders.leases) {
      if (held.has(lease.attemptId)) continue;
      ran.push(lease.argv.join(' '));
      const inputs = new Map<string, string>();
      for (const { path, object } of lease.inputs) inputs.set(path, await textOf(object));
      const made = program(lease.argv, inputs);
      if (made === undefined) held.add(lease.attemptId);
      else ended.push(endedEvent(lease.attemptId, made.exitCode ?? 0, await storeAll(made)));
    }
    for (const attemptId of orders.endAttemptIds) {
      held.delete(attemptId);
      ended.push(endedEvent(attemptId, 'cancelled', []));
    }
    if (ended.length > 0) continue;
    if ((await detail(id)).endedAtMs !== null) return ran;
    if (held.size > 0 && !isStill) {
      isStill = true;
      await whenStill();
    }
    await breathe();
  }
  const where = JSON.stringify(await statuses(id));
  throw new Error(`${id} did not end; it ran ${ran.join(', ')}: ${where}`);
}

async function storeAll({ files = {} }: Made): Promise<object[]> {
  const artifacts = [];
  for (const [path, text] of Object.entries(files)) {
    const object = await putText(text);
    artifacts.push({ role: 'output', path, object, sizeBytes: text.length });
  }
  return artifacts;
}

/** An exchange with nothing to write is over at once: the server must get its turn. */
const breathe = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 5));

const outcomeOf = (end: number | 'cancelled'): object => {
  if (end === 'cancelled') return { kind: 'cancelled', reason: 'cancelled' };
  const kind = end === 0 ? 'succeeded' : 'exit_code';
  return { kind, exitCode: end, reason: `exit code ${end}` };
};
const endedEvent = (attemptId: string, end: number | 'cancelled', artifacts: object[]): never =>
  ({
    kind: 'ended',
    attemptId,
    outcome: outcomeOf(end),
    startedAtMs: 1,
    atMs: 2,
    peakMemoryBytes: 1,
    cpuTimeMs: 1,
    artifacts,
  }) as never;

const detail = async (id: string): Promise<RunDetail> =>
  (await server.call('GET', `/runs/${id}`)).body;

async function submit(definition: WorkflowInput, inputs: object = {}): Promise<string> {
  const { status, body } = await server.call('POST', '/runs', { definition, inputs });
  expect(body).toHaveProperty('id');
  expect(status).toBe(201);
  return (body as { id: string }).id;
}

const statuses = async (id: string): Promise<Record<string, string>> => {
  const { rounds } = await detail(id);
  return Object.fromEntries(rounds.at(-1)!.steps.map(({ path, status }) => [path, status]));
};

test('two steps bound by a file run one after the other, and the second gets the file', async () => {
  const id = await submit({
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
  const ran = await play(id, ([program], inputs) => ({
    files: program === 'make' ? { 'a.txt': 'made' } : { 'b.txt': `read ${inputs.get('in.txt')}` },
  }));
  expect(ran).toEqual(['make', 'read']);
  expect(await statuses(id)).toEqual({ make: 'succeeded', read: 'succeeded' });
  const { files } = (await server.call('GET', `/runs/${id}/files`)).body as {
    files: { path: string; object: string }[];
  };
  expect(files.map(({ path }) => path)).toEqual(['result/b.txt']);
  expect(await textOf(files[0]!.object)).toBe('read made');
});

const lines = (count: number): string =>
  Array.from({ length: count }, (_, at) => `line${at}`).join('\n');

/** Makes lines, runs one element for each, and gathers what they stored. */
const fanOut = (edit: object = {}, version = '1'): WorkflowInput => ({
  name: 'fan',
  inputs: { count: { default: '5' } },
  steps: {
    list: { argv: ['list', '{count}'], outputs: ['lines.txt'] },
    work: {
      argv: ['work', version, '{line}'],
      each: { kind: 'lines', from: 'list/lines.txt' },
      outputs: ['out-{index}.txt'],
      ...edit,
    },
    gather: { argv: ['gather'], inputs: [{ path: 'all', from: 'work' }], outputs: ['sum.txt'] },
  },
  outputs: { sum: 'gather/sum.txt' },
});

const fanProgram =
  (fails: (line: string) => boolean = () => false): Program =>
  ([program, first, line = ''], inputs) => {
    if (program === 'list') return { files: { 'lines.txt': lines(Number(first)) } };
    if (program === 'gather')
      return { files: { 'sum.txt': [...inputs.keys()].toSorted().join('\n') } };
    if (fails(line)) return { exitCode: 3 };
    return { files: { [`out-${line.slice(4)}.txt`]: `${first} ${line}` } };
  };

const lastSteps = async (id: string): Promise<RunDetail['rounds'][number]['steps']> =>
  (await detail(id)).rounds.at(-1)!.steps;

test('an earlier step decides how many there are, and a later one gathers all they stored', async () => {
  const id = await submit(fanOut());
  const ran = await play(id, fanProgram());
  expect(ran).toHaveLength(7);
  const { files } = (await server.call('GET', `/runs/${id}/files`)).body as {
    files: { object: string }[];
  };
  expect(await textOf(files[0]!.object)).toBe(
    [0, 1, 2, 3, 4].map((at) => `all/${at}/out-${at}.txt`).join('\n'),
  );
});

test('of a longer fan-out only the new elements run, at their own places', async () => {
  const id = await submit(fanOut({}, 'longer'), { values: { count: '3' } });
  await play(id, fanProgram());
  const longer = await submit(fanOut({}, 'longer'), { values: { count: '6' } });
  const ran = await play(longer, fanProgram());
  expect(ran.toSorted()).toEqual([
    'gather',
    'list 6',
    'work longer line3',
    'work longer line4',
    'work longer line5',
  ]);
  expect((await lastSteps(longer))[1]).toMatchObject({ elementCount: 6, reusedCount: 3 });
  const { body } = await server.call('GET', `/runs/${longer}/explain?step=work&limit=6`);
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
  const id = await submit(flow);
  let gathered: string[] = [];
  const ran = await play(id, ([program, value = ''], inputs) => {
    if (program === 'gather') gathered = [...inputs.values()];
    return { files: program === 'gather' ? { 'sum.txt': '' } : { 'out.txt': value } };
  });
  expect(ran).toEqual(['equal a', 'equal b', 'gather']);
  expect(gathered).toEqual(['a', 'b', 'a']);
});

test('failures are named; resumed, only what failed and what waited for it runs', async () => {
  const flow = fanOut({}, 'mend');
  const id = await submit(flow, { values: { count: '40' } });
  const first = await play(
    id,
    fanProgram((line) => ['line7', 'line9'].includes(line)),
  );
  expect(first).toHaveLength(41);
  const [, work, gather] = await lastSteps(id);
  expect(work).toMatchObject({
    status: 'failed',
    failedCount: 2,
    failed: [
      { position: 7, label: 'line7', reason: 'exit code 3' },
      { position: 9, label: 'line9' },
    ],
  });
  expect(gather).toMatchObject({ status: 'blocked' });
  await server.call('POST', `/runs/${id}/resume`);
  const second = await play(id, fanProgram());
  expect(second).toEqual(['work mend line7', 'work mend line9', 'gather']);
  const { rounds, status } = await detail(id);
  expect(status).toBe('succeeded');
  expect(rounds.map((round) => round.status)).toEqual(['failed', 'succeeded']);
  expect(rounds[0]!.steps[1]).toMatchObject({ status: 'failed', failedCount: 2 });
});

test('a mended program runs again with all that depends on it, and nothing else', async () => {
  const id = await submit(fanOut({}, 'before'), { values: { count: '4' } });
  await play(id, fanProgram());
  const { body } = await server.call('POST', `/runs/${id}/resume`, {
    definition: fanOut({}, 'after'),
  });
  expect(body).toEqual({ id, round: 2 });
  const ran = await play(id, fanProgram());
  expect(ran).toHaveLength(5);
  expect(ran.filter((one) => one.startsWith('list'))).toEqual([]);
});

test('it goes on when enough have succeeded, with the failed ones named', async () => {
  const id = await submit(fanOut({ successPercentMin: 80 }, 'enough'), { values: { count: '10' } });
  await play(
    id,
    fanProgram((line) => line === 'line3'),
  );
  const [, work, gather] = await lastSteps(id);
  expect(work).toMatchObject({ status: 'succeeded', failedCount: 1, failed: [{ label: 'line3' }] });
  expect(gather).toMatchObject({ status: 'succeeded' });
});

test('a fan-out over the files of a fan-out gives each its file', async () => {
  const flow = fanOut({}, 'files');
  const id = await submit({
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
  const ran = await play(id, (argv, inputs) => {
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
  const id = await submit(spread('1'));
  const ran = await play(id, spreadProgram());
  expect(ran.filter((one) => one.startsWith('turn'))).toHaveLength(8);
  expect(ran).toHaveLength(1 + 8 + 4 + 1);
  const { files } = (await server.call('GET', `/runs/${id}/files`)).body as {
    files: { path: string; object: string }[];
  };
  expect(files.map(({ path }) => path)).toEqual([
    ...[0, 1, 2, 3].map((at) => `each/${at}/best.txt`),
    'sum/sum.txt',
  ]);
  expect(await textOf(files.at(-1)!.object)).toBe(
    [0, 1, 2, 3].map((at) => `all/${at}/best.txt: atoms of m${at}, 2 turns`).join('\n'),
  );
  const [, all, , turn] = await lastSteps(id);
  expect(all).toMatchObject({ elementCount: 4, countsByStatus: { succeeded: 4 } });
  expect(turn).toMatchObject({ path: 'all[*].relax[1].turn', countsByStatus: { succeeded: 4 } });
  const longer = await submit(spread('1'), { values: { count: '5' } });
  expect((await play(longer, spreadProgram())).toSorted()).toEqual([
    'gather 1',
    'list 1 5',
    'rank 1 m4',
    'turn 1 m4 1',
    'turn 1 m4 2',
  ]);
  expect((await lastSteps(longer))[1]).toMatchObject({ elementCount: 5, reusedCount: 4 });
  const { body } = await server.call('GET', `/runs/${longer}/explain?step=all[*].rank&limit=2`);
  const [rank] = (body as { steps: StepExplanation[] }).steps;
  expect(rank).toMatchObject({ path: 'all[*].rank', elementCount: 5, reusedCount: 4 });
  expect(rank!.elements.map(({ label, isReused }) => [label, isReused])).toEqual([
    ['m4.mol', false],
    ['m0.mol', true],
  ]);
});

test('of a nested fan-out what failed is named; enough go on, and a mended run does the rest', async () => {
  const flow = spread('2');
  const id = await submit(flow);
  await play(
    id,
    spreadProgram((name) => name === 'm2'),
  );
  const [, all] = await lastSteps(id);
  expect(all).toMatchObject({
    status: 'failed',
    countsByStatus: { succeeded: 3, failed: 1 },
    failed: [{ position: 2, label: 'm2.mol', reason: 'rank: exit code 3' }],
  });
  expect(all!.failed[0]!.taskId).toMatch(/^job_\d+\.0$/);
  await server.call('POST', `/runs/${id}/resume`);
  expect(await play(id, spreadProgram())).toEqual(['rank 2 m2', 'gather 2']);
  const enough = await submit(spread('3', { successPercentMin: 75 }));
  const ran = await play(
    enough,
    spreadProgram((name) => name === 'm2'),
  );
  expect(ran.at(-1)).toBe('gather 3');
  const { files } = (await server.call('GET', `/runs/${enough}/files`)).body as {
    files: { path: string }[];
  };
  expect(files.map(({ path }) => path)).not.toContain('each/2/best.txt');
});

test('a cancelled nested fan-out ends the jobs of all its elements', async () => {
  const id = await submit(spread('4'));
  const base = spreadProgram();
  await play(
    id,
    (argv, inputs) => (argv[0] === 'turn' ? undefined : base(argv, inputs)),
    () => server.call('POST', `/runs/${id}/cancel`),
  );
  const [, all, relax] = await lastSteps(id);
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
  const id = await submit(flow);
  expect(await play(id, program)).toEqual(['roll', 'fail']);
  await server.call('POST', `/runs/${id}/resume`);
  expect(await play(id, program)).toEqual(['fail']);
  expect(await play(await submit(flow), program)).toEqual(['roll', 'fail']);
});

test('a condition skips a step and what needs it; what may do without goes on', async () => {
  const id = await submit({
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
  const ran = await play(id, ([name]) =>
    name === 'count' ? { files: { 'n.json': '{"found": [7]}' } } : {},
  );
  expect(ran.toSorted()).toEqual(['count', 'end', 'quick']);
  const steps = await lastSteps(id);
  expect(steps.map(({ path, status }) => `${path} ${status}`)).toEqual([
    'count succeeded',
    'many skipped',
    'after_many skipped',
    'quick succeeded',
    'end succeeded',
  ]);
  expect(steps[1]!.reason).toBe('json of count/n.json is 7, not above 10');
  const { body } = await server.call('GET', `/runs/${id}/explain`);
  const told = (body as { steps: StepExplanation[] }).steps.map(
    ({ path, sentence }) => `${path}: ${sentence}`,
  );
  expect(told).toContain('many: skipped: json of count/n.json is 7, not above 10');
  expect(told).toContain('after_many: skipped: many was skipped');
  expect(told).toContain('count: run: there was no result of this key');
});

/** Each iteration searches from what is known, until nothing new comes. */
const search = (iterationsMax: number): WorkflowInput => ({
  name: 'search',
  inputs: { start: { kind: 'file' } },
  steps: {
    rounds: {
      with: { known: 'start', label: 'from {{start}}' },
      workflow: {
        inputs: { known: { kind: 'file' }, label: {} },
        steps: {
          look: {
            argv: ['look', '{iteration}', '{label}'],
            inputs: [{ path: 'known', from: 'known' }],
            outputs: ['known.txt', 'new.txt'],
          },
        },
        outputs: { all: 'look/known.txt' },
      },
      repeat: {
        until: { kind: 'lines', from: 'look/new.txt', equals: 0 },
        iterationsMax,
        carry: { known: 'look/known.txt' },
      },
    },
    report: { argv: ['report'], inputs: [{ path: 'all', from: 'rounds/all' }], outputs: ['r.txt'] },
  },
  outputs: { report: 'report/r.txt' },
});
const searchProgram: Program = ([name, iteration], inputs) => {
  if (name === 'report') return { files: { 'r.txt': inputs.get('all')! } };
  const isNew = Number(iteration) < 4;
  const known = inputs.get('known')! + (isNew ? `,${iteration}` : '');
  return { files: { 'known.txt': known, 'new.txt': isNew ? 'one more\n' : '' } };
};

test('a nested workflow is repeated, with what one iteration found, until nothing is new', async () => {
  const start = [{ path: 's.txt', object: await putText('0') }];
  const id = await submit(search(10), { files: { start } });
  const ran = await play(id, searchProgram);
  expect(ran).toEqual([1, 2, 3, 4].map((at) => `look ${at} from {start}`).concat('report'));
  const { files } = (await server.call('GET', `/runs/${id}/files`)).body as {
    files: { object: string }[];
  };
  expect(await textOf(files[0]!.object)).toBe('0,1,2,3');
  expect((await lastSteps(id)).map(({ path }) => path)).toEqual([
    'rounds',
    'rounds[1].look',
    'rounds[2].look',
    'rounds[3].look',
    'rounds[4].look',
    'report',
  ]);
});

test('a loop that does not end in its iterations has failed, and resumed with more it goes on', async () => {
  const start = [{ path: 's.txt', object: await putText('too few') }];
  const id = await submit(search(2), { files: { start } });
  expect(await play(id, searchProgram)).toHaveLength(2);
  const [rounds] = await lastSteps(id);
  expect(rounds).toMatchObject({ status: 'failed' });
  expect(rounds!.reason).toContain('after 2 iterations');
  await server.call('POST', `/runs/${id}/resume`, { definition: search(10) });
  expect(await play(id, searchProgram)).toEqual([
    'look 3 from {start}',
    'look 4 from {start}',
    'report',
  ]);
});

test('a cancelled run ends its jobs, keeps what succeeded, and can be resumed', async () => {
  const id = await submit(fanOut({}, 'cancel'), { values: { count: '8' } });
  const base = fanProgram();
  const isLong = (argv: readonly string[]): boolean => argv[0] === 'work' && argv[2] !== 'line0';
  const first = await play(
    id,
    (argv, inputs) => (isLong(argv) ? undefined : base(argv, inputs)),
    () => server.call('POST', `/runs/${id}/cancel`),
  );
  expect(first).toContain('work cancel line0');
  const { status, rounds } = await detail(id);
  expect(status).toBe('cancelled');
  expect(rounds[0]!.steps[1]!.reason).toBe('cancelled; 1 of 8 had succeeded');
  await server.call('POST', `/runs/${id}/resume`);
  const second = await play(id, base);
  expect(second).toHaveLength(8);
  expect(second).not.toContain('work cancel line0');
  expect((await detail(id)).status).toBe('succeeded');
});

async function usedObjects(): Promise<Set<string>> {
  const used = new Set<string>();
  for await (const some of server.retention.usedObjects()) some.forEach((one) => used.add(one));
  return used;
}

test('results outlive the jobs that made them, until nobody has used them for so long', async () => {
  const flow = fanOut({}, 'kept');
  const id = await submit(flow);
  await play(id, fanProgram());
  const { body } = await server.call('GET', `/runs/${id}/files`);
  const { object } = (body as { files: { object: string }[] }).files[0]!;
  for (const jobId of await server.retention.expiredJobs(Date.now() + 1, 1000)) {
    await server.retention.removeJob(jobId);
  }
  expect(await usedObjects()).toContain(object);
  const again = await submit(flow);
  expect(await play(again, fanProgram())).toEqual([]);
  await server.retention.removeRuns(Date.now() + 1);
  await server.retention.removeUnusedResults(Date.now() + 1);
  expect(await usedObjects()).not.toContain(object);
  expect(await play(await submit(flow), fanProgram())).toHaveLength(7);
});

test('a run is its project’s: others neither see it nor share its results', async () => {
  const flow = fanOut({}, 'secret');
  const tokenFor = async (project: string): Promise<string> => {
    const request = { user: project, role: 'member', project };
    return ((await server.call('POST', '/tokens', request)).body as { token: string }).token;
  };
  const [blue, red] = [await tokenFor('blue'), await tokenFor('red')];
  const make = async (token: string): Promise<string> => {
    const { body } = await server.call('POST', '/runs', { definition: flow }, token);
    return (body as { id: string }).id;
  };
  const first = await make(blue);
  expect(await play(first, fanProgram())).toHaveLength(7);
  expect((await detail(first)).project).toBe('blue');
  for (const [method, path] of [
    ['GET', ''],
    ['GET', '/explain'],
    ['GET', '/files'],
    ['POST', '/cancel'],
    ['POST', '/resume'],
  ] as const) {
    expect((await server.call(method, `/runs/${first}${path}`, undefined, red)).status).toBe(404);
  }
  const list = (await server.call('GET', '/runs', undefined, red)).body as { runs: object[] };
  expect(list.runs).toEqual([]);
  expect(await play(await make(red), fanProgram())).toHaveLength(7);
  const same = await make(blue);
  expect(await play(same, fanProgram())).toEqual([]);
});

const problemOf = async (request: object): Promise<{ title: string; issues: object[] }> =>
  (await server.call('POST', '/runs', request)).body;

test('a request that cannot run is refused with every place that is wrong', async () => {
  const start = [{ path: 's', object: await putText('0') }];
  expect(await problemOf({ definition: search(2) })).toMatchObject({
    title: 'wrong_inputs',
    issues: [{ where: 'inputs.files.start', what: 'a file is needed' }],
  });
  const given = { values: { extra: '1' }, files: { start: [...start, ...start] } };
  const { issues } = await problemOf({ definition: search(2), inputs: given });
  expect(issues).toHaveLength(2);
  const unknown = [{ path: 's', object: '0'.repeat(64) }];
  expect(
    await problemOf({ definition: search(2), inputs: { files: { start: unknown } } }),
  ).toMatchObject({ title: 'no_such_object' });
  const wrong = fanOut({ each: { kind: 'lines', from: 'list/other.txt' } });
  expect(await problemOf({ definition: wrong })).toMatchObject({
    title: 'invalid_input',
    issues: [{ where: 'definition.steps.work.each.from' }],
  });
  const big = fanOut({ resources: { cpuMillis: 900_000 } });
  expect(await problemOf({ definition: big })).toMatchObject({ title: 'never_fits' });
});

test('a file that a step did not store fails what needs it, and says what there is', async () => {
  const id = await submit({
    name: 'missing',
    steps: {
      make: { argv: ['make'], outputs: ['*.txt'] },
      read: { argv: ['read'], inputs: [{ path: 'x', from: 'make/b.txt' }] },
    },
  });
  await play(id, () => ({ files: { 'a.txt': '' } }));
  expect((await lastSteps(id))[1]).toMatchObject({
    status: 'failed',
    reason: 'make/b.txt: make has stored no b.txt; it has a.txt',
  });
});

test('a repeated request is the first run, and an open run cannot be resumed', async () => {
  const request = { definition: fanOut({}, 'twice'), idempotencyKey: 'k' };
  const first = await server.call('POST', '/runs', request);
  const second = await server.call('POST', '/runs', request);
  expect(second.body).toEqual({ ...(first.body as object), isNew: false });
  const { id } = first.body as { id: string };
  const refused = await server.call('POST', `/runs/${id}/resume`);
  expect(refused).toMatchObject({ status: 409, body: { title: 'run_is_open' } });
  await play(id, fanProgram());
});

test('a value comes from a small file; what is no text is refused, and a lost file too', async () => {
  const flow = (name: string): WorkflowInput => ({
    name,
    steps: {
      best: { argv: ['best', name], outputs: ['b.txt'] },
      use: { argv: ['use', '{b}', '{index}/{task_count}'], values: { b: 'best/b.txt' } },
    },
  });
  const made = (text: string) => (): Made => ({ files: { 'b.txt': text } });
  const good = await submit(flow('good'));
  expect(await play(good, made('{42}\n'))).toEqual(['best good', 'use {42} 0/1']);
  const binary = await submit(flow('binary'));
  await play(binary, made('a\0b'));
  expect((await lastSteps(binary))[1]!.reason).toBe('best/b.txt: b.txt is no text');
  const lost = await submit(flow('lost'));
  await play(lost, made('soon gone'));
  await server.objects.remove(await putText('soon gone'), Date.now() + 1000);
  await server.call('POST', `/runs/${lost}/resume`);
  await play(lost, made('soon gone'));
  expect((await lastSteps(lost))[1]).toMatchObject({ status: 'failed' });
});

test('a fan-out over nothing has succeeded, and its gather gets nothing', async () => {
  const id = await submit(fanOut({}, 'none'), { values: { count: '0' } });
  const ran = await play(id, ([program]) => ({
    files: program === 'list' ? { 'lines.txt': '\n' } : { 'sum.txt': '' },
  }));
  expect(ran).toEqual(['list 0', 'gather']);
});

test('two users of a project share the result of a step', async () => {
  const tokenFor = async (user: string): Promise<string> => {
    const request = { user, role: 'member', project: 'shared' };
    return ((await server.call('POST', '/tokens', request)).body as { token: string }).token;
  };
  const [anna, berta] = [await tokenFor('anna'), await tokenFor('berta')];
  const run = async (token: string): Promise<string> => {
    const { body } = await server.call('POST', '/runs', { definition: fanOut() }, token);
    return (body as { id: string }).id;
  };
  const first = await run(anna);
  expect(await play(first, fanProgram())).toHaveLength(7);
  const second = await run(berta);
  expect(await play(second, fanProgram())).toEqual([]);
  expect((await detail(second)).user).toBe('berta');
  const { body } = await server.call('GET', `/runs/${second}/explain?step=list`, undefined, berta);
  expect((body as { steps: StepExplanation[] }).steps[0]!.elements[0]).toMatchObject({
    isReused: true,
    origin: `${first} list`,
  });
});

test('a result is shared over projects when the user of the second may read the first', async () => {
  const tokenFor = async (user: string, project: string): Promise<string> => {
    const request = { user, role: 'member', project };
    return ((await server.call('POST', '/tokens', request)).body as { token: string }).token;
  };
  const ours = await tokenFor('clara', 'ours');
  const theirs = await tokenFor('dora', 'theirs');
  const definition = fanOut({}, 'over projects');
  const run = async (token: string): Promise<string> => {
    const { body } = await server.call('POST', '/runs', { definition }, token);
    return (body as { id: string }).id;
  };
  const first = await run(ours);
  expect(await play(first, fanProgram())).toHaveLength(7);
  expect(await play(await run(theirs), fanProgram())).toHaveLength(7);
  const both = await tokenFor('emma', 'third');
  await tokenFor('emma', 'ours');
  const second = await run(both);
  expect(await play(second, fanProgram())).toEqual([]);
  const { body } = await server.call('GET', `/runs/${second}/explain?step=list`, undefined, both);
  expect((body as { steps: StepExplanation[] }).steps[0]!.elements[0]).toMatchObject({
    isReused: true,
    origin: `${first} of project ours list`,
  });
});

test('the ended job of a step is not retried by itself: the answer names what to do', async () => {
  const id = await submit(fanOut({}, 'not by itself'));
  await play(id, (argv, inputs) =>
    argv[0] === 'work' ? { exitCode: 3 } : fanProgram()(argv, inputs),
  );
  const { jobId } = (await lastSteps(id)).find(({ path }) => path === 'work')!;
  const asked = [`/jobs/${jobId}/retry`, `/tasks/${jobId}.0/retry`];
  for (const url of asked) {
    const { status, body } = await server.call('POST', url);
    expect(status).toBe(409);
    expect((body as { detail: string }).detail).toContain(`majorana workflow resume ${id}`);
  }
});

test('what values have made of a step may be no job: the step fails and says why', async () => {
  const id = await submit({
    name: 'toolong',
    steps: {
      make: { argv: ['make'], outputs: ['name.txt'] },
      use: { argv: ['use', '{name}'], values: { name: 'make/name.txt' }, outputs: ['{name}'] },
    },
  });
  await play(id, () => ({ files: { 'name.txt': 'x'.repeat(2000) } }));
  expect((await lastSteps(id))[1]).toMatchObject({
    status: 'failed',
    reason: expect.stringContaining('as a job it is refused: outputs.0'),
  });
});

test('a command that the database refuses is tried again, is shown, and fails its step in the end', async () => {
  const { pool } = server.store;
  const first = await submit(fanOut({}, 'refused'));
  await play(first, fanProgram());
  await pool.query(`create function no_results() returns trigger language plpgsql
    as $$ begin raise exception 'no room for results'; end $$`);
  await pool.query(`create trigger refuse before insert on result_block for each row
    when (new.step_name = 'work') execute function no_results()`);
  try {
    const id = await submit(fanOut({}, 'refused'));
    const work = async (): Promise<RunDetail['rounds'][number]['steps'][number]> =>
      (await lastSteps(id)).find(({ path }) => path === 'work')!;
    let shown = '';
    await play(id, fanProgram(), async () => undefined).catch(async (error: Error) => {
      shown = (await work()).reason;
      expect(error.message).toContain('did not end');
    });
    expect(shown).toMatch(/^tried \d+ times, again within \d+ s: no room for results/);
  } finally {
    await pool.query('drop function no_results cascade');
  }
}, 40_000);
