import { spawn, spawnSync } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import type { OutcomeKind } from '@majorana/core';
import { decideRetry, DEFAULT_RESOURCES, DEFAULT_RETRY, MEBIBYTE } from '@majorana/core';
import { FolderObjects } from '@majorana/objects';
import type { AgentOrders, AgentSync, EndedEvent, Lease } from '@majorana/protocol';
import { agentSyncSchema } from '@majorana/protocol';
import { afterAll, afterEach, expect, test } from 'vitest';
import { Agent } from '../engine/agent.ts';
import type { AgentClock } from '../engine/ports.ts';
import { LocalHost } from './local-host.ts';
import { Reports } from '../engine/test-reports.ts';

const base = mkdtempSync(path.join(os.tmpdir(), 'local-agent-test-'));
const cleanups: (() => Promise<unknown> | void)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});
afterAll(() => rmSync(base, { recursive: true, force: true }));
let count = 0;
function nextRoot(): string {
  const root = path.join(base, String((count += 1)));
  mkdirSync(root);
  return root;
}

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

async function until<T>(what: string, probe: () => T | undefined | false): Promise<T> {
  const deadline = Date.now() + 30_000;
  while (Date.now() < deadline) {
    const value = probe();
    if (value !== undefined && value !== false) return value;
    await sleep(10);
  }
  throw new Error(`waited in vain for ${what}`);
}

/** Time that passes `speed` times as fast as the real one. */
const clockOf = (speed: number): AgentClock => ({
  nowMs: () => Date.now() * speed,
  after: (delayMs, callback) => {
    const timer = setTimeout(callback, delayMs / speed);
    return () => clearTimeout(timer);
  },
});

class Server {
  readonly leases = new Map<string, Lease>();
  readonly ended = new Map<string, EndedEvent>();
  readonly running = new Set<string>();
  held: readonly string[] = [];
  readonly #reports = new Reports();

