import type { RunDetail, StepExplanation, WorkflowInput } from '@majorana/protocol';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Made } from './test-runs.ts';
import { fanOut, fanProgram, search, TestRuns } from './test-runs.ts';

let runs: TestRuns;
beforeAll(async () => {
  runs = await TestRuns.start();
});
afterAll(() => runs[Symbol.asyncDispose]());

async function usedObjects(): Promise<Set<string>> {
  const used = new Set<string>();
  for await (const some of runs.server.retention.usedObjects())
    some.forEach((one) => used.add(one));
  return used;
}

test('results outlive the jobs that made them, until nobody has used them for so long', async () => {
  const flow = fanOut({}, 'kept');
  const id = await runs.submit(flow);
  await runs.play(id, fanProgram());
  const { body } = await runs.server.call('GET', `/runs/${id}/files`);
  const { object } = (body as { files: { object: string }[] }).files[0]!;
  for (const jobId of await runs.server.retention.expiredJobs(Date.now() + 1, 1000)) {
    await runs.server.retention.removeJob(jobId);
  }
  expect(await usedObjects()).toContain(object);
  const again = await runs.submit(flow);
  expect(await runs.play(again, fanProgram())).toEqual([]);
  await runs.server.retention.removeRuns(Date.now() + 1);
  await runs.server.retention.removeUnusedResults(Date.now() + 1);
  expect(await usedObjects()).not.toContain(object);
  expect(await runs.play(await runs.submit(flow), fanProgram())).toHaveLength(7);
});

test('a run is its project’s: others neither see it nor share its results', async () => {
  const flow = fanOut({}, 'secret');
  const tokenFor = async (project: string): Promise<string> => {
    const request = { user: project, role: 'member', project };
    return ((await runs.server.call('POST', '/tokens', request)).body as { token: string }).token;
  };
  const [blue, red] = [await tokenFor('blue'), await tokenFor('red')];
  const make = async (token: string): Promise<string> => {
    const { body } = await runs.server.call('POST', '/runs', { definition: flow }, token);
    return (body as { id: string }).id;
  };
  const first = await make(blue);
  expect(await runs.play(first, fanProgram())).toHaveLength(7);
  expect((await runs.detail(first)).project).toBe('blue');
  for (const [method, path] of [
    ['GET', ''],
    ['GET', '/explain'],
    ['GET', '/files'],
    ['POST', '/cancel'],
    ['POST', '/resume'],
  ] as const) {
    expect((await runs.server.call(method, `/runs/${first}${path}`, undefined, red)).status).toBe(
      404,
    );
  }
  const list = (await runs.server.call('GET', '/runs', undefined, red)).body as { runs: object[] };
  expect(list.runs).toEqual([]);
  expect(await runs.play(await make(red), fanProgram())).toHaveLength(7);
  const same = await make(blue);
  expect(await runs.play(same, fanProgram())).toEqual([]);
});

const problemOf = async (request: object): Promise<{ title: string; issues: object[] }> =>
  (await runs.server.call('POST', '/runs', request)).body;

test('a request that cannot run is refused with every place that is wrong', async () => {
  const start = [{ path: 's', object: await runs.putText('0') }];
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
  const id = await runs.submit({
    name: 'missing',
    steps: {
      make: { argv: ['make'], outputs: ['*.txt'] },
      read: { argv: ['read'], inputs: [{ path: 'x', from: 'make/b.txt' }] },
    },
  });
  await runs.play(id, () => ({ files: { 'a.txt': '' } }));
  expect((await runs.lastSteps(id))[1]).toMatchObject({
    status: 'failed',
    reason: 'make/b.txt: make has stored no b.txt; it has a.txt',
  });
});

test('a repeated request is the first run, and an open run cannot be resumed', async () => {
  const request = { definition: fanOut({}, 'twice'), idempotencyKey: 'k' };
  const first = await runs.server.call('POST', '/runs', request);
  const second = await runs.server.call('POST', '/runs', request);
  expect(second.body).toEqual({ ...(first.body as object), isNew: false });
  const { id } = first.body as { id: string };
  const refused = await runs.server.call('POST', `/runs/${id}/resume`);
  expect(refused).toMatchObject({ status: 409, body: { title: 'run_is_open' } });
  await runs.play(id, fanProgram());
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
  const good = await runs.submit(flow('good'));
  expect(await runs.play(good, made('{42}\n'))).toEqual(['best good', 'use {42} 0/1']);
  const binary = await runs.submit(flow('binary'));
  await runs.play(binary, made('a\0b'));
  expect((await runs.lastSteps(binary))[1]!.reason).toBe('best/b.txt: b.txt is no text');
  const lost = await runs.submit(flow('lost'));
  await runs.play(lost, made('soon gone'));
  await runs.server.objects.remove(await runs.putText('soon gone'), Date.now() + 1000);
  await runs.server.call('POST', `/runs/${lost}/resume`);
  await runs.play(lost, made('soon gone'));
  expect((await runs.lastSteps(lost))[1]).toMatchObject({ status: 'failed' });
});

