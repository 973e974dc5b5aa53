import { readFile } from 'node:fs/promises';
import path from 'node:path';

/** Where this process stands in the tree of one cgroup controller. */
export interface Cgroup {
  readonly version: 1 | 2;
  /** Where the controller's tree is mounted; limits apply from here down to `folder`. */
  readonly mount: string;
  readonly folder: string;
}

interface Mount {
  readonly root: string;
  readonly point: string;
  readonly type: string;
  readonly options: readonly string[];
}

function parseMounts(mountinfo: string): Mount[] {
  return mountinfo.split('\n').flatMap((line) => {
    const [left = '', right] = line.split(' - ');
    if (right === undefined) return [];
    const [, , , root = '', point = ''] = left.split(' ');
    const [type = '', , options = ''] = right.split(' ');
    return [{ root, point, type, options: options.split(',') }];
  });
}

/**
 * Finds this process's group from the text of /proc/self/cgroup and /proc/self/mountinfo. Version 1
 * wins where both are mounted: the controller then is not in the unified tree. A container sees its
 * own group as the root of the mount, and paths of the machine in /proc/self/cgroup.
 */
export function findCgroup(
  controller: string,
  cgroup: string,
  mountinfo: string,
): Cgroup | undefined {
  const mounts = parseMounts(mountinfo);
  const lines = cgroup.split('\n').map((line) => line.split(':'));
  const locate = (mount: Mount | undefined, own: string | undefined): string | undefined => {
    if (mount === undefined || own === undefined) return undefined;
    const below = path.relative(mount.root, own);
    return path.join(mount.point, below.startsWith('..') ? '' : below);
  };
  const first = mounts.find(
    ({ type, options }) => type === 'cgroup' && options.includes(controller),
  );
  const firstOwn = lines.find(([, names]) => names?.split(',').includes(controller))?.[2];
  const firstFolder = locate(first, firstOwn);
  if (first !== undefined && firstFolder !== undefined) {
    return { version: 1, mount: first.point, folder: firstFolder };
  }
  const second = mounts.find(({ type }) => type === 'cgroup2');
  const secondOwn = lines.find(([number, names]) => number === '0' && names === '')?.[2];
  const secondFolder = locate(second, secondOwn);
  if (second === undefined || secondFolder === undefined) return undefined;
  return { version: 2, mount: second.point, folder: secondFolder };
}

export async function ownCgroup(controller: string): Promise<Cgroup | undefined> {
  try {
    const [cgroup, mountinfo] = await Promise.all([
      readFile('/proc/self/cgroup', 'utf8'),
      readFile('/proc/self/mountinfo', 'utf8'),
    ]);
    return findCgroup(controller, cgroup, mountinfo);
  } catch {
    return undefined;
  }
}

/** The groups whose limits apply to a group: itself and all above it, up to the mount. */
export function withParents({ mount, folder }: Cgroup): string[] {
  const folders = [folder];
  while (folders.at(-1) !== mount && folders.length < 64) {
    folders.push(path.dirname(folders.at(-1)!));
  }
  return folders;
}
