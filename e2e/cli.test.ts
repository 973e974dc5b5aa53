import { execFile, spawn } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { CliResult } from './product.ts';
import { kill, Product, until } from './product.ts';

const product = new Product();
const bin = fileURLToPath(new URL('../packages/cli/bin/majorana', import.meta.url));
const env = { ...process.env, MAJORANA_DATA: product.data };
const inData = (name: string): string => path.join(product.data, name);

beforeAll(async () => {
  await product.ok('up', '--detach', '--cores', '4', '--memory', '4G', '--resource', 'licence=2');
});
afterAll(() => product[Symbol.asyncDispose]());

interface Job {
  readonly state: string;
  readonly counts: Record<string, number>;
}

/** A command that is still running, with what it has written so far. */
function start(...args: string[]) {
  const child = spawn(bin, args, { env });
  const written = { stdout: '', stderr: '' };
  child.stdout.on('data', (chunk: Buffer) => (written.stdout += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (written.stderr += chunk.toString()));
  const ended = new Promise<CliResult>((resolve) =>
    child.on('close', (code) => resolve({ code: code ?? -1, ...written })),
  );
  return { child, written, ended };
}

/** A job of one task that runs until the file that it names is there. */
async function submitGated(
  name: string,
  ...args: string[]
): Promise<{ id: string; go: () => void }> {
  const gate = inData(name);
  const script = `echo begun; while [ ! -e ${gate} ]; do sleep 0.05; done; echo over`;
  const id = await product.ok('submit', ...args, '--', 'sh', '-c', script);
  return { id, go: () => writeFileSync(gate, '') };
}

const stateOf = async (id: string): Promise<string> => (await product.json<Job>('job', id)).state;

test('every command that answers does so as JSON too', async () => {
  const id = await product.ok(
    'submit',
    '--label',
    'series=7',
    '--output',
    'out',
    '--',
    'touch',
    'out',
  );
  expect(await product.json('wait', id, '--quiet')).toMatchObject([{ id, state: 'succeeded' }]);
  expect(await product.json('watch', id)).toMatchObject([{ id }]);
  expect(await product.json('status')).toMatchObject({
    user: 'first',
    agents: 1,
    parts: [{}, {}, {}],
  });
  expect(await product.json('jobs', '--label', 'series=7')).toMatchObject({ jobs: [{ id }] });
  expect(await product.json('jobs', '--label', 'series=8')).toEqual({ jobs: [], next: null });
  expect(
    await product.json(
      'jobs',
      '--state',
      'succeeded',
      '--queue',
      'default',
      '--project',
      'default',
    ),
  ).toMatchObject({ jobs: [{ id }] });
  expect(await product.json('job', id)).toMatchObject({ id, failures: [], spec: {} });
  expect(await product.json('tasks', id)).toMatchObject({ tasks: [{ id: `${id}.0` }], next: null });
  expect(await product.json('why', id)).toMatchObject({ task: { id: `${id}.0` }, explanation: {} });
  expect(await product.json('logs', id)).toEqual({
    taskId: `${id}.0`,
    attempt: 1,
    stream: 'stdout',
    text: '',
  });
  expect(await product.json('results', id, '-o', inData('json'))).toMatchObject({
    written: 1,
    refused: [],
  });
  expect(await product.json('cancel', id)).toEqual({ cancelled: 0 });
  expect(await product.json('retry', id, '--state', 'succeeded')).toEqual({ retried: 1 });
  expect(await product.json('queues')).toMatchObject({ queues: [{ name: 'default' }] });
  expect(await product.json('agents')).toMatchObject({
    agents: [
      { capacity: { cpuMillis: 4000, memoryBytes: 4 * 1024 ** 3, countable: { licence: 2 } } },
    ],
  });
  expect(await product.json('whoami')).toEqual({ user: 'first', role: 'admin', project: null });
  expect(await product.json('completion', 'bash')).toMatchObject({ shell: 'bash' });
  const dry = await product.ok('submit', '--dry-run', '--json', '--', 'true');
  expect(JSON.parse(dry)).toEqual({ argv: ['true'], name: 'true' });
});

test('logs -f tells lines as they are written, and ends with the attempt', async () => {
  const { id, go } = await submitGated('log-gate');
  const following = start('logs', '-f', id);
  await until('the first line', async () => following.written.stdout === 'begun\n');
  go();
  expect(await following.ended).toMatchObject({ code: 0, stdout: 'begun\nover\n' });
  expect(await product.ok('logs', id)).toBe('begun\nover');
  expect(await product.ok('logs', '--tail', '1', id)).toBe('over');
  expect((await product.run('logs', '--tail', '0', id)).stdout).toBe('');
});

test('logs -f of an attempt that is not the last one says what becomes of its task', async () => {
  const retry = ['--retries', '1', '--retry-backoff', '10m'];
  const id = await product.ok('submit', ...retry, '--', 'sh', '-c', 'echo once; exit 9');
  expect(await product.run('logs', '-f', id)).toMatchObject({
    code: 0,
    stdout: 'once\n',
    stderr: expect.stringMatching(
      `attempt 1 ended: exit code 9; ${id}.0 is queued: it waits \\d+ s more before its retry`,
    ) as string,
  });
  await product.ok('cancel', id);
});

test('logs of an attempt that never was, and of one that left none, say so', async () => {
  const id = await product.ok('submit', '--', 'sh', '-c', 'exit 9');
  await product.run('wait', '--quiet', id);
  expect(await product.run('logs', id)).toMatchObject({
    code: 0,
    stdout: '',
    stderr: expect.stringContaining(`${id}.0.1 has left no stdout: exit code 9`) as string,
  });
  expect(await product.run('logs', id, '--attempt', '7')).toMatchObject({
    code: 3,
    stderr: expect.stringContaining(`${id}.0 has no attempt 7; the last is 1`) as string,
  });
});

test('logs of an array asks which task; of one that waits it says why, and -f waits with it', async () => {
  await product.ok('queues', 'set', 'closed', '--pause');
  const array = await product.ok('submit', '--queue', 'closed', '--array', '0-1', '--', 'true');
  expect(await product.run('logs', array)).toMatchObject({
    code: 2,
    stderr: expect.stringContaining(`${array}.0`) as string,
  });
  const id = await product.ok('submit', '--queue', 'closed', '--', 'echo', 'at last');
  expect((await product.run('logs', id)).stderr).toContain('queue closed is paused');
  expect(await product.ok('why', id)).toContain('its queue closed is paused');
  const following = start('logs', '-f', id);
  await until('the note', async () => following.written.stderr.includes('queue closed is paused'));
  await product.ok('queues', 'set', 'closed', '--resume');
  expect(await following.ended).toMatchObject({ code: 0, stdout: 'at last\n' });
});

test.each([['wait'], ['watch'], ['logs', '-f'], ['submit', '--wait']])(
  'Ctrl-C on %s %s detaches with its own code and cancels nothing',
  async (...command) => {
    const { id, go } = await submitGated(`interrupt-${command.join('')}`);
    const own = command[0] === 'submit' ? ['--after', id, '--', 'true'] : [id];
    const waiting = start(...command, ...own);
    const isOn = (): boolean => waiting.written.stdout !== '' || waiting.written.stderr !== '';
    await until('its first words', async () => isOn());
    waiting.child.kill('SIGINT');
    const { code, stderr } = await waiting.ended;
    expect(stderr).toContain('detached');
    expect(code).toBe(130);
    expect(await stateOf(id)).toBe('running');
    go();
    await product.ok('wait', id);
  },
);

test('wait rides out a killed server, and even a product that comes back at another address', async () => {
  const { id, go } = await submitGated('restart-gate');
  const waiting = start('wait', id);
  const following = start('logs', '-f', id);
  await until('both', async () => waiting.written.stderr !== '' && following.written.stdout !== '');
  kill(product.processes('control-plane'));
  await until('the server', async () => (await product.run('status')).code === 0);
  await product.ok('down');
  await product.ok('up', '--detach', '--cores', '4', '--memory', '4G', '--resource', 'licence=2');
  go();
  expect(await waiting.ended).toMatchObject({
    code: 0,
    stderr: expect.stringContaining('1/1 done') as string,
  });
  expect(await following.ended).toMatchObject({ code: 0, stdout: 'begun\nover\n' });
  expect(waiting.written.stderr).toMatch(/no answer from .*; trying again for up to 5 min/);
});

test('wait takes more jobs than there are streams for', async () => {
  const ids: string[] = [];
  for (let at = 0; at < 9; at += 1)
    ids.push(await product.ok('submit', '--cores', '0.1', '--memory', '50M', '--', 'true'));
  expect(await product.json('wait', ...ids)).toMatchObject(
    ids.map((id) => ({ id, state: 'succeeded' })),
  );
  expect((await product.run('wait', ...ids, 'job_999999')).code).toBe(3);
});

/** Undefined once the process is gone. */
function peakKilobytes(pid: number | undefined): number | undefined {
  try {
    const found = /VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
    return found === null ? undefined : Number(found[1]);
  } catch {
    return undefined;
  }
}

test('a million different parameters are streamed: memory does not hold the file', async () => {
  const file = inData('million.csv');
  const lines = Array.from({ length: 1_000_000 }, (_value, at) => `molecule ${at},${at / 8}`);
  writeFileSync(file, `name,t\n${lines.join('\n')}\n`);
  await product.ok('queues', 'set', 'million', '--pause');
  const submitting = start('submit', '--queue', 'million', '--params', file, '--', 'x', '{name}');
  let mostKilobytes = 0;
  const watching = setInterval(() => {
    mostKilobytes = peakKilobytes(submitting.child.pid) ?? mostKilobytes;
  }, 50);
  submitting.child.once('exit', () => clearInterval(watching));
  const { code, stdout } = await submitting.ended;
  expect(code).toBe(0);
  expect(mostKilobytes).toBeGreaterThan(50_000);
  expect(mostKilobytes).toBeLessThan(500_000);
  const id = stdout.trim();
  expect(await product.json('why', `${id}.999999`)).toMatchObject({
    fields: { name: 'molecule 999999', t: '124999.875' },
  });
  expect(await product.ok('cancel', id)).toBe('1000000 tasks cancelled');
  rmSync(file);
});

test('results come while the job runs, are fetched once, and mended when they differ', async () => {
  const gate = inData('results-gate');
  const script = `echo {index} | tee out; [ {index} = 0 ] || while [ ! -e ${gate} ]; do sleep 0.05; done`;
  const id = await product.ok(
    'submit',
    '--array',
    '0-1',
    '--output',
    'out',
    '--',
    'sh',
    '-c',
    script,
  );
  const out = inData('results');
  await until('the first file', async () => {
    const { written, kept } = await product.json<{ written: number; kept: number }>(
      'results',
      id,
      '-o',
      out,
    );
    return written + kept === 1;
  });
  expect((await product.ok('results', id, '-o', out)).split('\n')[0]).toContain(
    'run it again for the rest',
  );
  writeFileSync(gate, '');
  await product.ok('wait', id);
  writeFileSync(path.join(out, '0', 'out'), 'X\n');
  expect(await product.json('results', id, '-o', out)).toMatchObject({ written: 2, kept: 0 });
  expect(await product.json('results', id, '-o', out)).toMatchObject({ written: 0, kept: 2 });
  expect(readFileSync(path.join(out, '0', 'out'), 'utf8')).toBe('0\n');
  expect(await product.ok('results', `${id}.1`, '-o', inData('one'), '--logs')).toContain(
    '2 files',
  );
  expect(readdirSync(inData('one')).toSorted()).toEqual(['out', 'stdout.log']);
  expect(readdirSync(out).toSorted()).toEqual(['0', '1']);
});

test('retry chooses by exit code, by group and by task', async () => {
  const script = 'case {index} in 0) exit 3;; 1) exit 4;; 2) exit 4;; 3) kill -9 $$;; esac';
  const id = await product.ok('submit', '--array', '0-4', '--', 'sh', '-c', script);
  const ended = async (): Promise<void> => void (await product.run('wait', id, '--quiet'));
  await ended();
  const text = await product.ok('job', id);
  expect(text).toContain('[1] 2 failed: exit code 4');
  expect(await product.ok('retry', id, '--exit-code', '3')).toBe('1 task queued again');
  await ended();
  expect(await product.ok('retry', id, '--group', '1')).toBe('2 tasks queued again');
  await ended();
  expect(await product.ok('retry', `${id}.3`)).toBe('1 task queued again');
  await ended();
  expect(await product.run('retry', id, '--group', '9')).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('3 groups') as string,
  });
  expect((await product.run('retry', `${id}.3`, '--group', '1')).code).toBe(2);
});

