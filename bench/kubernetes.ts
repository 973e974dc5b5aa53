import { parseArgs } from 'node:util';
import type { TestKubernetes } from '@majorana/test-servers';
import { startKubernetes } from '@majorana/test-servers';
import type { Figure } from './figure.ts';
import type { BareRun } from './kubernetes-bare.ts';
import { bareLoop } from './kubernetes-bare.ts';
import { heldFigures } from './kubernetes-held.ts';
import type { JobsRun } from './kubernetes-jobs.ts';
import { runIndexedJob, runOnePodJobs, startJobsCluster } from './kubernetes-jobs.ts';
import type { Load } from './kubernetes-load.ts';
import { addNodes, etcdBytes, serversOf } from './kubernetes-load.ts';
import type { ProductRun } from './kubernetes-product.ts';
import { ClusterProduct } from './kubernetes-product.ts';
import { whyFigures } from './kubernetes-why.ts';
import { ProcessCosts } from './process-costs.ts';

interface Sizes extends Load {
  /** Of the bare loop and the product, by turns. */
  readonly rounds: number;
  /** Kubernetes' own Jobs are slower, so fewer of them say as much. */
  readonly jobs: number;
  /** With the limits on requests that its controllers have by default. */
  readonly limitedJobs: number;
}

/**
 * For the results; `node bench/kubernetes.ts --nodes 1000 --tasks 50000` for others, and with
 * `--held --nodes 1000` for 24,000 pods that run for hours.
 */
const DEFAULT: Sizes = {
  nodes: 100,
  tasks: 2000,
  runMs: 1000,
  rounds: 2,
  jobs: 600,
  limitedJobs: 100,
};
/** At a tenth of what a busy machine does. */
const deadlineMs = (tasks: number): number => 120_000 + tasks * 100;

type Costs = Readonly<Record<string, number>>;
interface Measured {
  readonly seconds: number;
  readonly cpuMs: Costs;
  readonly peakMib: Costs;
  readonly storedBytes: number;
}

const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0);
const total = (costs: Costs): number => sum(Object.values(costs));

/** Of runs of the same work: all of it, and the highest peaks. */
function together(runs: readonly Measured[]): Measured {
  const names = Object.keys(runs[0]!.cpuMs);
  const each = (key: 'cpuMs' | 'peakMib', of: (numbers: number[]) => number): Costs =>
    Object.fromEntries(names.map((name) => [name, of(runs.map((run) => run[key][name] ?? 0))]));
  return {
    seconds: sum(runs.map(({ seconds }) => seconds)),
    cpuMs: each('cpuMs', sum),
    peakMib: each('peakMib', (numbers) => Math.max(...numbers)),
    storedBytes: sum(runs.map(({ storedBytes }) => storedBytes)),
  };
}

async function measureBare(
  kubernetes: TestKubernetes,
  load: Load,
): Promise<{ measured: Measured; run: BareRun }> {
  const before = await etcdBytes(kubernetes);
  const costs = new ProcessCosts(serversOf(kubernetes));
  const run = await bareLoop(kubernetes, load);
  const cpuMs = { client: run.clientCpuMs, ...costs.cpuMs() };
  const storedBytes = (await etcdBytes(kubernetes)) - before;
  const measured = { seconds: run.lifeSeconds, cpuMs, peakMib: costs.peakMib(), storedBytes };
  return { measured, run };
}

async function measureProduct(
  cluster: ClusterProduct,
  load: Load,
): Promise<{ measured: Measured; run: ProductRun }> {
  const before = await etcdBytes(cluster.kubernetes);
  const run = await cluster.run(load, deadlineMs(load.tasks));
  const { lifeSeconds: seconds, cpuMs, peakMib } = run;
  const storedBytes = (await etcdBytes(cluster.kubernetes)) - before;
  return { measured: { seconds, cpuMs, peakMib, storedBytes }, run };
}

const named = (costs: Costs, digits: number, unit: string): string =>
  Object.entries(costs)
    .filter(([, value]) => value > 0)
    .map(([name, value]) => `${name} ${value.toFixed(digits)}`)
    .join(', ') + unit;

const fixed = (value: number, digits = 2): string => value.toFixed(digits);

/** A contender's two rows: how fast, and what it costs the servers. */
function rows(
  name: string,
  count: number,
  measured: Measured,
  bare: { readonly perSecond: number; readonly cpuMs: number },
): Figure[] {
  const perSecond = count / measured.seconds;
  const perTask = Object.fromEntries(
    Object.entries(measured.cpuMs).map(([part, ms]) => [part, ms / count]),
  );
  return [
    {
      name,
      value: `${fixed(perSecond, perSecond < 10 ? 1 : 0)}/s, ${fixed(perSecond / bare.perSecond)} of the bare loop by the clock, ${fixed(bare.cpuMs / total(perTask))} by processor time`,
      beside: `CPU a task ${fixed(total(perTask), 1)} ms: ${named(perTask, 1, '')}`,
    },
    {
      name: `${name}: memory and size`,
      value: named(measured.peakMib, 0, ' MiB at most'),
      beside: `${count} tasks; etcd grew by ${fixed(measured.storedBytes / count / 1024, 1)} KiB a task before compaction`,
    },
  ];
}

