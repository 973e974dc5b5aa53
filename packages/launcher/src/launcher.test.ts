import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { launcherPath } from './index.ts';

const root = mkdtempSync(path.join(os.tmpdir(), 'launcher-test-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));
let folders = 0;

type Settings = Partial<
  Record<'cwd' | 'timeLimitMs' | 'graceMs' | 'memoryBytesMax', string | number>
>;

function prepare(argv: readonly string[], settings: Settings = {}): string {
  const folder = path.join(root, String((folders += 1)));
  mkdirSync(folder);
  const records = {
    cwd: folder,
    stdout: path.join(folder, 'stdout'),
    stderr: path.join(folder, 'stderr'),
    exit: path.join(folder, 'exit'),
    ...settings,
  };
  const pairs = [
    ...Object.entries(records).map(([key, value]) => [key, String(value)]),
    ...argv.map((text) => ['arg', text]),
    ['env', `PATH=${process.env['PATH']}`],
  ];
  writeFileSync(
    path.join(folder, 'spec'),
    pairs.map(([key, value]) => `${key}\0${value}\0`).join(''),
  );
  return folder;
}

const readExit = (folder: string): Record<string, string> =>
  Object.fromEntries(
    readFileSync(path.join(folder, 'exit'), 'utf8')
      .trim()
      .split('\n')
      .map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
  );

function run(argv: readonly string[], settings: Settings = {}): Record<string, string> {
  const folder = prepare(argv, settings);
  spawnSync(launcherPath(), ['run', folder]);
  return { ...readExit(folder), folder };
}

async function until<T>(what: string, probe: () => T | undefined | false): Promise<T> {
  const deadline = Date.now() + 20_000;
  while (Date.now() < deadline) {
    const value = probe();
    if (value !== undefined && value !== false) return value;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error(`waited in vain for ${what}`);
}

/** Processes of this test, found by a marker in their command line. */
function findByMarker(marker: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(marker);
      } catch {
        return false;
      }
    });
}

test('the binary was built from the source that stands beside it', () => {
  const source = readFileSync(new URL('../launcher.c', import.meta.url));
  const version = spawnSync(launcherPath(), ['--version']).stdout.toString().trim();
  expect(version).toBe(createHash('sha256').update(source).digest('hex'));
});

test('an exit code is kept, and told from a signal of the same number', () => {
  expect(run(['sh', '-c', 'exit 7'])).toMatchObject({ exit_code: '7', ended_by: '' });
  expect(run(['sh', '-c', 'exit 137'])).toMatchObject({ exit_code: '137' });
  expect(run(['sh', '-c', 'kill -9 $$'])).toMatchObject({ signal: '9' });
});

test('arguments arrive as they were given; no shell reads them', () => {
  const odd = ['a b', 'x\ny', `"'$HOME;\``, ''];
  const { folder } = run(['printf', '%s|', ...odd]);
  expect(readFileSync(path.join(folder!, 'stdout'), 'utf8')).toBe(
    odd.map((text) => `${text}|`).join(''),
  );
});

test('a missing program and a vanished working directory are told in words', () => {
  expect(run(['no-such-program'])['error']).toBe(
    'exec: No such file or directory: no-such-program',
  );
  expect(run(['true'], { cwd: '/no/such/folder' })['error']).toBe(
    'chdir: No such file or directory: /no/such/folder',
  );
});

test('the time limit ends the whole tree, a daemonised grandchild too', () => {
  const marker = `1234.${process.pid}`;
  const exit = run(['sh', '-c', `setsid sh -c 'sleep ${marker} & sleep ${marker}' & sleep 60`], {
    timeLimitMs: 300,
    graceMs: 500,
  });
  expect(exit['ended_by']).toBe('time_limit');
  expect(findByMarker(marker)).toEqual([]);
});

test('a program that ignores TERM is killed after the grace', async () => {
  const folder = prepare(['sh', '-c', 'trap "" TERM; echo ready; while :; do sleep 0.05; done'], {
    graceMs: 300,
  });
  const shim = spawn(launcherPath(), ['run', folder]);
  await until(
    'the program to be ready',
    () =>
      existsSync(path.join(folder, 'stdout')) &&
      readFileSync(path.join(folder, 'stdout'), 'utf8').includes('ready'),
  );
  shim.kill('SIGTERM');
  await until('the exit record', () => existsSync(path.join(folder, 'exit')));
  expect(readExit(folder)).toMatchObject({ ended_by: 'cancel', signal: '9' });
});

test('more memory than the limit ends the program as out-of-memory', () => {
  const script = 'const a=[];setInterval(()=>a.push(Buffer.alloc(2e7,1)),5)';
  const exit = run([process.execPath, '-e', script], { memoryBytesMax: 200_000_000 });
  expect(exit).toMatchObject({ ended_by: 'memory', signal: '9' });
  expect(Number(exit['peak_memory_bytes'])).toBeGreaterThan(200_000_000);
});

