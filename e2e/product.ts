import { execFile } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

export const cli = fileURLToPath(new URL('../packages/cli/bin/majorana', import.meta.url));

export interface CliResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** The real product in a folder of its own, driven by the real command. */
export class Product implements AsyncDisposable {
  readonly data = mkdtempSync(path.join(os.tmpdir(), 'majorana-e2e-'));
  readonly #environment: NodeJS.ProcessEnv;

  constructor(environment: NodeJS.ProcessEnv = {}) {
    this.#environment = environment;
  }

  run(...args: string[]): Promise<CliResult> {
    return new Promise((resolve) => {
      const env = { ...process.env, ...this.#environment, MAJORANA_DATA: this.data };
      execFile(cli, args, { env, maxBuffer: 1e8 }, (error, stdout, stderr) => {
        resolve({
          code: typeof error?.code === 'number' ? error.code : error === null ? 0 : 1,
          stdout,
          stderr,
        });
      });
    });
  }

  async ok(...args: string[]): Promise<string> {
    const result = await this.run(...args);
    if (result.code !== 0)
      throw new Error(`majorana ${args.join(' ')}: ${result.code} ${result.stderr}`);
    return result.stdout.trim();
  }

  async json<T>(...args: string[]): Promise<T> {
    return JSON.parse(await this.ok(...args, '--json')) as T;
  }

  /** Processes of this product whose command line has a text: its parts name the data folder. */
  processes(text: string): number[] {
    return readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .map(Number)
      .filter((pid) => {
        const line = commandLine(pid);
        return line.includes(this.data) && line.includes(text);
      });
  }

  /** The launcher's command line names no folder: it is known as the agent's child. */
  launchers(): number[] {
    return this.processes('cluster-agent').flatMap((agent) =>
      readFileSync(`/proc/${agent}/task/${agent}/children`, 'utf8')
        .split(' ')
        .filter((pid) => pid !== '')
        .map(Number),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.run('down');
    rmSync(this.data, { recursive: true, force: true, maxRetries: 5 });
  }
}

function commandLine(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
  } catch {
    return '';
  }
}

/** Kills what is still there; a process may end between being found and being killed. */
export function kill(pids: readonly number[]): void {
  for (const pid of pids) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      continue;
    }
  }
}

export { until } from '@majorana/testing';
