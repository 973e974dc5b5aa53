import { AgentGateway } from '@majorana/control-plane/api/agent-gateway';
import { Engine, NotFoundError } from '@majorana/control-plane/engine/engine';
import type { EngineClock, EngineListener } from '@majorana/control-plane/engine/engine';
import type { LoopPorts } from '@majorana/control-plane/workflow/workflow-loop';
import { WorkflowLoop } from '@majorana/control-plane/workflow/workflow-loop';
import { ENGINE_LIMITS } from '@majorana/control-plane/engine/limits';
import type { EngineLimits } from '@majorana/control-plane/engine/limits';
import type { AgentOrders, AgentSync, JobSpec, QueueSettings } from '@majorana/protocol';
import { agentSyncSchema } from '@majorana/protocol';
import type { EngineStore } from '@majorana/store';
import type { TaskState, WorkflowDefinition } from '@majorana/core';
import { checkEngineState } from './engine-state.ts';
import { FaultyStore, StoreOutage } from './faulty-store.ts';
import { Life } from './life.ts';
import type { Caller } from './outside-calls.ts';
import type { Random } from './random.ts';
import { faultyWorkflows } from './workflows/faulty-workflows.ts';
import type { World } from './world.ts';

const RESTART_MS_MEAN = 1000;

interface Workflows {
  readonly loop: WorkflowLoop;
  readonly runs: ReturnType<typeof faultyWorkflows>;
}

/** The control plane's process: the production engine, started again after each crash. */
export class ServerProcess {
  readonly #world: World;
  readonly #random: Random;
  readonly #limits: EngineLimits;
  readonly outage = new StoreOutage();
  life: Life | undefined;
  #engine: Engine | undefined;
  #bootCount = 0;
  #gateway: AgentGateway | undefined;
  #workflows: Workflows | undefined;

  constructor(world: World) {
    this.#world = world;
    this.#random = world.random.stream('server');
    this.#limits = drawLimits(world.random.stream('limits'));
  }

  get isServing(): boolean {
    return this.#engine !== undefined;
  }

