/**
 * Launches of `true` per second: the launcher's `run` mode back to back, then the whole path of an
 * attempt (accept, start, exit, collect, forget) through a local host, some at a time. Run it with
 * `node packages/cluster-agent/src/local/local-host.bench.ts [SECONDS] [CONCURRENCY]`.
 */
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { DEFAULT_RESOURCES } from '@majorana/core';
import { launcherPath } from '@majorana/launcher';
import { FolderObjects } from '@majorana/objects';
import type { Lease } from '@majorana/protocol';
import { AttemptFolder } from './attempt-folder.ts';
import { LocalHost } from './local-host.ts';
import { taskSpec } from './task-spec.ts';

const [seconds = 3, concurrency = 2] = process.argv.slice(2).map(Number);
const root = mkdtempSync(path.join(os.tmpdir(), 'local-host-bench-'));

const leaseOf = (attemptId: string): Lease => ({
  attemptId,
  jobName: 'bench',
  argv: ['true'],
  env: {},
  inputs: [],
  outputs: [],
  resources: DEFAULT_RESOURCES,
  timeLimitMs: 0,
  graceMs: 0,
  taskCount: 1,
});

/** Rounds per second over all lanes. */
async function rate(round: (lane: number, count: number) => Promise<void>): Promise<number> {
  const deadline = performance.now() + seconds * 1000;
  let total = 0;
  const lane = async (number: number): Promise<void> => {
    for (let count = 0; performance.now() < deadline; count += 1) {
      await round(number, count);
      total += 1;
    }
  };
  await Promise.all(Array.from({ length: concurrency }, (_, number) => lane(number)));
  return total / seconds;
}

async function bare(lane: number, count: number): Promise<void> {
  const lease = leaseOf(`job_0.${lane}.${count}`);
  const folder = new AttemptFolder(root, lease.attemptId);
  folder.writeLease({ lease, bootId: '', gpuIndices: [] });
  folder.writeSpec(taskSpec(lease, { folder, gpuIndices: [], cgroup: '' }));
  await new Promise((resolve) => {
    spawn(launcherPath(), ['run', folder.folder], { stdio: 'ignore' }).once('exit', resolve);
  });
}

mkdirSync(path.join(root, 'exits'));
console.log(`launcher run, back to back: ${Math.round(await rate(bare))} launches/s`);

const objects = new FolderObjects(path.join(root, 'objects'));
const host = await LocalHost.open({ root, gpuCount: 0, objects, log: console.log });
const ends = new Map<string, () => void>();
host.onChange((attemptId) => ends.get(attemptId)?.());

const spentMs: Record<string, number> = {};
async function timed<T>(step: string, work: () => Promise<T>): Promise<T> {
  const begun = performance.now();
  const result = await work();
  spentMs[step] = (spentMs[step] ?? 0) + performance.now() - begun;
  return result;
}

async function exited(attemptId: string): Promise<void> {
  for (;;) {
    const notice = Promise.withResolvers<void>();
    ends.set(attemptId, notice.resolve);
    if ((await timed('inspect', () => host.inspect(attemptId))).kind === 'exited') break;
    await timed('wait', () => notice.promise);
  }
  ends.delete(attemptId);
}

const attempts = await rate(async (lane, count) => {
  const lease = leaseOf(`job_1.${lane}.${count + 1}`);
  const { attemptId } = lease;
  await timed('accept', () => host.accept(lease));
  await timed('start', () => host.start(attemptId));
  await exited(attemptId);
  await timed('collect', () => host.collect(attemptId));
  await timed('forget', () => host.forget(attemptId));
});
console.log(`accept, start, exit, collect, forget: ${Math.round(attempts)} launches/s`);
for (const [step, ms] of Object.entries(spentMs)) {
  console.log(`  ${step}: ${(ms / attempts / seconds).toFixed(2)} ms`);
}
host[Symbol.dispose]();
rmSync(root, { recursive: true, force: true });
