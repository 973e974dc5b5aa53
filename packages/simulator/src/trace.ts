import { hashText } from './random.ts';

export interface TraceLine {
  readonly atMs: number;
  readonly step: number;
  readonly kind: string;
  /** 0: concerns no job. */
  readonly jobId: number;
  readonly text: string;
}

const KEPT_MAX = 50_000;

/** What happened, in order: counted by kind, fingerprinted whole, the last part kept. */
export class Trace {
  readonly counts = new Map<string, number>();
  #lines: TraceLine[] = [];
  #hash = hashText('');
  readonly #where: () => { readonly nowMs: number; readonly stepCount: number };
  readonly #sink: ((line: TraceLine) => void) | undefined;

  constructor(
    where: () => { readonly nowMs: number; readonly stepCount: number },
    sink?: (line: TraceLine) => void,
  ) {
    this.#where = where;
    this.#sink = sink;
  }

  add(kind: string, jobId: number, text: string): void {
    const { nowMs, stepCount } = this.#where();
    const line = { atMs: nowMs, step: stepCount, kind, jobId, text };
    this.counts.set(kind, (this.counts.get(kind) ?? 0) + 1);
    this.#hash = hashText(`${nowMs} ${stepCount} ${kind} ${text}`, this.#hash);
    this.#lines.push(line);
    if (this.#lines.length > 2 * KEPT_MAX) this.#lines = this.#lines.slice(-KEPT_MAX);
    this.#sink?.(line);
  }

  /** Two runs that did the same have the same. */
  get fingerprint(): string {
    return this.#hash.toString(16).padStart(8, '0');
  }

  /** The last lines that concern a job, or any job for 0; faults of processes belong to all. */
  last(jobId: number, count: number): TraceLine[] {
    return this.#lines
      .filter((line) => jobId === 0 || line.jobId === jobId || line.jobId === 0)
      .slice(-count);
  }
}

export const formatLine = ({ atMs, step, kind, text }: TraceLine): string =>
  `${(atMs / 1000).toFixed(3).padStart(10)} s  #${step}  ${kind}: ${text}`;
