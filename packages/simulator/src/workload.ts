import type { Resources } from '@majorana/core';
import type { JobSpec, JobSpecInput } from '@majorana/protocol';
import { storedJobSpecSchema } from '@majorana/protocol';
import type { MemoryDatabase } from '@majorana/store/memory-store';
import type { Random } from './random.ts';

const MEBIBYTE = 2 ** 20;
const GIBIBYTE = 2 ** 30;
const LATER_MS_MAX = 400_000;

export const QUEUES = ['default', 'night', 'lab'] as const;

/** A job that is to be submitted, before the numbers of those it comes after are known. */
export interface PlannedJob {
  readonly number: number;
  readonly submitAtMs: number;
  readonly taskCount: number;
  /** Earlier planned jobs. */
  readonly after: readonly {
    readonly number: number;
    readonly on: 'ok' | 'any';
    readonly each: boolean;
    readonly takesInputs: boolean;
  }[];
  readonly isSubmittedTwice: boolean;
  readonly operations: readonly PlannedOperation[];
  readonly spec: (jobIds: ReadonlyMap<number, number>) => JobSpec;
}

/** What its user does with a job some time after it was acknowledged. */
export type PlannedOperation = { readonly delayMs: number } & (
  | { readonly kind: 'cancel_job' }
  | { readonly kind: 'cancel_task'; readonly position: number }
  | { readonly kind: 'retry'; readonly states: readonly ('failed' | 'cancelled' | 'succeeded')[] }
);

export interface WorkloadShape {
  readonly taskCount: number;
  /** Submissions are spread over this time. */
  readonly spanMs: number;
  /** What the largest agent has: every job fits there. */
  readonly largest: Resources;
  /** No more tasks than this in one job. */
  readonly jobTasksMax: number;
  /** Cancels and retries for each job, about. */
  readonly zeal: number;
}

type MemorySize = Pick<Resources, 'memoryBytes'>;

function drawResources(random: Random, largest: Resources): Partial<Resources> & MemorySize {
  const cpuMillis = Math.min(
    random.pick([100, 250, 500, 1000, 1000, 2000, 4000]),
    largest.cpuMillis,
  );
  const memoryBytes = Math.min(
    random.pick([256, 512, 512, 1024, 2048, 4096]) * MEBIBYTE,
    largest.memoryBytes,
  );
  return {
    cpuMillis,
    memoryBytes,
    gpuCount: random.chance(0.05) ? Math.min(1, largest.gpuCount) : 0,
    scratchBytes: random.chance(0.1) ? GIBIBYTE : 0,
    countable: random.chance(0.08) ? { licence: random.int(1, 2) } : {},
  };
}

function drawRetry(random: Random, largest: Resources, memoryBytes: number): JobSpecInput['retry'] {
  const base = {
    limit: random.int(0, 4),
    backoffMs: Math.floor(random.spread(10, 5000)),
    backoffMsMax: 20_000,
  };
  return {
    ...base,
    ...(random.chance(0.5)
      ? {
          memoryBytesMax: Math.min(
            largest.memoryBytes,
            Math.floor(memoryBytes * random.between(1, 6)),
          ),
        }
      : {}),
    ...(random.chance(0.2) ? { on: ['exit_code' as const, 'out_of_memory' as const] } : {}),
    ...(random.chance(0.1) ? { exitCodes: [75] } : {}),
  };
}

function drawOperations(
  random: Random,
  taskCount: number,
  { spanMs, zeal }: WorkloadShape,
): PlannedOperation[] {
  const operations: PlannedOperation[] = [];
  // Most soon, some when all faults are over.
  const delayMs = (): number =>
    random.chance(0.2) ? random.between(0, LATER_MS_MAX) : random.spread(1, spanMs / 2);
  const rounds = Math.floor(random.exponential(zeal));
  for (let round = 0; round < rounds; round += 1) {
    const draw = random.next();
    if (draw < 0.2) operations.push({ kind: 'cancel_job', delayMs: delayMs() });
    else if (draw < 0.5) {
      const position = random.int(0, taskCount - 1);
      operations.push({ kind: 'cancel_task', position, delayMs: delayMs() });
    } else {
      const states = random.pick([
        ['failed'],
        ['failed', 'cancelled'],
        ['failed', 'cancelled', 'succeeded'],
      ] as const);
      operations.push({ kind: 'retry', states, delayMs: delayMs() });
    }
  }
  return operations;
}

type After = PlannedJob['after'][number];

