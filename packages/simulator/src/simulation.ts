import { newCluster } from '@majorana/control-plane/engine/clusters';
import type { Resources } from '@majorana/core';
import { LEASE_TTL_MS_MIN } from '@majorana/protocol';
import { MemoryDatabase } from '@majorana/store/memory-store';
import { AgentProcess } from './agent-process.ts';
import { Disasters } from './disasters.ts';
import { drawFaults, Faults } from './faults.ts';
import type { FaultRates } from './faults.ts';
import { EPOCH_MS } from './life.ts';
import { Machine } from './machine.ts';
import { Network } from './network.ts';
import { Oracle } from './oracle.ts';
import type { Violation } from './oracle.ts';
import type { ProgramShape } from './programs.ts';
import { Random } from './random.ts';
import { ServerProcess } from './server-process.ts';
import { Trace } from './trace.ts';
import type { TraceLine } from './trace.ts';
import { Users } from './users.ts';
import { VirtualTime } from './virtual-time.ts';
import { planWorkload } from './workload.ts';
import type { World } from './world.ts';

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const GIBIBYTE = 2 ** 30;

/** What is absent is drawn from the seed. */
export interface SimulationOptions {
  readonly seed: number;
  readonly taskCount?: number | undefined;
  readonly agentCount?: number | undefined;
  readonly faults?: FaultRates | undefined;
  /** Called with each line as it happens. */
  readonly onTrace?: (line: TraceLine) => void;
}

export interface SimulationReport {
  readonly seed: number;
  readonly violation: Violation | undefined;
  /** The last lines that concern the violation's job. */
  readonly lastLines: readonly TraceLine[];
  readonly fingerprint: string;
  readonly stepCount: number;
  readonly virtualMs: number;
  readonly jobCount: number;
  readonly runCount: number;
  readonly countsByKind: ReadonlyMap<string, number>;
}

const FAULTS_MS = 5 * MINUTE;
/** Programs run for minutes and back-offs last seconds: where nothing moves for so long, it is stuck. */
const STUCK_MS = 10 * MINUTE;
/** Where something moves for ever, it goes in circles. */
const QUIET_WITHIN_MS = 14 * 24 * 60 * MINUTE;
const LINES_MAX = 40;
/** The engine's whole memory is walked only now and then: it costs as much as twenty steps. */
const MEMORY_CHECK_STEPS = 50;

interface Scale {
  readonly taskCount: number;
  readonly agentCount: number;
  /** No more tasks than this in one job. */
  readonly jobTasksMax: number;
  /** Submissions are spread over this time. */
  readonly spanMs: number;
  readonly programs: ProgramShape;
  /** How much users interfere: cancels and retries for each job. */
  readonly zeal: number;
}

/** Crowded and idle, large and small: what hides in one shows in another. */
function drawScale(random: Random, options: SimulationOptions): Scale {
  const taskCount = Math.floor(random.spread(20, 400));
  const agentCount = random.int(1, 6);
  const jobsAtLeast = random.int(1, 10);
  const spanMs = random.spread(5 * SECOND, 4 * MINUTE);
  // Some programs outlast the lease of an agent that is away.
  const durationMsMax = random.spread(2 * SECOND, 200 * SECOND);
  const tasks = options.taskCount ?? taskCount;
  return {
    taskCount: tasks,
    agentCount: options.agentCount ?? agentCount,
    jobTasksMax: Math.ceil(tasks / jobsAtLeast),
    spanMs,
    programs: {
      durationMsMin: durationMsMax / 400,
      durationMsMax,
      flakyPercent: random.spread(1, 40),
      brokenPercent: random.spread(1, 30),
    },
    zeal: random.spread(0.5, 6),
  };
}

function drawCapacity(random: Random, isLargest: boolean): Resources {
  return {
    cpuMillis: isLargest ? 4000 : random.pick([1000, 2000, 4000]),
    memoryBytes: (isLargest ? 8 : random.pick([2, 4, 8])) * GIBIBYTE,
    scratchBytes: 8 * GIBIBYTE,
    shmBytes: 0,
    gpuCount: isLargest ? 2 : random.int(0, 1),
    countable: isLargest ? { licence: 3 } : {},
  };
}

/** Less than `STUCK_MS`: the leases of one that is lost for good have ended by then. */
const LEASE_TTL_MS_MAX = 7 * MINUTE;

