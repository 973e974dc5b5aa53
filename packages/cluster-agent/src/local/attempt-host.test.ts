import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { DEFAULT_RESOURCES } from '@majorana/core';
import { FolderObjects } from '@majorana/objects';
import type { HostBench } from '../attempt-host.conformance.ts';
import { testAttemptHost } from '../attempt-host.conformance.ts';
import { LocalHost } from './local-host.ts';

/** Programs as processes of this machine, by the native launcher. */
async function open(): Promise<HostBench> {
  const root = await mkdtemp(path.join(os.tmpdir(), 'attempt-host-test-'));
  const objects = new FolderObjects(path.join(root, 'objects'));
  const host = await LocalHost.open({
    root,
    gpuCount: 0,
    objects,
    memoryLimits: 'sampling',
    log: () => undefined,
  });
  let count = 0;
  return {
    host,
    objects,
    lease: async (argv, edit) => ({
      attemptId: `job_${(count += 1)}.0.1`,
      jobName: 'job',
      argv,
      env: {},
      inputs: [],
      outputs: [],
      resources: DEFAULT_RESOURCES,
      timeLimitMs: 0,
      graceMs: 500,
      taskCount: 1,
      ...edit,
    }),
    [Symbol.asyncDispose]: async () => {
      for (const { attemptId } of await host.list()) await host.forget(attemptId);
      host[Symbol.dispose]();
      await rm(root, { recursive: true, force: true });
    },
  };
}

testAttemptHost(open);
