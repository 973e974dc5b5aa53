import { readdirSync, readFileSync } from 'node:fs';

/** Of Linux: what /proc counts in. */
const TICK_MS = 10;

interface ProcessTime {
  readonly pid: number;
  readonly parent: number;
  readonly ms: number;
}

function readProcess(pid: string): ProcessTime | undefined {
  try {
    const line = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = line.slice(line.lastIndexOf(')') + 2).split(' ');
    const ticks = fields.slice(11, 15).reduce((sum, one) => sum + Number(one), 0);
    return { pid: Number(pid), parent: Number(fields[1]), ms: ticks * TICK_MS };
  } catch {
    return undefined; // It has ended meanwhile.
  }
}

/** Processor time of this process and all below it, PostgreSQL's sessions among them, the ended ones too. */
export function processorMs(): number {
  const all = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(readProcess)
    .filter((one) => one !== undefined);
  const below = (pid: number): number =>
    all.filter((one) => one.parent === pid).reduce((sum, one) => sum + one.ms + below(one.pid), 0);
  return below(process.pid) + (all.find(({ pid }) => pid === process.pid)?.ms ?? 0);
}
