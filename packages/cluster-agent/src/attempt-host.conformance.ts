import { readdirSync, readFileSync } from 'node:fs';
import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { DEFAULT_RESOURCES, MEBIBYTE } from '@majorana/core';
import type { ObjectStore } from '@majorana/objects';
import type { EndedEvent, Lease } from '@majorana/protocol';
import { until } from '@majorana/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { AttemptHost } from './engine/ports.ts';
import { LeaseRefusedError } from './engine/ports.ts';

export type LeaseEdit = Partial<
  Pick<Lease, 'env' | 'inputs' | 'outputs' | 'resources' | 'timeLimitMs' | 'graceMs' | 'gang'>
>;

/** A place where programs are started, and how to get a lease that it runs. */
export interface HostBench extends AsyncDisposable {
  readonly host: AttemptHost;
  readonly objects: ObjectStore;
  lease(argv: readonly string[], edit?: LeaseEdit): Promise<Lease>;
}

export const countProcesses = (marker: string): number =>
  readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(marker);
      } catch {
        return false;
      }
    }).length;

export async function begin(host: AttemptHost, lease: Lease): Promise<void> {
  await host.accept(lease);
  await host.start(lease.attemptId);
}

export async function finish(host: AttemptHost, lease: Lease): Promise<EndedEvent> {
  await until(`the end of ${lease.attemptId}`, async () => {
    const { kind } = await host.inspect(lease.attemptId);
    if (kind === 'gone') throw new Error(`${lease.attemptId} is gone`);
    return kind === 'exited';
  });
  return host.collect(lease.attemptId);
}

/** A refused lease ends as the agent's engine would end it. */
export async function run(host: AttemptHost, lease: Lease): Promise<EndedEvent> {
  try {
    await begin(host, lease);
  } catch (error) {
    if (!(error instanceof LeaseRefusedError)) throw error;
    return {
      kind: 'ended',
      attemptId: lease.attemptId,
      atMs: Date.now(),
      outcome: { kind: 'start_error', reason: `could not start: ${error.message}` },
      peakMemoryBytes: 0,
      cpuTimeMs: 0,
      artifacts: [],
    };
  }
  return finish(host, lease);
}

export async function readArtifact(
  objects: ObjectStore,
  event: EndedEvent,
  name: string,
): Promise<string> {
  const artifact = event.artifacts.find((one) => one.path === name);
  if (artifact === undefined) throw new Error(`there is no ${name} in ${JSON.stringify(event)}`);
  return text(await objects.read(artifact.object));
}

const HOG = 'const a=[];setInterval(()=>a.push(Buffer.alloc(2e7,1)),5)';
let marks = 0;
/** Stands in the command line of processes, so that a test finds its own. */
const nextMarker = (): string => `8${(marks += 1)}${process.pid}.5`;

