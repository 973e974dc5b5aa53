import { setTimeout as sleep } from 'node:timers/promises';
import { startKubernetes } from '@majorana/test-servers';
import { until } from '@majorana/testing';
import type { Figure } from './figure.ts';
import { addNodes } from './kubernetes-load.ts';
import { ClusterProduct } from './kubernetes-product.ts';

/** 72 places of 3 s each, so about 20 starts a second: two cores play this with ease. */
const LOAD = { nodes: 3, tasks: 2000, runMs: 3000 };
/** Three queues that share by weight, one with two jobs behind each other. */
const JOBS = [
  { queue: 'even', weight: 1, tasks: 400 },
  { queue: 'heavy', weight: 2, tasks: 400 },
  { queue: 'heavy', weight: 2, tasks: 400 },
  { queue: 'limited', weight: 1, parallelMax: 8, tasks: 200 },
] as const;
const SAMPLES = 300;
/** The estimates are asked for over this time, from when the load has become steady. */
const SAMPLING_MS = 20_000;
const STEADY_AFTER_ENDS = 150;
const DEADLINE_MS = 240_000;

interface Detail {
  readonly task: { readonly state: string };
  readonly explanation: { readonly estimatedStartMs?: number };
  readonly attempts: readonly { readonly startedAtMs: number | null }[];
}

interface Sample {
  readonly taskId: string;
  readonly atMs: number;
  readonly estimatedStartMs: number | undefined;
}

/** Of waiting tasks drawn at random. */
async function sample(cluster: ClusterProduct, jobIds: readonly string[]): Promise<Sample[]> {
  const samples = new Map<string, Sample>();
  const everyMs = SAMPLING_MS / SAMPLES;
  const endMs = Date.now() + SAMPLING_MS;
  while (Date.now() < endMs && samples.size < SAMPLES) {
    const at = Math.floor(Math.random() * jobIds.length);
    const taskId = `${jobIds[at]!}.${Math.floor(Math.random() * JOBS[at]!.tasks)}`;
    const { task, explanation } = await cluster.ask<Detail>('GET', `tasks/${taskId}`);
    if (task.state !== 'queued' || samples.has(taskId)) continue;
    const { estimatedStartMs } = explanation;
    samples.set(taskId, { taskId, atMs: Date.now(), estimatedStartMs });
    await sleep(everyMs / 2);
  }
  return [...samples.values()];
}

/** What came true over what was said; 0 of what nothing was said of. */
async function ratioOf(cluster: ClusterProduct, one: Sample): Promise<number> {
  const { attempts } = await cluster.ask<Detail>('GET', `tasks/${one.taskId}`);
  const startedAtMs = attempts[0]?.startedAtMs ?? Number.NaN;
  const saidMs = (one.estimatedStartMs ?? Infinity) - one.atMs;
  return (startedAtMs - one.atMs) / saidMs;
}

export async function whyFigures(): Promise<Figure[]> {
  await using kubernetes = await startKubernetes({ kwok: true });
  await addNodes(kubernetes, LOAD.nodes);
  await using cluster = new ClusterProduct(kubernetes);
  await cluster.start(LOAD);
  await cluster.agent.start();
  const jobIds: string[] = [];
  for (const { queue, weight, tasks, ...limit } of JOBS) {
    await cluster.ask('PUT', `queues/${queue}`, { weight, ...limit });
    jobIds.push((await cluster.submit(tasks, { queue })).id);
  }
  const jobs = () => Promise.all(jobIds.map((id) => cluster.job(id)));
  await until(
    'the load to be steady',
    async () =>
      (await jobs()).reduce((sum, { counts }) => sum + counts['succeeded']!, 0) >=
      STEADY_AFTER_ENDS,
    DEADLINE_MS,
  );
  const samples = await sample(cluster, jobIds);
  await until(
    'the load to end',
    async () => (await jobs()).every(({ endedAtMs }) => endedAtMs !== null),
    DEADLINE_MS,
  );
  const ratios: number[] = [];
  for (const one of samples) ratios.push(await ratioOf(cluster, one));
  const sorted = ratios.toSorted((a, b) => a - b);
  const right = ratios.filter((ratio) => ratio >= 0.5 && ratio <= 2).length / ratios.length;
  const at = (part: number): string => sorted[Math.floor(part * (sorted.length - 1))]!.toFixed(2);
  return [
    {
      name: '`why`: the estimated start is right within a factor of two',
      value: `${(right * 100).toFixed(1)} % of ${ratios.length} waiting tasks`,
      beside: `goal: 90 %; the wait over the estimate: ${at(0.05)} at 5 %, ${at(0.5)} in the middle, ${at(0.95)} at 95 %; three queues of two weights, one at its limit`,
    },
  ];
}

if (process.argv[1] === import.meta.filename) {
  for (const { name, value, beside } of await whyFigures())
    process.stdout.write(`${name}: ${value} (${beside})\n`);
}