async function productRows(sizes: Sizes) {
  await using kubernetes = await startKubernetes({ kwok: true });
  await addNodes(kubernetes, sizes.nodes);
  await using cluster = new ClusterProduct(kubernetes);
  await cluster.start(sizes);
  const bares = [];
  const products = [];
  for (let round = 0; round < sizes.rounds; round += 1) {
    bares.push(await measureBare(kubernetes, sizes));
    products.push(await measureProduct(cluster, sizes));
  }
  const count = sizes.rounds * sizes.tasks;
  const bare = together(bares.map(({ measured }) => measured));
  const base = { perSecond: count / bare.seconds, cpuMs: total(bare.cpuMs) / count };
  const product = together(products.map(({ measured }) => measured));
  const events = sum(bares.map(({ run }) => run.events)) / count;
  const requests = products.map(({ run }) => run.requestsByVerb);
  const most = Math.max(...requests.map((one) => sum([...one.values()]) / sizes.tasks));
  const verbs = [...requests.at(-1)!].map(([verb, times]) => `${times} ${verb}`).join(', ');
  const { manifestBytes } = products.at(-1)!.run;
  const figures: Figure[] = [
    {
      name: 'the work',
      value: `${sizes.rounds} times ${sizes.tasks} pods of ${sizes.runMs} ms`,
      beside: `on ${sizes.nodes} nodes of 24 cores that KWOK plays; ${sizes.jobs} of them for Jobs, ${sizes.limitedJobs} where their controllers are limited`,
    },
    ...rows('bare loop: create, watch, delete, no queue', count, bare, base),
    {
      name: 'bare loop: watch events',
      value: `${fixed(events)} a pod`,
      beside: 'created, running, succeeded, deleted',
    },
    ...rows('the product', count, product, base),
    {
      name: "the product: requests in a task's whole life",
      value: fixed(most),
      beside: `goal: at most 4; the API server's audit log of ${sizes.tasks} tasks: ${verbs}`,
    },
    {
      name: 'the product: a pod when created',
      value: `${manifestBytes} bytes`,
      beside: "goal: under 4 KB; with the server's defaults, without its record of who set what",
    },
  ];
  return { base, figures };
}

const asMeasured = ({ lifeSeconds: seconds, ...rest }: JobsRun): Measured => ({ seconds, ...rest });

async function jobRows(
  sizes: Sizes,
  base: { readonly perSecond: number; readonly cpuMs: number },
): Promise<Figure[]> {
  const figures: Figure[] = [];
  {
    await using free = await startJobsCluster(sizes.nodes, false);
    const load = { ...sizes, tasks: sizes.jobs };
    const one = await runOnePodJobs(free, load, deadlineMs(sizes.jobs));
    figures.push(...rows('one-pod Jobs, controllers unlimited', sizes.jobs, asMeasured(one), base));
    const indexed = await runIndexedJob(free, load, deadlineMs(sizes.jobs));
    figures.push(
      ...rows('one indexed Job, controllers unlimited', sizes.jobs, asMeasured(indexed), base),
    );
  }
  await using limited = await startJobsCluster(sizes.nodes, true);
  const load = { ...sizes, tasks: sizes.limitedJobs };
  const one = await runOnePodJobs(limited, load, deadlineMs(10 * sizes.limitedJobs));
  figures.push(
    ...rows('one-pod Jobs, controllers by default', sizes.limitedJobs, asMeasured(one), base),
  );
  return figures;
}

async function measure(sizes: Sizes): Promise<Figure[]> {
  const { base, figures } = await productRows(sizes);
  return [...figures, ...(await jobRows(sizes, base))];
}

export async function kubernetesFigures(): Promise<Figure[]> {
  return [...(await measure(DEFAULT)), ...(await whyFigures())];
}

if (process.argv[1] === import.meta.filename) {
  const numbers = { ...DEFAULT, 'run-ms': DEFAULT.runMs, 'limited-jobs': DEFAULT.limitedJobs };
  const options = Object.fromEntries(
    Object.entries(numbers).map(([name, value]) => [
      name,
      { type: 'string' as const, default: String(value) },
    ]),
  );
  const { values } = parseArgs({
    options: {
      ...options,
      held: { type: 'boolean', default: false },
      'fill-minutes': { type: 'string', default: '20' },
    },
  });
  const read = (name: string): number => Number((values as Record<string, unknown>)[name]);
  const sizes: Sizes = {
    nodes: read('nodes'),
    tasks: read('tasks'),
    runMs: read('run-ms'),
    rounds: read('rounds'),
    jobs: read('jobs'),
    limitedJobs: read('limited-jobs'),
  };
  const figures = values.held
    ? await heldFigures(sizes.nodes, read('fill-minutes'))
    : await measure(sizes);
  for (const { name, value, beside } of figures)
    process.stdout.write(`${name}: ${value} (${beside})\n`);
}
