import type { FSWatcher } from 'node:fs';
import { watch } from 'node:fs';
import { open, readdir, rm } from 'node:fs/promises';
import path from 'node:path';
import type { ObjectStore } from '@majorana/objects';
import { ObjectMissingError } from '@majorana/objects';
import type { EndedEvent, Lease, LogRequest } from '@majorana/protocol';
import type { AttemptHost, AttemptStanding } from '../engine/ports.ts';
import { LeaseRefusedError } from '../engine/ports.ts';
import type { KeptLease, ShimRecord } from './attempt-folder.ts';
import { AttemptFolder, isAlive, readBootId } from './attempt-folder.ts';
import { GpuPool } from './gpus.ts';
import { Launcher } from './launcher.ts';
import { endLeftovers } from './leftovers.ts';
import type { MemoryLimits } from './memory-groups.ts';
import { MemoryGroups } from './memory-groups.ts';
import { endedEvent } from './outcome.ts';
import { insideWork, storeResults } from './results.ts';
import { taskSpec } from './task-spec.ts';

export interface LocalHostOptions {
  readonly root: string;
  readonly gpuCount: number;
  readonly objects: ObjectStore;
  readonly memoryLimits: MemoryLimits;
  readonly log: (message: string, details: object) => void;
}

const REBOOTED = 'the machine was rebooted';

/** On a full disk what the program left behind, which nobody needs any more, makes way. */
async function withRoom<T>(folder: AttemptFolder, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
    await folder.removeWork();
    return work();
  }
}

/** Runs attempts as process trees on this machine. What it must not forget is in their folders. */
export class LocalHost implements AttemptHost, Disposable {
  readonly #options: LocalHostOptions;
  readonly #bootId: string;
  readonly #groups: MemoryGroups | undefined;
  readonly #gpus: GpuPool;
  readonly #launcher: Launcher;
  /** What their folders hold too: read once. */
  readonly #keptById = new Map<string, KeptLease>();
  readonly #shimById = new Map<string, ShimRecord>();
  #watcher: FSWatcher | undefined;

  private constructor(options: LocalHostOptions, bootId: string, groups: MemoryGroups | undefined) {
    this.#options = options;
    this.#bootId = bootId;
    this.#groups = groups;
    this.#gpus = new GpuPool(options.gpuCount);
    this.#launcher = new Launcher(options.log);
  }

  static async open(options: LocalHostOptions): Promise<LocalHost> {
    const { root, log, memoryLimits } = options;
    AttemptFolder.list(root);
    const groups = memoryLimits === 'groups' ? await MemoryGroups.open(root, log) : undefined;
    return new LocalHost(options, readBootId(), groups);
  }

  [Symbol.dispose](): void {
    this.#watcher?.close();
    this.#launcher[Symbol.dispose]();
    this.#groups?.close();
  }

  #folder(attemptId: string): AttemptFolder {
    return new AttemptFolder(this.#options.root, attemptId);
  }

  /** Removes what is left of a removal or an acceptance cut short, too. */
  async list(): Promise<{ readonly attemptId: string; readonly lease: Lease }[]> {
    const { root } = this.#options;
    const remembered: { attemptId: string; lease: Lease }[] = [];
    for (const folder of AttemptFolder.list(root)) {
      const { attemptId } = folder;
      const kept = folder.readLease();
      if (kept === undefined) {
        await folder.remove();
        continue;
      }
      this.#keptById.set(attemptId, kept);
      this.#gpus.retake(attemptId, kept.gpuIndices);
      remembered.push({ attemptId, lease: kept.lease });
    }
    const ids = new Set(remembered.map(({ attemptId }) => attemptId));
    await this.#groups?.clean(ids);
    for (const name of await readdir(path.join(root, 'exits'))) {
      if (!ids.has(name.replace(/\.tmp$/, '')))
        await rm(path.join(root, 'exits', name), { force: true });
    }
    return remembered;
  }

  async inspect(attemptId: string): Promise<AttemptStanding> {
    const folder = this.#folder(attemptId);
    const shim = this.#shim(folder);
    const event = folder.readOutcome();
    if (event !== undefined) return { kind: 'collected', event };
    const kept = this.#kept(folder);
    if (kept === undefined) return { kind: 'absent' };
    if (kept.bootId !== this.#bootId) return { kind: 'gone', reason: REBOOTED };
    if (shim === undefined) return { kind: folder.hasSpec() ? 'accepted' : 'absent' };
    if (shim.bootId !== this.#bootId) return { kind: 'gone', reason: REBOOTED };
    // Whether it lives is asked first: it may write the record between the two questions.
    const isGuarded = isAlive(shim);
    const exit = folder.readExit();
    if (exit !== undefined) return { kind: 'exited', event: endedEvent(exit, kept.lease, []) };
    return isGuarded
      ? { kind: 'running', startedAtMs: shim.startedAtMs }
      : { kind: 'gone', reason: 'its guard process was killed' };
  }

  #kept(folder: AttemptFolder): KeptLease | undefined {
    return this.#keptById.get(folder.attemptId) ?? folder.readLease();
  }

  #shim(folder: AttemptFolder): ShimRecord | undefined {
    const shim = this.#shimById.get(folder.attemptId) ?? folder.readShim();
    if (shim !== undefined) this.#shimById.set(folder.attemptId, shim);
    return shim;
  }

