import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { Readable } from 'node:stream';
import { runnerEndSchema } from '@majorana/protocol';
import type { EndedEvent, Lease } from '@majorana/protocol';
import { DEFAULT_RESOURCES, MEBIBYTE } from '@majorana/core';
import { until } from '@majorana/testing';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { runnerPath } from '../../../../tools/build-runner.ts';
import { begin, countProcesses, finish, readArtifact, run } from '../attempt-host.conformance.ts';
import type { Fault } from './test-faulty-proxy.ts';
import { FaultyProxy } from './test-faulty-proxy.ts';
import { TestMemoryGroup } from './test-memory-group.ts';
import { RunnerBench } from './test-runner-bench.ts';

/** As in a pod: files that their owner may not read are closed to root too. */
const asAnyone =
  process.getuid?.() === 0 ? ['setpriv', '--bounding-set=-dac_override,-dac_read_search'] : [];
const group = TestMemoryGroup.make(400 * MEBIBYTE);
let isInGroup = false;
let wrapper: readonly string[] = [];
let bench: RunnerBench;
let proxy: FaultyProxy;
beforeAll(async () => {
  proxy = await FaultyProxy.start(() => bench.url);
  bench = await RunnerBench.open({
    url: () => proxy.url,
    env: { MAJORANA_RUNNER_GRACE_MS: '4000' },
    wrapper: () => (isInGroup ? group!.wrapper : wrapper),
  });
});
afterAll(async () => {
  await bench[Symbol.asyncDispose]();
  await proxy[Symbol.asyncDispose]();
  await group?.[Symbol.asyncDispose]();
});
beforeEach(() => {
  isInGroup = false;
  wrapper = [];
  proxy.fault = () => 'none';
  proxy.requests.length = 0;
  proxy.ranges.length = 0;
});

const needed = (): string[] => proxy.requests.filter((request) => request !== 'POST link');
const store = async (content: Buffer): Promise<string> =>
  (await bench.objects.putStream(Readable.from([content]))).object;

/** A task with something of everything: an input, both logs, outputs, an exit code. */
async function fullTask(seed: string): Promise<Lease> {
  const object = await store(Buffer.from(`input of ${seed}`));
  const script = `cat in; echo ${seed} | tee a b; echo ${seed} error >&2; exit 3`;
  return bench.lease(['sh', '-c', script], {
    inputs: [{ path: 'in', object }],
    outputs: ['a', 'in'],
  });
}

async function expectWhole(event: EndedEvent, seed: string): Promise<void> {
  expect(event.outcome).toEqual({ kind: 'exit_code', exitCode: 3, reason: 'exit code 3' });
  expect(event.artifacts.map((one) => one.path)).toEqual(['stdout', 'stderr', 'a', 'in']);
  expect(await readArtifact(bench.objects, event, 'stdout')).toBe(`input of ${seed}${seed}\n`);
  expect(await readArtifact(bench.objects, event, 'stderr')).toBe(`${seed} error\n`);
  expect(await readArtifact(bench.objects, event, 'a')).toBe(`${seed}\n`);
}

test('a task of one line takes three requests and its link', async () => {
  const lease = await bench.lease(['echo', randomBytes(8).toString('hex')]);
  await run(bench.host, lease);
  expect(needed()).toEqual(['GET task', 'POST uploads', 'PUT objects']);
  expect(proxy.requests.filter((request) => request === 'POST link').length).toBeLessThanOrEqual(1);
});

test.each<[string, Fault]>([
  ['answers 500', 500],
  ['answers 503', 503],
  ['answers 429', 429],
  ['breaks off in the middle of the question', 'cut_question'],
  ['breaks off in the middle of the answer', 'cut_answer'],
  ['does what it was asked, and its answer is lost', 'lose_answer'],
])('nothing is lost when each request first meets a server that %s', async (_title, fault) => {
  const seed = `seed ${randomBytes(8).toString('hex')}`;
  const lease = await fullTask(seed);
  const seen = new Map<string, number>();
  proxy.fault = (request) => {
    const count = (seen.get(request) ?? 0) + 1;
    seen.set(request, count);
    return count <= 2 ? fault : 'none';
  };
  await expectWhole(await run(bench.host, lease), seed);
  expect([...seen.keys()].toSorted()).toEqual(
    expect.arrayContaining(['GET objects', 'GET task', 'POST uploads', 'PUT objects']),
  );
});

