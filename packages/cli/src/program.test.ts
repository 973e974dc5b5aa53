import { execFile } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { Command } from 'commander';
import { afterAll, expect, test } from 'vitest';
import { examplesOf } from './command.ts';
import { complete } from './complete.ts';
import { buildProgram } from './program.ts';

const bin = fileURLToPath(new URL('../bin/', import.meta.url));
const folder = mkdtempSync(path.join(os.tmpdir(), 'majorana-program-'));
afterAll(() => rmSync(folder, { recursive: true }));

const program = buildProgram();
const pathOf = (command: Command): string =>
  command.parent === null ? '' : `${pathOf(command.parent)} ${command.name()}`.trim();
const leaves = (command: Command): Command[] =>
  command.commands.length === 0 ? [command] : command.commands.flatMap(leaves);
/** What scripts ask is no command for people. */
const commands = leaves(program).filter((command) => command.name() !== 'complete-words');

test.each(commands.map((command) => [pathOf(command), command] as const))(
  '%s has a description, examples that name it, and --json',
  (name, command) => {
    expect(command.description()).not.toBe('');
    const examples = examplesOf(command);
    const words = name.replace(/ list$/, '');
    expect(examples.some((line) => line.includes(`majorana ${words}`))).toBe(true);
    expect(command.options.map((option) => option.long)).toContain('--json');
    for (const option of command.options) expect(option.description).not.toBe('');
  },
);

test('every option named in an example is there', () => {
  for (const command of commands) {
    const known = new Set(command.options.flatMap(({ long, short }) => [long, short]));
    for (const line of examplesOf(command)) {
      const own = line
        .split(' -- ')[0]!
        .split(/&&|>|\|/)
        .find((part) => part.includes(command.name()));
      for (const [word] of (own ?? '').matchAll(/(?<=\s)--?[a-z][\w-]*/g))
        expect(known).toContain(word);
    }
  }
});

const source = {
  jobs: async () => ['job_1', 'job_12'],
  queues: async () => ['default', 'night'],
  clusters: async () => ['lab'],
};
const words = async (...line: string[]): Promise<readonly string[]> =>
  (await complete(program, line, source)).words;

test('commands, options, states, queues and job ids are completed', async () => {
  expect(await words('can')).toEqual(['cancel']);
  expect(await words('queues', '')).toEqual(['list', 'set', 'help']);
  expect(await words('tasks', '--st')).toEqual(['--state']);
  expect(await words('tasks', '--state', 'f')).toEqual(['failed']);
  expect(await words('tasks', '--state=f')).toEqual(['--state=failed']);
  expect(await words('queues', 'set', 'n')).toEqual(['night']);
  expect(await words('jobs', '--queue', '')).toEqual(['default', 'night']);
  expect(await words('job', 'job_')).toEqual(['job_1', 'job_12']);
  expect(await words('job', 'job_1', '')).toEqual([]);
  expect(await words('wait', 'job_1', 'job_1')).toEqual(['job_1', 'job_12']);
  expect(await words('why', 'job_12')).toEqual(['job_12']);
  expect(await words('submit', '--after', 'job_12')).toEqual(['job_12']);
  expect(await words('submit', '--retry-on', 'm')).toEqual(['memory']);
  expect(await words('completion', 'f')).toEqual(['fish']);
});

test('where a file is expected the shell completes it', async () => {
  expect((await complete(program, ['submit', '--each', ''], source)).hasFiles).toBe(true);
  expect((await complete(program, ['submit', '--', 'ca'], source)).hasFiles).toBe(true);
  expect((await complete(program, ['submit', 'jo'], source)).hasFiles).toBe(true);
  expect((await complete(program, ['job', ''], source)).hasFiles).toBe(false);
});

const run = promisify(execFile);

async function inBash(line: readonly string[]): Promise<string[]> {
  const script = `
source <(majorana completion bash)
COMP_WORDS=(${line.map((word) => `'${word}'`).join(' ')})
COMP_CWORD=$(( \${#COMP_WORDS[@]} - 1 ))
_majorana
printf '%s\\n' "\${COMPREPLY[@]}"`;
  const env = { ...process.env, PATH: `${bin}:${process.env['PATH']}`, MAJORANA_DATA: folder };
  const { stdout } = await run('bash', ['-c', script], { env });
  return stdout.split('\n').filter((word) => word !== '');
}