/** What every way to start programs does alike: the local launcher, and the runner in a pod. */
export function testAttemptHost(open: () => Promise<HostBench>): void {
  let bench: HostBench;
  beforeAll(async () => {
    bench = await open();
  });
  afterAll(() => bench[Symbol.asyncDispose]());

  const runArgv = async (argv: readonly string[], edit?: LeaseEdit): Promise<EndedEvent> =>
    run(bench.host, await bench.lease(argv, edit));
  const runShell = (script: string, edit?: LeaseEdit): Promise<EndedEvent> =>
    runArgv(['sh', '-c', script], edit);
  const read = (event: EndedEvent, name: string): Promise<string> =>
    readArtifact(bench.objects, event, name);

  test.each([0, 1, 42, 255])('exit code %i', async (exitCode) => {
    const { outcome } = await runShell(`exit ${exitCode}`);
    const kind = exitCode === 0 ? 'succeeded' : 'exit_code';
    expect(outcome).toEqual({ kind, exitCode, reason: `exit code ${exitCode}` });
  });

  test.each([
    ['KILL', 9],
    ['SEGV', 11],
    ['TERM', 15],
  ])('the end by signal %s, which is no exit code', async (name, signal) => {
    const { outcome } = await runShell(`kill -${name} $$`);
    expect(outcome).toEqual({ kind: 'signal', signal, reason: `ended by SIG${name}` });
  });

  test('arguments and environment arrive byte by byte, whatever is in them', async () => {
    const odd = ['', ' ', 'a b', '"q" \'s\'', '$HOME `x` \\ *', 'line\nline', 'Größe 数 🎉', '-n'];
    const print = 'process.stdout.write(JSON.stringify([process.argv.slice(1), process.env.ODD]))';
    const env = { ODD: odd.join('|') };
    const event = await runArgv([process.execPath, '-e', print, '--', ...odd], { env });
    expect(JSON.parse(await read(event, 'stdout'))).toEqual([odd, odd.join('|')]);
  });

  test('a task is told who it is, and its job may say otherwise', async () => {
    const resources = { ...DEFAULT_RESOURCES, cpuMillis: 2500 };
    const env = { MAJORANA_JOB_NAME: 'mine', RAYON_NUM_THREADS: '7' };
    const lease = await bench.lease(['env'], { resources, env });
    const event = await run(bench.host, lease);
    const lines = (await read(event, 'stdout')).split('\n');
    const [, jobId, index, attempt] = /^job_(\d+)\.(\d+)\.(\d+)$/.exec(lease.attemptId)!;
    expect(lines).toEqual(
      expect.arrayContaining([
        `MAJORANA_JOB_ID=job_${jobId}`,
        `MAJORANA_TASK_ID=job_${jobId}.${index}`,
        `MAJORANA_TASK_INDEX=${index}`,
        `MAJORANA_TASK_COUNT=${lease.taskCount}`,
        `MAJORANA_ATTEMPT_NUMBER=${attempt}`,
        'MAJORANA_CPU_MILLIS=2500',
        `MAJORANA_MEMORY_BYTES=${resources.memoryBytes}`,
        'MAJORANA_JOB_NAME=mine',
        'OMP_NUM_THREADS=2',
        'RAYON_NUM_THREADS=7',
        'CUDA_VISIBLE_DEVICES=',
      ]),
    );
    expect(lines.filter((line) => /TOKEN|MAJORANA_RUNNER/.test(line))).toEqual([]);
    expect(new Set(lines.map((line) => line.split('=')[0])).size).toBe(lines.length);
  });

  test('it runs in its own empty folder, with scratch beside it and no input to wait for', async () => {
    const script =
      '[ "$PWD" = "$HOME" ] && [ -z "$(ls -A)" ] && [ -d "$MAJORANA_SCRATCH" ] && ' +
      '[ "$TMPDIR" = "$MAJORANA_SCRATCH" ] && [ -d "$MAJORANA_ATTEMPT_FOLDER" ] && cat';
    const event = await runShell(script);
    expect(event.outcome.reason).toBe('exit code 0');
    expect(event.artifacts).toEqual([]);
  });

  test('both logs are stored, each its own, and one that is empty is not', async () => {
    const both = await runShell('echo out; echo error >&2; exit 3');
    expect(await read(both, 'stdout')).toBe('out\n');
    expect(await read(both, 'stderr')).toBe('error\n');
    expect((await runShell('echo error >&2')).artifacts.map((one) => one.role)).toEqual(['stderr']);
  });

  test('a cancel ends the whole tree, daemons too', async () => {
    const marker = nextMarker();
    const daemon = `(setsid sh -c "sleep ${marker} & sleep ${marker}" &)`;
    const lease = await bench.lease(['sh', '-c', `${daemon}; sleep ${marker}`]);
    await begin(bench.host, lease);
    await until('the tree', () => countProcesses(`sleep\0${marker}`) >= 3);
    await bench.host.end(lease.attemptId);
    const { outcome } = await finish(bench.host, lease);
    expect(outcome).toMatchObject({ kind: 'cancelled', reason: 'cancelled by a user', signal: 15 });
    expect(countProcesses(marker)).toBe(0);
  });

  test('a program hears TERM first and may end by itself; one that does not is killed', async () => {
    const polite = await bench.lease(
      ['sh', '-c', 'trap "echo heard; exit 5" TERM; echo ready; while :; do sleep 0.05; done'],
      { graceMs: 30_000 },
    );
    await begin(bench.host, polite);
    await until('its trap', async () => (await log(polite, 0)) === 'ready\n');
    await bench.host.end(polite.attemptId);
    const heard = await finish(bench.host, polite);
    expect(heard.outcome).toMatchObject({ kind: 'cancelled', exitCode: 5 });
    expect(await read(heard, 'stdout')).toBe('ready\nheard\n');
    const deaf = await bench.lease(
      ['sh', '-c', 'trap "" TERM; echo ready; while :; do sleep 0.05; done'],
      { graceMs: 300 },
    );
    await begin(bench.host, deaf);
    await until('its trap', async () => (await log(deaf, 0)) === 'ready\n');
    await bench.host.end(deaf.attemptId);
    expect((await finish(bench.host, deaf)).outcome).toMatchObject({
      kind: 'cancelled',
      signal: 9,
    });
  });

  const log = async ({ attemptId }: Lease, offset: number, bytesMax = 100): Promise<string> => {
    const request = { requestId: 'r', attemptId, stream: 'stdout', offset, bytesMax } as const;
    return Buffer.from(await bench.host.readLog(request).catch(() => '')).toString();
  };

  test('the log of a running attempt is read in pieces', async () => {
    const lease = await bench.lease(['sh', '-c', 'printf 0123456789; sleep 60'], { graceMs: 0 });
    await begin(bench.host, lease);
    await until('the output', async () => (await log(lease, 0)) === '0123456789');
    expect(await log(lease, 3, 4)).toBe('3456');
    expect(await log(lease, 8)).toBe('89');
    expect(await log(lease, 100)).toBe('');
    await bench.host.end(lease.attemptId);
    expect((await finish(bench.host, lease)).outcome.kind).toBe('cancelled');
  });

  test('the time limit ends the whole tree', async () => {
    const marker = nextMarker();
    const event = await runShell(`setsid sleep ${marker} & sleep ${marker}`, { timeLimitMs: 300 });
    expect(event.outcome).toMatchObject({
      kind: 'time_limit',
      reason: 'ended at its time limit of 0.3 s',
    });
    expect(countProcesses(marker)).toBe(0);
  });

  test('what a program leaves behind is ended and counted, and its exit code stands', async () => {
    const marker = nextMarker();
    const event = await runShell(`sleep ${marker} & setsid sleep ${marker} & exit 0`);
    expect(event.outcome).toEqual({
      kind: 'succeeded',
      exitCode: 0,
      reason: 'exit code 0; 2 processes it left were ended',
    });
    expect(countProcesses(marker)).toBe(0);
  });

  test.each([
    [['no-such-program'], 'No such file or directory: no-such-program'],
    [['./gone'], 'No such file or directory: ./gone'],
    [['/etc/passwd'], 'Permission denied: /etc/passwd'],
    [['/proc'], 'Permission denied: /proc'],
  ])('%j cannot be started, and why is told', async (argv, why) => {
    const event = await runArgv(argv);
    expect(event.outcome).toEqual({ kind: 'start_error', reason: `could not start: exec: ${why}` });
    expect(event.startedAtMs).toBeUndefined();
  });

  test('a program is looked for in the PATH of its job', async () => {
    const file = await bench.objects.putStream(
      Readable.from([Buffer.from('#!/bin/sh\necho own\n')]),
    );
    const event = await runShell('chmod +x tools/own && PATH=$PWD/tools:$PATH own', {
      inputs: [{ path: 'tools/own', object: file.object }],
    });
    expect(await read(event, 'stdout')).toBe('own\n');
    const nowhere = await runArgv(['sh', '-c', 'true'], { env: { PATH: '/nowhere' } });
    expect(nowhere.outcome.reason).toContain('No such file or directory: sh');
  });

  test('inputs are laid in, each a copy of its own', async () => {
    const { object } = await bench.objects.putStream(Readable.from([Buffer.from('content')]));
    const inputs = [
      { path: 'a', object },
      { path: 'deep/er/b', object },
    ];
    const script = 'cat a deep/er/b; echo more >> a';
    const event = await runShell(script, { inputs, outputs: ['*'] });
    expect(await read(event, 'stdout')).toBe('contentcontent');
    expect(await read(event, 'a')).toBe('contentmore\n');
    expect(await text(await bench.objects.read(object))).toBe('content');
  });

  test('an input that is nowhere, and one that leaves the folder, are told by name', async () => {
    const object = 'ab'.repeat(32);
    const missing = await runShell('true', { inputs: [{ path: 'x', object }] });
    expect(missing.outcome.kind).toBe('start_error');
    expect(missing.outcome.reason).toContain(object);
    const outside = await runShell('true', { inputs: [{ path: '../../x', object }] });
    expect(outside.outcome).toEqual({
      kind: 'start_error',
      reason: 'could not start: the input path ../../x leaves the working directory',
    });
  });

  test('outputs are the regular files that globs name, of any name and depth', async () => {
    const script = `
      mkdir -p out/deep .hidden other; echo 1 > out/a.txt; echo 2 > out/deep/b.txt; echo 3 > .hidden/c
      echo 4 > other/d.csv; echo 5 > other/e.log; ln -s a.txt out/link; ln -s out linked; mkfifo out/pipe
      printf 6 > 'other/line
break.csv'; : > out/empty`;
    const event = await runShell(script, {
      outputs: ['out', '.hidden/*', '**/*.{csv,tsv}', '!**/deep/*', 'linked/*'],
    });
    expect(event.outcome.kind).toBe('succeeded');
    const outputs = event.artifacts.filter((one) => one.role === 'output');
    expect(outputs.map((one) => [one.path, one.sizeBytes])).toEqual([
      ['.hidden/c', 2],
      ['other/d.csv', 2],
      ['other/line\nbreak.csv', 1],
      ['out/a.txt', 2],
      ['out/empty', 0],
    ]);
    expect(await read(event, 'out/a.txt')).toBe('1\n');
  });

  test('2,000 outputs are stored, each under its name', async () => {
    const event = await runShell('seq 2000 | split -l 1 -a 4 -d - part.', { outputs: ['part.*'] });
    expect(event.outcome.kind).toBe('succeeded');
    expect(event.artifacts.length).toBe(2000);
    expect(await read(event, 'part.1233')).toBe('1234\n');
  });

  test('a working directory that its own program removes does not hide how it ended', async () => {
    const event = await runShell('rm -rf "$PWD"; exit 4', { outputs: ['**'] });
    expect(event.outcome).toEqual({ kind: 'exit_code', exitCode: 4, reason: 'exit code 4' });
  });

  test('1 GB of output is kept whole', async () => {
    const event = await runShell('head -c 1000000000 /dev/zero');
    expect(event.outcome.kind).toBe('succeeded');
    expect(event.artifacts).toMatchObject([{ role: 'stdout', sizeBytes: 1_000_000_000 }]);
  });

  test('what a program used is told: processor time and memory, children among it', async () => {
    const burn = 'const a=Buffer.alloc(6e7,1);for(let t=Date.now();Date.now()-t<300;)a.fill(2)';
    const event = await runArgv(['sh', '-c', '"$1" -e "$2"; exit 0', 'sh', process.execPath, burn]);
    expect(event.cpuTimeMs).toBeGreaterThan(100);
    expect(event.peakMemoryBytes).toBeGreaterThan(60e6);
    expect(event.atMs - event.startedAtMs!).toBeGreaterThanOrEqual(300);
  });

  test('more memory than the limit is out-of-memory, and what was said until then is kept', async () => {
    const resources = { ...DEFAULT_RESOURCES, memoryBytes: 150 * MEBIBYTE };
    const event = await runArgv(
      [process.execPath, '-e', `process.stdout.write("said\\n");${HOG}`],
      {
        resources,
      },
    );
    expect(event.outcome).toMatchObject({
      kind: 'out_of_memory',
      reason: 'out of memory: more than its 150 MiB memory',
    });
    expect(event.peakMemoryBytes).toBeGreaterThan(100 * MEBIBYTE);
    expect(await read(event, 'stdout')).toBe('said\n');
  });
}
