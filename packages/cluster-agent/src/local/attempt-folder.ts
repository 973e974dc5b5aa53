import {
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  statSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { chmod, readdir, rm } from 'node:fs/promises';
import path from 'node:path';
import type { EndedEvent, Lease } from '@majorana/protocol';
import type { ExitRecord } from './exit-record.ts';
import { parseExitRecord } from './exit-record.ts';

/** What the agent keeps of a lease that it has accepted. */
export interface KeptLease {
  readonly lease: Lease;
  /** The boot of the machine it was accepted in. */
  readonly bootId: string;
  readonly gpuIndices: readonly number[];
}

/** Who guards an attempt; process 0 when it was concluded without a start. */
export interface ShimRecord {
  readonly pid: number;
  /** In clock ticks since the boot: a process id is used again, the pair is not. */
  readonly startTicks: string;
  readonly bootId: string;
  readonly startedAtMs: number;
}

/** Undefined when the file is not there. */
function ifThere<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // ESRCH: a process that ended between the opening of its file and the reading.
    if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'ESRCH') return undefined;
    throw error;
  }
}

export const readBootId = (): string =>
  readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();

export function isAlive(shim: ShimRecord): boolean {
  if (shim.pid === 0) return false;
  const line = ifThere(() => readFileSync(`/proc/${shim.pid}/stat`, 'utf8')) ?? '';
  // Fields are counted after the command's closing bracket: the start time is the 22nd of all.
  const fields = line.slice(line.lastIndexOf(')') + 2).split(' ');
  return fields[19] === shim.startTicks && fields[0] !== 'Z';
}

function isRemoved(folder: string): boolean {
  try {
    rmdirSync(folder);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT';
  }
}

/**
 * Most tasks leave empty folders, for which one call does. A program may also leave folders that
 * even their owner cannot empty (Go's module cache).
 */
async function removeTree(folder: string): Promise<void> {
  if (isRemoved(folder)) return;
  const remove = (): Promise<void> => rm(folder, { recursive: true, force: true });
  await remove().catch(async (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EACCES') throw error;
    await unlock(folder);
    await remove();
  });
}

async function unlock(folder: string): Promise<void> {
  await chmod(folder, 0o700);
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    if (entry.isDirectory()) await unlock(path.join(folder, entry.name));
  }
}

/** The lease first. */
const OWN_FILES = ['lease.json', 'spec', 'shim', 'stdout', 'stderr', 'outcome.json'] as const;

/**
 * The folder of one attempt is the agent's memory of it: `lease.json` (held), `spec` (inputs laid
 * in, ready to start), `shim` (started, by whom), the exit record, `outcome.json` (collected).
 *
 * None of them is forced to the disk, because nothing but a loss of power could tell: it ends every
 * program, and what another boot has left without an outcome is lost by rule, whatever its files
 * say. An outcome that goes with the power goes to the server as lost, or was on record there.
 * Forced with its folder, a small file takes 1.1 ms instead of 0.09, so a lease and an outcome would
 * add 2 ms to a launch of 3. (A file that the crash cut short is no JSON, and read as absent.)
 *
 * The calls are synchronous: some twenty on small files in the page cache, at 20 us each. Through
 * the thread pool, where one write is three trips, they were half the cost of a launch.
 */
export class AttemptFolder {
  readonly attemptId: string;
  readonly folder: string;
  readonly exitFile: string;

  constructor(root: string, attemptId: string) {
    this.attemptId = attemptId;
    this.folder = path.join(root, 'attempts', attemptId);
    this.exitFile = path.join(root, 'exits', attemptId);
  }

  static list(root: string): AttemptFolder[] {
    mkdirSync(path.join(root, 'attempts'), { recursive: true, mode: 0o700 });
    mkdirSync(path.join(root, 'exits'), { recursive: true, mode: 0o700 });
    const names = readdirSync(path.join(root, 'attempts'));
    return names.map((name) => new AttemptFolder(root, name));
  }

  file(name: string): string {
    return path.join(this.folder, name);
  }

  #writeJson(name: string, value: object): void {
    writeFileSync(this.file(name), JSON.stringify(value), { mode: 0o600 });
  }

  #readJson<T>(name: string): T | undefined {
    const text = ifThere(() => readFileSync(this.file(name), 'utf8'));
    if (text === undefined) return undefined;
    try {
      return JSON.parse(text) as T;
    } catch {
      return undefined;
    }
  }

  writeLease(kept: KeptLease): void {
    mkdirSync(this.file('work'), { recursive: true, mode: 0o700 });
    mkdirSync(this.file('scratch'), { recursive: true, mode: 0o700 });
    this.#writeJson('lease.json', kept);
  }

  readLease(): KeptLease | undefined {
    return this.#readJson<KeptLease>('lease.json');
  }

  writeOutcome(event: EndedEvent): void {
    this.#writeJson('outcome.json', event);
  }

  readOutcome(): EndedEvent | undefined {
    return this.#readJson<EndedEvent>('outcome.json');
  }

  /** Its presence says that everything before it is done, so it comes whole. */
  writeSpec(records: readonly (readonly [string, string])[]): void {
    const text = records.map(([key, value]) => `${key}\0${value}\0`).join('');
    writeFileSync(this.file('spec.tmp'), text, { mode: 0o600 });
    renameSync(this.file('spec.tmp'), this.file('spec'));
  }

  hasSpec(): boolean {
    return ifThere(() => statSync(this.file('spec'))) !== undefined;
  }

  readExit(): ExitRecord | undefined {
    const text = ifThere(() => readFileSync(this.exitFile, 'utf8'));
    return text === undefined ? undefined : parseExitRecord(text);
  }

  readShim(): ShimRecord | undefined {
    const line = ifThere(() => readFileSync(this.file('shim'), 'utf8'));
    if (line === undefined) return undefined;
    const [pid = '', startTicks = '', bootId = '', startedAtMs = ''] = line.trim().split(' ');
    return { pid: Number(pid), startTicks, bootId, startedAtMs: Number(startedAtMs) };
  }

  /** Takes the place of a shim, so that none starts any more; false when there is one. */
  claim(bootId: string): boolean {
    const own = this.file('shim.agent');
    mkdirSync(this.folder, { recursive: true, mode: 0o700 });
    writeFileSync(own, `0 0 ${bootId} 0\n`, { mode: 0o600 });
    try {
      linkSync(own, this.file('shim'));
      return true;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
      throw error;
    } finally {
      unlinkSync(own);
    }
  }

  /** Nothing is collected from there. */
  async removeScratch(): Promise<void> {
    await removeTree(this.file('scratch'));
  }

  async removeWork(): Promise<void> {
    await removeTree(this.file('work'));
  }

  /**
   * The lease goes first: a removal cut short by a crash must not look like an attempt that was
   * accepted and never started. Most tasks leave nothing but the files known here.
   */
  async remove(): Promise<void> {
    for (const name of OWN_FILES) ifThere(() => unlinkSync(this.file(name)));
    for (const name of ['work', 'scratch', '']) await removeTree(this.file(name));
    // The room that a shim took for its record stays when the shim is killed.
    for (const file of [this.exitFile, `${this.exitFile}.tmp`]) ifThere(() => unlinkSync(file));
  }
}
