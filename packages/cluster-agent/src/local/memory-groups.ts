import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmdirSync,
  writeFileSync,
} from 'node:fs';
import { rmdir } from 'node:fs/promises';
import path from 'node:path';
import { ownCgroup } from './cgroup.ts';

/**
 * How memory limits are enforced: by groups of the kernel where they may be made, or by sampling
 * alone. Entering a group of version 1 waits for all processors, 2 ms and more on a busy machine, one
 * task after the other; where thousands of tasks of milliseconds matter more, sampling is the choice.
 */
export const MEMORY_LIMITS = ['groups', 'sampling'] as const;
export type MemoryLimits = (typeof MEMORY_LIMITS)[number];

type Log = (message: string, details: object) => void;

/** The files that hold a limit, in the order in which the kernel takes them. */
export function limitFiles(version: 1 | 2, bytes: number): [string, string][] {
  if (version === 1) {
    return [
      ['memory.limit_in_bytes', String(bytes)],
      ['memory.memsw.limit_in_bytes', String(bytes)],
    ];
  }
  return [
    ['memory.max', String(bytes)],
    ['memory.swap.max', '0'],
    ['memory.oom.group', '1'],
  ];
}

/** Where the processes of a delegated group of version 2 stand. */
const LEAF = 'majorana-agent';

/** Files that a kernel without swap accounting does not have. */
const OPTIONAL_FILES: ReadonlySet<string> = new Set([
  'memory.memsw.limit_in_bytes',
  'memory.swap.max',
  'memory.oom.group',
]);

/**
 * One memory group per attempt, below the group of this process, so that limits above it hold too.
 * Where none may be made (no rights, a read-only tree), shims sample their trees instead.
 */
export class MemoryGroups {
  readonly #folder: string;
  readonly #version: 1 | 2;
  readonly #log: Log;

  private constructor(folder: string, version: 1 | 2, log: Log) {
    this.#folder = folder;
    this.#version = version;
    this.#log = log;
  }

  /** `root` tells this agent's groups from those of another agent on the same machine. */
  static async open(root: string, log: Log): Promise<MemoryGroups | undefined> {
    const own = await ownCgroup('memory');
    if (own === undefined) {
      log('memory limits are enforced by sampling', { reason: 'no memory controller is mounted' });
      return undefined;
    }
    const name = `majorana-${createHash('sha256').update(root).digest('hex').slice(0, 8)}`;
    // An agent that is started again may stand where an earlier one has moved its supervisor.
    const base = path.basename(own.folder) === LEAF ? path.dirname(own.folder) : own.folder;
    const folder = path.join(base, name);
    const groups = new MemoryGroups(folder, own.version, log);
    try {
      if (own.version === 2) passOn(base);
      groups.#make('probe', 1024 ** 3);
      await groups.remove('probe');
      return groups;
    } catch (error) {
      log('memory limits are enforced by sampling', { reason: String(error) });
      return undefined;
    }
  }

  #make(attemptId: string, bytes: number): string {
    const folder = path.join(this.#folder, attemptId);
    // Each time: an agent that ends removes the group above when it is empty.
    mkdirSync(this.#folder, { recursive: true });
    if (this.#version === 2) passOn(this.#folder);
    mkdirSync(folder, { recursive: true });
    for (const [name, value] of limitFiles(this.#version, bytes)) {
      try {
        write(path.join(folder, name), value);
      } catch (error) {
        const isAbsent = (error as NodeJS.ErrnoException).code === 'ENOENT';
        if (!OPTIONAL_FILES.has(name) || !isAbsent) throw error;
      }
    }
    return folder;
  }

  /** The group's folder, or '' when this attempt has to be sampled. */
  make(attemptId: string, bytes: number): string {
    try {
      return this.#make(attemptId, bytes);
    } catch (error) {
      this.#log('a memory limit is enforced by sampling', { attemptId, error: String(error) });
      return '';
    }
  }

  /** A group with processes in it stays; the next start of the agent tries again. */
  async remove(attemptId: string): Promise<void> {
    // Through the thread pool: the kernel takes a millisecond for it.
    await rmdir(path.join(this.#folder, attemptId)).catch(() => undefined);
  }

  /** Leaves no empty group behind; one that still holds attempts stays for the next agent. */
  close(): void {
    try {
      rmdirSync(this.#folder);
    } catch {
      // Attempts are held.
    }
  }

  /** Groups of attempts that no folder tells of any more. */
  async clean(remembered: ReadonlySet<string>): Promise<void> {
    const entries = existsSync(this.#folder)
      ? readdirSync(this.#folder, { withFileTypes: true })
      : [];
    for (const entry of entries) {
      if (entry.isDirectory() && !remembered.has(entry.name)) await this.remove(entry.name);
    }
  }
}

/** Control files are there already; creating one would be refused with a misleading error. */
function write(file: string, value: string): void {
  writeFileSync(file, value, { flag: 'r+' });
}

function move(pid: string, procs: string): void {
  try {
    write(procs, pid);
  } catch (error) {
    // It has ended.
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

const parentOf = (pid: string): string => {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]!;
};

/** This agent, the supervisor that started it (a Node like this one), and all that these started. */
export function isOwnProcess(pid: string): boolean {
  const parent = String(process.ppid);
  try {
    const isSupervised = readlinkSync(`/proc/${parent}/exe`) === readlinkSync('/proc/self/exe');
    const root = isSupervised ? parent : String(process.pid);
    for (let at = pid; at !== '0'; at = parentOf(at)) if (at === root) return true;
    return false;
  } catch {
    return false;
  }
}

/**
 * Version 2 gives a controller to sub-groups only where no process stands beside them: those of a
 * group of the product's own move into a leaf first. Nobody else's process is moved: where the
 * user's shell stands in the group, memory is sampled instead.
 */
function passOn(folder: string): void {
  const control = path.join(folder, 'cgroup.subtree_control');
  if (readFileSync(control, 'utf8').split(/\s+/).includes('memory')) return;
  try {
    write(control, '+memory');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EBUSY') throw error;
    const pids = readFileSync(path.join(folder, 'cgroup.procs'), 'utf8').split('\n');
    const foreign = pids.find((pid) => pid !== '' && !isOwnProcess(pid));
    if (foreign !== undefined)
      throw new Error(`process ${foreign} of ${folder} is not ours to move`);
    const leaf = path.join(folder, LEAF);
    mkdirSync(leaf, { recursive: true });
    for (const pid of pids.filter(Boolean)) move(pid, path.join(leaf, 'cgroup.procs'));
    write(control, '+memory');
  }
}
