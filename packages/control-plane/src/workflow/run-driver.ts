import type { Command, Fact, Located, RunStatus } from '@majorana/core';
import { isFinalRun, locate, remainingMs, RunProgress } from '@majorana/core';
import type { OpenRuns, RoundRecord, RunRecord } from '@majorana/store';
import type { EngineClock } from '../engine/engine.ts';
import type { CommandParts, Learned } from './commands.ts';
import { Commands } from './commands.ts';
import type { Lanes } from './lanes.ts';
import { Troubles } from './troubles.ts';

/**
 * Jobs that one run holds open. The engine looks at every open job in each of its turns; who has
 * most ahead of it goes first, so that what is held back is what can wait.
 */
const OPEN_JOBS_MAX = 500;

export interface DriverPorts extends CommandParts {
  readonly runs: OpenRuns;
  readonly clock: EngineClock;
  /** Shared by all runs. */
  readonly lanes: Lanes;
  /** Whether the engine holds a job open: its changes are no news then. */
  readonly isOpenJob: (jobId: number) => boolean;
  readonly onJob: (runId: number, jobId: number) => void;
  readonly onJobDone: (jobId: number) => void;
  readonly onTrouble: (runId: number, error: Error) => void;
  /** What was called in too late for this driver is for the next. */
  readonly onEnd: (runId: number, status: RunStatus | undefined, calls: readonly Call[]) => void;
}

/** What somebody says and waits for; `resolve` when it is written. */
export interface Call {
  readonly fact: Fact;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}
/** What is to be taken in at the next turn. */
type Letter = Learned & Partial<Call>;

const isCall = (letter: Letter): letter is Call => letter.resolve !== undefined;

interface Loaded {
  readonly run: RunRecord;
  readonly round: RoundRecord;
  readonly progress: RunProgress;
  version: number;
}

const pathOf = (fact: Fact): string | undefined => ('path' in fact ? fact.path : undefined);

/**
 * One run that has not ended. Ideally each fact is advanced, written and followed at once; here a
 * turn takes all that has arrived and writes one transaction: steps, and what is true with them.
 * Memory holds nothing that is not written: when a write fails it is thrown away and read again.
 */
export class RunDriver {
  readonly runId: number;
  readonly #ports: DriverPorts;
  readonly #troubles = new Troubles();
  #loaded: Loaded | undefined;
  #letters: Letter[] = [];
  #isTurning = false;
  #isWoken = false;
  #isStopped = false;
  /** Commands that are being done, or wait for a lane or for their next try. */
  #doing = new Set<string>();
  #ready: { readonly command: Command; readonly aheadMs: number }[] = [];
  /** Steps whose job is being made. */
  #submitting = new Set<string>();
  #pathByJob = new Map<number, string>();

  constructor(runId: number, ports: DriverPorts) {
    this.runId = runId;
    this.#ports = ports;
  }

  troubleOf(path: string): string | undefined {
    return this.#troubles.of(path);
  }

  stop(): void {
    this.#isStopped = true;
  }

  /** Durable when it resolves. */
  tell(fact: Fact): Promise<void> {
    return new Promise((resolve, reject) => this.take({ fact, resolve, reject }));
  }

  take(letter: Letter): void {
    this.#letters.push(letter);
    void this.wake();
  }

