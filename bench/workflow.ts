import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { Readable } from 'node:stream';
import type { WorkflowDefinition } from '@majorana/core';
import { FolderObjects } from '@majorana/objects';
import type { AgentSync, JobSpec, WorkflowInput } from '@majorana/protocol';
import { jobSpecSchema, workflowSchema } from '@majorana/protocol';
import { writeParameterSet } from '@majorana/store';
import { TestPostgres } from '@majorana/testing';
import { pino } from 'pino';
import { ControlPlane } from '../packages/control-plane/src/control-plane.ts';
import type { Figure } from './figure.ts';
import { seconds, timed } from './figure.ts';
import { processorMs } from './processor.ts';

const SLOTS = 250;
const CHAIN = 100;
const ELEMENTS = 100_000;
const RUNS = 1000;
const FAN_OUT_TURNS = 3;
const SPREAD = 1000;

/** The whole server over a real PostgreSQL, and an agent whose tasks end at once. */
class Bench implements AsyncDisposable {
  readonly parts: ControlPlane;
  readonly #postgres: TestPostgres;
  readonly #folder: string;
  #object = '';
  #events: AgentSync['events'] = [];

  private constructor(postgres: TestPostgres, folder: string) {
    this.#postgres = postgres;
    this.#folder = folder;
    const log = pino({ level: process.env['BENCH_LOG'] ?? 'silent' });
    const objects = new FolderObjects(path.join(folder, 'objects'));
    const uploads = path.join(folder, 'uploads');
    const databaseUrl = postgres.url;
    this.parts = new ControlPlane({ databaseUrl, objects, uploads, keepDays: 30, log });
  }

  static async start(): Promise<Bench> {
    const postgres = await TestPostgres.start();
    const bench = new Bench(postgres, await mkdtemp(path.join(os.tmpdir(), 'majorana-bench-')));
    await bench.parts.server();
    await bench.parts.start(async () => undefined);
    bench.#object = (await bench.put('a result\n')).object;
    return bench;
  }

  put(text: string): Promise<{ object: string }> {
    return this.parts.objects.putStream(Readable.from([Buffer.from(text)]));
  }

  async start(definition: WorkflowInput, files: Record<string, string> = {}): Promise<number> {
    const checked = workflowSchema.parse(definition) as unknown as WorkflowDefinition;
    const named = Object.entries(files).map(([name, object]) => [name, [{ path: name, object }]]);
    const inputs = { values: {}, files: Object.fromEntries(named) as never };
    const run = { project: 'default', user: 'bench', definition: checked, inputs };
    const { runId } = await this.parts.workflows.runs.create(
      { ...run, idempotencyKey: undefined },
      Date.now(),
    );
    this.parts.workflows.loop.wake(runId);
    return runId;
  }