  boot(): void {
    const { time, trace, faults, database, oracle } = this.#world;
    this.#bootCount += 1;
    const name = `server#${this.#bootCount}`;
    const life = new Life(time, faults.drawClock(this.#random));
    this.life = life;
    trace.add('boot', 0, name);
    const crash = (why: string): void => this.crash(why);
    const caller = { name, life, crash };
    const store = new FaultyStore(database.connect(), this.#world, caller, this.outage);
    const clock = {
      nowMs: () => life.nowMs(),
      after: (delayMs: number, act: () => void) => life.after(delayMs, act),
    };
    let wake = (_agentIds: readonly string[]): void => undefined;
    const listener: EngineListener = {
      onCommit: () => undefined,
      onJobs: (jobIds) => loop?.onJobs(jobIds),
      onAgents: (agentIds) => wake(agentIds),
      onReload: (error) => {
        trace.add('reload', 0, `${name} ${error.message}`);
        // Whatever else makes it throw its memory away is a mistake of its own.
        if (!error.message.startsWith('simulated')) oracle.fail('engine', '', String(error.stack));
      },
    };
    const engine = new Engine(store, clock, listener, this.#limits);
    const gateway = new AgentGateway(engine, clock);
    wake = (agentIds) => gateway.wake(agentIds);
    const workflows = this.#makeWorkflows(engine, store, clock, caller);
    const loop = workflows?.loop;
    const start = async (): Promise<void> => {
      await engine.start();
      await loop?.start();
    };
    start().then(
      () => {
        if (!life.isAlive) return;
        this.#engine = engine;
        this.#gateway = gateway;
        this.#workflows = workflows;
        trace.add('ready', 0, name);
      },
      (error: Error) => {
        if (life.isAlive) this.crash(`could not start: ${error.message}`);
      },
    );
  }

  /** As `makeWorkflows` has it. */
  #makeWorkflows(
    engine: Engine,
    engineStore: EngineStore,
    clock: EngineClock,
    caller: Caller,
  ): Workflows | undefined {
    const { workflows, database, trace } = this.#world;
    if (workflows === undefined) return undefined;
    const store = faultyWorkflows(workflows.store, this.#world, caller);
    const loop = new WorkflowLoop({
      engine,
      reads: { job: async (jobId) => database.jobs.get(jobId) },
      store: engineStore,
      results: store,
      runs: store,
      objects: workflows.objects as unknown as LoopPorts['objects'],
      clock,
      isOpenJob: (jobId) => engine.isReady && engine.state.jobs.has(jobId),
      onEnd: (runId, status) => trace.add('run_ended', 0, `run_${runId} ${status}`),
      onTrouble: (error, what) => trace.add('run_trouble', 0, `${what}: ${error.message}`),
    });
    return { loop, runs: store };
  }

  crash(why: string): void {
    if (this.life?.isAlive !== true) return;
    this.#world.trace.add('fault.server_crash', 0, why);
    this.#engine = undefined;
    this.#gateway = undefined;
    this.#workflows = undefined;
    this.life.end();
    this.#world.time.schedule(this.#random.exponential(RESTART_MS_MEAN), () => this.boot());
  }

  /** What is wrong with the engine's memory, if anything is. */
  checkMemory(): void {
    if (this.#engine?.isReady !== true) return;
    const wrong = checkEngineState(this.#engine.state);
    if (wrong !== undefined)
      this.#world.oracle.fail('memory', /job_\d+/.exec(wrong)?.[0] ?? '', wrong);
  }

  submit(spec: JobSpec): Promise<{ readonly jobId: number; readonly isNew: boolean }> {
    return this.#ready().submit(spec);
  }

  async cancel(jobId: number, position: number | undefined): Promise<number> {
    const { oracle } = this.#world;
    const mark = oracle.onCancelAsked(jobId, position);
    const engine = this.#ready();
    const count = await (position === undefined
      ? engine.cancelJob(jobId)
      : engine.cancelTask(jobId, position));
    if (this.#engine === engine) oracle.onCancelled(mark);
    return count;
  }

  async retry(jobId: number, states: readonly TaskState[]): Promise<number> {
    const { life } = this;
    let isOpen = true;
    this.#world.oracle.onRetryAsked(jobId, () => isOpen && life?.isAlive === true);
    try {
      return await this.#ready().retry(jobId, { states });
    } finally {
      isOpen = false;
    }
  }

  async setQueue(name: string, settings: QueueSettings): Promise<void> {
    const mark = this.#world.oracle.onQueueAsked(name);
    const engine = this.#ready();
    await engine.setQueue(name, settings);
    if (this.#engine === engine) this.#world.oracle.onQueueSet(mark, settings);
  }

  async cancelRun(runId: number): Promise<void> {
    await this.#workflows!.loop.cancel(runId);
  }

  /** As the API's route has it. */
  async resumeRun(runId: number, definition: WorkflowDefinition): Promise<void> {
    const { loop, runs } = this.#workflows!;
    const { inputs } = (await runs.latestRound(runId))!;
    const change = { definition, inputs };
    const isNew = await runs.resume(runId, change, this.#world.time.nowMs);
    if (!isNew) throw new Error(`run_${runId} has not ended`);
    loop.wake(runId);
  }

  /** As the API's route has it: checked by the schema, then handed to the gateway. */
  async sync(sent: AgentSync): Promise<AgentOrders> {
    const checked = agentSyncSchema.safeParse(sent);
    if (!checked.success) {
      this.#world.oracle.fail('protocol', '', `a sync that is refused: ${checked.error.message}`);
      throw new Error('invalid sync');
    }
    if (this.#gateway === undefined) throw new Error('the server is not ready');
    const orders = await this.#gateway.exchange(checked.data);
    this.#world.oracle.onOrders(checked.data.agentId, orders);
    return orders;
  }

  #ready(): Engine {
    if (this.#engine === undefined) throw new Error('the server is not ready');
    return this.#engine;
  }
}

/** In every other seed the limits are so small that each is met all the time. */
function drawLimits(random: Random): EngineLimits {
  if (random.chance(0.5)) return ENGINE_LIMITS;
  return {
    queuedWindowMax: random.int(2, 12),
    readyPerJobMax: random.int(2, 8),
    leasesPerTurnMax: random.int(1, 6),
    leasesPerAnswerMax: random.int(1, 6),
    bulkRowsMax: random.int(2, 12),
  };
}

/** Said once and for all: asking again gets the same answer. */
export const isFinal = (error: Error): boolean => error instanceof NotFoundError;