test('the retry policy of the command line is the one that is followed', async () => {
  const runs = inData('runs');
  const script = `echo x >> ${runs}; exit 75`;
  const id = await product.ok(
    'submit',
    '--retries',
    '2',
    '--retry-exit-code',
    '75',
    '--retry-backoff',
    '10ms',
    '--',
    'sh',
    '-c',
    script,
  );
  await product.run('wait', id);
  expect(readFileSync(runs, 'utf8')).toBe('x\nx\nx\n');
  const other = await product.ok(
    'submit',
    '--retries',
    '2',
    '--retry-exit-code',
    '75',
    '--',
    'sh',
    '-c',
    'exit 1',
  );
  await product.run('wait', other);
  expect(await product.json('tasks', other)).toMatchObject({
    tasks: [{ attemptNumber: 1, state: 'failed' }],
  });
});

test('arrays go task by task with --after :each', async () => {
  const first = await product.ok('submit', '--array', '0-2', '--', 'sh', '-c', '[ {index} != 1 ]');
  const second = await product.ok(
    'submit',
    '--array',
    '0-2',
    '--after',
    `${first}:ok:each`,
    '--',
    'true',
  );
  await product.run('wait', first, second);
  const { tasks } = await product.json<{ tasks: { state: string }[] }>('tasks', second);
  expect(tasks.map((task) => task.state)).toEqual(['succeeded', 'cancelled', 'succeeded']);
  expect(await product.ok('job', second)).toContain(
    `after ${first}: when it succeeded, task by task`,
  );
});

