import { MemoryDatabase } from '@majorana/store/memory-store';
import { MemoryWorkflows } from '@majorana/store/memory-workflows';
import { AgentProcess } from '../agent-process.ts';
import { Disasters } from '../disasters.ts';
import { drawFaults, Faults, NO_FAULTS } from '../faults.ts';
import { Machine } from '../machine.ts';
import { Network } from '../network.ts';
import type { Violation } from '../oracle.ts';
import { Oracle } from '../oracle.ts';
import { Random } from '../random.ts';
import { ServerProcess } from '../server-process.ts';
import type { TraceLine } from '../trace.ts';
import { formatLine, Trace } from '../trace.ts';
import { VirtualTime } from '../virtual-time.ts';
import type { World } from '../world.ts';
import { drawFlow } from './flow.ts';
import { drawRounds } from './planned-rounds.ts';
import { SimulatedObjects } from './programs.ts';
import { outputsOf, strayJob, wrongWithRounds } from './round-check.ts';
import { RunUsers } from './run-users.ts';

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const GIBIBYTE = 2 ** 30;
const FAULTS_MS = 3 * MINUTE;
/** Retries of a command wait for a minute at most, leases of a lost agent for three. */
const STUCK_MS = 60 * MINUTE;
const RUNS_MAX = 3;
const LINES_MAX = 60;

export interface WorkflowReport {
  readonly seed: number;
  readonly violation: Violation | undefined;
  readonly lastLines: readonly TraceLine[];
  readonly fingerprint: string;
  readonly virtualMs: number;
  /** What each run's steps have stored, by path and position. */
  readonly outputs: readonly string[];
  readonly taskCount: number;
  readonly countsByKind: ReadonlyMap<string, number>;
}

interface Scene {
  readonly world: World;
  readonly server: ServerProcess;
  readonly agents: readonly AgentProcess[];
  readonly disasters: Disasters;
  readonly store: MemoryWorkflows;
  readonly runIds: readonly number[];
  readonly users: RunUsers;
}

export interface RunOptions {
  readonly isCalm?: boolean;
  /** Runs are cancelled at any moment, and resumed with a changed step. */
  readonly areResumed?: boolean;
  readonly onTrace?: (line: TraceLine) => void;
}

function build(seed: number, { isCalm, areResumed, onTrace }: RunOptions): Scene {
  const drawn = drawFaults(new Random(`workflow faults ${seed}`));
  const rates = isCalm === true ? NO_FAULTS : drawn;
  const random = new Random(`workflow seed ${seed}`);
  const time = new VirtualTime();
  const database = new MemoryDatabase();
  const trace = new Trace(() => time, onTrace);
  const oracle = new Oracle(database, trace, () => time);
  const store = new MemoryWorkflows(database);
  const workflows = { store, objects: new SimulatedObjects() };
  const world: World = {
    time,
    trace,
    faults: new Faults(rates),
    oracle,
    database,
    random,
    workflows,
  };
  const server = new ServerProcess(world);
  const network = new Network(world, server);
  const programs = {
    durationMsMin: 100,
    durationMsMax: random.stream('programs').spread(1 * SECOND, 60 * SECOND),
    flakyPercent: 0,
    brokenPercent: 0,
    isSound: true,
  };
  const capacity = {
    cpuMillis: 4000,
    memoryBytes: 8 * GIBIBYTE,
    scratchBytes: 8 * GIBIBYTE,
    shmBytes: 0,
    gpuCount: 0,
    countable: {},
  };
  const agents = ['agent-0', 'agent-1'].map((name) => {
    oracle.addAgent(name, capacity);
    return new AgentProcess(world, new Machine(world, name, capacity, programs), network);
  });
  const flows = random.stream('flows');
  const users = new RunUsers(world, server);
  const runIds = Array.from({ length: flows.int(1, RUNS_MAX) }, (_, at) => {
    const definition = drawFlow(flows, `${at}`);
    const run = { project: 'default', user: 'somebody', idempotencyKey: undefined };
    const inputs = { values: {}, files: {} };
    const runId = store.create({ ...run, inputs, definition }, 0);
    if (areResumed === true)
      users.play(runId, drawRounds(random.stream(`rounds/${at}`), definition));
    return runId;
  });
  server.boot();
  for (const agent of agents) agent.boot();
  const disasters = new Disasters(world, server, agents);
  return { world, server, agents, disasters, store, runIds, users };
}

