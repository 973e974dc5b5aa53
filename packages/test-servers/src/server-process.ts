import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { until } from '@majorana/testing';
import type { Keeper } from './keeper.ts';

const READY_DEADLINE_MS = 60_000;
const TAIL_LINES = 25;

export interface ServerCommand {
  readonly name: string;
  readonly program: string;
  readonly args: readonly string[];
  /** Its log is written here, as <name>.log. */
  readonly folder: string;
  readonly environment?: NodeJS.ProcessEnv;
  /** True when it answers; asked until the deadline, and while the process lives. */
  readonly isReady: () => Promise<boolean>;
}

/** A server that a test started: ready, killed, started again. */
export class ServerProcess {
  readonly #command: ServerCommand;
  readonly #keeper: Keeper;
  #child: ChildProcess | undefined;

  private constructor(command: ServerCommand, keeper: Keeper) {
    this.#command = command;
    this.#keeper = keeper;
  }

  static async start(command: ServerCommand, keeper: Keeper): Promise<ServerProcess> {
    const server = new ServerProcess(command, keeper);
    await server.start();
    return server;
  }

  get logPath(): string {
    return path.join(this.#command.folder, `${this.#command.name}.log`);
  }

  get pid(): number {
    const pid = this.#child?.pid;
    if (pid === undefined) throw new Error(`${this.#command.name} does not run`);
    return pid;
  }

  get #isRunning(): boolean {
    const child = this.#child;
    return child?.pid !== undefined && child.exitCode === null && child.signalCode === null;
  }

  async start(): Promise<void> {
    const { name, program, args, folder, environment, isReady } = this.#command;
    const log = openSync(this.logPath, 'a', 0o600);
    const child = spawn(program, args, {
      cwd: folder,
      env: { PATH: process.env['PATH'], HOME: folder, ...environment },
      detached: true,
      stdio: ['ignore', log, log],
    });
    closeSync(log);
    this.#child = child;
    let failure: Error | undefined;
    child.on('error', (error) => (failure = error));
    if (child.pid !== undefined) this.#keeper.keepProcess(child.pid);
    try {
      await until(
        `${name} to be ready`,
        async () => {
          if (failure !== undefined) throw failure;
          if (!this.#isRunning) {
            throw new Error(`${name} ended with ${child.exitCode ?? child.signalCode}`);
          }
          return isReady();
        },
        READY_DEADLINE_MS,
      );
    } catch (error) {
      await this.kill();
      throw new Error(`${(error as Error).message}; its log ends:\n${await this.logEnd()}`, {
        cause: error,
      });
    }
  }

  async logEnd(): Promise<string> {
    const text = await readFile(this.logPath, 'utf8').catch(() => '');
    return text.trimEnd().split('\n').slice(-TAIL_LINES).join('\n');
  }

  /** As a crash would. */
  kill(): Promise<void> {
    return this.#end('SIGKILL');
  }

  /** As an operator would. */
  stop(): Promise<void> {
    return this.#end('SIGTERM');
  }

  /** Alive, with its connections open, and silent. */
  pause(): void {
    process.kill(this.pid, 'SIGSTOP');
  }

  resume(): void {
    process.kill(this.pid, 'SIGCONT');
  }

  async #end(signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    const child = this.#child;
    if (child === undefined || !this.#isRunning) return;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill(signal);
    await ended;
  }
}