/** With something on standard input. */
function pipe(text: string, ...args: string[]): Promise<CliResult> {
  return new Promise((resolve) => {
    const child = execFile(bin, args, { env }, (error, stdout, stderr) =>
      resolve({ code: typeof error?.code === 'number' ? error.code : 0, stdout, stderr }),
    );
    // What finds a mistake reads no further.
    child.stdin?.on('error', () => undefined);
    child.stdin?.end(text);
  });
}

test('parameters come from standard input too; a wrong line is told and nothing submitted', async () => {
  const good = await pipe(
    '{"t":300,"name":"a b"}\n{"t":1.5,"name":"c"}\n',
    'submit',
    '--params',
    '-',
    '--wait',
    '--',
    'echo',
    '{name}',
    '{t}',
  );
  expect(good).toMatchObject({ code: 0 });
  const id = good.stdout.trim();
  expect(await product.ok('logs', `${id}.0`)).toBe('a b 300');
  expect(await product.ok('logs', `${id}.1`)).toBe('c 1.5');
  expect(await product.ok('why', `${id}.1`)).toContain('name = c');
  const last = async (): Promise<unknown> =>
    (await product.json<{ jobs: object[] }>('jobs', '--limit', '1')).jobs[0];
  const before = await last();
  const lines = Array.from({ length: 50_000 }, (_value, at) => `{"t":${at}}`);
  lines[40_000] = '{"t":';
  const bad = await pipe(lines.join('\n'), 'submit', '--params', '-', '--', 'echo', '{t}');
  expect(bad).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('standard input, line 40001') as string,
  });
  expect(await last()).toEqual(before);
});

