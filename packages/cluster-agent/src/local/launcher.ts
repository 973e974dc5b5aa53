import type { ChildProcessWithoutNullStreams } from 'node:child_process';
import { spawn } from 'node:child_process';
import { launcherPath } from '@majorana/launcher';

const RESTART_DELAY_MS = 100;

/** Keeps one native launcher alive and hands it attempt folders. Tasks are not its children. */
export class Launcher implements Disposable {
  #process: ChildProcessWithoutNullStreams | undefined;
  #isStopped = false;
  readonly #onRestart: () => void;

  /** `onRestart`: what was handed over last may not have been started; hand it over again. */
  constructor(onRestart: () => void) {
    this.#onRestart = onRestart;
    this.#spawn();
  }

  #spawn(): void {
    // Its own session: a Ctrl-C at the terminal must not reach it.
    const child = spawn(launcherPath(), ['serve'], { detached: true, stdio: 'pipe' });
    this.#process = child;
    child.stdout.resume();
    child.stderr.resume();
    child.stdin.on('error', () => undefined);
    child.on('error', () => undefined);
    child.on('close', () => {
      if (this.#isStopped) return;
      setTimeout(() => {
        this.#spawn();
        this.#onRestart();
      }, RESTART_DELAY_MS);
    });
  }

  /** Starting a folder twice is harmless: the shim's exclusive file lets only one through. */
  start(folder: string): void {
    this.#process?.stdin.write(`${folder}\n`);
  }

  [Symbol.dispose](): void {
    this.#isStopped = true;
    this.#process?.stdin.end();
  }
}