test('nothing is lost when the control plane is started anew between any two requests', async () => {
  const first = await fullTask('count');
  await run(bench.host, first);
  const requestCount = needed().length;
  expect(requestCount).toBeGreaterThanOrEqual(6);
  for (let restartAt = 0; restartAt < requestCount; restartAt += 1) {
    const seed = `restart ${restartAt} ${randomBytes(4).toString('hex')}`;
    const lease = await fullTask(seed);
    let count = 0;
    proxy.fault = async (request): Promise<Fault> => {
      if (request === 'POST link') return 'none';
      if (count === restartAt) {
        count += 1;
        await bench.stopServer();
        await bench.startServer();
        await bench.sync();
      } else count += 1;
      return 'none';
    };
    await expectWhole(await run(bench.host, lease), seed);
    proxy.fault = () => 'none';
  }
});

test('a store that is away for a while is waited for, and the task is told as running', async () => {
  const lease = await fullTask('patient');
  let isAway = true;
  proxy.fault = (request) => (isAway && request === 'PUT objects' ? 503 : 'none');
  await begin(bench.host, lease);
  await until('a few tries', () => needed().filter((one) => one === 'PUT objects').length > 8);
  expect((await bench.host.inspect(lease.attemptId)).kind).toBe('running');
  isAway = false;
  await expectWhole(await finish(bench.host, lease), 'patient');
});

test('a download goes on where the connection broke', async () => {
  const content = randomBytes(3_000_000);
  const lease = await bench.lease(['sha256sum', 'in'], {
    inputs: [{ path: 'in', object: await store(content) }],
  });
  proxy.fault = (request) =>
    request === 'GET objects' && proxy.ranges.length < 2 ? 'cut_answer' : 'none';
  const event = await run(bench.host, lease);
  const hash = createHash('sha256').update(content).digest('hex');
  expect(await readArtifact(bench.objects, event, 'stdout')).toBe(`${hash}  in\n`);
  expect(proxy.ranges.length).toBe(2);
  expect(proxy.ranges.every((range) => /^bytes=[1-9]\d*-$/.test(range))).toBe(true);
});

test('a TERM while no store answers says how the program ended, and that its results are not stored', async () => {
  const lease = await bench.lease(['sh', '-c', 'echo text; exit 7']);
  proxy.fault = (request) => (request === 'POST uploads' ? 503 : 'none');
  await begin(bench.host, lease);
  await until('a try to store', () => proxy.requests.includes('POST uploads'));
  const early = bench.host.message(lease.attemptId);
  expect(early).toMatchObject({ kind: 'ended', exit: { exitCode: 7 } });
  process.kill(bench.host.pid(lease.attemptId), 'SIGTERM');
  const { outcome } = await finish(bench.host, lease);
  expect(outcome).toEqual({
    kind: 'exit_code',
    exitCode: 7,
    reason: 'exit code 7; its results could not be stored: the pod was ended before they were',
  });
});

test('a success whose pod is taken away before its results are stored runs again', async () => {
  const lease = await bench.lease(['echo', 'text']);
  proxy.fault = (request) => (request === 'POST uploads' ? 503 : 'none');
  await begin(bench.host, lease);
  await until('a try to store', () => proxy.requests.includes('POST uploads'));
  process.kill(bench.host.pid(lease.attemptId), 'SIGTERM');
  expect((await finish(bench.host, lease)).outcome).toEqual({
    kind: 'reclaimed',
    exitCode: 0,
    reason: 'exit code 0; its results could not be stored: the pod was ended before they were',
  });
});

test('a TERM while results are being stored does not lose them', async () => {
  const lease = await fullTask('late');
  let isAway = true;
  proxy.fault = (request) => (isAway && request === 'PUT objects' ? 503 : 'none');
  await begin(bench.host, lease);
  await until('a try to store', () => proxy.requests.includes('PUT objects'));
  process.kill(bench.host.pid(lease.attemptId), 'SIGTERM');
  isAway = false;
  await expectWhole(await finish(bench.host, lease), 'late');
});

test('what is stored when its pod has to go is kept, though not all is', async () => {
  const script = 'echo log; echo 1 >a; echo 2 >b; exit 7';
  const lease = await bench.lease(['sh', '-c', script], { outputs: ['*'] });
  let storedCount = 0;
  proxy.fault = (request) => (request === 'PUT objects' && (storedCount += 1) > 1 ? 503 : 'none');
  await begin(bench.host, lease);
  await until('more tries to store', () => storedCount > 4);
  process.kill(bench.host.pid(lease.attemptId), 'SIGTERM');
  const { outcome, artifacts } = await finish(bench.host, lease);
  expect(outcome.reason).toContain('its results could not be stored: the pod was ended');
  expect(artifacts).toHaveLength(1);
  expect(await bench.objects.has(artifacts[0]!.object)).toBe(true);
});

test('what a program closed to itself is stored with the rest', async () => {
  wrapper = asAnyone;
  const script =
    'echo log; echo 1 >open; echo 2 >closed; mkdir -p d/e; echo 3 >d/e/f; chmod 0 closed d/e d';
  const event = await run(bench.host, await bench.lease(['sh', '-c', script], { outputs: ['**'] }));
  expect(event.outcome.reason).toBe('exit code 0');
  expect(event.artifacts.map((one) => one.path)).toEqual(['stdout', 'closed', 'd/e/f', 'open']);
});