  exchange = async (sync: AgentSync, signal: AbortSignal): Promise<AgentOrders> => {
    agentSyncSchema.parse(sync);
    this.held = [...this.#reports.take(sync)];
    for (const attemptId of this.held) this.leases.delete(attemptId);
    for (const event of sync.events) {
      if (event.kind === 'ended') this.ended.set(event.attemptId, event);
      if (event.kind === 'running') this.running.add(event.attemptId);
    }
    const forgetAttemptIds = this.held.filter((id) => this.ended.has(id));
    while (forgetAttemptIds.length + this.leases.size === 0 && sync.waitMs > 0) {
      if (signal.aborted) throw new Error('aborted');
      await sleep(5);
    }
    return {
      leases: [...this.leases.values()],
      endAttemptIds: [],
      forgetAttemptIds,
      wantsHeldAttemptIds: false,
      logRequests: [],
    };
  };
}

interface Setup {
  readonly objectsFolder?: string;
  readonly speed?: number;
}

async function startAgent(
  root: string,
  server: Server,
  setup: Setup = {},
): Promise<() => Promise<void>> {
  const objects = new FolderObjects(setup.objectsFolder ?? path.join(root, 'objects'));
  const log = (): void => undefined;
  const host = await LocalHost.open({ root, gpuCount: 0, objects, memoryLimits: 'groups', log });
  const agent = new Agent({
    agentId: 'agent',
    capacity: DEFAULT_RESOURCES,
    host,
    exchange: server.exchange,
    clock: clockOf(setup.speed ?? 1),
    log,
  });
  await agent.start();
  const stop = async (): Promise<void> => {
    await agent.stop();
    host[Symbol.dispose]();
  };
  cleanups.push(async () => {
    await stop();
    // Memory groups outlive the test's folder.
    for (const { attemptId } of await host.list()) await host.forget(attemptId);
    host[Symbol.dispose]();
  });
  return stop;
}

const ID = 'job_7.0.1';
const shell = (script: string, over: Partial<Lease> = {}): Lease => ({
  attemptId: ID,
  jobName: 'test',
  argv: ['sh', '-c', script],
  env: {},
  inputs: [],
  outputs: [],
  resources: DEFAULT_RESOURCES,
  timeLimitMs: 0,
  graceMs: 500,
  taskCount: 1,
  ...over,
});

/** Runs one lease to its end and until the agent has forgotten it. */
async function runToEnd(server: Server, lease: Lease): Promise<EndedEvent> {
  server.leases.set(lease.attemptId, lease);
  const event = await until('the end', () => server.ended.get(lease.attemptId));
  await until('the attempt to be forgotten', () => !server.held.includes(lease.attemptId));
  return event;
}

const decided = (outcome: EndedEvent['outcome']): { next: string; isCounted: boolean } =>
  decideRetry(DEFAULT_RETRY, outcome, { retryCount: 0, memoryBytes: 0, isCancelling: false });

/** A namespace of one's own, where an ordinary user may mount; its files are seen through /proc. */
async function inNamespace(script: string): Promise<string | undefined> {
  const holder: ChildProcess = spawn('unshare', [
    '-rm',
    'sh',
    '-c',
    `${script} && echo ready && cat`,
  ]);
  holder.on('error', () => undefined);
  cleanups.push(() => void holder.kill('SIGKILL'));
  const first = await Promise.race([
    once(holder.stdout!, 'data').then(String),
    once(holder, 'close').then(() => ''),
  ]).catch(() => '');
  return first.startsWith('ready') ? `/proc/${holder.pid}/root` : undefined;
}

/** A disk of a few megabytes, or undefined where this machine lets nobody make one. */
async function smallDisk(bytes: number): Promise<string | undefined> {
  const folder = nextRoot();
  const mount = ['-t', 'tmpfs', '-o', `size=${bytes}`, 'tmpfs', folder];
  if (spawnSync('mount', mount).status === 0) {
    cleanups.push(() => void spawnSync('umount', ['-l', folder]));
    return folder;
  }
  const prefix = await inNamespace(`mount ${mount.join(' ')}`);
  return prefix === undefined ? undefined : prefix + folder;
}

test('a task that fills the disk fails by its own exit code, and the next one runs', async () => {
  const root = await smallDisk(8 * MEBIBYTE);
  const server = new Server();
  await startAgent(root ?? nextRoot(), server, { speed: 10 });
  const target = root === undefined ? '/dev/full' : 'big';
  const event = await runToEnd(server, shell(`head -c 50000000 /dev/zero > ${target} || exit 3`));
  expect(event.outcome).toEqual({ kind: 'exit_code', exitCode: 3, reason: 'exit code 3' });
  const next = await runToEnd(server, shell('echo fine', { attemptId: 'job_8.0.1' }));
  expect(next.outcome.kind).toBe('succeeded');
});

/** A store that refuses: on a full disk, or where none may be made, below a file. */
async function fullStore(): Promise<{ folder: string; makeRoom: () => void }> {
  const disk = await smallDisk(4 * MEBIBYTE);
  if (disk === undefined) {
    const file = path.join(nextRoot(), 'file');
    writeFileSync(file, '');
    return { folder: path.join(file, 'objects'), makeRoom: () => rmSync(file) };
  }
  const filler = path.join(disk, 'filler');
  spawnSync('sh', ['-c', `head -c 100000000 /dev/zero > '${filler}'`]);
  return { folder: path.join(disk, 'objects'), makeRoom: () => rmSync(filler) };
}

test('a success waits for a full store, and is told with its results once there is room', async () => {
  const root = nextRoot();
  const store = await fullStore();
  const server = new Server();
  await startAgent(root, server, { objectsFolder: store.folder, speed: 5 });
  server.leases.set(ID, shell('echo result > out', { outputs: ['out'] }));
  await until('the exit record', () => existsSync(path.join(root, 'exits', ID)));
  await sleep(500);
  expect(server.ended.size).toBe(0);
  store.makeRoom();
  const event = await until('the end', () => server.ended.get(ID));
  expect(event.outcome.kind).toBe('succeeded');
  const objects = new FolderObjects(store.folder);
  expect(await text(await objects.read(event.artifacts[0]!.object))).toBe('result\n');
});

test('a success whose results a store refuses for ten minutes is told as a failure that says so', async () => {
  const store = await fullStore();
  const server = new Server();
  await startAgent(nextRoot(), server, { objectsFolder: store.folder, speed: 1000 });
  const event = await runToEnd(server, shell('echo result > out', { outputs: ['out'] }));
  expect(event.outcome).toMatchObject({ kind: 'exit_code', exitCode: 0 });
  expect(event.outcome.reason).toMatch(/^exit code 0; its results could not be stored: /);
  expect(event.artifacts).toEqual([]);
});

test('a reboot of the machine ends attempts as lost, and they are requeued, uncounted', async () => {
  const root = nextRoot();
  const server = new Server();
  const stop = await startAgent(root, server);
  server.leases.set(ID, shell('exec sleep 60'));
  await until('the program', () => server.running.has(ID));
  await stop();
  // What a reboot leaves: the shim's record, of another boot, and no shim.
  const shim = path.join(root, 'attempts', ID, 'shim');
  const [pid, ...rest] = readFileSync(shim, 'utf8').split(' ');
  process.kill(Number(pid), 'SIGKILL');
  writeFileSync(shim, [pid, rest[0], 'another-boot', rest[2]].join(' '));
  await startAgent(root, server);
  const { outcome } = await until('the end', () => server.ended.get(ID));
  expect(outcome).toEqual({ kind: 'lost', reason: 'the machine was rebooted' });
  expect(decided(outcome)).toMatchObject({ next: 'queued', isCounted: false });
});

test('an agent that is replaced while its task runs tells the end once, with its output', async () => {
  const root = nextRoot();
  const server = new Server();
  const stop = await startAgent(root, server);
  server.leases.set(ID, shell('echo a; while [ ! -e go ]; do sleep 0.02; done; echo b; exit 2'));
  await until('the program', () => server.running.has(ID));
  await stop();
  await startAgent(root, server);
  writeFileSync(path.join(root, 'attempts', ID, 'work', 'go'), '');
  const event = await until('the end', () => server.ended.get(ID));
  expect(event.outcome).toEqual({ kind: 'exit_code', exitCode: 2, reason: 'exit code 2' });
  const objects = new FolderObjects(path.join(root, 'objects'));
  expect(await text(await objects.read(event.artifacts[0]!.object))).toBe('a\nb\n');
});

test('each way to end has one plain outcome', async () => {
  const server = new Server();
  await startAgent(nextRoot(), server);
  const cases: [string, Lease, OutcomeKind, string][] = [
    ['success', shell('exit 0'), 'succeeded', 'exit code 0'],
    ['failure', shell('exit 3'), 'exit_code', 'exit code 3'],
    ['signal', shell('kill -SEGV $$'), 'signal', 'ended by SIGSEGV'],
    ['137', shell('exit 137'), 'exit_code', 'exit code 137'],
    [
      'missing program',
      { ...shell(''), argv: ['no-such-program'] },
      'start_error',
      'could not start: exec: No such file or directory: no-such-program',
    ],
    [
      'missing input',
      shell('true', { inputs: [{ path: 'x', object: 'ab'.repeat(32) }] }),
      'start_error',
      `could not start: object ${'ab'.repeat(32)} is not in`,
    ],
    ['time', shell('sleep 60', { timeLimitMs: 200 }), 'time_limit', 'ended at its time limit'],
  ];
  for (const [index, [what, lease, kind, reason]] of cases.entries()) {
    const event = await runToEnd(server, { ...lease, attemptId: `job_9.${index}.1` });
    expect(event.outcome.kind, what).toBe(kind);
    expect(event.outcome.reason, what).toContain(reason);
  }
});

test('a hundred tasks at once each end once', async () => {
  const root = nextRoot();
  const server = new Server();
  await startAgent(root, server);
  for (let task = 0; task < 100; task += 1) {
    const attemptId = `job_5.${task}.1`;
    server.leases.set(attemptId, shell(`echo ${task} >> '${root}/ran'`, { attemptId }));
  }
  await until('the ends', () => server.ended.size === 100);
  expect([...server.ended.values()].every(({ outcome }) => outcome.kind === 'succeeded')).toBe(
    true,
  );
  const ran = readFileSync(path.join(root, 'ran'), 'utf8').trim().split('\n');
  expect(ran).toHaveLength(100);
  expect(new Set(ran).size).toBe(100);
});