test('workers that share the memory of their parent are not counted once for each', () => {
  const hold = 'x=$(head -c 40000000 /dev/zero | tr "\\0" x)';
  const script = `${hold}; for i in 1 2 3 4 5 6 7 8; do (sleep 0.6; :) & done; wait`;
  const exit = run(['sh', '-c', script], { memoryBytesMax: 250_000_000 });
  expect(exit).toMatchObject({ exit_code: '0', ended_by: '' });
  expect(Number(exit['peak_memory_bytes'])).toBeLessThan(250_000_000);
  expect(run(['sh', '-c', script], { memoryBytesMax: 30_000_000 })['ended_by']).toBe('memory');
});

test('a second start of the same folder runs nothing', () => {
  const folder = prepare(['sh', '-c', 'echo once >> ran']);
  expect(spawnSync(launcherPath(), ['run', folder]).status).toBe(0);
  expect(spawnSync(launcherPath(), ['run', folder]).status).toBe(3);
  expect(readFileSync(path.join(folder, 'ran'), 'utf8')).toBe('once\n');
});

test('processes that a program leaves behind are ended and counted', () => {
  const marker = `4321.${process.pid}`;
  expect(
    run(['sh', '-c', `sleep ${marker} & sleep ${marker} & exit 0`], { graceMs: 500 }),
  ).toMatchObject({ exit_code: '0', leftover: '2' });
  expect(findByMarker(marker)).toEqual([]);
});

test('a task goes on when the launcher is killed, and its end is recorded', async () => {
  const folder = prepare(['sh', '-c', 'while [ ! -e go ]; do sleep 0.05; done; exit 5']);
  const launcher = spawn(launcherPath(), ['serve']);
  launcher.stdin.write(`${folder}\n`);
  await until('the start', () => existsSync(path.join(folder, 'shim')));
  const gone = new Promise((resolve) => launcher.once('exit', resolve));
  launcher.kill('SIGKILL');
  await gone;
  writeFileSync(path.join(folder, 'go'), '');
  await until('the exit record', () => existsSync(path.join(folder, 'exit')));
  expect(readExit(folder)).toMatchObject({ exit_code: '5' });
});

test('CPU time and peak memory of the tree are measured', () => {
  const script =
    'const b=Buffer.alloc(1e8,1);while(process.cpuUsage().user<4e5);process.exit(b[0]-1)';
  const exit = run([process.execPath, '-e', script]);
  expect(Number(exit['cpu_time_ms'])).toBeGreaterThan(300);
  expect(Number(exit['peak_memory_bytes'])).toBeGreaterThan(100_000_000);
});

test('more processes than a page of pids holds are all ended, and told', () => {
  const marker = `8181.${process.pid}`;
  const script = `i=0; while [ $i -lt 3000 ]; do sleep ${marker} & i=$((i+1)); done; exit 0`;
  const exit = run(['sh', '-c', script], { graceMs: 2000 });
  expect(exit).toMatchObject({ exit_code: '0', leftover: '3000' });
  expect(findByMarker(marker)).toEqual([]);
});

test('a program that forks all the time is ended too', () => {
  const marker = `9191.${process.pid}`;
  // Bounded, so that a launcher that fails here does not take the machine with it.
  const fork = `f() { [ $1 -gt 1000 ] && exit; sleep ${marker} & f $(($1+1)) & }`;
  const exit = run(['sh', '-c', `${fork}; trap "" TERM; f 1; f 1; f 1; sleep 60`], {
    timeLimitMs: 300,
    graceMs: 100,
  });
  expect(exit).toMatchObject({ ended_by: 'time_limit' });
  expect(findByMarker(marker)).toEqual([]);
});

test('a time limit is kept between two samples', () => {
  const exit = run(['sleep', '60'], { timeLimitMs: 30, graceMs: 0 });
  const tookMs = Number(exit['ended_at_ms']) - Number(exit['started_at_ms']);
  expect(exit['ended_by']).toBe('time_limit');
  expect(tookMs).toBeGreaterThanOrEqual(30);
});

test('the start is told down the pipe of the launcher, once the program has begun', async () => {
  const folder = prepare(['true']);
  const launcher = spawn(launcherPath(), ['serve']);
  let told = '';
  launcher.stdout.on('data', (data: Buffer) => (told += data.toString()));
  launcher.stdin.write(`${folder}\n${folder}\n`);
  await until('two answers', () => told.split('\n').length === 3);
  launcher.stdin.end();
  expect(told).toBe(`started\t${folder}\n`.repeat(2));
});

test('as nobody a program is found below a folder that only root may enter, by access(2) too', () => {
  const folder = path.join(root, 'private');
  mkdirSync(folder, { mode: 0o700 });
  const file = path.join(folder, 'program');
  writeFileSync(file, '', { mode: 0o755 });
  const look = [
    process.execPath,
    '-e',
    `fs.accessSync(${JSON.stringify(file)}, fs.constants.X_OK)`,
  ];
  const [program, ...args] =
    process.getuid?.() === 0 ? [launcherPath(), 'unroot', '65534', '65534', '--', ...look] : look;
  const { status, stderr } = spawnSync(program!, args, { cwd: '/' });
  expect(stderr.toString()).toBe('');
  expect(status).toBe(0);
});
