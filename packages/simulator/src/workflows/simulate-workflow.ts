import type { RunStatus } from '@majorana/core';
import { MemoryDatabase } from '@majorana/store/memory-store';
import { MemoryWorkflows } from '@majorana/store/memory-workflows';
import { AgentProcess } from '../agent-process.ts';
import { Disasters } from '../disasters.ts';
import type { FaultRates } from '../faults.ts';
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
import { SimulatedObjects } from './programs.ts';

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
  readonly statuses: readonly RunStatus[];
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
}

function build(seed: number, rates: FaultRates, onTrace?: (line: TraceLine) => void): Scene {
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
  const runIds = Array.from({ length: flows.int(1, RUNS_MAX) }, (_, at) => {
    const run = { project: 'default', user: 'somebody', idempotencyKey: undefined };
    const inputs = { values: {}, files: {} };
    return store.create({ ...run, inputs, definition: drawFlow(flows, `${at}`) }, 0);
  });
  server.boot();
  for (const agent of agents) agent.boot();
  return { world, server, agents, disasters: new Disasters(world, server, agents), store, runIds };
}

/** Every task of a step was made once: a second job for what one has made would run it again. */
function checkOnce({ world }: Scene): void {
  const seen = new Map<string, number>();
  for (const { jobId, spec } of world.database.jobs.values()) {
    const { run = '', step = '' } = spec.labels;
    const name = `${run} ${step}`;
    const other = seen.get(name);
    if (other !== undefined) {
      world.oracle.fail('once', `job_${jobId}`, `${name} had job_${other} already`);
    }
    seen.set(name, jobId);
  }
}

async function outputsOf({ store, runIds }: Scene): Promise<string[]> {
  return Promise.all(
    runIds.map(async (runId) => {
      const { state, round } = (await store.latestRound(runId))!;
      const lines: string[] = [];
      for (const path of Object.keys(state.steps).toSorted()) {
        lines.push(`${path} ${state.steps[path]!.status}`);
        const files = (await store.outputs({ runId, round }, [path], 'default')).get(path) ?? [];
        for (const { position, object } of files) {
          lines.push(`${path} ${position} ${object}`);
        }
      }
      return lines.join('\n');
    }),
  );
}

/** Runs of one seed: with faults for a while, then calm, until all of them have ended. */
export async function simulateWorkflows(
  seed: number,
  options: { readonly isCalm?: boolean; readonly onTrace?: (line: TraceLine) => void } = {},
): Promise<WorkflowReport> {
  const drawn = drawFaults(new Random(`workflow faults ${seed}`));
  const scene = build(seed, options.isCalm === true ? NO_FAULTS : drawn, options.onTrace);
  const { world, server, agents, disasters, store, runIds } = scene;
  const { time, trace, oracle, database } = world;
  let isEnded = false;
  const isQuiet = (): boolean => {
    isEnded ||= store.openCount === 0;
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
    checkOnce(scene);
    if (!isWrong() && !isQuiet()) oracle.fail('stuck', '', 'a run did not end');
  } finally {
    process.off('unhandledRejection', unhandled);
  }
  const runs = await Promise.all(runIds.map((runId) => store.find(runId)));
  const tasks = [...database.jobs.values()].map((job) => job.taskCount);
  return {
    seed,
    violation: oracle.violation,
    lastLines: isWrong() ? trace.last(0, LINES_MAX) : [],
    fingerprint: trace.fingerprint,
    virtualMs: time.nowMs,
    statuses: runs.map((run) => run!.status),
    outputs: await outputsOf(scene),
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
  options: { readonly onTrace?: (line: TraceLine) => void } = {},
): Promise<string | undefined> {
  const disturbed = await simulateWorkflows(seed, options);
  if (disturbed.violation !== undefined) return tell(disturbed);
  const calm = await simulateWorkflows(seed, { isCalm: true });
  if (calm.violation !== undefined) return `without faults: ${tell(calm)}`;
  const { statuses, outputs, taskCount } = disturbed;
  if (statuses.some((status) => status !== 'succeeded')) {
    return `workflow seed ${seed}: its runs ended as ${statuses.join(', ')}`;
  }
  const other = outputs.findIndex((text, at) => text !== calm.outputs[at]);
  if (other >= 0) {
    return `workflow seed ${seed}: run ${other + 1} has\n${outputs[other]}\nand undisturbed\n${calm.outputs[other]}`;
  }
  if (taskCount === calm.taskCount) return undefined;
  return `workflow seed ${seed}: ${taskCount} tasks, and undisturbed ${calm.taskCount}`;
}
