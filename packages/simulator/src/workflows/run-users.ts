import type { WorkflowDefinition } from '@majorana/core';
import type { Random } from '../random.ts';
import type { ServerProcess } from '../server-process.ts';
import type { World } from '../world.ts';
import type { PlannedRound } from './planned-rounds.ts';

const PAUSE_MS_MEAN = 500;
/** Jobs that may be on their way as a cancel is acknowledged: as many as there are lanes. */
const SUBMITTING_MAX = 6;
/** Short: a run is resumed before whoever ended it has heard that it is written. */
const LOOK_MS_MEAN = 5;

/** People who cancel their runs and resume them changed, and ask again until they are answered. */
export class RunUsers {
  readonly #world: World;
  readonly #server: ServerProcess;
  readonly #random: Random;
  #openCount = 0;

  constructor(world: World, server: ServerProcess) {
    this.#world = world;
    this.#server = server;
    this.#random = world.random.stream('run users');
  }

  /** Nobody wants anything any more. */
  get areDone(): boolean {
    return this.#openCount === 0;
  }

  play(runId: number, rounds: readonly PlannedRound[]): void {
    this.#openCount += 1;
    void this.#playRun(runId, rounds).then(
      () => (this.#openCount -= 1),
      (error: Error) => this.#world.oracle.fail('simulator', '', String(error.stack)),
    );
  }

  async #playRun(runId: number, rounds: readonly PlannedRound[]): Promise<void> {
    for (const [at, { definition, cancelAfterMs }] of rounds.entries()) {
      const round = at + 1;
      if (at > 0) await this.#resume(runId, round, definition);
      if (cancelAfterMs === undefined) await this.#end(runId);
      else {
        await this.#sleep(cancelAfterMs);
        await this.#cancel(runId, round);
      }
    }
  }

  async #end(runId: number): Promise<void> {
    while ((await this.#store.find(runId))!.endedAtMs === null) {
      await this.#sleep(this.#random.exponential(LOOK_MS_MEAN));
    }
  }

  get #store(): NonNullable<World['workflows']>['store'] {
    return this.#world.workflows!.store;
  }

  async #resume(runId: number, round: number, definition: WorkflowDefinition): Promise<void> {
    this.#world.trace.add('resume_asked', 0, `run_${runId} round ${round}`);
    await this.#ask(async () => {
      // An answer that was lost: it is done.
      if ((await this.#store.find(runId))!.round === round) return;
      await this.#server.resumeRun(runId, definition);
    });
  }

  /** What was acknowledged holds: the round goes on to nothing new, and ends. */
  async #cancel(runId: number, round: number): Promise<void> {
    const { trace, oracle } = this.#world;
    trace.add('cancel_asked', 0, `run_${runId} round ${round}`);
    await this.#ask(() => this.#server.cancelRun(runId));
    const { state } = (await this.#store.rounds(runId))[round - 1]!;
    trace.add('cancelled', 0, `run_${runId} round ${round} ${state.status}`);
    if (state.status === 'running') {
      oracle.fail('cancelled', '', `round ${round} of run_${runId} runs on: its cancel is lost`);
    }
    const begun = await this.#store.instances(runId, round);
    const lastJobId = Math.max(0, ...this.#world.database.jobs.keys());
    await this.#end(runId);
    const inTheEnd = await this.#store.instances(runId, round);
    const name = `round ${round} of run_${runId}`;
    if (inTheEnd.length !== begun.length) {
      oracle.fail('cancelled', '', `${name} prepared ${inTheEnd.at(-1)!.path} after its cancel`);
    }
    const late = inTheEnd.filter(({ jobId }) => jobId !== null && jobId > lastJobId);
    if (late.length <= SUBMITTING_MAX) return;
    oracle.fail('cancelled', '', `${name} made ${late.length} jobs after its cancel`);
  }

  async #ask(act: () => Promise<void>): Promise<void> {
    while (!(await this.#isAnswered(act))) {
      await this.#sleep(this.#random.exponential(PAUSE_MS_MEAN));
    }
  }

  /** A server that dies answers nothing. */
  #isAnswered(act: () => Promise<void>): Promise<boolean> {
    const { life, isServing } = this.#server;
    if (!isServing || life === undefined) return Promise.resolve(false);
    return new Promise((resolve) => {
      const callOff = life.onEnd(() => resolve(false));
      const settle = (isWell: boolean): void => {
        callOff();
        resolve(isWell && life.isAlive);
      };
      act().then(
        () => settle(true),
        () => settle(false),
      );
    });
  }

  #sleep(delayMs: number): Promise<void> {
    return new Promise((resolve) => this.#world.time.schedule(delayMs, resolve));
  }
}
