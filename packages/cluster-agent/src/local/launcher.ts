import type { ChildProcessWithoutNullStreams } from 'node:child_process';
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { launcherPath } from '@majorana/launcher';

const RESTART_DELAY_MS = 100;
/** A shim tells its start within milliseconds, or was killed before it could. */
const ANSWER_PATIENCE_MS = 5000;

interface Pending {
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
  readonly timer: NodeJS.Timeout;
}

/** Keeps one native launcher alive and hands it attempt folders. Tasks are not its children. */
export class Launcher implements Disposable {
  #process: ChildProcessWithoutNullStreams | undefined;
  #isStopped = false;
  readonly #pending = new Map<string, Pending>();
  readonly #log: (message: string, details: object) => void;

  constructor(log: (message: string, details: object) => void) {
    this.#log = log;
    this.#spawn();
  }

  #spawn(): void {
    if (this.#isStopped) return;
    // Its own session: a Ctrl-C at the terminal must not reach it.
    const child = spawn(launcherPath(), ['serve'], { detached: true, stdio: 'pipe' });
    this.#process = child;
    child.stderr.resume();
    child.stdin.on('error', () => undefined);
    createInterface({ input: child.stdout }).on('line', (line) => this.#hear(line));
    const restart = (error: unknown): void => {
      if (this.#process !== child || this.#isStopped) return;
      this.#process = undefined;
      this.#log('the launcher ended; it is started again', { error: String(error) });
      setTimeout(() => this.#spawn(), RESTART_DELAY_MS);
    };
    child.once('error', restart);
    child.once('exit', (code, signal) => restart(signal ?? code));
    // What was handed to the last one may not have been read.
    for (const folder of this.#pending.keys()) child.stdin.write(`${folder}\n`);
  }

  #hear(line: string): void {
    const [kind, folder = '', why = ''] = line.split('\t');
    const pending = this.#pending.get(folder);
    if (pending === undefined) return;
    this.#pending.delete(folder);
    clearTimeout(pending.timer);
    if (kind === 'started') pending.resolve();
    else pending.reject(new Error(`the launcher could not fork: ${why}`));
  }

  /**
   * Resolves when the program has been started, now or before, or has failed to; or when nobody
   * told. A second start is harmless: the shim's exclusive file lets only one through.
   */
  start(folder: string): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const timer = setTimeout(() => this.#hear(`started\t${folder}`), ANSWER_PATIENCE_MS);
    this.#pending.set(folder, { resolve, reject, timer });
    this.#process?.stdin.write(`${folder}\n`);
    return promise;
  }

  [Symbol.dispose](): void {
    this.#isStopped = true;
    for (const folder of this.#pending.keys()) this.#hear(`started\t${folder}`);
    this.#process?.stdin.end();
  }
}
