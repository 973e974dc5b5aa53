import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { lowestLimit } from './capacity.ts';
import { findCgroup, withParents } from './cgroup.ts';
import { limitFiles } from './memory-groups.ts';

const mount = (root: string, point: string, type: string, options: string): string =>
  `30 24 0:26 ${root} ${point} rw,nosuid - ${type} ${type} rw,${options}`;

const UNIFIED = mount('/', '/sys/fs/cgroup', 'cgroup2', 'nsdelegate');
const MEMORY = mount('/', '/sys/fs/cgroup/memory', 'cgroup', 'memory');
const CPU = mount('/', '/sys/fs/cgroup/cpu,cpuacct', 'cgroup', 'cpu,cpuacct');

test('the group of a process is found in the unified tree', () => {
  expect(findCgroup('memory', '0::/user.slice/a.scope\n', UNIFIED)).toEqual({
    version: 2,
    mount: '/sys/fs/cgroup',
    folder: '/sys/fs/cgroup/user.slice/a.scope',
  });
});

test('where both versions are mounted, a controller of version 1 is found there', () => {
  const hybrid = [mount('/', '/sys/fs/cgroup/unified', 'cgroup2', ''), MEMORY, CPU].join('\n');
  const own = '5:memory:/box/task\n3:cpu,cpuacct:/\n0::/\n';
  expect(findCgroup('memory', own, hybrid)?.folder).toBe('/sys/fs/cgroup/memory/box/task');
  expect(findCgroup('cpu', own, hybrid)).toMatchObject({
    version: 1,
    folder: '/sys/fs/cgroup/cpu,cpuacct',
  });
});

test('in a container the mount is the own group, whatever path the machine knows it by', () => {
  const inside = mount('/docker/4f2a', '/sys/fs/cgroup/memory', 'cgroup', 'memory');
  const find = (own: string): string | undefined =>
    findCgroup('memory', `5:memory:${own}\n`, inside)?.folder;
  expect(find('/docker/4f2a')).toBe('/sys/fs/cgroup/memory');
  expect(find('/docker/4f2a/sub')).toBe('/sys/fs/cgroup/memory/sub');
  expect(find('/elsewhere')).toBe('/sys/fs/cgroup/memory');
});

test('without a mount there is no group', () => {
  expect(findCgroup('memory', '0::/\n', '')).toBeUndefined();
});

const root = mkdtempSync(path.join(os.tmpdir(), 'cgroup-test-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));
function write(folder: string, files: Readonly<Record<string, string>>): string {
  const target = path.join(root, folder);
  mkdirSync(target, { recursive: true });
  for (const [name, text] of Object.entries(files)) writeFileSync(path.join(target, name), text);
  return target;
}

test('the lowest limit from the own group up to the mount applies, in both versions', async () => {
  const second = { version: 2, mount: write('two', {}), folder: '' } as const;
  write('two/a', { 'cpu.max': '150000 100000\n', 'memory.max': 'max\n' });
  const a2 = write('two/a/b', { 'cpu.max': 'max 100000\n', 'memory.max': '5000000\n' });
  expect(await lowestLimit({ ...second, folder: a2 }, 'cores')).toBe(1.5);
  expect(await lowestLimit({ ...second, folder: a2 }, 'memory')).toBe(5_000_000);
  const first = { version: 1, mount: write('one', {}), folder: '' } as const;
  write('one/a', { 'cpu.cfs_quota_us': '50000\n', 'cpu.cfs_period_us': '100000\n' });
  const a1 = write('one/a/b', {
    'cpu.cfs_quota_us': '-1\n',
    'cpu.cfs_period_us': '100000\n',
    'memory.limit_in_bytes': '7000000\n',
  });
  expect(await lowestLimit({ ...first, folder: a1 }, 'cores')).toBe(0.5);
  expect(await lowestLimit({ ...first, folder: a1 }, 'memory')).toBe(7_000_000);
  expect(await lowestLimit({ ...first, folder: first.mount }, 'cores')).toBe(Infinity);
  expect(withParents({ ...first, folder: a1 })).toHaveLength(3);
});

test('swap is no way around a memory limit, in either version', () => {
  expect(limitFiles(1, 100)).toEqual([
    ['memory.limit_in_bytes', '100'],
    ['memory.memsw.limit_in_bytes', '100'],
  ]);
  expect(limitFiles(2, 100)).toEqual([
    ['memory.max', '100'],
    ['memory.swap.max', '0'],
    ['memory.oom.group', '1'],
  ]);
});