test('a real bash that has sourced the script completes, also without a server', async () => {
  expect(await inBash(['majorana', 'wa'])).toEqual(['wait', 'watch']);
  expect(await inBash(['majorana', 'tasks', '--state', 'su'])).toEqual(['suspended', 'succeeded']);
  expect(await inBash(['majorana', 'tasks', '--state', '=', 'su'])).toEqual([
    'suspended',
    'succeeded',
  ]);
  expect(await inBash(['majorana', 'job', ''])).toEqual([]);
});

async function runCli(
  ...args: string[]
): Promise<{ code: number; stdout: string; stderr: string }> {
  const env = { ...process.env, MAJORANA_DATA: folder };
  try {
    return { code: 0, ...(await run(path.join(bin, 'majorana'), args, { env })) };
  } catch (error) {
    return error as { code: number; stdout: string; stderr: string };
  }
}

test('wrong use exits with 2 and says how to get help, a product that does not run with 4', async () => {
  expect(await runCli('job')).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('--help') as string,
  });
  expect((await runCli('nonsense')).code).toBe(2);
  expect(await runCli('nodes', 'lab', '--sort', 'free')).toMatchObject({
    code: 2,
    stdout: '',
    stderr: expect.stringContaining('choices are name, cores, memory, gpus') as string,
  });
  expect((await runCli('jobs', '--limit', '0')).stderr).toContain('whole number from 1');
  expect((await runCli('up', '--host', 'here')).stderr).toContain('an IP address');
  expect(await runCli('jobs')).toMatchObject({
    code: 4,
    stderr: expect.stringContaining('majorana up --detach') as string,
  });
  expect((await runCli('--help')).code).toBe(0);
  expect((await runCli('job', 'x', '--json')).stderr).toBe(
    '{"error":{"code":"cli","exitCode":2,"message":"\\"x\\" is no job or task id; they look like job_42 and job_42.17"}}\n',
  );
});

test('with --json a wrong command line is told as JSON too', async () => {
  const { code, stderr } = await runCli('jobs', '--limit', 'many', '--json');
  expect(code).toBe(2);
  expect(JSON.parse(stderr)).toMatchObject({
    error: { exitCode: 2, code: 'commander.invalidArgument' },
  });
});

test('the token of this machine is not shown to another one', async () => {
  const env = { ...process.env, MAJORANA_DATA: folder, MAJORANA_URL: 'http://majorana.example' };
  const asked = run(path.join(bin, 'majorana'), ['jobs'], { env });
  await expect(asked).rejects.toMatchObject({
    code: 5,
    stderr: expect.stringContaining('MAJORANA_TOKEN') as string,
  });
});

test('an empty MAJORANA_URL or MAJORANA_TOKEN is one that is not set', async () => {
  const env = { ...process.env, MAJORANA_DATA: folder, MAJORANA_URL: '', MAJORANA_TOKEN: '' };
  const asked = run(path.join(bin, 'majorana'), ['jobs'], { env });
  await expect(asked).rejects.toMatchObject({
    code: 4,
    stderr: expect.stringContaining('majorana does not run here') as string,
  });
});

test('starting loads the words of the commands, and not what they run with', async () => {
  const coverage = path.join(folder, 'coverage');
  const env = { ...process.env, MAJORANA_DATA: folder, NODE_V8_COVERAGE: coverage };
  await run(path.join(bin, 'majorana'), ['--version'], { env });
  const loaded = readdirSync(coverage).flatMap((file) => {
    const { result } = JSON.parse(readFileSync(path.join(coverage, file), 'utf8')) as {
      result: { url: string }[];
    };
    return result.map(({ url }) => url);
  });
  expect(loaded.some((url) => url.endsWith('/packages/cli/src/program.ts'))).toBe(true);
  // Schemas alone take 50 ms of a processor to load, each time somebody types a command.
  const heavy = /\/node_modules\/(?!commander\/|yaml\/)|\/packages\/protocol\//;
  expect(loaded.filter((url) => heavy.test(url))).toEqual([]);
});