function drawAfter(random: Random, earlier: readonly PlannedJob[], taskCount: number): After[] {
  if (earlier.length === 0 || !random.chance(0.35)) return [];
  const first = random.pick(earlier);
  const each = first.taskCount === taskCount && random.chance(0.7);
  const on = random.chance(0.6) ? 'ok' : 'any';
  const after: After[] = [
    { number: first.number, on, each, takesInputs: !each && on === 'ok' && random.chance(0.4) },
  ];
  const second = random.pick(earlier);
  if (second.number !== first.number && random.chance(0.25)) {
    after.push({ number: second.number, on: 'any', each: false, takesInputs: false });
  }
  return after;
}

function drawArray(random: Random, database: MemoryDatabase, taskCount: number): JobSpec['array'] {
  if (taskCount <= 500 && random.chance(0.15)) {
    const records = Array.from({ length: taskCount }, (_, n) => ({ molecule: `C${n}` }));
    return {
      kind: 'parameter_set',
      parameterSetId: database.addParameterSet(records),
      recordCount: taskCount,
      fieldNames: ['molecule'],
    };
  }
  const from = random.chance(0.5) ? 0 : random.int(1, 1000);
  const step = random.chance(0.7) ? 1 : random.int(2, 7);
  if (taskCount < 3 || random.chance(0.8)) {
    return { kind: 'range', ranges: [{ from, to: from + (taskCount - 1) * step, step }] };
  }
  const half = Math.floor(taskCount / 2);
  const first = { from, to: from + (half - 1) * step, step };
  const gap = first.to + random.int(1, 100);
  return { kind: 'range', ranges: [first, { from: gap, to: gap + taskCount - half - 1, step: 1 }] };
}

/** A mix of everything users do, drawn from a seed. */
export function planWorkload(
  random: Random,
  shape: WorkloadShape,
  database: MemoryDatabase,
): PlannedJob[] {
  const jobs: PlannedJob[] = [];
  let open = shape.taskCount;
  while (open > 0) {
    const own = random.stream(`job/${jobs.length}`);
    const isTwin = jobs.length > 0 && own.chance(0.15);
    const drawn = isTwin
      ? own.pick(jobs).taskCount
      : Math.floor(own.spread(1, Math.max(2, shape.jobTasksMax)));
    const taskCount = Math.max(1, Math.min(open, drawn));
    open -= taskCount;
    jobs.push(planJob(own, { number: jobs.length, taskCount, earlier: jobs }, shape, database));
  }
  return jobs;
}

function planJob(
  random: Random,
  job: {
    readonly number: number;
    readonly taskCount: number;
    readonly earlier: readonly PlannedJob[];
  },
  shape: WorkloadShape,
  database: MemoryDatabase,
): PlannedJob {
  const { number, taskCount } = job;
  const after = drawAfter(random, job.earlier, taskCount);
  const array = drawArray(random, database, taskCount);
  const hasKey = random.chance(0.75);
  const resources = drawResources(random, shape.largest);
  const field = array.kind === 'range' ? '-' : '{molecule}';
  const input: Omit<JobSpecInput, 'array'> & { readonly array: JobSpec['array'] } = {
    name: `job ${number}`,
    argv: ['work', '{index}', field],
    array,
    queue: random.pick(QUEUES),
    priority: random.chance(0.3) ? random.int(-5, 5) : 0,
    resources,
    retry: drawRetry(random, shape.largest, resources.memoryBytes),
    timeLimitMs: random.chance(0.15) ? Math.floor(random.spread(500, 30_000)) : 0,
    graceMs: random.pick([0, 500, 5000]),
    outputs: ['out'],
    ...(random.chance(0.3) ? { parallelMax: random.int(1, 10 + Math.floor(taskCount / 50)) } : {}),
    ...(hasKey ? { idempotencyKey: `key ${number}` } : {}),
  };
  return {
    number,
    taskCount,
    after,
    submitAtMs: random.between(0, shape.spanMs),
    isSubmittedTwice: hasKey && random.chance(0.3),
    operations: drawOperations(random, taskCount, shape),
    spec: (jobIds) =>
      storedJobSpecSchema.parse({
        ...input,
        after: after.map(({ number: earlier, on, each }) => ({
          jobId: jobIds.get(earlier)!,
          on,
          each,
        })),
        inputsFromJobs: after
          .filter((one) => one.takesInputs)
          .map((one) => ({ jobId: jobIds.get(one.number)!, path: 'up' })),
      }),
  };
}
