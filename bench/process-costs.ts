import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';

const TICKS_PER_SECOND = Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }));

const read = (file: string): string => {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    // It has ended between being found and being asked.
    return '';
  }
};

interface Seen {
  readonly parentPid: number;
  /** Its own, and that of children that have ended. */
  readonly cpuMs: number;
}

function see(pid: number): Seen | undefined {
  const line = read(`/proc/${pid}/stat`);
  // The name stands in brackets and may hold anything.
  const fields = line.slice(line.lastIndexOf(')') + 2).split(' ');
  if (fields.length < 15) return undefined;
  const ticks = fields.slice(11, 15).reduce((sum, field) => sum + Number(field), 0);
  return { parentPid: Number(fields[1]), cpuMs: (ticks * 1000) / TICKS_PER_SECOND };
}

const pids = (): number[] =>
  readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number);

/** The process whose program ends so and whose command line names a folder of the bench. */
export function findProcess(program: string, folder: string): number {
  const found = pids().find((pid) => {
    const [name = '', ...args] = read(`/proc/${pid}/cmdline`).split('\0');
    return name.endsWith(program) && args.some((text) => text.includes(folder));
  });
  if (found === undefined) throw new Error(`no ${program} runs in ${folder}`);
  return found;
}

/** A process and its children: a PostgreSQL has one for each connection. */
function familyOf(pid: number): number[] {
  const family = [pid];
  const parents = new Map(pids().map((child) => [child, see(child)?.parentPid]));
  for (const one of family)
    for (const [child, parent] of parents) if (parent === one) family.push(child);
  return family;
}

const cpuMsOf = (pid: number): number =>
  familyOf(pid).reduce((sum, one) => sum + (see(one)?.cpuMs ?? 0), 0);

export const residentMib = (pid: number, field: 'VmHWM' | 'VmRSS' = 'VmHWM'): number =>
  Number(new RegExp(`${field}:\\s+(\\d+)`).exec(read(`/proc/${pid}/status`))?.[1] ?? 0) / 1024;

/** What the processes of a run cost from here on, by name. */
export class ProcessCosts {
  readonly #pids: Readonly<Record<string, number>>;
  readonly #before: ReadonlyMap<string, number>;

  constructor(named: Readonly<Record<string, number>>) {
    this.#pids = named;
    // 5 sets the peak back to what is resident now.
    for (const pid of Object.values(named)) writeFileSync(`/proc/${pid}/clear_refs`, '5');
    this.#before = new Map(Object.entries(named).map(([name, pid]) => [name, cpuMsOf(pid)]));
  }

  cpuMs(): Record<string, number> {
    return Object.fromEntries(
      Object.entries(this.#pids).map(([name, pid]) => [
        name,
        cpuMsOf(pid) - this.#before.get(name)!,
      ]),
    );
  }

  peakMib(): Record<string, number> {
    return Object.fromEntries(
      Object.entries(this.#pids).map(([name, pid]) => [name, residentMib(pid)]),
    );
  }
}