test('a machine that is taken away is told from a cancel', async () => {
  const lease = await bench.lease(['sh', '-c', 'echo ready; sleep 60']);
  await begin(bench.host, lease);
  await until('the program', () => existsSync(bench.host.file(lease.attemptId, 'stdout')));
  process.kill(bench.host.pid(lease.attemptId), 'SIGTERM');
  expect((await finish(bench.host, lease)).outcome).toEqual({
    kind: 'reclaimed',
    signal: 15,
    reason: 'its pod was ended; ended by SIGTERM',
  });
});

test('a user’s cancel comes by the link, and what was written until then is kept', async () => {
  const lease = await bench.lease(['sh', '-c', 'echo ready; sleep 60']);
  await begin(bench.host, lease);
  await until('the link', () => proxy.requests.includes('POST link'));
  await until('the program', () => countLines(lease) > 0);
  await bench.cancel(lease);
  const event = await finish(bench.host, lease);
  expect(event.outcome).toMatchObject({ kind: 'cancelled', reason: 'cancelled by a user' });
  expect(await readArtifact(bench.objects, event, 'stdout')).toBe('ready\n');
});

const countLines = ({ attemptId }: Lease): number =>
  existsSync(bench.host.file(attemptId, 'stdout'))
    ? readFileSync(bench.host.file(attemptId, 'stdout'), 'utf8').split('\n').length - 1
    : 0;

test('an attempt that is over starts nothing, and one that runs is ended', async () => {
  const marker = `9191.${process.pid}`;
  const running = await bench.lease(['sleep', marker]);
  await begin(bench.host, running);
  await until('the program', () => countProcesses(marker) > 0);
  await until('the link', () => proxy.requests.includes('POST link'));
  const lost = { kind: 'lost', reason: 'its agent lost it' } as const;
  const gone = (attemptId: string): EndedEvent => ({
    kind: 'ended',
    attemptId,
    atMs: 1,
    outcome: lost,
    peakMemoryBytes: 0,
    cpuTimeMs: 0,
    artifacts: [],
  });
  await bench.report(gone(running.attemptId));
  await until(
    'its end',
    async () => (await bench.host.inspect(running.attemptId)).kind === 'exited',
  );
  expect(bench.host.message(running.attemptId).kind).toBe('fenced');
  expect(countProcesses(marker)).toBe(0);
  const late = await bench.lease(['true']);
  await bench.report(gone(late.attemptId));
  await begin(bench.host, late);
  await until('its end', async () => (await bench.host.inspect(late.attemptId)).kind === 'exited');
  expect(bench.host.message(late.attemptId).kind).toBe('fenced');
  expect(existsSync(bench.host.file(late.attemptId, 'stdout'))).toBe(false);
});

test('a token opens its own attempt and no other, and an attempt’s inputs and no other object', async () => {
  const object = await store(Buffer.from('mine'));
  const other = await store(Buffer.from('not mine'));
  const lease = await bench.lease(['true'], { inputs: [{ path: 'a', object }] });
  const second = await bench.lease(['true']);
  const ask = async (
    attemptId: string,
    what: string,
    token = lease.runnerToken,
  ): Promise<number> => {
    const url = `${bench.url}/api/v1/runner/attempts/${attemptId}/${what}`;
    return (await fetch(url, { headers: { authorization: `Bearer ${token}` } })).status;
  };
  expect(await ask(lease.attemptId, 'task')).toBe(200);
  expect(await ask(second.attemptId, 'task')).toBe(401);
  expect(await ask(lease.attemptId, 'task', `${lease.runnerToken}x`)).toBe(401);
  expect(await ask(lease.attemptId, 'task', 'mjr_test')).toBe(401);
  expect(await ask(lease.attemptId, `objects/${object}`)).toBe(200);
  expect(await ask(lease.attemptId, `objects/${other}`)).toBe(404);
  const put = await fetch(
    `${bench.url}/api/v1/runner/attempts/${lease.attemptId}/objects/${object}`,
    {
      method: 'PUT',
      headers: {
        authorization: `Bearer ${lease.runnerToken}`,
        'content-type': 'application/octet-stream',
      },
      body: 'something else',
    },
  );
  expect([put.status, ((await put.json()) as { title: string }).title]).toEqual([
    422,
    'wrong_hash',
  ]);
  const asUser = await fetch(`${bench.url}/api/v1/jobs`, {
    headers: { authorization: `Bearer ${lease.runnerToken}` },
  });
  expect(asUser.status).toBe(401);
});