/** When all has ended well: what was made is what had to be, and is there. */
async function checkRuns({ world, store, runIds }: Scene): Promise<void> {
  const { database, oracle } = world;
  if (oracle.violation !== undefined) return;
  const stray = await strayJob(store, database, runIds);
  if (stray !== undefined) oracle.fail('once', '', stray);
  for (const runId of runIds) {
    const wrong = await wrongWithRounds(store, database, runId);
    if (wrong !== undefined) oracle.fail('rounds', '', `run_${runId} ${wrong}`);
  }
}

/** Runs of one seed: with faults for a while, then calm, until all of them have ended. */
export async function simulateWorkflows(
  seed: number,
  options: RunOptions = {},
): Promise<WorkflowReport> {
  const scene = build(seed, options);
  const { world, server, agents, disasters, store, runIds, users } = scene;
  const { time, trace, oracle, database } = world;
  let isEnded = false;
  const isQuiet = (): boolean => {
    isEnded ||= store.openCount === 0 && users.areDone;
    return isEnded && database.openJobIds.size === 0 && agents.every((one) => one.machine.isEmpty);
  };
  const isWrong = (): boolean => oracle.violation !== undefined;
  const unhandled = (error: unknown): void => {
    oracle.fail('unhandled', '', error instanceof Error ? String(error.stack) : String(error));
  };
  process.on('unhandledRejection', unhandled);
  try {
    disasters.start();
    await time.run(FAULTS_MS, isWrong);
    disasters.stop();
    await time.run(FAULTS_MS + STUCK_MS, () => isWrong() || isQuiet());
    server.checkMemory();
    if (!isWrong() && !isQuiet()) oracle.fail('stuck', '', 'a run did not end');
    await checkRuns(scene);
  } finally {
    process.off('unhandledRejection', unhandled);
  }
  const tasks = [...database.jobs.values()].map((job) => job.taskCount);
  return {
    seed,
    violation: oracle.violation,
    lastLines: isWrong() ? trace.last(0, LINES_MAX) : [],
    fingerprint: trace.fingerprint,
    virtualMs: time.nowMs,
    outputs: await Promise.all(
      runIds.map(async (runId) => outputsOf(store, (await store.latestRound(runId))!)),
    ),
    taskCount: tasks.reduce((sum, count) => sum + count, 0),
    countsByKind: trace.counts,
  };
}

function tell({ seed, violation, lastLines }: WorkflowReport): string {
  const lines = lastLines.map((line) => `  ${formatLine(line)}`).join('\n');
  return `workflow seed ${seed}: ${violation!.rule} ${violation!.about}: ${violation!.text}\n${lines}`;
}

/** A seed's runs under faults against the same ones undisturbed; undefined: all is as it must be. */
export async function wrongWithRuns(
  seed: number,
  options: Pick<RunOptions, 'onTrace'> = {},
): Promise<string | undefined> {
  const disturbed = await simulateWorkflows(seed, options);
  if (disturbed.violation !== undefined) return tell(disturbed);
  const calm = await simulateWorkflows(seed, { isCalm: true });
  if (calm.violation !== undefined) return `without faults: ${tell(calm)}`;
  const { outputs, taskCount } = disturbed;
  const other = outputs.findIndex((text, at) => text !== calm.outputs[at]);
  if (other >= 0) {
    return `workflow seed ${seed}: run ${other + 1} has\n${outputs[other]}\nand undisturbed\n${calm.outputs[other]}`;
  }
  if (taskCount === calm.taskCount) return undefined;
  return `workflow seed ${seed}: ${taskCount} tasks, and undisturbed ${calm.taskCount}`;
}

/** The same with users who cancel and resume; what must come of it is predicted round by round. */
export async function wrongWithResumed(
  seed: number,
  options: Pick<RunOptions, 'onTrace'> = {},
): Promise<string | undefined> {
  const report = await simulateWorkflows(seed, { ...options, areResumed: true });
  return report.violation && tell(report);
}
