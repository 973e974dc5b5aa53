import type { Command, Fact } from '@majorana/core';
import { advance, isFinalRun } from '@majorana/core';
import type { RoundRecord, WorkflowRuns } from '@majorana/store';
import { RoundChangedError } from '@majorana/store';
import type { FastifyBaseLogger } from 'fastify';
import { UnavailableError } from '../engine/engine.ts';
import type { CommandPorts, RoundAt } from './commands.ts';
import { Commands } from './commands.ts';

/** News of a job may be lost with a reload of the engine: so often all are looked at. */
const LOOK_MS = 2000;
const COMMANDS_AT_ONCE = 8;

export interface LoopPorts extends CommandPorts {
  readonly runs: WorkflowRuns;
  /** Whether the engine holds a job open: its changes are no news then. */
  readonly isOpenJob: (jobId: number) => boolean;
  readonly log: FastifyBaseLogger;
}

interface Letter {
  readonly fact: Fact;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

/** A run that has not ended, as this loop knows it. */
interface OpenRun {
  letters: Letter[];
  isDriving: boolean;
  isWoken: boolean;
}

/**
 * Drives runs. Ideally each fact is advanced, written and commanded at once; here a run takes all
 * that is known, writes, and then does everything its state commands, until only jobs are waited
 * for. Nothing is kept but what is written: after a kill the same commands come out of the state.
 */
export class WorkflowLoop {
  readonly #ports: LoopPorts;
  readonly #open = new Map<number, OpenRun>();
  readonly #runByJob = new Map<number, number>();
  #timer: NodeJS.Timeout | undefined;
  /** Not before this process is the one engine: a standby must not act. */
  #isStarted = false;
  #isStopped = false;

  constructor(ports: LoopPorts) {
    this.#ports = ports;
  }

  async start(): Promise<void> {
    this.#isStarted = true;
    await this.#wakeAll();
    this.#timer = setInterval(() => {
      this.#wakeAll().catch((error: Error) => this.#tell(error, 'open runs cannot be read'));
    }, LOOK_MS);
    this.#timer.unref();
  }

  stop(): void {
    this.#isStopped = true;
    clearInterval(this.#timer);
  }

  async #wakeAll(): Promise<void> {
    for (const runId of await this.#ports.runs.openRunIds()) this.wake(runId);
  }

  /** Told by the engine; a job that is still open is no news. */
  onJobs(jobIds: readonly number[]): void {
    for (const jobId of jobIds) {
      const runId = this.#runByJob.get(jobId);
      if (runId !== undefined && !this.#ports.isOpenJob(jobId)) this.wake(runId);
    }
  }

  wake(runId: number): void {
    if (!this.#isStarted) return;
    const run = this.#openRun(runId);
    run.isWoken = true;
    if (!run.isDriving && !this.#isStopped) void this.#drive(runId, run);
  }

  /** Durable when it resolves. */
  cancel(runId: number): Promise<void> {
    if (!this.#isStarted) {
      return Promise.reject(new UnavailableError('this server is not the one engine; ask again'));
    }
    return new Promise((resolve, reject) => {
      this.#openRun(runId).letters.push({ fact: { kind: 'cancel_requested' }, resolve, reject });
      this.wake(runId);
    });
  }

  #openRun(runId: number): OpenRun {
    const known = this.#open.get(runId);
    if (known !== undefined) return known;
    const run: OpenRun = { letters: [], isDriving: false, isWoken: false };
    this.#open.set(runId, run);
    return run;
  }

  async #drive(runId: number, run: OpenRun): Promise<void> {
    run.isDriving = true;
    try {
      while (run.isWoken && !this.#isStopped) {
        run.isWoken = false;
        await this.#goOn(runId, run);
      }
    } catch (error) {
      for (const letter of run.letters.splice(0)) letter.reject(error as Error);
      // It is woken again soon; a lost database, or a round written by another, is passing.
      if (!(error instanceof RoundChangedError)) this.#tell(error as Error, `run_${runId} waits`);
    } finally {
      run.isDriving = false;
    }
  }

  async #goOn(runId: number, open: OpenRun): Promise<void> {
    const { runs, nowMs } = this.#ports;
    const run = await runs.find(runId);
    let round = await runs.latestRound(runId);
    let facts: Fact[] = [];
    while (run !== undefined && round !== undefined && !this.#isStopped) {
      const letters = open.letters.splice(0);
      facts.push(...letters.map(({ fact }) => fact));
      const { state, commands } = advance(round.definition, round.state, facts, nowMs());
      try {
        if (JSON.stringify(state) !== JSON.stringify(round.state)) {
          round = await runs.write(round, state, nowMs());
        }
      } catch (error) {
        open.letters.unshift(...letters);
        throw error;
      }
      for (const letter of letters) letter.resolve();
      if (isFinalRun(state.status)) return this.#forget(runId, round);
      facts = await this.#doAll({ run, round }, commands);
      if (facts.length === 0 && open.letters.length === 0) return;
    }
  }

  async #doAll(at: RoundAt, commands: readonly Command[]): Promise<Fact[]> {
    const doing = new Commands(this.#ports, at);
    const facts: Fact[] = [];
    for (let first = 0; first < commands.length; first += COMMANDS_AT_ONCE) {
      const some = commands.slice(first, first + COMMANDS_AT_ONCE);
      for (const command of some) {
        if ('jobId' in command) this.#runByJob.set(command.jobId, at.run.runId);
      }
      const waiting = some.filter(
        (one) => one.kind !== 'await' || !this.#ports.isOpenJob(one.jobId),
      );
      const learned = await Promise.all(waiting.map((command) => doing.do(command)));
      facts.push(...learned.filter((fact) => fact !== undefined));
    }
    return facts;
  }

  #forget(runId: number, { state }: RoundRecord): void {
    this.#open.delete(runId);
    for (const step of Object.values(state.steps)) {
      if ('jobId' in step && step.jobId !== null) this.#runByJob.delete(step.jobId);
    }
    this.#ports.log.info({ runId, status: state.status }, 'workflow run ended');
  }

  #tell(error: Error, what: string): void {
    this.#ports.log.error({ error: error.stack }, what);
  }
}
