import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { until } from '@majorana/testing';
import type { Product } from './product.ts';

const main = fileURLToPath(
  new URL('../packages/cluster-agent/src/kubernetes-main.ts', import.meta.url),
);

/** A cluster's agent as a process of its own, for a product that is up. */
export class ClusterAgent implements AsyncDisposable {
  readonly #args: readonly string[];
  /** Of Node: a module that sets its clock wrong, say. */
  readonly nodeArgs: string[] = [];
  #process: ChildProcess | undefined;
  #log = '';

  constructor(product: Product, url: string, args: readonly string[]) {
    this.#args = ['--url', url, '--token-file', path.join(product.data, 'token'), ...args];
  }

  async start(): Promise<void> {
    this.#log = '';
    const child = spawn(process.execPath, [...this.nodeArgs, main, ...this.#args], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => (this.#log += text));
    this.#process = child;
    await until('the agent to be ready', () => {
      if (child.exitCode !== null) throw new Error(`the agent ended: ${this.#log.slice(-2000)}`);
      return this.#log.includes('the agent is ready');
    });
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

  kill(): Promise<void> {
    const child = this.#process;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null)
      return Promise.resolve();
    return new Promise((resolve) => {
      child.once('exit', () => resolve());
      child.kill('SIGKILL');
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }
}
