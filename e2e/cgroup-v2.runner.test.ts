import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { MEBIBYTE } from '@majorana/core';
import { afterAll, expect, test } from 'vitest';
import { buildRunnerTests } from '../tools/build-runner.ts';
import { Guest, guestObstacle } from './guest.ts';

const repository = path.join(import.meta.dirname, '..');
const obstacle = guestObstacle();
const folder = mkdtempSync(path.join(os.tmpdir(), 'majorana-guest-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test.skipIf(obstacle)(
  `the runner knows its group of version 2 on a real kernel${obstacle === undefined ? '' : `: left out, ${obstacle}`}`,
  async () => {
    const guest = new Guest(path.join(folder, 'runner'));
    const tests = path.join(folder, 'runner.test');
    buildRunnerTests(tests);
    guest.add(tests, '/bin/runner.test');
    const said = await guest.run('runner.test -test.v -test.run OnARealKernel');
    expect(said.match(/^--- \w+/gm), said).toEqual(Array(4).fill('--- PASS'));
    expect(said).toMatch(/^PASS$/m);
  },
);

/** What the local host needs, and no more: it lies in the guest's memory. */
const PACKAGES = ['core', 'protocol', 'broker', 'objects', 'launcher', 'cluster-agent'] as const;
const MODULES = ['zod', 'tinyglobby', 'fdir', 'picomatch'] as const;

test.skipIf(obstacle)(
  `the local host makes groups of version 2 where only its own processes stand${obstacle === undefined ? '' : `: left out, ${obstacle}`}`,
  async () => {
    const guest = new Guest(path.join(folder, 'local'));
    for (const name of PACKAGES) {
      guest.add(path.join(repository, 'packages', name), `/repo/packages/${name}`);
      guest.link(`../../packages/${name}`, `/repo/node_modules/@majorana/${name}`);
    }
    for (const name of MODULES)
      guest.add(path.join(repository, 'node_modules', name), `/repo/node_modules/${name}`);
    guest.add(path.join(import.meta.dirname, 'cgroup-v2-local.ts'), '/repo/local.ts');
    guest.addProgram(process.execPath, '/bin/node');
    const said = await guest.run(`
cd /sys/fs/cgroup
echo +memory > cgroup.subtree_control
mkdir own shared
in_group() {
  sh -c 'echo $$ > $0/cgroup.procs && exec node /repo/local.ts "$@"' "$@"
  echo "$1 has $(ls -d $1/*/)"
}
in_group own /tmp/own 'tail /dev/zero' 'cp /proc/self/cgroup /dev/console; exit 3'
sh -c 'echo $$ > shared/cgroup.procs && exec sleep 1000' &
until grep -q . shared/cgroup.procs; do sleep 0.1; done
in_group shared /tmp/shared 'cp /proc/self/cgroup /dev/console; exit 3'
`);
    const told = said.split('\n').filter((line) => line.startsWith('@'));
    const outOfMemory = {
      kind: 'out_of_memory',
      reason: 'out of memory: more than its 60 MiB memory',
    };
    expect(
      told.map((line) => JSON.parse(line.slice(1)) as unknown),
      said,
    ).toMatchObject([
      { outcome: outOfMemory, peakMemoryBytes: 60 * MEBIBYTE },
      { outcome: { kind: 'exit_code', exitCode: 3 } },
      {
        message: 'memory limits are enforced by sampling',
        reason: expect.stringMatching(
          /process \d+ of \/sys\/fs\/cgroup\/shared is not ours to move/,
        ),
      },
      { outcome: { kind: 'exit_code', exitCode: 3 } },
    ]);
    // Where its tasks ran, and what is left when they are forgotten.
    expect(said).toMatch(/^0::\/own\/majorana-[0-9a-f]{8}\/job_7\.2\.1$/m);
    expect(said).toMatch(/^own has own\/majorana-agent\/$/m);
    expect(said).toMatch(/^0::\/shared$/m);
    expect(said).toMatch(/^shared has $/m);
  },
);
