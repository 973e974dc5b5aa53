import type { ChildProcess } from 'node:child_process';
import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import type { Lease } from '@majorana/protocol';
import { buildMpiSum, MPICH, mpiObstacle, OPEN_MPI } from '@majorana/test-servers';
import { until } from '@majorana/testing';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { runnerPath } from '../../../../tools/build-runner.ts';
import { begin, countProcesses, finish } from '../attempt-host.conformance.ts';
import { RunnerBench } from './test-runner-bench.ts';

/**
 * An MPI looks for the network of other machines, and for the memory of its own; here all is
 * loopback, both nodes have one host name and no memory in common, and root starts it.
 */
const MPI_HERE = {
  UCX_TLS: 'tcp,self',
  UCX_NET_DEVICES: 'lo',
  OMPI_MCA_btl: 'tcp,self',
  OMPI_MCA_oob_tcp_if_include: 'lo',
  OMPI_MCA_btl_tcp_if_include: 'lo',
  OMPI_ALLOW_RUN_AS_ROOT: '1',
  OMPI_ALLOW_RUN_AS_ROOT_CONFIRM: '1',
};

let bench: RunnerBench;
let folder: string;
const workers: ChildProcess[] = [];

beforeAll(async () => {
  folder = await mkdtemp(path.join(os.tmpdir(), 'majorana-gang-'));
  bench = await RunnerBench.open();
});
afterEach(() => {
  for (const worker of workers.splice(0)) worker.kill('SIGKILL');
});
afterAll(async () => {
  await bench[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
});

const workerFolder = (lease: Lease, nodeRank: number): string =>
  path.join(folder, `${lease.attemptId}-${nodeRank}`);

/** The runner of another pod: its own folder and its own address. */
function startWorker(lease: Lease, nodeRank: number, env: NodeJS.ProcessEnv = {}): ChildProcess {
  const own = workerFolder(lease, nodeRank);
  mkdirSync(own);
  const program = runnerPath(process.arch === 'arm64' ? 'arm64' : 'amd64');
  const args = ['run', '--folder', own, '--message', path.join(own, 'message')];
  const worker = spawn(program, args, {
    env: {
      PATH: process.env['PATH'],
      MAJORANA_RUNNER_URL: bench.url,
      MAJORANA_RUNNER_TOKEN: lease.runnerToken,
      MAJORANA_ATTEMPT_ID: lease.attemptId,
      MAJORANA_RUNNER_NODE_RANK: String(nodeRank),
      MAJORANA_RUNNER_ADDRESS: `127.0.0.${nodeRank + 1}`,
      ...env,
    },
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  workers.push(worker);
  return worker;
}

const ended = (worker: ChildProcess): Promise<boolean> =>
  until('the end of a worker', () => worker.exitCode !== null || worker.signalCode !== null);
const messageOf = (lease: Lease, nodeRank: number): { kind: string; reason?: string } =>
  JSON.parse(readFileSync(path.join(workerFolder(lease, nodeRank), 'message'), 'utf8'));

async function runGang(
  argv: readonly string[],
  edit: Parameters<RunnerBench['lease']>[1] & { gang: { nodes: number; ranksPerNode: number } },
): Promise<{
  kind: string;
  stdout: string;
  stderr: string;
  lease: Lease;
  exitCode?: number | undefined;
}> {
  const lease = await bench.lease(argv, edit);
  await begin(bench.host, lease);
  for (let nodeRank = 1; nodeRank < edit.gang.nodes; nodeRank += 1) startWorker(lease, nodeRank);
  const { outcome } = await finish(bench.host, lease);
  const read = (name: string): string =>
    readFileSync(bench.host.file(lease.attemptId, name), 'utf8');
  return { ...outcome, lease, stdout: read('stdout'), stderr: read('stderr') };
}
const shell = (script: string): string[] => ['sh', '-c', script];

test('the head is told of its nodes; a hostfile names them, and another file has their addresses', async () => {
  const script =
    'env | grep ^MAJORANA_NODE; env | grep ^MAJORANA_RANKS; cat $MAJORANA_HOSTFILE $MAJORANA_HOSTS';
  const { stdout, lease } = await runGang(shell(script), { gang: { nodes: 3, ranksPerNode: 4 } });
  const name = lease.attemptId.replace('job_', 'majorana-').replaceAll('.', '-');
  expect(stdout.split('\n')).toEqual(
    expect.arrayContaining([
      'MAJORANA_NODES=3',
      'MAJORANA_RANKS_PER_NODE=4',
      'MAJORANA_NODE_RANK=0',
      `${os.hostname()} slots=4`,
      `${name}-1 slots=4`,
      `${name}-2 slots=4`,
      `127.0.0.2 ${name}-1`,
      `127.0.0.3 ${name}-2`,
    ]),
  );
});

/** Runs a script of the head that launches on its second node, whose name is in $node. */
const onSecond = (script: string): string[] =>
  shell(`node=$(sed -n '2s/ .*//p' $MAJORANA_HOSTFILE); ${script}`);
const PAIR = { gang: { nodes: 2, ranksPerNode: 1 } };

test('a launched command gets its input and gives its outputs and exit code', async () => {
  const command = `'tr a-z A-Z; echo "rank $MAJORANA_NODE_RANK" >&2; exit 7'`;
  const { kind, exitCode, stdout, stderr } = await runGang(
    onSecond(`echo hello | $MAJORANA_LAUNCHER $node ${command}`),
    PAIR,
  );
  expect({ kind, exitCode, stdout }).toEqual({ kind: 'exit_code', exitCode: 7, stdout: 'HELLO\n' });
  expect(stderr).toBe('rank 1\n');
});

test('a gigabyte of zeros comes through a launcher whole', async () => {
  const { stdout } = await runGang(
    onSecond(`$MAJORANA_LAUNCHER $node 'head -c 1000000000 /dev/zero' | wc -c`),
    PAIR,
  );
  expect(stdout).toBe('1000000000\n');
});

test('a launcher that is ended or killed takes its command with it', async () => {
  const marker = `7${process.pid}.25`;
  const end = (signal: string): string =>
    `$MAJORANA_LAUNCHER $node 'echo up; exec sleep ${marker}' > pipe & read up < pipe; kill -${signal} $!; wait $!`;
  const { kind } = await runGang(
    onSecond(`mkfifo pipe; ${end('TERM')}; ${end('KILL')}; true`),
    PAIR,
  );
  expect(kind).toBe('succeeded');
  await until('no command to be left', () => countProcesses(`sleep ${marker}`) === 0);
});

test('a worker that dies ends its launchers with an error', async () => {
  const lease = await bench.lease(
    onSecond(`$MAJORANA_LAUNCHER $node 'touch begun; sleep 600'`),
    PAIR,
  );
  await begin(bench.host, lease);
  const worker = startWorker(lease, 1);
  const begun = path.join(workerFolder(lease, 1), 'work/begun');
  await until('the command to run', () => spawnSync('test', ['-e', begun]).status === 0);
  worker.kill('SIGKILL');
  const { outcome } = await finish(bench.host, lease);
  expect(outcome).toMatchObject({ kind: 'exit_code', exitCode: 255 });
});

test('whoever has not the key of the gang starts nothing', async () => {
  const lease = await bench.lease(
    onSecond('cat gang/addresses.json ../gang/addresses.json; cat'),
    PAIR,
  );
  const marker = path.join(folder, 'intruder');
  await begin(bench.host, lease);
  startWorker(lease, 1);
  const file = bench.host.file(lease.attemptId, 'gang/addresses.json');
  const addresses = await until('the head to know', () => {
    try {
      return JSON.parse(readFileSync(file, 'utf8')).addresses as Record<string, string>;
    } catch {
      return false;
    }
  });
  const [host, port] = Object.values(addresses)[0]!.split(':');
  const socket = connect(Number(port), host);
  const command = Buffer.from(`touch ${marker}`);
  const head = Buffer.from([99, 0, 0, 0, command.length]);
  socket.write(Buffer.concat([Buffer.alloc(32), head, command]));
  await new Promise((resolve) => socket.on('error', resolve).once('close', resolve).resume());
  expect(spawnSync('test', ['-e', marker]).status).toBe(1);
  await finish(bench.host, lease);
});

test('a worker that is ended says so, and one that takes too much memory says that', async () => {
  const memoryBytes = 100 * 2 ** 20;
  const hog = "'tail /dev/zero'";
  const edit = { ...PAIR, resources: { ...(await bench.lease(['true'])).resources, memoryBytes } };
  const lease = await bench.lease(onSecond(`$MAJORANA_LAUNCHER $node ${hog}; sleep 600`), edit);
  await begin(bench.host, lease);
  await ended(startWorker(lease, 1));
  expect(messageOf(lease, 1)).toMatchObject({ kind: 'ended', exit: { isOutOfMemory: true } });
  await bench.host.end(lease.attemptId);
  await finish(bench.host, lease);

  const second = await bench.lease(['sleep', '600'], PAIR);
  await begin(bench.host, second);
  const worker = startWorker(second, 1);
  await until('both to meet', () => {
    try {
      return readFileSync(bench.host.file(second.attemptId, 'gang/hostfile'), 'utf8') !== '';
    } catch {
      return false;
    }
  });
  worker.kill('SIGTERM');
  await ended(worker);
  expect(messageOf(second, 1)).toMatchObject({ kind: 'not_started', reason: 'its pod was ended' });
  await bench.host.end(second.attemptId);
  await finish(bench.host, second);
});

test('the nodes meet also when the control plane is started anew meanwhile', async () => {
  const lease = await bench.lease(['true'], { gang: { nodes: 3, ranksPerNode: 1 } });
  startWorker(lease, 1);
  await begin(bench.host, lease);
  await until(
    'the first worker to have asked',
    () => spawnSync('test', ['-e', path.join(workerFolder(lease, 1), 'work')]).status === 0,
  );
  await bench.stopServer();
  await bench.startServer();
  await bench.sync();
  startWorker(lease, 2);
  expect((await finish(bench.host, lease)).outcome.kind).toBe('succeeded');
});

describe.each([OPEN_MPI, MPICH])('$title', (mpi) => {
  const obstacle = mpiObstacle(mpi);
  const mpirun = mpi.programs['mpirun']!;
  let program: string;
  beforeAll(() => {
    program = path.join(folder, `sum-${mpirun}`);
    if (obstacle === undefined) buildMpiSum(mpi, program);
  });

  test.skipIf(obstacle)(
    'a plain mpirun starts all ranks on all nodes, and they reduce',
    async () => {
      const edit = { gang: { nodes: 2, ranksPerNode: 2 }, env: MPI_HERE };
      const { kind, stdout, stderr } = await runGang([mpirun, program], edit);
      expect({ kind, stderr }).toEqual({ kind: 'succeeded', stderr: '' });
      expect(stdout.trim().split('\n').toSorted()).toEqual([
        'rank 0 of 4 on node 0: sum 6',
        'rank 1 of 4 on node 0: sum 6',
        'rank 2 of 4 on node 1: sum 6',
        'rank 3 of 4 on node 1: sum 6',
      ]);
    },
  );

  test.skipIf(obstacle)(
    'a rank that dies on another node ends the program, whose end says so',
    async () => {
      const edit = { gang: { nodes: 2, ranksPerNode: 1 }, env: MPI_HERE };
      const { kind, stdout, stderr } = await runGang([mpirun, program, 'die'], edit);
      expect(kind).toBe('exit_code');
      expect(stdout + stderr).toMatch(mpi.killed);
      await until('no rank to be left', () => countProcesses(program) === 0);
    },
  );
});