test('a job file says what the command line says, with files beside it', async () => {
  const folder = inData('files');
  mkdirSync(folder);
  writeFileSync(path.join(folder, 'a.txt'), 'content of a');
  writeFileSync(path.join(folder, 'runs.csv'), 'x\n1\n2\n');
  writeFileSync(
    path.join(folder, 'job.yaml'),
    'name: from a file\nargv: [sh, -c, "cat in/a.txt; echo {x}"]\narray: { kind: params, file: runs.csv }\ninputs: [{ file: a.txt, path: in/a.txt }]\n',
  );
  const { id } = await product.json<{ id: string }>('submit', path.join(folder, 'job.yaml'));
  await product.ok('wait', id);
  expect(await product.ok('logs', `${id}.1`)).toBe('content of a2');
  const dry = await product.ok(
    'submit',
    '--dry-run',
    '--files',
    path.join(folder, '*.txt'),
    '--retries',
    '1',
    '--',
    'cat',
    '{file}',
  );
  writeFileSync(inData('dry.yaml'), dry);
  const again = await product.ok('submit', inData('dry.yaml'));
  await product.ok('wait', again);
  expect(await product.ok('logs', again)).toBe('content of a');
  writeFileSync(inData('wrong.yaml'), 'argv: [true]\nqueeu: x\n');
  const wrong = await product.run('submit', inData('wrong.yaml'));
  expect(wrong.code).toBe(2);
  expect(wrong.stderr).toContain(`${inData('wrong.yaml')}:1:8: argv.0`);
  expect(wrong.stderr).toContain(`${inData('wrong.yaml')}:2:1: queeu: "queeu" is not known here`);
  expect((await product.run('submit', inData('wrong.yaml'), '--cores', '2')).stderr).toContain(
    '--cores and a job file exclude',
  );
});

