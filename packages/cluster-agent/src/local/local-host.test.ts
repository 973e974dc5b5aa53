import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { DEFAULT_RESOURCES, MEBIBYTE } from '@majorana/core';
import { FolderObjects } from '@majorana/objects';
import type { EndedEvent, Lease } from '@majorana/protocol';
import { afterAll, afterEach, expect, test } from 'vitest';
import type { AttemptStanding } from '../engine/ports.ts';
import { LeaseRefusedError } from '../engine/ports.ts';
import { LocalHost } from './local-host.ts';
import type { MemoryLimits } from './memory-groups.ts';
import { MEMORY_LIMITS } from './memory-groups.ts';
import { countProcesses } from '../attempt-host.conformance.ts';

const base = mkdtempSync(path.join(os.tmpdir(), 'local-host-test-'));
const hosts: LocalHost[] = [];
/** Memory groups outlive the test's folder: every attempt is forgotten, whatever the test has seen. */
afterEach(async () => {
  for (const host of hosts.splice(0)) {
    for (const { attemptId } of await host.list()) await host.forget(attemptId);
    host[Symbol.dispose]();
  }
});
afterAll(() => rmSync(base, { recursive: true, force: true }));
let count = 0;
const nextRoot = (): string => path.join(base, String((count += 1)));

async function openHost(
  root: string,
  gpuCount = 0,
  memoryLimits: MemoryLimits = 'groups',
): Promise<LocalHost> {
  const objects = new FolderObjects(path.join(root, 'objects'));
  const log = (): void => undefined;
  const host = await LocalHost.open({ root, gpuCount, objects, memoryLimits, log });
  hosts.push(host);
  return host;
}

const objectsOf = (root: string): FolderObjects => new FolderObjects(path.join(root, 'objects'));

const leaseOf = (argv: readonly string[], over: Partial<Lease> = {}): Lease => ({
  attemptId: 'job_7.3.2',
  jobName: 'a name',
  argv,
  env: {},
  inputs: [],
  outputs: [],
  resources: DEFAULT_RESOURCES,
  timeLimitMs: 0,
  graceMs: 500,
  taskCount: 9,
  ...over,
});
const shell = (script: string, over: Partial<Lease> = {}): Lease =>
  leaseOf(['sh', '-c', script], over);

