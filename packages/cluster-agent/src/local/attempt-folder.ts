import { mkdir, open, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { Lease } from '@majorana/protocol';

/** How a program ended, as the native shim wrote it. */
export interface ExitRecord {
  readonly exitCode?: number;
  readonly signal?: number;
  readonly error?: string;
  readonly endedBy?: string;
  readonly isOutOfMemory: boolean;
  readonly peakMemoryBytes: number;
  readonly cpuTimeMs: number;
  readonly startedAtMs: number;
  readonly endedAtMs: number;
  readonly leftoverCount: number;
}

export type ShimState = 'absent' | 'alive' | 'dead' | 'rebooted';

/** Written whole or not at all: a crash leaves the old file or the new one. */
export async function writeWhole(file: string, content: string | Buffer): Promise<void> {
  const handle = await open(`${file}.tmp`, 'w', 0o600);
  try {
    await handle.writeFile(content);
    await handle.datasync();
  } finally {
    await handle.close();
  }
  await rename(`${file}.tmp`, file);
}

function parseExit(text: string): ExitRecord {
  const values = new Map(
    text
      .split('\n')
      .filter((line) => line.includes('='))
      .map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
  );
  const number = (key: string): number => Number(values.get(key) ?? 0);
  const optional = (key: string): number | undefined =>
    values.get(key) ? Number(values.get(key)) : undefined;
  const exitCode = optional('exit_code');
  const signal = optional('signal');
  const error = values.get('error');
  const endedBy = values.get('ended_by');
  return {
    ...(exitCode === undefined ? {} : { exitCode }),
    ...(signal === undefined ? {} : { signal }),
    ...(error ? { error } : {}),
    ...(endedBy ? { endedBy } : {}),
    isOutOfMemory: values.get('oom') === '1',
    peakMemoryBytes: number('peak_memory_bytes'),
    cpuTimeMs: number('cpu_time_ms'),
    startedAtMs: number('started_at_ms'),
    endedAtMs: number('ended_at_ms'),
    leftoverCount: number('leftover'),
  };
}

/**
 * The folder of one attempt is the agent's memory of it: `lease.json` (accepted), `spec` (what to
 * start), `shim` (started, by whom), the exit record, `outcome.json` (collected). A restarted agent
 * reads where it stands from the files alone.
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

  async writeLease(lease: Lease): Promise<void> {
    await mkdir(this.file('work'), { recursive: true, mode: 0o700 });
    await writeWhole(this.file('lease.json'), JSON.stringify(lease));
  }

  async readLease(): Promise<Lease | undefined> {
    return this.#readJson<Lease>('lease.json');
  }

  async writeJson(name: string, value: object): Promise<void> {
    await writeWhole(this.file(name), JSON.stringify(value));
  }

  async #readJson<T>(name: string): Promise<T | undefined> {
    const text = await readFile(this.file(name), 'utf8').catch(() => undefined);
    return text === undefined ? undefined : (JSON.parse(text) as T);
  }

  readOutcome<T>(): Promise<T | undefined> {
    return this.#readJson<T>('outcome.json');
  }

  async readExit(): Promise<ExitRecord | undefined> {
    const text = await readFile(this.exitFile, 'utf8').catch(() => undefined);
    return text === undefined ? undefined : parseExit(text);
  }

  /** Process ids are used again, so the shim is known by its start time and the machine's boot. */
  async shim(): Promise<{ readonly state: ShimState; readonly pid: number }> {
    const line = await readFile(this.file('shim'), 'utf8').catch(() => undefined);
    if (line === undefined) return { state: 'absent', pid: 0 };
    const [pid = '', startTime = '', bootId = ''] = line.trim().split(' ');
    const thisBoot = (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();
    if (bootId !== '' && bootId !== thisBoot) return { state: 'rebooted', pid: 0 };
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
    // Fields are counted after the command's closing bracket: the start time is the 22nd of all.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const isAlive = fields[19] === startTime && fields[0] !== 'Z';
    return { state: isAlive ? 'alive' : 'dead', pid: Number(pid) };
  }

  async writeSpec(records: readonly (readonly [string, string])[]): Promise<void> {
    const text = records.map(([key, value]) => `${key}\0${value}\0`).join('');
    await writeFile(this.file('spec'), text, { mode: 0o600 });
  }

  async remove(): Promise<void> {
    await rm(this.folder, { recursive: true, force: true });
    await rm(this.exitFile, { force: true });
  }
}