test('a token does what its role allows, and no more once it is revoked', async () => {
  const { token, id } = await product.json<{ token: string; id: number }>(
    'tokens',
    'create',
    'ada',
    '--role',
    'viewer',
  );
  const asAda = (...args: string[]): Promise<CliResult> =>
    new Promise((resolve) => {
      execFile(bin, args, { env: { ...env, MAJORANA_TOKEN: token } }, (error, stdout, stderr) =>
        resolve({ code: typeof error?.code === 'number' ? error.code : 0, stdout, stderr }),
      );
    });
  expect((await asAda('whoami')).stdout).toBe('ada, viewer in all projects\n');
  expect(await asAda('submit', '--', 'true')).toMatchObject({
    code: 5,
    stderr: expect.stringContaining('role member') as string,
  });
  await product.ok('tokens', 'revoke', String(id));
  expect((await asAda('jobs')).code).toBe(5);
});

test('bash completes job ids and queues of the running product', async () => {
  const id = await product.ok('submit', '--', 'true');
  const inBash = (line: string): Promise<string> =>
    new Promise((resolve, reject) => {
      const script = `source <(majorana completion bash); COMP_WORDS=(${line}); COMP_CWORD=$(( \${#COMP_WORDS[@]} - 1 )); _majorana; echo "\${COMPREPLY[@]}"`;
      const PATH = `${path.dirname(bin)}:${process.env['PATH']}`;
      execFile('bash', ['-c', script], { env: { ...env, PATH } }, (error, stdout) =>
        error === null ? resolve(stdout.trim()) : reject(error),
      );
    });
  // The server has 300 ms; on a busy machine a second try may be needed, as for a person.
  await until('the id', async () => (await inBash(`majorana why ${id}`)).split(' ').includes(id));
  await until('the queue', async () => (await inBash('majorana jobs --queue d')) === 'default');
});

test('a reader that has seen enough is no error', async () => {
  const id = await product.ok('submit', '--', 'sh', '-c', 'seq 100000');
  await product.ok('wait', id);
  const result = await new Promise<CliResult>((resolve) => {
    execFile(
      'bash',
      ['-o', 'pipefail', '-c', `${bin} logs ${id} | head -1`],
      { env },
      (error, stdout, stderr) =>
        resolve({ code: typeof error?.code === 'number' ? error.code : 0, stdout, stderr }),
    );
  });
  expect(result).toEqual({ code: 0, stdout: '1\n', stderr: '' });
});

test('the server that is gone for good ends a command with its own code', async () => {
  const away = { ...env, MAJORANA_URL: 'http://127.0.0.1:9', MAJORANA_TOKEN: 'x' };
  const result = await new Promise<CliResult>((resolve) => {
    execFile(bin, ['jobs'], { env: away }, (error, stdout, stderr) =>
      resolve({ code: typeof error?.code === 'number' ? error.code : 0, stdout, stderr }),
    );
  });
  expect(result).toMatchObject({
    code: 4,
    stderr: expect.stringContaining('no answer from http://127.0.0.1:9') as string,
  });
  expect(existsSync(inData('running.json'))).toBe(true);
  rmSync(inData('files'), { recursive: true });
});
