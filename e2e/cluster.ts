import type { ChildProcess } from 'node:child_process';
import { execFileSync, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { until } from '@majorana/testing';
import type { Product } from './product.ts';

const main = fileURLToPath(new URL('../packages/cli/src/main.ts', import.meta.url));

/** A cluster's agent as a process of its own, for a product that is up. */
export class ClusterAgent implements AsyncDisposable {
  readonly #args: readonly string[];
  readonly #product: Product;
  #tokenFile: string | undefined;
  /** Of Node: a module that sets its clock wrong, say. */
  readonly nodeArgs: string[] = [];
  #process: ChildProcess | undefined;
  #log = '';

  constructor(product: Product, url: string, args: readonly string[]) {
    this.#args = ['--url', url, ...args];
    this.#product = product;
  }

  /** Of its own, unless the test has given it one. */
  #tokenArgs(): string[] {
    if (this.#args.some((arg) => arg.startsWith('--token-file'))) return [];
    const line = this.#args.join(' ');
    const name = /--name[ =](\S+)/.exec(line)![1]!;
    if (this.#tokenFile === undefined) {
      const env = { ...process.env, MAJORANA_DATA: this.#product.data };
      const create = [main, 'tokens', 'create', name, '--role', 'agent'];
      const token = execFileSync(process.execPath, create, {
        env,
        stdio: ['ignore', 'pipe', 'pipe'],
      });
      this.#tokenFile = path.join(this.#product.data, `agent-${randomUUID()}.token`);
      writeFileSync(this.#tokenFile, token, { mode: 0o600 });
    }
    return ['--token-file', this.#tokenFile];
  }

  async start(): Promise<void> {
    this.launch();
    await this.says('the agent is ready');
  }

  /** Of two of one name the second stands by: it does not get ready. */
  launch(): void {
    this.#log = '';
    const own = [...this.#args, ...this.#tokenArgs()];
    const args = [...this.nodeArgs, main, 'agent', 'kubernetes', ...own];
    const child = spawn(process.execPath, args, {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => (this.#log += text));
    this.#process = child;
  }

  async says(text: string): Promise<void> {
    await until(`the agent to say that ${text}`, () => {
      const code = this.#process?.exitCode ?? null;
      if (code !== null) throw new Error(`the agent ended with ${code}: ${this.#log.slice(-2000)}`);
      return this.#log.includes(text);
    });
  }

  /** What it said so far answers no later question. */
  forgetLog(): void {
    this.#log = '';
  }

  get exitCode(): number | null {
    return this.#process?.exitCode ?? null;
  }

  get log(): string {
    return this.#log;
  }

  /** Alive, with its connections open, and silent. */
  pause(): void {
    this.#process?.kill('SIGSTOP');
  }

  resume(): void {
    this.#process?.kill('SIGCONT');
  }

  /** Answers with its exit code. */
  terminate(): Promise<number | null> {
    return new Promise((resolve) => {
      this.#process!.once('exit', resolve);
      this.#process!.kill('SIGTERM');
    });
  }

  get pid(): number {
    return this.#process!.pid!;
  }

  kill(signal: 'SIGKILL' | 'SIGTERM' = 'SIGKILL'): Promise<void> {
    const child = this.#process;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null)
      return Promise.resolve();
    return new Promise((resolve) => {
      child.once('exit', () => resolve());
      child.kill(signal);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }
}
