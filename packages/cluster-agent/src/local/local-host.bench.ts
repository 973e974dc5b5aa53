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
import type { MemoryLimits } from './memory-groups.ts';
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

async function exited(host: LocalHost, ends: Map<string, () => void>, id: string): Promise<void> {
  for (;;) {
    const notice = Promise.withResolvers<void>();
    ends.set(id, notice.resolve);
    if ((await host.inspect(id)).kind === 'exited') break;
    await notice.promise;
  }
  ends.delete(id);
}

async function benchHost(memoryLimits: MemoryLimits, tag: number): Promise<void> {
  const objects = new FolderObjects(path.join(root, 'objects'));
  const options = { root, gpuCount: 0, objects, memoryLimits, log: console.log };
  const host = await LocalHost.open(options);
  const ends = new Map<string, () => void>();
  host.onChange((attemptId) => ends.get(attemptId)?.());
  const spentMs: Record<string, number> = {};
  const timed = async (step: string, work: () => Promise<unknown>): Promise<void> => {
    const begun = performance.now();
    await work();
    spentMs[step] = (spentMs[step] ?? 0) + performance.now() - begun;
  };
  const attempts = await rate(async (lane, count) => {
    const lease = leaseOf(`job_${tag}.${lane}.${count + 1}`);
    const { attemptId } = lease;
    await timed('accept', () => host.accept(lease));
    await timed('start', () => host.start(attemptId));
    await timed('exit', () => exited(host, ends, attemptId));
    await timed('collect', () => host.collect(attemptId));
    await timed('forget', () => host.forget(attemptId));
  });
  const steps = Object.entries(spentMs).map(
    ([step, ms]) => `${step} ${(ms / attempts / seconds).toFixed(2)}`,
  );
  console.log(`whole path, memory ${memoryLimits}: ${Math.round(attempts)} launches/s`);
  console.log(`  ms: ${steps.join(', ')}`);
  host[Symbol.dispose]();
}

await benchHost('sampling', 1);
await benchHost('groups', 2);
rmSync(root, { recursive: true, force: true });
