import { watch } from 'node:fs';
import path from 'node:path';
import type { Resources } from '@majorana/core';
import type { FolderObjects } from '@majorana/objects';
import type { AgentOrders, AgentSync, AttemptEvent, Lease } from '@majorana/protocol';
import { AttemptFolder } from './attempt-folder.ts';
import type { EndedEvent } from './attempt-runner.ts';
import { collect, stage } from './attempt-runner.ts';
import { Launcher } from './launcher.ts';

/** One exchange with the control plane; rejects when there is no answer. */
export type Exchange = (sync: AgentSync, signal: AbortSignal) => Promise<AgentOrders>;

export interface LocalAgentOptions {
  readonly agentId: string;
  readonly root: string;
  readonly capacity: Resources;
  readonly objects: FolderObjects;
  readonly exchange: Exchange;
  readonly log: (message: string, details: object) => void;
}

interface Held {
  readonly folder: AttemptFolder;
  readonly lease: Lease;
  phase: 'staging' | 'started' | 'running' | 'collecting' | 'ended';
  isEnding: boolean;
}

/** The file system's notices may be lost; this looks at what they should have told. */
const SWEEP_MS = 1000;
const LONG_POLL_MS = 10_000;
const RETRY_MS = 200;

/** Runs leases as process trees on this machine. All its memory is in the attempts' folders. */
export class LocalAgent implements AsyncDisposable {
  readonly #options: LocalAgentOptions;
  readonly #held = new Map<string, Held>();
  readonly #launcher: Launcher;
  #events: AttemptEvent[] = [];
  #poll = new AbortController();
  #isPolling = false;
  #isStopped = false;
  #loop: Promise<void> = Promise.resolve();
  #sweeper: NodeJS.Timeout | undefined;
  #watcher: ReturnType<typeof watch> | undefined;

  constructor(options: LocalAgentOptions) {
    this.#options = options;
    this.#launcher = new Launcher(() => this.#relaunch());
  }

