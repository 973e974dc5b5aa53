import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { kill, Product, until } from './product.ts';

const product = new Product();
beforeAll(async () => {
  await product.ok('up', '--detach', '--cores', '4');
});
afterAll(() => product[Symbol.asyncDispose]());

interface Job {
  readonly state: string;
  readonly counts: Record<string, number>;
}

test('an array runs, and its outputs come back one folder per task', async () => {
  const id = await product.ok(
    'submit',
    '--array',
    '10-14:2',
    '--output',
    '*.txt',
    '--',
    'sh',
    '-c',
    'echo {index} > out.txt',
  );
  await product.ok('wait', id);
  const folder = path.join(product.data, 'results');
  await product.ok('results', id, '-o', folder);
  expect(readdirSync(folder).toSorted()).toEqual(['10', '12', '14']);
  expect(readFileSync(path.join(folder, '12', 'out.txt'), 'utf8')).toBe('12\n');
});

test('a failure is grouped by its reason, exits with 1, and a retry runs only what failed', async () => {
  const flag = path.join(product.data, 'flag');
  const id = await product.ok(
    'submit',
    '--array',
    '0-4',
    '--',
    'sh',
    '-c',
    `[ {index} -lt 3 ] || [ -e ${flag} ] || exit 9`,
  );
  expect((await product.run('wait', id)).code).toBe(1);
  expect(await product.ok('job', id)).toContain('2 failed: exit code 9');
  writeFileSync(flag, '');
  expect(await product.ok('retry', id)).toBe('2 tasks queued again');
  await product.ok('wait', id);
  expect(await product.json<Job>('job', id)).toMatchObject({
    state: 'succeeded',
    counts: { succeeded: 5 },
  });
  expect(await product.ok('why', `${id}.4`)).toContain('failed -> queued: retried by a user');
});

test('a job waits for the one it comes after, and is cancelled when that one fails', async () => {
  const first = await product.ok('submit', '--', 'sh', '-c', 'exit 1');
  const onOk = await product.ok('submit', '--after', `${first}:ok`, '--', 'true');
  const onAny = await product.ok('submit', '--after', `${first}:any`, '--', 'true');
  await product.run('wait', first, onOk, onAny);
  expect((await product.json<Job>('job', onOk)).state).toBe('cancelled');
  expect((await product.json<Job>('job', onAny)).state).toBe('succeeded');
});

test('a million tasks are one record, and cancelled as one', async () => {
  const id = await product.ok('submit', '--array', '0-999999%1', '--', 'sleep', '600');
  expect(await product.ok('cancel', id)).toBe('1000000 tasks cancelled');
  await until(
    'the running one to end',
    async () => (await product.json<Job>('job', id)).counts['cancelled'] === 1_000_000,
  );
});

test('parameters fill arguments by name; an unknown one is refused with its position', async () => {
  const file = path.join(product.data, 'runs.csv');
  writeFileSync(file, 'molecule,temperature\nurea,300\n"ben, zene",150\n');
  const id = await product.ok(
    'submit',
    '--params',
    file,
    '--',
    'echo',
    '{molecule} at {temperature}',
  );
  await product.ok('wait', id);
  expect(await product.ok('logs', `${id}.1`)).toBe('ben, zene at 150');
  const wrong = await product.run('submit', '--params', file, '--', 'echo', 'at {temprature}');
  expect(wrong.code).toBe(5);
  expect(wrong.stderr).toContain('argv.1: {temprature} at position 3');
});

test('one task per file gets its file', async () => {
  const folder = path.join(product.data, 'inputs');
  mkdirSync(folder);
  for (const name of ['a.xyz', 'b.xyz'])
    writeFileSync(path.join(folder, name), `content of ${name}`);
  const id = await product.ok(
    'submit',
    '--files',
    path.join(folder, '*.xyz'),
    '--',
    'cat',
    '{file}',
  );
  await product.ok('wait', id);
  expect(await product.ok('logs', `${id}.1`)).toBe('content of b.xyz');
});

