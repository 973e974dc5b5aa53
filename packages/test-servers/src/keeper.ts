import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import type { Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';

/** A process by its number and the time it was started at: numbers are used again. */
export interface ProcessIdentity {
  readonly pid: number;
  readonly startedAtTicks: string;
}

/** What the keeper ends or removes when it is told to, or when whoever started it is gone. */
export type Kept =
  | { readonly process: ProcessIdentity }
  | { readonly folder: string }
  | { readonly cgroup: string };

export function identityOf(pid: number): ProcessIdentity | undefined {
  try {
    // The name stands in brackets and may hold spaces; the start time is field 22 of the line.
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ');
    return { pid, startedAtTicks: fields[19]! };
  } catch {
    return undefined;
  }
}

/** A process of its own session that outlives a killed test and leaves nothing of it behind. */
export class Keeper {
  readonly #input: Writable;
  readonly #closed: Promise<void>;

  constructor() {
    const program = fileURLToPath(new URL('./keeper-main.ts', import.meta.url));
    const child = spawn(process.execPath, [program], {
      detached: true,
      stdio: ['pipe', 'ignore', 'inherit'],
    });
    this.#input = child.stdin;
    this.#closed = new Promise((resolve, reject) => {
      child.on('error', reject);
      child.on('close', () => resolve());
    });
    // Whoever awaits stop() sees an error; before that it must not end the test's process.
    this.#closed.catch(() => undefined);
    this.#input.on('error', () => undefined);
  }

  keep(kept: Kept): void {
    this.#input.write(`${JSON.stringify(kept)}\n`);
  }

  keepProcess(pid: number): void {
    const identity = identityOf(pid);
    if (identity !== undefined) this.keep({ process: identity });
  }

  /** Ends what is kept, the youngest first, and then the keeper. */
  async stop(): Promise<void> {
    this.#input.end();
    await this.#closed;
  }
}