async function until<T>(what: string, probe: () => Promise<T | undefined | false>): Promise<T> {
  const deadline = Date.now() + 30_000;
  while (Date.now() < deadline) {
    const value = await probe();
    if (value !== undefined && value !== false) return value;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error(`waited in vain for ${what}`);
}

const standing = (
  host: LocalHost,
  kind: AttemptStanding['kind'],
  attemptId = 'job_7.3.2',
): Promise<AttemptStanding> =>
  until(`the standing ${kind}`, async () => {
    const now = await host.inspect(attemptId);
    return now.kind === kind && now;
  });

async function begin(host: LocalHost, lease: Lease): Promise<void> {
  await host.accept(lease);
  await host.start(lease.attemptId);
}

async function run(host: LocalHost, lease: Lease): Promise<EndedEvent> {
  await begin(host, lease);
  await standing(host, 'exited', lease.attemptId);
  return host.collect(lease.attemptId);
}

async function stored(root: string, event: EndedEvent, name: string): Promise<string> {
  const artifact = event.artifacts.find((one) => one.path === name);
  if (artifact === undefined) throw new Error(`there is no artifact ${name}`);
  return text(await objectsOf(root).read(artifact.object));
}

const attemptFile = (root: string, name: string): string =>
  path.join(root, 'attempts', 'job_7.3.2', name);

test('an attempt goes from accepted to forgotten, and nothing of it is left', async () => {
  const root = nextRoot();
  const host = await openHost(root);
  const inputs = [{ path: 'in/data', object: '' }];
  const { object } = await objectsOf(root).putStream(Readable.from([Buffer.from('input')]));
  const lease = shell('cat in/data; echo oops >&2; echo result > out.txt; mkfifo pipe', {
    inputs: inputs.map((input) => ({ ...input, object })),
    outputs: ['*'],
  });
  expect(await host.inspect(lease.attemptId)).toEqual({ kind: 'absent' });
  await host.accept(lease);
  expect(await host.inspect(lease.attemptId)).toEqual({ kind: 'accepted' });
  await host.start(lease.attemptId);
  await standing(host, 'exited');
  const event = await host.collect(lease.attemptId);
  expect(event.outcome).toEqual({ kind: 'succeeded', exitCode: 0, reason: 'exit code 0' });
  expect(event.startedAtMs).toBeLessThanOrEqual(event.atMs);
  expect(event.artifacts.map(({ role, path: name }) => `${role} ${name}`)).toEqual([
    'stdout stdout',
    'stderr stderr',
    'output out.txt',
  ]);
  expect(await stored(root, event, 'stdout')).toBe('input');
  expect(await stored(root, event, 'out.txt')).toBe('result\n');
  expect(await host.inspect(lease.attemptId)).toEqual({ kind: 'collected', event });
  await host.forget(lease.attemptId);
  expect(await host.inspect(lease.attemptId)).toEqual({ kind: 'absent' });
  expect(readdirSync(path.join(root, 'attempts'))).toEqual([]);
  expect(readdirSync(path.join(root, 'exits'))).toEqual([]);
});

test('a program is told who it is, what it may use, and where its scratch is', async () => {
  const root = nextRoot();
  const host = await openHost(root);
  const resources = { ...DEFAULT_RESOURCES, cpuMillis: 2500 };
  const event = await run(
    host,
    shell('env; test -d "$MAJORANA_SCRATCH"', { resources, env: { MINE: 'x y' } }),
  );
  expect(event.outcome.kind).toBe('succeeded');
  const lines = (await stored(root, event, 'stdout')).split('\n');
  expect(lines).toEqual(
    expect.arrayContaining([
      'MAJORANA_JOB_ID=job_7',
      'MAJORANA_JOB_NAME=a name',
      'MAJORANA_TASK_ID=job_7.3',
      'MAJORANA_TASK_INDEX=3',
      'MAJORANA_TASK_COUNT=9',
      'MAJORANA_ATTEMPT_NUMBER=2',
      'MAJORANA_CPU_MILLIS=2500',
      `MAJORANA_MEMORY_BYTES=${resources.memoryBytes}`,
      `MAJORANA_SCRATCH=${attemptFile(root, 'scratch')}`,
      `TMPDIR=${attemptFile(root, 'scratch')}`,
      'OMP_NUM_THREADS=2',
      'CUDA_VISIBLE_DEVICES=',
      'NVIDIA_VISIBLE_DEVICES=void',
      'ROCR_VISIBLE_DEVICES=',
      'MAJORANA_GPU_INDICES=',
      'MINE=x y',
    ]),
  );
});

test('running attempts have GPUs of their own, also after the host was restarted', async () => {
  const root = nextRoot();
  const host = await openHost(root, 3);
  const resources = { ...DEFAULT_RESOURCES, gpuCount: 1 };
  const wait = 'while [ ! -e go ]; do sleep 0.02; done; echo $CUDA_VISIBLE_DEVICES';
  const lease = (task: number): Lease => shell(wait, { attemptId: `job_7.${task}.1`, resources });
  await begin(host, lease(0));
  await begin(host, lease(1));
  const again = await openHost(root, 3);
  await again.list();
  await begin(again, lease(2));
  await expect(again.accept(lease(3))).rejects.toThrow('1 GPUs are needed and 0 of 3 are free');
  const seen: string[] = [];
  for (const task of [0, 1, 2]) {
    const id = `job_7.${task}.1`;
    writeFileSync(path.join(root, 'attempts', id, 'work', 'go'), '');
    await standing(again, 'exited', id);
    seen.push((await stored(root, await again.collect(id), 'stdout')).trim());
  }
  expect(seen.toSorted()).toEqual(['0', '1', '2']);
  await again.accept(lease(3));
});

test('a missing program is an attempt that could not start, and says which', async () => {
  const event = await run(await openHost(nextRoot()), leaseOf(['no-such-program']));
  expect(event.outcome).toEqual({
    kind: 'start_error',
    reason: 'could not start: exec: No such file or directory: no-such-program',
  });
  expect(event.startedAtMs).toBeUndefined();
});

test('a working directory that has vanished before the start is told as such', async () => {
  const root = nextRoot();
  const host = await openHost(root);
  await host.accept(leaseOf(['true']));
  rmSync(attemptFile(root, 'work'), { recursive: true });
  await host.start('job_7.3.2');
  await standing(host, 'exited');
  const { outcome } = await host.collect('job_7.3.2');
  expect(outcome.kind).toBe('start_error');
  expect(outcome.reason).toContain('could not start: chdir: No such file or directory');
});

test('a working directory that its own program removes does not hide how it ended', async () => {
  const event = await run(
    await openHost(nextRoot()),
    shell('rm -rf "$PWD"; exit 4', { outputs: ['**'] }),
  );
  expect(event.outcome).toEqual({ kind: 'exit_code', exitCode: 4, reason: 'exit code 4' });
});

test('an input that is nowhere, and one that would leave the working directory, are refused', async () => {
  const host = await openHost(nextRoot());
  const object = 'ab'.repeat(32);
  const refused = (input: string): Promise<void> =>
    host.accept(leaseOf(['true'], { inputs: [{ path: input, object }] }));
  await expect(refused('x')).rejects.toThrow(LeaseRefusedError);
  await expect(refused('x')).rejects.toThrow(object);
  await expect(refused('../../x')).rejects.toThrow('leaves the working directory');
});

test('1 GB of output is kept whole, in bounded memory', async () => {
  const root = nextRoot();
  const host = await openHost(root);
  const before = process.memoryUsage().rss;
  let highest = before;
  const timer = setInterval(() => {
    highest = Math.max(highest, process.memoryUsage().rss);
  }, 20);
  const event = await run(host, shell('head -c 1000000000 /dev/zero'));
  clearInterval(timer);
  expect(event.outcome.kind).toBe('succeeded');
  expect(event.artifacts).toMatchObject([{ role: 'stdout', sizeBytes: 1_000_000_000 }]);
  expect(highest - before).toBeLessThan(256 * MEBIBYTE);
});

test('children that a program leaves behind are ended, and its exit code stands', async () => {
  const marker = `5151.${process.pid}`;
  const host = await openHost(nextRoot());
  const event = await run(host, shell(`sleep ${marker} & setsid sleep ${marker} & exit 0`));
  expect(event.outcome).toEqual({
    kind: 'succeeded',
    exitCode: 0,
    reason: 'exit code 0; 2 processes it left were ended',
  });
  expect(countProcesses(marker)).toBe(0);
});

test('a cancel and a time limit end the whole tree', async () => {
  const marker = `6161.${process.pid}`;
  const host = await openHost(nextRoot());
  const script = `setsid sleep ${marker} & sleep ${marker}`;
  await begin(host, shell(script));
  await standing(host, 'running');
  await until('the tree', async () => countProcesses(marker) >= 2);
  await host.end('job_7.3.2');
  await standing(host, 'exited');
  expect((await host.collect('job_7.3.2')).outcome).toMatchObject({
    kind: 'cancelled',
    reason: 'cancelled by a user',
  });
  const limited = shell(script, { attemptId: 'job_8.0.1', timeLimitMs: 300 });
  expect((await run(host, limited)).outcome).toMatchObject({
    kind: 'time_limit',
    reason: 'ended at its time limit of 0.3 s',
  });
  expect(countProcesses(marker)).toBe(0);
});

const limited = (argv: readonly string[]): Lease =>
  leaseOf(argv, { resources: { ...DEFAULT_RESOURCES, memoryBytes: 150 * MEBIBYTE } });
const HOG = 'const a=[];setInterval(()=>a.push(Buffer.alloc(2e7,1)),5)';

test.each(MEMORY_LIMITS)(
  'more memory than the limit is out-of-memory, and nothing else (%s)',
  async (limits) => {
    const event = await run(
      await openHost(nextRoot(), 0, limits),
      limited([process.execPath, '-e', HOG]),
    );
    expect(event.outcome).toMatchObject({
      kind: 'out_of_memory',
      reason: 'out of memory: more than its 150 MiB memory',
    });
    expect(event.peakMemoryBytes).toBeGreaterThan(100 * MEBIBYTE);
  },
);

test.each(MEMORY_LIMITS)(
  'a program that fails because a child of it was killed for memory is out-of-memory (%s)',
  async (limits) => {
    const script = '"$1" -e "$2" & wait $! || exit 9';
    const event = await run(
      await openHost(nextRoot(), 0, limits),
      limited(['sh', '-c', script, 'sh', process.execPath, HOG]),
    );
    expect(event.outcome.kind).toBe('out_of_memory');
  },
);

test.each(MEMORY_LIMITS)(
  'files that a program writes do not count as its memory (%s)',
  async (limits) => {
    const script = 'head -c 400000000 /dev/zero > file; cat file > /dev/null';
    const event = await run(await openHost(nextRoot(), 0, limits), limited(['sh', '-c', script]));
    expect(event.outcome.kind).toBe('succeeded');
    expect(event.peakMemoryBytes).toBeLessThan(100 * MEBIBYTE);
  },
);

test.each(MEMORY_LIMITS)(
  'workers that share the memory of their parent are not counted once for each (%s)',
  async (limits) => {
    const host = await openHost(nextRoot(), 0, limits);
    const hold = 'x=$(head -c 40000000 /dev/zero | tr "\\0" x)';
    const script = `${hold}; for i in 1 2 3 4 5 6 7 8; do (sleep 0.6; :) & done; wait`;
    const event = await run(host, limited(['sh', '-c', script]));
    expect(event.outcome).toMatchObject({ kind: 'succeeded' });
    expect(event.peakMemoryBytes).toBeLessThan(150 * MEBIBYTE);
  },
);

test('a host that is started again goes on with output, exit code and usage', async () => {
  const root = nextRoot();
  const first = await openHost(root);
  const lease = shell('echo before; while [ ! -e go ]; do sleep 0.02; done; echo after; exit 6');
  await begin(first, lease);
  const running = await standing(first, 'running');
  first[Symbol.dispose]();
  const second = await openHost(root);
  expect(await second.list()).toEqual([{ attemptId: lease.attemptId, lease }]);
  expect(await second.inspect(lease.attemptId)).toEqual(running);
  writeFileSync(attemptFile(root, 'work/go'), '');
  await standing(second, 'exited');
  const event = await second.collect(lease.attemptId);
  expect(event.outcome).toEqual({ kind: 'exit_code', exitCode: 6, reason: 'exit code 6' });
  expect(await stored(root, event, 'stdout')).toBe('before\nafter\n');
  expect(event).toMatchObject(
    running.kind === 'running' ? { startedAtMs: running.startedAtMs } : {},
  );
  expect(event.peakMemoryBytes).toBeGreaterThan(0);
});

test('a launcher that is killed is replaced, and its tasks go on', async () => {
  const root = nextRoot();
  const host = await openHost(root);
  await begin(host, shell('while [ ! -e go ]; do sleep 0.02; done'));
  const launcher = readFileSync('/proc/self/task/' + process.pid + '/children', 'utf8')
    .trim()
    .split(' ')
    .map(Number)
    .find((pid) => readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('launcher-linux'));
  process.kill(launcher!, 'SIGKILL');
  const second = shell('echo second', { attemptId: 'job_8.0.1' });
  expect((await run(host, second)).outcome.kind).toBe('succeeded');
  expect((await host.inspect('job_7.3.2')).kind).toBe('running');
  writeFileSync(attemptFile(root, 'work/go'), '');
  await standing(host, 'exited');
});

test('an attempt that is started twice runs once', async () => {
  const root = nextRoot();
  const host = await openHost(root);
  await host.accept(shell('echo run >> ../runs; sleep 0.2'));
  await host.start('job_7.3.2');
  await host.start('job_7.3.2');
  await standing(host, 'exited');
  expect(readFileSync(attemptFile(root, 'runs'), 'utf8')).toBe('run\n');
});

test('a reboot of the machine leaves an attempt gone, whatever its files say', async () => {
  const root = nextRoot();
  const host = await openHost(root);
  await begin(host, leaseOf(['true']));
  await standing(host, 'exited');
  const shim = attemptFile(root, 'shim');
  writeFileSync(shim, readFileSync(shim, 'utf8').replace(/\w{8}-[\w-]+/, 'another-boot'));
  const after = await openHost(root);
  const gone = { kind: 'gone', reason: 'the machine was rebooted' };
  expect(await after.inspect('job_7.3.2')).toEqual(gone);
  const lease = attemptFile(root, 'lease.json');
  rmSync(shim);
  writeFileSync(lease, readFileSync(lease, 'utf8').replace(/\w{8}-[\w-]{27}/, 'another-boot'));
  const later = await openHost(root);
  await later.list();
  expect(await later.inspect('job_7.3.2')).toEqual(gone);
});

test('a killed guard leaves an attempt gone, and what it guarded is ended', async () => {
  const root = nextRoot();
  const marker = `7171.${process.pid}`;
  const host = await openHost(root);
  await begin(host, shell(`setsid sleep ${marker} & sleep ${marker}`));
  await until('the tree', async () => countProcesses(marker) >= 2);
  process.kill(Number(readFileSync(attemptFile(root, 'shim'), 'utf8').split(' ')[0]), 'SIGKILL');
  const gone = await standing(host, 'gone');
  expect(gone).toEqual({ kind: 'gone', reason: 'its guard process was killed' });
  await host.conclude({
    kind: 'ended',
    attemptId: 'job_7.3.2',
    atMs: 1,
    outcome: { kind: 'lost', reason: 'its guard process was killed' },
    peakMemoryBytes: 0,
    cpuTimeMs: 0,
    artifacts: [],
  });
  await until('the end of the tree', async () => countProcesses(marker) === 0);
  expect((await host.inspect('job_7.3.2')).kind).toBe('collected');
});

test('nothing starts an attempt that was concluded, and none is concluded that runs', async () => {
  const root = nextRoot();
  const host = await openHost(root);
  const cancelled: EndedEvent = {
    kind: 'ended',
    attemptId: 'job_7.3.2',
    atMs: 1,
    outcome: { kind: 'cancelled', reason: 'cancelled before it started' },
    peakMemoryBytes: 0,
    cpuTimeMs: 0,
    artifacts: [],
  };
  await host.accept(shell('touch ../ran'));
  await host.conclude(cancelled);
  await host.start('job_7.3.2');
  expect(await host.inspect('job_7.3.2')).toEqual({ kind: 'collected', event: cancelled });
  expect(existsSync(attemptFile(root, 'ran'))).toBe(false);
  await begin(host, shell('sleep 60', { attemptId: 'job_8.0.1', graceMs: 0 }));
  const other = { ...cancelled, attemptId: 'job_8.0.1' };
  await expect(host.conclude(other)).rejects.toThrow('job_8.0.1 runs');
  await host.end('job_8.0.1');
  await standing(host, 'exited', 'job_8.0.1');
});

test('an acceptance that a crash cut short is made again', async () => {
  const root = nextRoot();
  const host = await openHost(root);
  await host.accept(shell('exit 0'));
  rmSync(attemptFile(root, 'spec'));
  const again = await openHost(root);
  const [held] = await again.list();
  expect(await again.inspect('job_7.3.2')).toEqual({ kind: 'absent' });
  expect((await run(again, held!.lease)).outcome.kind).toBe('succeeded');
});

test('a collection that a crash cut short is made again, with the same result', async () => {
  const root = nextRoot();
  const host = await openHost(root);
  const event = await run(host, shell('echo text'));
  writeFileSync(attemptFile(root, 'outcome.json'), '{"kind":"en');
  expect((await host.inspect('job_7.3.2')).kind).toBe('exited');
  expect(await host.collect('job_7.3.2')).toEqual(event);
  expect(await host.collect('job_7.3.2')).toEqual(event);
});

test('a removal that a crash cut short is finished, not taken for an attempt to start', async () => {
  const root = nextRoot();
  const host = await openHost(root);
  await run(host, shell('touch ../ran'));
  rmSync(attemptFile(root, 'lease.json'));
  rmSync(attemptFile(root, 'shim'));
  expect(await (await openHost(root)).list()).toEqual([]);
  expect(readdirSync(path.join(root, 'attempts'))).toEqual([]);
  expect(readdirSync(path.join(root, 'exits'))).toEqual([]);
});

test('the log of a running attempt is read in pieces', async () => {
  const root = nextRoot();
  const host = await openHost(root);
  await begin(host, shell('printf 0123456789; echo error >&2; sleep 60', { graceMs: 0 }));
  const read = async (stream: 'stdout' | 'stderr', offset: number): Promise<string> => {
    const request = { requestId: 'r', attemptId: 'job_7.3.2', stream, offset, bytesMax: 4 };
    return Buffer.from(await host.readLog(request)).toString();
  };
  await until('the output', async () => (await read('stderr', 0)) === 'erro');
  expect(await read('stdout', 3)).toBe('3456');
  expect(await read('stdout', 8)).toBe('89');
  expect(await read('stdout', 100)).toBe('');
  await host.end('job_7.3.2');
  await standing(host, 'exited');
});

test('folders that their owner may not empty are removed all the same', async () => {
  const root = nextRoot();
  const host = await openHost(root);
  await run(host, shell('mkdir -p a/b; touch a/b/c; chmod 500 a/b a'));
  await host.forget('job_7.3.2');
  expect(readdirSync(path.join(root, 'attempts'))).toEqual([]);
});
