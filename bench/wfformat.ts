import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { isNested, locate, parseReference, referencesOf, remainingMs } from '@majorana/core';
import type { WorkflowDefinition } from '@majorana/core';
import { workflowSchema } from '@majorana/protocol';
import { Product } from '../e2e/product.ts';
import { importWfFormat } from '../packages/cli/src/workflow/wfformat.ts';
import type { Figure } from './figure.ts';

/** Those of this machine, and as many as six of the fourteen executions were recorded on. */
const CORES = [2, 48];
/** Tasks wait and hold nothing: as many may run as there are cores. */
const MEMORY_GB_PER_CORE = 2;
/** A task's mean: the 30 ms to start and end one are then seen, and do not drown what is measured. */
const TASK_MS_MEAN = 600;
/** No makespan is to be shorter: the beginning and the end of a run weigh in it. */
const BOUND_MS_MIN = 25_000;
/** The largest executions moved ten gigabytes: these are one megabyte, small against the time. */
const SIZE_SCALE = 0.0001;

interface Graph {
  readonly ms: ReadonlyMap<string, number>;
  readonly upstream: ReadonlyMap<string, ReadonlySet<string>>;
  readonly aheadMs: ReadonlyMap<string, number>;
}

function graphOf(definition: WorkflowDefinition): Graph {
  const { steps } = definition;
  const ms = new Map<string, number>();
  const upstream = new Map<string, Set<string>>();
  const aheadMs = new Map<string, number>();
  for (const [name, step] of Object.entries(steps)) {
    ms.set(name, isNested(step) ? 0 : (step.predictedMs ?? 0));
    const names = referencesOf(step).map((text) => parseReference(text).name);
    upstream.set(name, new Set(names.filter((one) => Object.hasOwn(steps, one))));
    aheadMs.set(name, remainingMs(locate(definition, name)!));
  }
  return { ms, upstream, aheadMs };
}

const sum = (all: Iterable<number>): number => [...all].reduce((total, one) => total + one, 0);

/** The longer of the critical path and the work over the cores: no schedule is shorter. */
const boundMs = ({ ms, aheadMs }: Graph, cores: number): number =>
  Math.max(...aheadMs.values(), sum(ms.values()) / cores);

/**
 * A higher bound: of steps that none can begin before `from` and all have at least `after` behind
 * them, the work over the cores lies between the two (Fernandez and Bussell, 1973, for such sets).
 */
function tightBoundMs(graph: Graph, cores: number): number {
  const { ms, upstream, aheadMs } = graph;
  const begins = new Map<string, number>();
  const beginOf = (name: string): number => {
    const known = begins.get(name);
    if (known !== undefined) return known;
    const begin = Math.max(0, ...[...upstream.get(name)!].map((up) => beginOf(up) + ms.get(up)!));
    begins.set(name, begin);
    return begin;
  };
  const steps = [...ms].map(([name, ownMs]) => {
    return { ownMs, beginMs: beginOf(name), afterMs: aheadMs.get(name)! - ownMs };
  });
  let best = boundMs(graph, cores);
  for (const from of new Set(steps.map(({ beginMs }) => beginMs))) {
    for (const after of new Set(steps.map(({ afterMs }) => afterMs))) {
      const between = steps.filter(({ beginMs, afterMs }) => beginMs >= from && afterMs >= after);
      if (between.length === 0) continue;
      best = Math.max(best, from + after + sum(between.map(({ ownMs }) => ownMs)) / cores);
    }
  }
  return best;
}

/** What starting whatever is ready, the one with most ahead of it first, gets if nothing else takes time. */
function listScheduleMs({ ms, upstream, aheadMs }: Graph, cores: number): number {
  const left = new Map([...upstream].map(([name, names]) => [name, new Set(names)]));
  const running: { readonly name: string; readonly endMs: number }[] = [];
  let nowMs = 0;
  while (left.size + running.length > 0) {
    const ready = [...left].filter(([, names]) => names.size === 0).map(([name]) => name);
    ready.sort((a, b) => aheadMs.get(b)! - aheadMs.get(a)!);
    for (const name of ready.slice(0, cores - running.length)) {
      running.push({ name, endMs: nowMs + ms.get(name)! });
      left.delete(name);
    }
    running.sort((a, b) => a.endMs - b.endMs);
    const { name, endMs } = running.shift()!;
    nowMs = endMs;
    for (const names of left.values()) names.delete(name);
  }
  return nowMs;
}

const asDefinition = (file: string, timeScale: number): WorkflowDefinition =>
  workflowSchema.parse(
    importWfFormat(file, readFileSync(file, 'utf8'), { time: timeScale, size: SIZE_SCALE }),
  ) as unknown as WorkflowDefinition;

function scaleFor(file: string, cores: number): number {
  const whole = graphOf(asDefinition(file, 1));
  const wantedMs = Math.max(BOUND_MS_MIN, (whole.ms.size * TASK_MS_MEAN) / cores);
  return Number((wantedMs / boundMs(whole, cores)).toPrecision(3));
}

async function replay(product: Product, file: string, cores: number): Promise<Figure> {
  const timeScale = scaleFor(file, cores);
  const graph = graphOf(asDefinition(file, timeScale));
  const scales = ['--time-scale', String(timeScale), '--size-scale', String(SIZE_SCALE)];
  const text = await product.ok('workflow', 'import', '--wfformat', file, ...scales);
  const flow = path.join(product.data, 'flow.yaml');
  writeFileSync(flow, text);
  const run = await product.ok('workflow', 'run', flow, '--detach');
  await product.ok('workflow', 'watch', run, '--quiet');
  const { createdAtMs, endedAtMs } = await product.json<{ createdAtMs: number; endedAtMs: number }>(
    'workflow',
    'show',
    run,
  );
  const bound = boundMs(graph, cores);
  const took = (endedAtMs - createdAtMs) / bound;
  const least = tightBoundMs(graph, cores) / bound;
  const list = listScheduleMs(graph, cores) / bound;
  const name = path.basename(file, '.json').replace(/-(chameleon|dirt02).*/, '');
  return {
    name: `makespan over its bound on ${cores} cores: ${name}`,
    value: took.toFixed(3),
    beside: `${graph.ms.size} steps, times x ${timeScale}: bound ${(bound / 1000).toFixed(1)} s; no schedule is below ${least.toFixed(3)}, a list schedule without any cost gets ${list.toFixed(3)}`,
  };
}

/** Recorded executions, of a folder that MAJORANA_BENCH_WFFORMAT names; the files are not ours to keep. */
export async function wfFormatFigures(): Promise<Figure[]> {
  const folder = process.env['MAJORANA_BENCH_WFFORMAT'];
  if (folder === undefined) return [];
  const files = readdirSync(folder).filter((file) => file.endsWith('.json'));
  const figures: Figure[] = [];
  for (const cores of CORES) {
    await using product = new Product();
    const memory = `${cores * MEMORY_GB_PER_CORE}G`;
    await product.ok('up', '--detach', '--cores', String(cores), '--memory', memory);
    for (const file of files.toSorted()) {
      const figure = await replay(product, path.join(folder, file), cores);
      figures.push(figure);
      process.stdout.write(`${figure.name} ${figure.value} ${figure.beside}\n`);
    }
  }
  return figures;
}
