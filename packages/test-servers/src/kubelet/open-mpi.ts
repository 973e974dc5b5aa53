import { execFileSync } from 'node:child_process';
import { existsSync, globSync, mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { findInPath } from './busybox.ts';
import type { ImageSpec } from './oci-image.ts';

/** Why there is no Open MPI of Debian here; undefined where there is. */
export function openMpiObstacle(): string | undefined {
  const missing = ['mpirun', 'mpicc', 'orted'].find((tool) => findInPath(tool) === undefined);
  return missing && `there is no ${missing}: apt-get install openmpi-bin libopenmpi-dev`;
}

/** A program whose ranks add up; what it does besides is in its source. */
export function buildMpiSum(target: string): void {
  execFileSync('mpicc', ['-o', target, path.join(import.meta.dirname, 'mpi-sum.c')]);
}

/** What a program or library needs of this machine, itself left out. */
const librariesOf = (files: readonly string[]): string[] =>
  execFileSync('ldd', [...files], { encoding: 'utf8' })
    .split('\n')
    .flatMap((line) => /(?:=> )?(\/\S+) \(/.exec(line)?.[1] ?? []);

/** Its modules are found by name when it starts, so no library names them. */
const MODULES = ['/usr/lib/*/openmpi/lib/openmpi3', '/usr/lib/*/pmix2/lib'];
const TEXTS = ['/usr/share/openmpi', '/etc/openmpi'];

const filesBelow = (folder: string): string[] =>
  existsSync(folder)
    ? readdirSync(folder, { recursive: true, encoding: 'utf8' })
        .map((name) => path.join(folder, name))
        .filter((file) => statSync(file).isFile())
    : [];

/**
 * Open MPI as Debian has it on this machine, a shell and one program `/bin/sum`: some 30 MB. `user`
 * is the one that it runs as: Open MPI refuses whom the image does not know.
 */
export function openMpiImage(name: string, folder: string, user: number): ImageSpec {
  mkdirSync(folder, { recursive: true });
  const sum = path.join(folder, 'sum');
  buildMpiSum(sum);
  const passwd = path.join(folder, 'passwd');
  writeFileSync(passwd, `task:x:${user}:${user}::/tmp:/bin/sh\n`);
  const programs = ['/usr/bin/mpirun', '/usr/bin/orted'];
  const modules = MODULES.flatMap((pattern) => globSync(pattern))
    .flatMap(filesBelow)
    .filter((file) => /\.so(\.\d+)*$/.test(file));
  const libraries = librariesOf([...programs, ...modules, sum]);
  const same = [...programs, ...modules, ...libraries, ...TEXTS.flatMap(filesBelow)];
  const busybox = findInPath('busybox');
  if (busybox === undefined) throw new Error('there is no busybox: apt-get install busybox-static');
  return {
    name,
    files: {
      ...Object.fromEntries(same.map((file) => [file, file])),
      '/bin/sum': sum,
      '/bin/busybox': busybox,
      '/bin/sh': busybox,
      '/etc/passwd': passwd,
    },
    environment: { PATH: '/bin:/usr/bin' },
  };
}