  async accept(lease: Lease): Promise<void> {
    const folder = this.#folder(lease.attemptId);
    const gpuIndices = this.#gpus.take(lease.attemptId, lease.resources.gpuCount);
    const kept = { lease, bootId: this.#bootId, gpuIndices };
    folder.writeLease(kept);
    this.#keptById.set(lease.attemptId, kept);
    for (const input of lease.inputs) {
      const target = insideWork(folder, input.path);
      if (target === undefined) {
        throw new LeaseRefusedError(`the input path ${input.path} leaves the working directory`);
      }
      await this.#options.objects.copyTo(input.object, target).catch((error: unknown) => {
        throw error instanceof ObjectMissingError ? new LeaseRefusedError(error.message) : error;
      });
    }
    const { memoryBytes } = lease.resources;
    const cgroup = this.#groups?.make(lease.attemptId, memoryBytes) ?? '';
    folder.writeSpec(taskSpec(lease, { folder, gpuIndices, cgroup }));
  }

  start(attemptId: string): Promise<void> {
    return this.#launcher.start(this.#folder(attemptId).folder);
  }

  async end(attemptId: string): Promise<void> {
    const shim = this.#shim(this.#folder(attemptId));
    if (shim !== undefined && isAlive(shim)) process.kill(shim.pid, 'SIGTERM');
  }

  async collect(attemptId: string): Promise<EndedEvent> {
    const folder = this.#folder(attemptId);
    const earlier = folder.readOutcome();
    if (earlier !== undefined) return earlier;
    const kept = this.#kept(folder);
    const exit = folder.readExit();
    if (kept === undefined || exit === undefined) throw new Error(`${attemptId} has not ended`);
    this.#gpus.release(attemptId);
    await folder.removeScratch();
    const store = async (): Promise<EndedEvent> => {
      const artifacts = await storeResults(kept.lease, folder, this.#options.objects);
      const event = endedEvent(exit, kept.lease, artifacts);
      folder.writeOutcome(event);
      return event;
    };
    // With outputs, a collection cut short needs them once more.
    return kept.lease.outputs.length > 0 ? store() : withRoom(folder, store);
  }

  async conclude(event: EndedEvent): Promise<void> {
    const folder = this.#folder(event.attemptId);
    if (!folder.claim(this.#bootId)) {
      const shim = this.#shim(folder);
      if (shim !== undefined && shim.bootId === this.#bootId) {
        if (isAlive(shim)) throw new Error(`${event.attemptId} runs`);
        // A start that was under way may have run its course since this was decided.
        const hasRun = event.startedAtMs === undefined && folder.readExit() !== undefined;
        if (hasRun) throw new Error(`${event.attemptId} has run`);
        await endLeftovers(folder.folder);
      }
    }
    this.#gpus.release(event.attemptId);
    await withRoom(folder, async () => folder.writeOutcome(event));
  }

  async readLog(request: LogRequest): Promise<Uint8Array> {
    const file = await open(this.#folder(request.attemptId).file(request.stream));
    try {
      const bytes = Buffer.alloc(request.bytesMax);
      const { bytesRead } = await file.read(bytes, 0, request.bytesMax, request.offset);
      return bytes.subarray(0, bytesRead);
    } finally {
      await file.close();
    }
  }

  async forget(attemptId: string): Promise<void> {
    await this.#folder(attemptId).remove();
    await this.#groups?.remove(attemptId);
    this.#gpus.release(attemptId);
    this.#keptById.delete(attemptId);
    this.#shimById.delete(attemptId);
  }

  onChange(callback: (attemptId: string) => void): void {
    const exits = path.join(this.#options.root, 'exits');
    try {
      this.#watcher = watch(exits, (_event, name) => {
        if (name !== null && !name.endsWith('.tmp')) callback(name);
      });
      this.#watcher.on('error', (error) => this.#logWatch(error));
    } catch (error) {
      this.#logWatch(error);
    }
  }

  /** The kernel has no watch left: ends are found by the sweep, up to a second later. */
  #logWatch(error: unknown): void {
    this.#options.log('ends of tasks are not notified', { error: String(error) });
  }
}
