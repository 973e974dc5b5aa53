import { execFile, execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, cpSync, existsSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';

const QEMU = 'qemu-system-x86_64';
const MACHINE = '-accel tcg -m 1024 -display none -nodefaults -no-reboot -serial stdio'.split(' ');
const KERNEL_OPTIONS = 'console=ttyS0 quiet loglevel=1 panic=-1';
const kernel = path.join(
  process.env['XDG_CACHE_HOME'] || path.join(os.homedir(), '.cache'),
  'majorana/guest/vmlinuz',
);

/** Why no machine can be booted here. */
export function guestObstacle(): string | undefined {
  if (process.arch !== 'x64') return 'the guest is an amd64 machine';
  if (spawnSync(QEMU, ['--version']).status !== 0) return `${QEMU} is not installed`;
  if (spawnSync('busybox', ['true']).status !== 0) return 'busybox-static is not installed';
  if (!existsSync(kernel)) return 'there is no kernel: tools/guest/prepare.sh';
  return undefined;
}

/** The folder in memory that a guest has for its root, and what it runs. */
export class Guest {
  readonly #root: string;

  constructor(root: string) {
    this.#root = root;
    for (const name of ['bin', 'proc', 'sys', 'dev', 'tmp'])
      mkdirSync(path.join(root, name), { recursive: true });
    const busybox = execFileSync('sh', ['-c', 'command -v busybox'], { encoding: 'utf8' }).trim();
    cpSync(busybox, path.join(root, 'bin/busybox'), { dereference: true });
  }

  /** A file or a folder, where it lies here or elsewhere. */
  add(source: string, target: string = source): void {
    cpSync(source, path.join(this.#root, target), { recursive: true, dereference: true });
  }

  link(target: string, name: string): void {
    mkdirSync(path.dirname(path.join(this.#root, name)), { recursive: true });
    symlinkSync(target, path.join(this.#root, name));
  }

  /** A program with the libraries that it names. */
  addProgram(source: string, target: string): void {
    this.add(source, target);
    const listed = spawnSync('ldd', [source], { encoding: 'utf8' }).stdout;
    for (const [library] of listed.matchAll(/\/\S+/g)) if (existsSync(library)) this.add(library);
  }

  /**
   * Boots, runs a script of the shell with version 2 of control groups alone, and answers all that
   * it said. In software: a machine for tests is itself a guest, where hardware mostly does not help.
   */
  async run(script: string): Promise<string> {
    const init = `#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t cgroup2 cgroup2 /sys/fs/cgroup
export PATH=/bin HOME=/tmp
${script}
poweroff -f
`;
    writeFileSync(path.join(this.#root, 'init'), init);
    chmodSync(path.join(this.#root, 'init'), 0o755);
    const image = `${this.#root}.cpio`;
    const pack = 'cd "$0" && find . | busybox cpio -o -H newc > "$1" 2>/dev/null';
    execFileSync('sh', ['-c', pack, this.#root, image]);
    const { stdout } = await promisify(execFile)(
      QEMU,
      [...MACHINE, '-kernel', kernel, '-initrd', image, '-append', KERNEL_OPTIONS],
      { timeout: 120_000, killSignal: 'SIGKILL' },
    );
    return stdout.replaceAll('\r', '');
  }
}
