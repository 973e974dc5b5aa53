import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, openSync, closeSync, readFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import path from 'node:path';
import type { ObjectStore } from '@majorana/objects';
import type { EndedEvent, Lease, LogRequest, RunnerEnd } from '@majorana/protocol';
import { runnerPath } from '../../../../tools/build-runner.ts';
import type { AttemptHost, AttemptStanding } from '../engine/ports.ts';
import { parseRunnerEnd, runnerEndedEvent } from './runner-end.ts';

export interface RunnerHostOptions {
  readonly root: string;
  /** Of the control plane, or of what stands before it. */
  readonly url: () => string;
  readonly objects: ObjectStore;
  readonly readLog: (request: LogRequest) => Promise<Uint8Array>;
  /** Given to runners beside their own. */
  readonly env?: NodeJS.ProcessEnv;
  /** Put before the runner's own command line. */
  readonly wrapper?: () => readonly string[];
}

interface Pod {
  readonly lease: Lease;
  process?: ChildProcess;
  startedAtMs?: number;
  isOrdered: boolean;
}

/**
 * The runner as a process of this machine instead of a pod's: what a cluster does with it (a start,
 * a TERM, the termination message) and nothing else. It forgets its attempts with its process.
 */
export class TestRunnerHost implements AttemptHost, AsyncDisposable {
  readonly #options: RunnerHostOptions;
  readonly #pods = new Map<string, Pod>();
  #onChange: (attemptId: string) => void = () => undefined;

  constructor(options: RunnerHostOptions) {
    this.#options = options;
  }

  file(attemptId: string, name: string): string {
    return path.join(this.#options.root, attemptId, name);
  }

  pid(attemptId: string): number {
    return this.#pods.get(attemptId)!.process!.pid!;
  }

  async list(): Promise<{ readonly attemptId: string; readonly lease: Lease }[]> {
    return [...this.#pods].map(([attemptId, { lease }]) => ({ attemptId, lease }));
  }

  async inspect(attemptId: string): Promise<AttemptStanding> {
    const pod = this.#pods.get(attemptId);
    if (pod === undefined) return { kind: 'absent' };
    if (pod.process === undefined) return { kind: 'accepted' };
    const { exitCode, signalCode } = pod.process;
    if (exitCode === null && signalCode === null) {
      return { kind: 'running', startedAtMs: pod.startedAtMs! };
    }
    if (existsSync(this.file(attemptId, 'message'))) return { kind: 'exited' };
    return { kind: 'gone', reason: `the runner ended without a word: ${signalCode ?? exitCode}` };
  }

  async accept(lease: Lease): Promise<void> {
    mkdirSync(path.join(this.#options.root, lease.attemptId), { recursive: true });
    this.#pods.set(lease.attemptId, { lease, isOrdered: false });
  }

  async start(attemptId: string): Promise<void> {
    const pod = this.#pods.get(attemptId)!;
    if (pod.process !== undefined) return;
    const outputs = ['container.stdout', 'container.stderr'].map((name) =>
      openSync(this.file(attemptId, name), 'w'),
    );
    pod.startedAtMs = Date.now();
    const args = [
      '--folder',
      this.file(attemptId, ''),
      '--message',
      this.file(attemptId, 'message'),
    ];
    const runner = runnerPath(process.arch === 'arm64' ? 'arm64' : 'amd64');
    const [program, ...rest] = [...(this.#options.wrapper?.() ?? []), runner, 'run', ...args];
    pod.process = spawn(program!, rest, {
      // As a pod's: alone, and with nothing of this machine but where its programs are.
      env: {
        PATH: process.env['PATH'],
        MAJORANA_RUNNER_URL: this.#options.url(),
        MAJORANA_RUNNER_TOKEN: pod.lease.runnerToken,
        MAJORANA_ATTEMPT_ID: attemptId,
        ...this.#options.env,
      },
      stdio: ['ignore', outputs[0]!, outputs[1]!],
      detached: true,
    });
    for (const fd of outputs) closeSync(fd);
    pod.process.once('exit', () => this.#onChange(attemptId));
  }

  async end(attemptId: string): Promise<void> {
    const pod = this.#pods.get(attemptId)!;
    pod.isOrdered = true;
    pod.process?.kill('SIGTERM');
  }

  message(attemptId: string): RunnerEnd {
    return parseRunnerEnd(readFileSync(this.file(attemptId, 'message'), 'utf8'))!;
  }

  collect(attemptId: string): Promise<EndedEvent> {
    const { lease, isOrdered } = this.#pods.get(attemptId)!;
    const { objects } = this.#options;
    const context = { lease, objects, isOrdered, nowMs: Date.now() };
    return runnerEndedEvent(this.message(attemptId), context);
  }

  async conclude(event: EndedEvent): Promise<void> {
    this.#pods.delete(event.attemptId);
  }

  readLog(request: LogRequest): Promise<Uint8Array> {
    return this.#options.readLog(request);
  }

  async forget(attemptId: string): Promise<void> {
    this.#pods.delete(attemptId);
    await rm(path.join(this.#options.root, attemptId), { recursive: true, force: true });
  }

  onChange(callback: (attemptId: string) => void): void {
    this.#onChange = callback;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { process: runner } of this.#pods.values()) {
      if (runner?.exitCode === null && runner.signalCode === null) runner.kill('SIGKILL');
    }
  }
}
