import path from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { DEFAULT_RESOURCES, MEBIBYTE } from '@majorana/core';
import { LocalHost } from '@majorana/cluster-agent/local/local-host';
import { FolderObjects } from '@majorana/objects';
import type { Lease } from '@majorana/protocol';

/** Run in the guest: a line of JSON for all that the local host logs, and for each script's end. */
const [root = '', ...scripts] = process.argv.slice(2);
const tell = (told: object): void => void process.stdout.write(`@${JSON.stringify(told)}\n`);

const host = await LocalHost.open({
  root,
  gpuCount: 0,
  objects: new FolderObjects(path.join(root, 'objects')),
  memoryLimits: 'groups',
  log: (message, details) => tell({ message, ...details }),
});
let count = 0;
for (const script of scripts) {
  const lease: Lease = {
    attemptId: `job_7.${(count += 1)}.1`,
    jobName: 'guest',
    argv: ['sh', '-c', script],
    env: {},
    inputs: [],
    outputs: [],
    resources: { ...DEFAULT_RESOURCES, memoryBytes: 60 * MEBIBYTE },
    timeLimitMs: 0,
    graceMs: 500,
    taskCount: 9,
  };
  await host.accept(lease);
  await host.start(lease.attemptId);
  while ((await host.inspect(lease.attemptId)).kind !== 'exited') await setTimeout(50);
  tell(await host.collect(lease.attemptId));
  await host.forget(lease.attemptId);
}
host[Symbol.dispose]();
