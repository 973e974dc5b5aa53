import {
  chmod,
  link,
  mkdir,
  readdir,
  readFile,
  rename,
  rm,
  rmdir,
  stat,
  unlink,
  writeFile,
} from 'node:fs/promises';
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

const absent = (error: NodeJS.ErrnoException): undefined => {
  if (error.code !== 'ENOENT' && error.code !== 'ENOTDIR') throw error;
};

export const readBootId = async (): Promise<string> =>
  (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();

export async function isAlive(shim: ShimRecord): Promise<boolean> {
  if (shim.pid === 0) return false;
  const line = await readFile(`/proc/${shim.pid}/stat`, 'utf8').catch(() => '');
  // Fields are counted after the command's closing bracket: the start time is the 22nd of all.
  const fields = line.slice(line.lastIndexOf(')') + 2).split(' ');
  return fields[19] === shim.startTicks && fields[0] !== 'Z';
}

/** A program may leave folders that even their owner cannot empty (Go's module cache). */
async function removeTree(folder: string): Promise<void> {
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

/**
 * The folder of one attempt is the agent's memory of it: `lease.json` (held), `spec` (inputs laid
 * in, ready to start), `shim` (started, by whom), the exit record, `outcome.json` (collected).
 *
 * None of them is forced to the disk, because nothing but a loss of power could tell: it ends every
 * program, and what another boot has left without an outcome is lost by rule, whatever its files
 * say. An outcome that goes with the power goes to the server as lost, or was on record there.
 * Forced, a lease and an outcome with their folders cost 4 waits for the disk per task.
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

  static async list(root: string): Promise<AttemptFolder[]> {
    await mkdir(path.join(root, 'attempts'), { recursive: true, mode: 0o700 });
    await mkdir(path.join(root, 'exits'), { recursive: true, mode: 0o700 });
    const names = await readdir(path.join(root, 'attempts'));
    return names.map((name) => new AttemptFolder(root, name));
  }

  file(name: string): string {
    return path.join(this.folder, name);
  }

  /** A crash in the middle leaves text that is no JSON, which is read as absent. */
  #writeJson(name: string, value: object): Promise<void> {
    return writeFile(this.file(name), JSON.stringify(value), { mode: 0o600 });
  }

  async #readJson<T>(name: string): Promise<T | undefined> {
    const text = await readFile(this.file(name), 'utf8').catch(absent);
    if (text === undefined) return undefined;
    try {
      return JSON.parse(text) as T;
    } catch {
      return undefined;
    }
  }

  async writeLease(kept: KeptLease): Promise<void> {
    await mkdir(this.file('work'), { recursive: true, mode: 0o700 });
    await mkdir(this.file('scratch'), { recursive: true, mode: 0o700 });
    await this.#writeJson('lease.json', kept);
  }

  readLease(): Promise<KeptLease | undefined> {
    return this.#readJson<KeptLease>('lease.json');
  }

  writeOutcome(event: EndedEvent): Promise<void> {
    return this.#writeJson('outcome.json', event);
  }

  readOutcome(): Promise<EndedEvent | undefined> {
    return this.#readJson<EndedEvent>('outcome.json');
  }

  /** Its presence says that everything before it is done, so it comes whole. */
  async writeSpec(records: readonly (readonly [string, string])[]): Promise<void> {
    const text = records.map(([key, value]) => `${key}\0${value}\0`).join('');
    await writeFile(this.file('spec.tmp'), text, { mode: 0o600 });
    await rename(this.file('spec.tmp'), this.file('spec'));
  }

  async hasSpec(): Promise<boolean> {
    return (await stat(this.file('spec')).catch(absent)) !== undefined;
  }

  async readExit(): Promise<ExitRecord | undefined> {
    const text = await readFile(this.exitFile, 'utf8').catch(absent);
    return text === undefined ? undefined : parseExitRecord(text);
  }

  async readShim(): Promise<ShimRecord | undefined> {
    const line = await readFile(this.file('shim'), 'utf8').catch(absent);
    if (line === undefined) return undefined;
    const [pid = '', startTicks = '', bootId = '', startedAtMs = ''] = line.trim().split(' ');
    return { pid: Number(pid), startTicks, bootId, startedAtMs: Number(startedAtMs) };
  }

  /** Takes the place of a shim, so that none starts any more; false when there is one. */
  async claim(bootId: string): Promise<boolean> {
    const own = this.file('shim.agent');
    await mkdir(this.folder, { recursive: true, mode: 0o700 });
    await writeFile(own, `0 0 ${bootId} 0\n`, { mode: 0o600 });
    const isClaimed = await link(own, this.file('shim')).then(
      () => true,
      (error: NodeJS.ErrnoException) => {
        if (error.code !== 'EEXIST') throw error;
        return false;
      },
    );
    await rm(own, { force: true });
    return isClaimed;
  }

  /**
   * The lease goes first: a removal cut short by a crash must not look like an attempt that was
   * accepted and never started.
   */
  async remove(): Promise<void> {
    await unlink(this.file('lease.json')).catch(absent);
    const names = await readdir(this.folder).catch(absent);
    for (const name of names ?? []) await this.#removeEntry(this.file(name));
    await rmdir(this.folder).catch(absent);
    await unlink(this.exitFile).catch(absent);
  }

  /** Most tasks leave empty folders, and `rm` makes six calls where one does. */
  async #removeEntry(entry: string): Promise<void> {
    const isFolder = entry.endsWith('/work') || entry.endsWith('/scratch');
    await (isFolder ? rmdir(entry) : unlink(entry)).catch(() => removeTree(entry));
  }
}