test('a log is followed while its task runs in a pod, and is there when the pod is gone', async () => {
  const lease = await bench.lease([
    'sh',
    '-c',
    'for i in 1 2 3; do echo line $i; while [ ! -e go$i ]; do sleep 0.02; done; done',
  ]);
  await begin(bench.host, lease);
  const taskId = lease.attemptId.replace(/\.\d+$/, '');
  const response = await bench.get(`/tasks/${taskId}/logs?follow=true`);
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
  let heard = '';
  for (const i of [1, 2, 3]) {
    while (!heard.endsWith(`line ${i}\n`)) heard += (await reader.read()).value ?? '';
    execFileSync('touch', [bench.host.file(lease.attemptId, `work/go${i}`)]);
  }
  const event = await finish(bench.host, lease);
  await bench.report(event);
  expect((await reader.read()).done).toBe(true);
  await bench.host.forget(lease.attemptId);
  expect(heard).toBe('line 1\nline 2\nline 3\n');
  expect(await (await bench.get(`/tasks/${taskId}/logs`)).text()).toBe(heard);
});

test('what a program writes comes to the container’s own output too', async () => {
  const lease = await bench.lease(['sh', '-c', 'echo out; echo error >&2']);
  await run(bench.host, lease);
  const container = (stream: string): string =>
    readFileSync(bench.host.file(lease.attemptId, `container.${stream}`), 'utf8');
  expect(container('stdout')).toBe('out\n');
  expect(container('stderr')).toBe('error\n');
});

test('the last word is small however many files there are, and the rest an object', async () => {
  const lease = await bench.lease(['sh', '-c', 'seq 300 | split -l 1 -a 4 -d'], { outputs: ['*'] });
  await begin(bench.host, lease);
  const event = await finish(bench.host, lease);
  const text = readFileSync(bench.host.file(lease.attemptId, 'message'), 'utf8');
  expect(Buffer.byteLength(text)).toBeLessThan(4096);
  const end = runnerEndSchema.parse(JSON.parse(text));
  expect(end.kind === 'ended' && end.manifest?.sizeBytes).toBeGreaterThan(10_000);
  expect(event.artifacts.length).toBe(300);
});

test('1 GB of output is stored in bounded memory', async () => {
  const lease = await bench.lease(['sh', '-c', 'head -c 1000000000 /dev/zero']);
  await begin(bench.host, lease);
  const pid = bench.host.pid(lease.attemptId);
  let highestKilobytes = 0;
  await until('its end', async () => {
    if ((await bench.host.inspect(lease.attemptId)).kind === 'exited') return true;
    const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
    const [, kilobytes = '0'] = /VmHWM:\s+(\d+) kB/.exec(status) ?? [];
    highestKilobytes = Math.max(highestKilobytes, Number(kilobytes));
    return false;
  });
  expect((await bench.host.collect(lease.attemptId)).artifacts).toMatchObject([
    { role: 'stdout', sizeBytes: 1_000_000_000 },
  ]);
  expect(highestKilobytes).toBeGreaterThan(1000);
  expect(highestKilobytes).toBeLessThan(64 * 1024);
});

const oomTest = group === undefined ? test.todo : test;
oomTest('what the kernel kills for memory is out-of-memory, and its log is kept', async () => {
  isInGroup = true;
  const hog = 'process.stdout.write("said\\n");const a=[];for(;;)a.push(Buffer.alloc(2e7,1))';
  // The job's own limit is far away: only the kernel can have ended it.
  const resources = { ...DEFAULT_RESOURCES, memoryBytes: 4096 * MEBIBYTE };
  const script = '"$1" -e "$2"; exit 9';
  const event = await run(
    bench.host,
    await bench.lease(['sh', '-c', script, 'sh', process.execPath, hog], { resources }),
  );
  expect(event.outcome).toMatchObject({ kind: 'out_of_memory', exitCode: 9 });
  expect(await readArtifact(bench.objects, event, 'stdout')).toBe('said\n');
  // The kernel lets a page or two pass the limit.
  expect(event.peakMemoryBytes).toBeLessThanOrEqual(401 * MEBIBYTE);
  expect(event.peakMemoryBytes).toBeGreaterThan(200 * MEBIBYTE);
});

test('install puts a whole and executable copy of the runner into a folder', () => {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'majorana-install-'));
  const runner = runnerPath(process.arch === 'arm64' ? 'arm64' : 'amd64');
  execFileSync(runner, ['install', path.join(folder, 'bin')]);
  const copy = path.join(folder, 'bin/majorana-runner');
  expect(readFileSync(copy).equals(readFileSync(runner))).toBe(true);
  const version = execFileSync(copy, ['--version'], { encoding: 'utf8' }).trim();
  expect(runner).toContain(version);
  rmSync(folder, { recursive: true });
});