test('a missing program, a time limit and out-of-memory each have a plain outcome', async () => {
  const missing = await product.ok('submit', '--', 'no-such-program');
  const slow = await product.ok('submit', '--time-limit', '300ms', '--', 'sleep', '60');
  const script = 'const a=[];setInterval(()=>a.push(Buffer.alloc(2e7,1)),5)';
  const hungry = await product.ok(
    'submit',
    '--memory',
    '200M',
    '--',
    process.execPath,
    '-e',
    script,
  );
  await product.run('wait', missing, slow, hungry);
  expect(await product.ok('why', `${missing}.0`)).toContain(
    'could not start: exec: No such file or directory: no-such-program',
  );
  expect(await product.ok('why', `${slow}.0`)).toContain('ended at its time limit of 0.3 s');
  expect(await product.ok('why', `${hungry}.0`)).toContain('out of memory: more than its 200 MiB');
});

test('what can never fit is refused with the largest there is', async () => {
  const result = await product.run('submit', '--cores', '64', '--', 'true');
  expect(result.stderr).toContain('64 cores asked, the largest agent has 4 cores');
  expect(result.code).toBe(5);
});

test('a repeated submission with the same key is the first job', async () => {
  const submit = (): Promise<string> =>
    product.ok('submit', '--idempotency-key', 'once', '--', 'true');
  expect(await submit()).toBe(await submit());
});

test('the first token is private, and without it nothing is told', async () => {
  expect(statSync(path.join(product.data, 'token')).mode & 0o777).toBe(0o600);
  const { url } = await product.json<{ url: string }>('status');
  expect((await fetch(`${url}/api/v1/jobs`)).status).toBe(401);
  const headers = { authorization: 'Bearer wrong' };
  expect((await fetch(`${url}/api/v1/jobs`, { headers })).status).toBe(401);
});

test('the local agent has a token of its own, which may do nothing else and is on no command line', async () => {
  const file = path.join(product.data, 'agent-token');
  expect(statSync(file).mode & 0o777).toBe(0o600);
  const token = readFileSync(file, 'utf8').trim();
  const { tokens } = await product.json<{ tokens: { user: string; role: string }[] }>('tokens');
  const agents = tokens.filter(({ role }) => role === 'agent');
  expect(agents).toMatchObject([{ user: `local-${os.hostname()}` }]);
  const { url } = await product.json<{ url: string }>('status');
  const headers = { authorization: `Bearer ${token}` };
  expect((await fetch(`${url}/api/v1/jobs`, { headers })).status).toBe(403);
  expect(product.processes(token)).toEqual([]);
  for (const log of ['agent.log', 'server.log'])
    expect(readFileSync(path.join(product.data, log), 'utf8')).not.toContain(token);
});

test('an unknown job is a clear error with its own exit code', async () => {
  const result = await product.run('job', 'job_999999');
  expect(result).toMatchObject({ code: 3, stderr: 'majorana: there is no job_999999\n' });
});

test('a task that runs while server, agent, launcher and database are killed runs once and is counted once', async () => {
  const go = path.join(product.data, 'go');
  const ran = path.join(product.data, 'ran');
  const id = await product.ok(
    'submit',
    '--',
    'sh',
    '-c',
    `echo x >> ${ran}; while [ ! -e ${go} ]; do sleep 0.05; done; echo done`,
  );
  await until('the start', async () => existsSync(ran));
  const victims = [
    product.launchers(),
    product.processes('cluster-agent'),
    product.processes('control-plane'),
    product.processes('bin/postgres'),
  ];
  for (const pids of victims) {
    expect(pids).toHaveLength(1);
    kill(pids);
  }
  writeFileSync(go, '');
  await until('the product to answer', async () => (await product.run('status')).code === 0);
  await product.ok('wait', id);
  expect(readFileSync(ran, 'utf8')).toBe('x\n');
  expect(await product.ok('logs', `${id}.0`)).toBe('done');
});

test('down and up again: what ran meanwhile is re-attached', async () => {
  const ran = path.join(product.data, 'ran-over-down');
  const go = path.join(product.data, 'go-over-down');
  const id = await product.ok(
    'submit',
    '--',
    'sh',
    '-c',
    `echo x >> ${ran}; while [ ! -e ${go} ]; do sleep 0.05; done; exit 4`,
  );
  await until('the start', async () => existsSync(ran));
  await product.ok('down');
  writeFileSync(go, '');
  await product.ok('up', '--detach', '--cores', '4');
  expect((await product.run('wait', id)).code).toBe(1);
  expect(await product.ok('why', `${id}.0`)).toContain('exit code 4');
  expect(readFileSync(ran, 'utf8')).toBe('x\n');
});
