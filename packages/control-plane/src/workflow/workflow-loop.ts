import type { RunStatus } from '@majorana/core';
import type { OpenRuns } from '@majorana/store';
import { RoundChangedError } from '@majorana/store';
import type { EngineClock } from '../engine/engine.ts';
import { UnavailableError } from '../engine/engine.ts';
import type { CommandParts } from './commands.ts';
import { Lanes } from './lanes.ts';
import { RunDriver } from './run-driver.ts';

/** News of a job may be lost with a reload of the engine: so often all are looked at. */
const LOOK_MS = 2000;
/** Of eleven sessions that readers have; a run's write takes one more. */
const COMMANDS_AT_ONCE = 6;

export interface LoopPorts extends CommandParts {
  readonly runs: OpenRuns;
  readonly clock: EngineClock;
  /** Whether the engine holds a job open: its changes are no news then. */
  readonly isOpenJob: (jobId: number) => boolean;
  readonly onEnd: (runId: number, status: RunStatus | undefined) => void;
  readonly onTrouble: (error: Error, what: string) => void;
}

/** All runs that have not ended, each with a driver of its own. */
export class WorkflowLoop {
  readonly #ports: LoopPorts;
  readonly #lanes = new Lanes(COMMANDS_AT_ONCE);
  readonly #drivers = new Map<number, RunDriver>();
  readonly #runByJob = new Map<number, number>();
  #cancelTimer: () => void = () => undefined;
  /** Not before this process is the one engine: a standby must not act. */
  #isStarted = false;
  #isStopped = false;

  constructor(ports: LoopPorts) {
    this.#ports = ports;
  }

  async start(): Promise<void> {
    this.#isStarted = true;
    await this.#wakeAll();
    this.#schedule();
  }

  stop(): void {
    this.#isStopped = true;
    this.#cancelTimer();
    for (const driver of this.#drivers.values()) driver.stop();
  }

  #schedule(): void {
    this.#cancelTimer = this.#ports.clock.after(LOOK_MS, () => {
      this.#wakeAll()
        .catch((error: Error) => this.#ports.onTrouble(error, 'open runs cannot be read'))
        .finally(() => {
          if (!this.#isStopped) this.#schedule();
        });
    });
  }

  async #wakeAll(): Promise<void> {
    for (const driver of this.#drivers.values()) driver.lookAtJobs();
    for (const runId of await this.#ports.runs.openRunIds()) this.wake(runId);
  }

  /** Told by the engine; a job that is still open is no news. */
  onJobs(jobIds: readonly number[]): void {
    for (const jobId of jobIds) {
      const runId = this.#runByJob.get(jobId);
      if (runId !== undefined) this.#drivers.get(runId)?.lookAtJobs([jobId]);
    }
  }

  wake(runId: number): void {
    if (this.#isStarted && !this.#isStopped) void this.#driver(runId).wake();
  }

  /** Durable when it resolves. */
  cancel(runId: number): Promise<void> {
    if (!this.#isStarted || this.#isStopped) {
      return Promise.reject(new UnavailableError('this server is not the one engine; ask again'));
    }
    return this.#driver(runId).tell({ kind: 'cancel_requested' });
  }

  /** What keeps a step of an open run from going on, for a person. */
  troubleOf(runId: number, path: string): string | undefined {
    return this.#drivers.get(runId)?.troubleOf(path);
  }

  #driver(runId: number): RunDriver {
    const known = this.#drivers.get(runId);
    if (known !== undefined) return known;
    const { onTrouble, onEnd } = this.#ports;
    const driver = new RunDriver(runId, {
      ...this.#ports,
      lanes: this.#lanes,
      onJob: (id, jobId) => this.#runByJob.set(jobId, id),
      onJobDone: (jobId) => this.#runByJob.delete(jobId),
      onTrouble: (id, error) => {
        // It is woken again soon; a round written by another is passing.
        if (!(error instanceof RoundChangedError)) onTrouble(error, `run_${id} waits`);
      },
      onEnd: (id, status, calls) => {
        this.#drivers.delete(id);
        onEnd(id, status);
        for (const call of calls) this.#driver(id).take(call);
      },
    });
    this.#drivers.set(runId, driver);
    return driver;
  }
}
