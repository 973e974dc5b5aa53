import { execFileSync } from 'node:child_process';
import { existsSync, globSync, mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { findInPath } from './busybox.ts';
import type { ImageSpec } from './oci-image.ts';

/** An implementation of MPI as Debian has it, both beside each other. */
export interface Mpi {
  readonly title: string;
  readonly packages: string;
  readonly compiler: string;
  /** What an image needs of it, by its name there: its launcher, and its daemon of each node. */
  readonly programs: Readonly<Record<string, string>>;
  /** Folders of what is loaded by name when it starts, so that no library names it. */
  readonly modules: readonly string[];
  readonly texts: readonly string[];
  /** What its launcher says of a last rank of two that was killed. */
  readonly killed: RegExp;
}

export const OPEN_MPI: Mpi = {
  title: 'Open MPI',
  packages: 'openmpi-bin libopenmpi-dev',
  compiler: 'mpicc.openmpi',
  programs: { mpirun: 'mpirun.openmpi', orted: 'orted' },
  modules: ['/usr/lib/*/openmpi/lib/openmpi3', '/usr/lib/*/pmix2/lib'],
  texts: ['/usr/share/openmpi', '/etc/openmpi'],
  killed: /rank 1 .*signal 9/,
};

export const MPICH: Mpi = {
  title: 'MPICH',
  packages: 'mpich libmpich-dev',
  compiler: 'mpicc.mpich',
  programs: { mpirun: 'mpiexec.hydra', hydra_pmi_proxy: 'hydra_pmi_proxy' },
  modules: ['/usr/lib/*/ucx'],
  texts: [],
  killed: /RUNNING AT majorana-.*-1\n=   EXIT CODE: 9/,
};

/** Why it is not here; undefined where it is. */
export function mpiObstacle({ compiler, programs, packages }: Mpi): string | undefined {
  const missing = [compiler, ...Object.values(programs)].find(
    (tool) => findInPath(tool) === undefined,
  );
  return missing && `there is no ${missing}: apt-get install ${packages}`;
}

/** A program whose ranks add up; what it does besides is in its source. */
export function buildMpiSum(mpi: Mpi, target: string): void {
  execFileSync(mpi.compiler, ['-o', target, path.join(import.meta.dirname, 'mpi-sum.c')]);
}

/** What a program or library needs of this machine, itself left out. */
const librariesOf = (files: readonly string[]): string[] =>
  execFileSync('ldd', [...files], { encoding: 'utf8' })
    .split('\n')
    .flatMap((line) => /(?:=> )?(\/\S+) \(/.exec(line)?.[1] ?? []);

const filesBelow = (folder: string): string[] =>
  existsSync(folder)
    ? readdirSync(folder, { recursive: true, encoding: 'utf8' })
        .map((name) => path.join(folder, name))
        .filter((file) => statSync(file).isFile())
    : [];

/**
 * An MPI of this machine, a shell and one program `/bin/sum`: some 30 MB. `user` is the one that it
 * runs as: Open MPI refuses whom the image does not know.
 */
export function mpiImage(mpi: Mpi, name: string, folder: string, user: number): ImageSpec {
  mkdirSync(folder, { recursive: true });
  const sum = path.join(folder, 'sum');
  buildMpiSum(mpi, sum);
  const passwd = path.join(folder, 'passwd');
  writeFileSync(passwd, `task:x:${user}:${user}::/tmp:/bin/sh\n`);
  const programs = Object.entries(mpi.programs).map(
    ([target, source]) => [`/usr/bin/${target}`, findInPath(source)!] as const,
  );
  const modules = mpi.modules
    .flatMap((pattern) => globSync(pattern))
    .flatMap(filesBelow)
    .filter((file) => /\.so(\.\d+)*$/.test(file));
  const libraries = librariesOf([...programs.map(([, file]) => file), ...modules, sum]);
  const same = [...modules, ...libraries, ...mpi.texts.flatMap(filesBelow)];
  const busybox = findInPath('busybox');
  if (busybox === undefined) throw new Error('there is no busybox: apt-get install busybox-static');
  return {
    name,
    files: {
      ...Object.fromEntries(same.map((file) => [file, file])),
      ...Object.fromEntries(programs),
      '/bin/sum': sum,
      '/bin/busybox': busybox,
      '/bin/sh': busybox,
      '/etc/passwd': passwd,
    },
    environment: { PATH: '/bin:/usr/bin' },
  };
}