test('a fan-out over nothing has succeeded, and its gather gets nothing', async () => {
  const id = await runs.submit(fanOut({}, 'none'), { values: { count: '0' } });
  const ran = await runs.play(id, ([program]) => ({
    files: program === 'list' ? { 'lines.txt': '\n' } : { 'sum.txt': '' },
  }));
  expect(ran).toEqual(['list 0', 'gather']);
});

test('two users of a project share the result of a step', async () => {
  const tokenFor = async (user: string): Promise<string> => {
    const request = { user, role: 'member', project: 'shared' };
    return ((await runs.server.call('POST', '/tokens', request)).body as { token: string }).token;
  };
  const [anna, berta] = [await tokenFor('anna'), await tokenFor('berta')];
  const run = async (token: string): Promise<string> => {
    const { body } = await runs.server.call('POST', '/runs', { definition: fanOut() }, token);
    return (body as { id: string }).id;
  };
  const first = await run(anna);
  expect(await runs.play(first, fanProgram())).toHaveLength(7);
  const second = await run(berta);
  expect(await runs.play(second, fanProgram())).toEqual([]);
  expect((await runs.detail(second)).user).toBe('berta');
  const { body } = await runs.server.call(
    'GET',
    `/runs/${second}/explain?step=list`,
    undefined,
    berta,
  );
  expect((body as { steps: StepExplanation[] }).steps[0]!.elements[0]).toMatchObject({
    isReused: true,
    origin: `${first} list`,
  });
});

test('a result is shared over projects when the user of the second may read the first', async () => {
  const tokenFor = async (user: string, project: string): Promise<string> => {
    const request = { user, role: 'member', project };
    return ((await runs.server.call('POST', '/tokens', request)).body as { token: string }).token;
  };
  const ours = await tokenFor('clara', 'ours');
  const theirs = await tokenFor('dora', 'theirs');
  const definition = fanOut({}, 'over projects');
  const run = async (token: string): Promise<string> => {
    const { body } = await runs.server.call('POST', '/runs', { definition }, token);
    return (body as { id: string }).id;
  };
  const first = await run(ours);
  expect(await runs.play(first, fanProgram())).toHaveLength(7);
  expect(await runs.play(await run(theirs), fanProgram())).toHaveLength(7);
  const both = await tokenFor('emma', 'third');
  await tokenFor('emma', 'ours');
  const second = await run(both);
  expect(await runs.play(second, fanProgram())).toEqual([]);
  const { body } = await runs.server.call(
    'GET',
    `/runs/${second}/explain?step=list`,
    undefined,
    both,
  );
  expect((body as { steps: StepExplanation[] }).steps[0]!.elements[0]).toMatchObject({
    isReused: true,
    origin: `${first} of project ours list`,
  });
});

test('the ended job of a step is not retried by itself: the answer names what to do', async () => {
  const id = await runs.submit(fanOut({}, 'not by itself'));
  await runs.play(id, (argv, inputs) =>
    argv[0] === 'work' ? { exitCode: 3 } : fanProgram()(argv, inputs),
  );
  const { jobId } = (await runs.lastSteps(id)).find(({ path }) => path === 'work')!;
  const asked = [`/jobs/${jobId}/retry`, `/tasks/${jobId}.0/retry`];
  for (const url of asked) {
    const { status, body } = await runs.server.call('POST', url);
    expect(status).toBe(409);
    expect((body as { detail: string }).detail).toContain(`majorana workflow resume ${id}`);
  }
});

test('what values have made of a step may be no job: the step fails and says why', async () => {
  const id = await runs.submit({
    name: 'toolong',
    steps: {
      make: { argv: ['make'], outputs: ['name.txt'] },
      use: { argv: ['use', '{name}'], values: { name: 'make/name.txt' }, outputs: ['{name}'] },
    },
  });
  await runs.play(id, () => ({ files: { 'name.txt': 'x'.repeat(2000) } }));
  expect((await runs.lastSteps(id))[1]).toMatchObject({
    status: 'failed',
    reason: expect.stringContaining('as a job it is refused: outputs.0'),
  });
});

test('a command that the database refuses is tried again, is shown, and fails its step in the end', async () => {
  const { pool } = runs.server.store;
  const first = await runs.submit(fanOut({}, 'refused'));
  await runs.play(first, fanProgram());
  await pool.query(`create function no_results() returns trigger language plpgsql
    as $$ begin raise exception 'no room for results'; end $$`);
  await pool.query(`create trigger refuse before insert on result_block for each row
    when (new.step_name = 'work') execute function no_results()`);
  try {
    const id = await runs.submit(fanOut({}, 'refused'));
    const work = async (): Promise<RunDetail['rounds'][number]['steps'][number]> =>
      (await runs.lastSteps(id)).find(({ path }) => path === 'work')!;
    let shown = '';
    await runs
      .play(id, fanProgram(), async () => undefined)
      .catch(async (error: Error) => {
        shown = (await work()).reason;
        expect(error.message).toContain('did not end');
      });
    expect(shown).toMatch(/^tried \d+ times, again within \d+ s: no room for results/);
  } finally {
    await pool.query('drop function no_results cascade');
  }
}, 40_000);