/** Some agents are those of clusters, for whose return is waited longer than for a machine's. */
function makeClusters(random: Random, database: MemoryDatabase, names: readonly string[]): void {
  const clusters = names
    .filter(() => random.chance(1 / 3))
    .map((name) => ({
      ...newCluster(name, EPOCH_MS),
      leaseTtlMs: random.int(LEASE_TTL_MS_MIN, LEASE_TTL_MS_MAX),
      dataPricePerGb: random.pick([0, 0.02, 0.09]),
    }));
  const nothing = {
    jobs: [],
    tasks: [],
    attempts: [],
    transitions: [],
    artifacts: [],
    queues: [],
  };
  database.apply({ ...nothing, clusters });
}

interface Scene {
  readonly world: World;
  readonly server: ServerProcess;
  readonly agents: readonly AgentProcess[];
  readonly users: Users;
  readonly disasters: Disasters;
}

/** The one place where a simulated installation is put together. */
function build(options: SimulationOptions): Scene {
  const random = new Random(`seed ${options.seed}`);
  const time = new VirtualTime();
  const database = new MemoryDatabase();
  const trace = new Trace(() => time, options.onTrace);
  const faults = new Faults(options.faults ?? drawFaults(random.stream('faults')));
  const oracle = new Oracle(database, trace, () => time);
  const world: World = { time, trace, faults, oracle, database, random };
  const server = new ServerProcess(world);
  const network = new Network(world, server);
  const scale = drawScale(random.stream('scale'), options);
  const capacities = random.stream('capacities');
  const agents = Array.from({ length: scale.agentCount }, (_, number) => {
    const capacity = drawCapacity(capacities, number === 0);
    const machine = new Machine(world, `agent-${number}`, capacity, scale.programs);
    oracle.addAgent(machine.name, capacity);
    return new AgentProcess(world, machine, network);
  });
  const names = agents.map(({ machine }) => machine.name);
  makeClusters(random.stream('clusters'), database, names);
  const users = new Users(world, network);
  const shape = { ...scale, largest: agents[0]!.machine.capacity };
  const jobs = planWorkload(random.stream('workload'), shape, database);
  server.boot();
  for (const agent of agents) agent.boot();
  users.play(jobs);
  users.playQueues(FAULTS_MS);
  return { world, server, agents, users, disasters: new Disasters(world, server, agents) };
}

/** One run from its seed: faults for a while, then calm, until nothing is left to be done. */
export async function simulate(options: SimulationOptions): Promise<SimulationReport> {
  const { world, server, agents, users, disasters } = build(options);
  const { time, trace, oracle, database } = world;
  const isWrong = (): boolean => {
    if (time.stepCount % MEMORY_CHECK_STEPS === 0) server.checkMemory();
    return oracle.violation !== undefined;
  };
  const unhandled = (error: unknown): void => {
    oracle.fail('unhandled', '', error instanceof Error ? String(error.stack) : String(error));
  };
  process.on('unhandledRejection', unhandled);
  try {
    disasters.start();
    await time.run(FAULTS_MS, isWrong);
    disasters.stop();
    const isQuiet = (): boolean =>
      users.areDone &&
      database.openJobIds.size === 0 &&
      agents.every((agent) => agent.machine.isEmpty);
    for (let sequence = -1; !isWrong() && !isQuiet() && time.nowMs < QUIET_WITHIN_MS;) {
      if (users.areDone && sequence === database.lastSequence) break;
      sequence = database.lastSequence;
      await time.run(time.nowMs + STUCK_MS, () => isWrong() || isQuiet());
    }
    if (!isWrong()) {
      if (!users.areDone) oracle.fail('end', '', 'a user was never answered');
      oracle.checkEnd(agents.flatMap((agent) => agent.machine.keptIds));
    }
  } finally {
    process.off('unhandledRejection', unhandled);
  }
  const about = /^job_(\d+)/.exec(oracle.violation?.about ?? '');
  return {
    seed: options.seed,
    violation: oracle.violation,
    lastLines: isWrong() ? trace.last(Number(about?.[1] ?? 0), LINES_MAX) : [],
    fingerprint: trace.fingerprint,
    stepCount: time.stepCount,
    virtualMs: time.nowMs,
    jobCount: database.jobs.size,
    runCount: oracle.runCount,
    countsByKind: trace.counts,
  };
}