  /** Exchanges with the agent until nothing is open; answers how many tasks ended. */
  async play(isOver: () => Promise<boolean>): Promise<number> {
    let count = 0;
    for (let idle = 0; ;) {
      const orders = await this.parts.gateway.exchange(this.#sync(idle > 0 ? 20 : 0));
      this.#events = orders.leases.map(({ attemptId, outputs }) => ({
        kind: 'ended',
        attemptId,
        atMs: Date.now(),
        outcome: { kind: 'succeeded', exitCode: 0, reason: 'exit code 0' },
        peakMemoryBytes: 0,
        cpuTimeMs: 0,
        artifacts: outputs.map((file) => ({
          role: 'output' as const,
          path: file,
          object: this.#object,
          sizeBytes: 9,
        })),
      }));
      count += orders.leases.length;
      idle = orders.leases.length > 0 ? 0 : idle + 1;
      if (idle > 1 && (await isOver())) return count;
    }
  }

  #sync(waitMs: number): AgentSync {
    const capacity = {
      cpuMillis: SLOTS * 1000,
      memoryBytes: SLOTS * 2 ** 31,
      scratchBytes: 0,
      shmBytes: 0,
      gpuCount: 0,
      countable: {},
    };
    const events = this.#events;
    return { agentId: 'bench', capacity, heldAttemptIds: [], events, logChunks: [], waitMs };
  }

  async isQuiet(): Promise<boolean> {
    return (await this.parts.workflows.runs.openRunIds()).length === 0;
  }

  async mustHaveSucceeded(runIds: readonly number[]): Promise<void> {
    for (const runId of runIds) {
      const status = (await this.parts.workflows.runs.find(runId))?.status;
      if (status !== 'succeeded') throw new Error(`run_${runId} is ${status}`);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.parts.stop();
    await this.#postgres[Symbol.asyncDispose]();
    await rm(this.#folder, { recursive: true, force: true });
  }
}

const step = (from: readonly string[]): WorkflowInput['steps'][string] => ({
  argv: ['work'],
  inputs: from.map((name) => ({ path: name, from: `${name}/out` })),
  outputs: ['out'],
  isRepeatable: false,
});

/** Chains of equal length between a first step and one that takes from the end of each. */
function chains(name: string, width: number, length: number): WorkflowInput {
  const steps: Record<string, WorkflowInput['steps'][string]> = { first: step([]) };
  for (let lane = 0; lane < width; lane += 1) {
    for (let at = 0; at < length; at += 1) {
      steps[`s${lane}_${at}`] = step([at === 0 ? 'first' : `s${lane}_${at - 1}`]);
    }
  }
  steps['last'] = step(Array.from({ length: width }, (_, lane) => `s${lane}_${length - 1}`));
  return { name, steps };
}

const perStep = (ms: number, count: number): string => `${(ms / count).toFixed(1)} ms a step`;
const cpuMs = (from: NodeJS.CpuUsage): number => {
  const { user, system } = process.cpuUsage(from);
  return (user + system) / 1000;
};

async function oneRun(width: number, length: number): Promise<{ ms: number; cpu: number }> {
  await using bench = await Bench.start();
  const before = process.cpuUsage();
  const { ms } = await timed(async () => {
    const runId = await bench.start(chains('steps', width, length));
    await bench.play(() => bench.isQuiet());
    await bench.mustHaveSucceeded([runId]);
  });
  return { ms, cpu: cpuMs(before) };
}

async function stepFigures(): Promise<Figure[]> {
  const small = await oneRun(10, CHAIN);
  const large = await oneRun(100, CHAIN);
  const beside = (one: { ms: number; cpu: number }, count: number): string =>
    `${perStep(one.ms, count)}, of it ${(one.cpu / count).toFixed(1)} ms of the server's processor`;
  return [
    {
      name: '1,000 steps in one run: 10 chains of 100',
      value: seconds(small.ms),
      beside: beside(small, 1000),
    },
    {
      name: '10,000 steps in one run: 100 chains of 100',
      value: seconds(large.ms),
      beside: beside(large, 10_000),
    },
  ];
}

async function runFigures(): Promise<Figure[]> {
  await using bench = await Bench.start();
  const before = process.cpuUsage();
  const { ms } = await timed(async () => {
    const runIds: number[] = [];
    for (let run = 0; run < RUNS; run += 1) {
      runIds.push(await bench.start(chains(`run${run}`, 2, 1)));
    }
    await bench.play(() => bench.isQuiet());
    await bench.mustHaveSucceeded(runIds);
  });
  return [
    {
      name: `${RUNS} runs of four steps, all begun at once`,
      value: seconds(ms),
      beside: `${perStep(ms, RUNS * 4)}, of it ${(cpuMs(before) / RUNS / 4).toFixed(1)} ms of the server's processor`,
    },
  ];
}

/** The same tasks as a plain array: the same records, programs and outputs. */
async function plainArray(bench: Bench): Promise<void> {
  async function* records(): AsyncGenerator<string> {
    for (let line = 0; line < ELEMENTS; line += 1)
      yield JSON.stringify({ line: `molecule ${line}` });
  }
  const set = await writeParameterSet(bench.parts.store.pool, records(), () => ({
    recordCount: ELEMENTS,
    fieldNames: ['line'],
  }));
  const spec: JobSpec = {
    ...jobSpecSchema.parse({ argv: ['work', '{line}'], outputs: ['out'] }),
    array: { kind: 'parameter_set', ...set, fieldNames: ['line'] },
  };
  const { jobId } = await bench.parts.engine.submit(spec);
  await bench.play(async () => !bench.parts.engine.state.jobs.has(jobId));
}

async function fanOut(bench: Bench, list: string, tag: string): Promise<void> {
  const runId = await bench.start(
    {
      name: 'fan',
      inputs: { list: { kind: 'file' } },
      steps: {
        work: {
          each: { kind: 'lines', from: 'list' },
          argv: ['work', '{line}'],
          env: { TAG: tag },
          outputs: ['out'],
        },
      },
    },
    { list },
  );
  await bench.play(() => bench.isQuiet());
  await bench.mustHaveSucceeded([runId]);
}

interface Phases {
  readonly submittedMs: number;
  readonly jobMs: number;
}

/** Of the latest run's one step: until its job was there, and while its job ran. */
async function phases(bench: Bench): Promise<Phases> {
  const { rows } = await bench.parts.store.pool.query<Phases>(
    `select (j.submitted_at_ms - r.started_at_ms)::float8 as "submittedMs",
       (j.ended_at_ms - j.submitted_at_ms)::float8 as "jobMs"
     from workflow_instance i join job j using (job_id) join workflow_round r using (run_id, round)
     order by i.run_id desc limit 1`,
  );
  return rows[0]!;
}

interface Cost {
  readonly ms: number;
  readonly processorMs: number;
}

async function costOf(act: () => Promise<void>): Promise<Cost> {
  const before = processorMs();
  const { ms } = await timed(act);
  return { ms, processorMs: processorMs() - before };
}

/** The two by turns: what else the machine does meets both. */
async function fanOutFigures(): Promise<Figure[]> {
  await using bench = await Bench.start();
  const lines = Array.from({ length: ELEMENTS }, (_, line) => `molecule ${line}\n`).join('');
  const { object } = await bench.put(lines);
  const plain: Cost[] = [];
  const fan: Cost[] = [];
  for (let turn = 0; turn < FAN_OUT_TURNS; turn += 1) {
    plain.push(await costOf(() => plainArray(bench)));
    fan.push(await costOf(() => fanOut(bench, object, `turn ${turn}`)));
  }
  const { submittedMs, jobMs } = await phases(bench);
  const again = await timed(() => fanOut(bench, object, 'turn 0'));
  const each = (ms: number): string => `${((ms * 1000) / ELEMENTS).toFixed(0)} us`;
  const least = (costs: readonly Cost[], what: keyof Cost): number =>
    Math.min(...costs.map((one) => one[what]));
  const told = (costs: readonly Cost[]): Pick<Figure, 'value' | 'beside'> => ({
    value: seconds(least(costs, 'ms')),
    beside: `${each(least(costs, 'ms'))} a task, ${each(least(costs, 'processorMs'))} of the processor with PostgreSQL`,
  });
  const more = least(fan, 'processorMs') - least(plain, 'processorMs');
  const last = fan.at(-1)!.ms;
  return [
    { name: `plain array of ${ELEMENTS} tasks that do nothing, over records`, ...told(plain) },
    { name: 'the same as a fan-out over the lines of a file', ...told(fan) },
    {
      name: 'processor time of the fan-out over that of the array',
      value: (least(fan, 'processorMs') / least(plain, 'processorMs')).toFixed(2),
      beside: `${each(more)} more a task: of tasks of one second ${((more / ELEMENTS / 1000) * 100).toFixed(4)} %; the least of ${FAN_OUT_TURNS} turns each`,
    },
    {
      name: 'of the last before its job: elements, keys, records',
      value: seconds(submittedMs),
      beside: each(submittedMs),
    },
    {
      name: 'and after it: results',
      value: seconds(last - submittedMs - jobMs),
      beside: each(last - submittedMs - jobMs),
    },
    {
      name: 'the same again: all is found',
      value: seconds(again.ms),
      beside: `${each(again.ms)} an element`,
    },
  ];
}

/** A workflow of three steps in a chain for each of a thousand elements. */
async function spreadFigures(): Promise<Figure[]> {
  await using bench = await Bench.start();
  const work = (from: readonly string[]): WorkflowInput['steps'][string] => ({
    argv: ['work', '{n}'],
    inputs: from.map((name) => ({ path: name, from: `${name}/out` })),
    outputs: ['out'],
  });
  const flow: WorkflowInput = {
    name: 'spread',
    steps: {
      all: {
        each: { kind: 'range', range: `0-${SPREAD - 1}` },
        with: { n: '{value}' },
        workflow: {
          inputs: { n: {} },
          steps: { first: work([]), second: work(['first']), third: work(['second']) },
          outputs: { out: 'third/out' },
        },
      },
      gather: { argv: ['gather'], inputs: [{ path: 'all', from: 'all/out' }], outputs: ['out'] },
    },
  };
  const before = process.cpuUsage();
  const { ms } = await timed(async () => {
    const runId = await bench.start(flow);
    await bench.play(() => bench.isQuiet());
    await bench.mustHaveSucceeded([runId]);
  });
  const count = SPREAD * 3 + 1;
  return [
    {
      name: `a nested workflow of three steps for each of ${SPREAD} elements, and a gather`,
      value: seconds(ms),
      beside: `${perStep(ms, count)}, of it ${(cpuMs(before) / count).toFixed(1)} ms of the server's processor`,
    },
  ];
}

export async function workflowFigures(): Promise<Figure[]> {
  return [
    ...(await fanOutFigures()),
    ...(await spreadFigures()),
    ...(await stepFigures()),
    ...(await runFigures()),
  ];
}