  /** A job may have ended, or news may have been lost. */
  lookAtJobs(jobIds: Iterable<number> = this.#pathByJob.keys()): void {
    for (const jobId of jobIds) {
      const path = this.#pathByJob.get(jobId);
      if (path === undefined || this.#ports.isOpenJob(jobId)) continue;
      this.#do({ kind: 'await', path, jobId });
    }
  }

  /** Resolves when nothing is left to be done at once; rejects when the records cannot be used. */
  async wake(): Promise<void> {
    this.#isWoken = true;
    if (this.#isTurning || this.#isStopped) return;
    this.#isTurning = true;
    try {
      while (this.#isWoken && !this.#isStopped) {
        this.#isWoken = false;
        await this.#turn();
      }
    } catch (error) {
      this.#throwAway(error as Error);
      this.#ports.onTrouble(this.runId, error as Error);
    } finally {
      this.#isTurning = false;
    }
  }

  #throwAway(error: Error): void {
    this.#loaded = undefined;
    this.#doing = new Set();
    this.#ready = [];
    this.#submitting = new Set();
    for (const jobId of this.#pathByJob.keys()) this.#forgetJob(jobId);
    for (const letter of this.#letters.splice(0)) letter.reject?.(error);
  }

  async #load(): Promise<Loaded | undefined> {
    const { runs } = this.#ports;
    const run = await runs.find(this.runId);
    const round = await runs.latestRound(this.runId);
    if (run === undefined || round === undefined) return undefined;
    const progress = new RunProgress(round.definition, round.state);
    return { run, round, progress, version: round.version };
  }

  async #turn(): Promise<void> {
    const isFresh = this.#loaded === undefined;
    const loaded = (this.#loaded ??= await this.#load());
    if (loaded === undefined || isFinalRun(loaded.progress.status)) {
      for (const { resolve } of this.#letters.splice(0)) resolve?.();
      return this.#end(loaded);
    }
    const { progress } = loaded;
    const letters = this.#letters.splice(0);
    try {
      const statusBefore = progress.status;
      const facts = letters.map(({ fact }) => fact);
      const { changed, commands } = progress.advance(facts, this.#ports.clock.nowMs());
      if (changed.size > 0 || statusBefore !== progress.status) {
        // What came too late changed nothing, and what would be true with it is not.
        const writes = letters.flatMap(({ fact, write }) =>
          write !== undefined && changed.has(pathOf(fact) ?? '') ? [write] : [],
        );
        await this.#write(loaded, { status: progress.status, steps: changed, writes });
      }
      for (const { resolve } of letters) resolve?.();
      for (const path of changed.keys()) this.#troubles.clear(path);
      if (isFinalRun(progress.status)) return this.#end(loaded);
      for (const command of isFresh ? progress.outstanding() : commands) this.#start(command);
      this.#submitReady();
    } catch (error) {
      this.#letters.unshift(...letters);
      throw error;
    }
  }

  async #write(loaded: Loaded, change: Parameters<OpenRuns['write']>[1]): Promise<void> {
    const { round, version } = loaded;
    const address = { runId: round.runId, round: round.round, version };
    await this.#ports.runs.write(address, change, this.#ports.clock.nowMs());
    loaded.version += 1;
  }

  /** It may have been resumed before its end was heard of here: calls are about what is there now. */
  #end(loaded: Loaded | undefined): void {
    this.#isStopped = true;
    this.#ports.onEnd(this.runId, loaded?.progress.status, this.#letters.splice(0).filter(isCall));
  }

  #start(command: Command): void {
    if ('jobId' in command) {
      this.#pathByJob.set(command.jobId, command.path);
      this.#ports.onJob(this.runId, command.jobId);
    }
    if (command.kind === 'await') this.lookAtJobs([command.jobId]);
    else if (command.kind === 'submit') {
      this.#ready.push({ command, aheadMs: remainingMs(this.#locate(command.path)) });
    } else this.#do(command);
  }

  #forgetJob(jobId: number): void {
    this.#pathByJob.delete(jobId);
    this.#ports.onJobDone(jobId);
  }

  #locate(path: string): Located {
    const located = locate(this.#loaded!.round.definition, path);
    if (located === undefined) throw new Error(`run_${this.runId} has no step ${path}`);
    return located;
  }

  #submitReady(): void {
    this.#ready.sort((a, b) => b.aheadMs - a.aheadMs);
    const room = OPEN_JOBS_MAX - this.#pathByJob.size - this.#submitting.size;
    for (const { command } of this.#ready.splice(0, Math.max(0, room))) {
      this.#submitting.add(command.path);
      this.#do(command);
    }
  }

  #do(command: Command): void {
    const name = JSON.stringify(command);
    const doing = this.#doing;
    if (doing.has(name)) return;
    doing.add(name);
    void this.#try(command).then((learned) => {
      // Memory was thrown away meanwhile: what is outstanding was said again.
      if (doing !== this.#doing || this.#isStopped) return;
      if (learned === 'again') return;
      doing.delete(name);
      if (learned === undefined) return;
      if (command.kind === 'submit') this.#submitting.delete(command.path);
      if ('jobId' in command) this.#forgetJob(command.jobId);
      this.take(learned);
    });
  }

  async #try(command: Command): Promise<Learned | undefined | 'again'> {
    const { lanes, clock } = this.#ports;
    const doing = this.#doing;
    try {
      return await lanes.run(async () => {
        const loaded = this.#loaded;
        if (loaded === undefined || doing !== this.#doing || this.#isStopped) return undefined;
        const { run, round, progress } = loaded;
        const at = { run, round: { ...round, state: progress.state } };
        return new Commands(this.#ports, at, () => doing === this.#doing).do(command);
      });
    } catch (error) {
      const { path } = command;
      this.#ports.onTrouble(this.runId, error as Error);
      const verdict = this.#troubles.add(path, error as Error);
      if (verdict.kind === 'give_up') {
        return { fact: { kind: 'refused', path, reason: verdict.reason } };
      }
      clock.after(verdict.afterMs, () => {
        if (doing !== this.#doing) return;
        doing.delete(JSON.stringify(command));
        this.#do(command);
      });
      return 'again';
    }
  }
}