  async start(): Promise<void> {
    for (const folder of await AttemptFolder.list(this.#options.root)) await this.#reattach(folder);
    const exits = path.join(this.#options.root, 'exits');
    this.#watcher = watch(exits, (_event, name) => {
      if (name !== null && !name.endsWith('.tmp')) this.#onExit(name);
    });
    this.#sweeper = setInterval(() => void this.#sweep(), SWEEP_MS);
    this.#loop = this.#syncLoop();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isStopped = true;
    clearInterval(this.#sweeper);
    this.#watcher?.close();
    this.#poll.abort();
    await this.#loop;
    this.#launcher[Symbol.dispose]();
  }

  async #reattach(folder: AttemptFolder): Promise<void> {
    const lease = await folder.readLease();
    if (lease === undefined) {
      await folder.remove();
      return;
    }
    const held: Held = { folder, lease, phase: 'started', isEnding: false };
    this.#held.set(folder.attemptId, held);
    const outcome = await folder.readOutcome<EndedEvent>();
    if (outcome !== undefined) {
      held.phase = 'ended';
      this.#report(outcome);
    } else if ((await folder.shim()).state === 'absent') {
      void this.#begin(held);
    } else {
      this.#reportRunning(held);
      await this.#check(held);
    }
  }

  async #syncLoop(): Promise<void> {
    while (!this.#isStopped) {
      const events = this.#events;
      this.#events = [];
      this.#poll = new AbortController();
      this.#isPolling = events.length === 0;
      try {
        const orders = await this.#options.exchange(this.#message(events), this.#poll.signal);
        this.#isPolling = false;
        await this.#obey(orders);
      } catch (error) {
        this.#isPolling = false;
        this.#events = [...events, ...this.#events];
        if (this.#poll.signal.aborted) continue;
        this.#options.log('no answer from the control plane', { error: String(error) });
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      }
    }
  }

  #message(events: readonly AttemptEvent[]): AgentSync {
    const { agentId, capacity } = this.#options;
    const waitMs = events.length === 0 ? LONG_POLL_MS : 0;
    return { agentId, capacity, heldAttemptIds: [...this.#held.keys()], events, waitMs };
  }

  async #obey(orders: AgentOrders): Promise<void> {
    for (const attemptId of orders.forgetAttemptIds) {
      await this.#held.get(attemptId)?.folder.remove();
      this.#held.delete(attemptId);
    }
    for (const attemptId of orders.endAttemptIds) await this.#end(attemptId);
    for (const lease of orders.leases) {
      if (this.#held.has(lease.attemptId)) continue;
      const folder = new AttemptFolder(this.#options.root, lease.attemptId);
      const held: Held = { folder, lease, phase: 'staging', isEnding: false };
      this.#held.set(lease.attemptId, held);
      void this.#begin(held);
    }
  }

  /** News goes at once: a poll that only waits is cut short. */
  #report(event: AttemptEvent): void {
    this.#events.push(event);
    if (this.#isPolling) this.#poll.abort();
  }

  #reportRunning(held: Held): void {
    held.phase = 'running';
    this.#report({ kind: 'running', attemptId: held.folder.attemptId, atMs: Date.now() });
  }

  async #begin(held: Held): Promise<void> {
    const { folder, lease } = held;
    try {
      await folder.writeLease(lease);
      await stage(lease, folder, this.#options.objects);
    } catch (error) {
      await this.#finish(held, { error: (error as Error).message });
      return;
    }
    if (held.isEnding) {
      await this.#finish(held, { endedBy: 'cancel' });
      return;
    }
    held.phase = 'started';
    this.#launcher.start(folder.folder);
    this.#reportRunning(held);
  }

  #relaunch(): void {
    for (const held of this.#held.values()) {
      if (held.phase === 'running') this.#launcher.start(held.folder.folder);
    }
  }

  async #end(attemptId: string): Promise<void> {
    const held = this.#held.get(attemptId);
    if (held === undefined || held.phase === 'ended' || held.phase === 'collecting') return;
    held.isEnding = true;
    const { state, pid } = await held.folder.shim();
    if (state === 'alive') process.kill(pid, 'SIGTERM');
  }

  #onExit(attemptId: string): void {
    const held = this.#held.get(attemptId);
    if (held !== undefined) void this.#check(held);
  }

  /** Collects an attempt that has ended; one whose shim is gone without a record is lost. */
  async #check(held: Held): Promise<void> {
    if (held.phase !== 'running') return;
    const { state } = await held.folder.shim();
    const exit = await held.folder.readExit();
    if (held.phase !== 'running') return;
    if (exit !== undefined) {
      held.phase = 'collecting';
      const event = await collect(held.lease, held.folder, this.#options.objects, exit);
      held.phase = 'ended';
      this.#report(event);
    } else if (state === 'rebooted') await this.#finish(held, { lost: 'the machine was rebooted' });
    else if (state === 'dead') await this.#finish(held, { lost: 'its guard process was killed' });
  }

  async #finish(
    held: Held,
    cause: { readonly error?: string; readonly endedBy?: string; readonly lost?: string },
  ): Promise<void> {
    held.phase = 'ended';
    const outcome: EndedEvent['outcome'] =
      cause.lost !== undefined
        ? { kind: 'lost', reason: cause.lost }
        : cause.error === undefined
          ? { kind: 'cancelled', reason: 'cancelled before it started' }
          : { kind: 'start_error', reason: `could not start: ${cause.error}` };
    const base = {
      attemptId: held.folder.attemptId,
      atMs: Date.now(),
      peakMemoryBytes: 0,
      cpuTimeMs: 0,
    };
    this.#report({ ...base, kind: 'ended', outcome, artifacts: [] });
  }

  async #sweep(): Promise<void> {
    for (const held of this.#held.values()) {
      await this.#check(held);
      if (held.isEnding) await this.#end(held.folder.attemptId);
    }
  }
}
