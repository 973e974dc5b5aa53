import { GIBIBYTE } from '@majorana/core';
import type { Figure } from './figure.ts';
import { amounts } from './placement-cluster.ts';
import type { BenchNode, BenchTask, Packer } from './placement-peers.ts';
import { packers } from './placement-peers.ts';
import type { TaskMix } from './placement-tasks.ts';
import { taskMixes } from './placement-tasks.ts';

const NODES = 80;
const TASKS = 8000;
/** What ends within a turn is seen together, as an agent's turn does. */
const TURN_MS = 30_000;
const HOUR_MS = 3_600_000;
const SIZES = [
  [32, 128],
  [32, 64],
  [64, 256],
  [48, 192],
] as const;

interface Run {
  /** Mean of the used parts of cores and memory when no more fits. */
  readonly usedShare: number;
  /** Part of the cores that are free on nodes without room for the smallest waiting task. */
  readonly strandedShare: number;
  readonly makespanHours: number;
  /** A node is paid until its last task has ended after nothing waits any more. */
  readonly nodeHours: number;
  /** Of the time from the moment nothing waits to the last end, the part the mean node is empty. */
  readonly emptyShare: number;
}

const freshNodes = (): BenchNode[] =>
  Array.from({ length: NODES }, (_, number) => {
    const [cores, gib] = SIZES[number % SIZES.length]!;
    const allocatable = amounts(cores * 1000 - 250, (gib - 1) * GIBIBYTE);
    return {
      name: `node-${String(number).padStart(3, '0')}`,
      allocatable,
      freeCpuMillis: allocatable.cpuMillis,
      freeMemoryBytes: allocatable.memoryBytes,
      podsLeft: 250,
      running: new Map(),
    };
  });

const sum = (list: readonly number[]): number => list.reduce((total, one) => total + one, 0);

function usedShare(nodes: readonly BenchNode[]): number {
  const cpu =
    sum(nodes.map((node) => node.freeCpuMillis)) /
    sum(nodes.map((node) => node.allocatable.cpuMillis));
  const memory =
    sum(nodes.map((node) => node.freeMemoryBytes)) /
    sum(nodes.map((node) => node.allocatable.memoryBytes));
  return 1 - (cpu + memory) / 2;
}

/** Cores that are free where the middle task that waits has no memory left. */
function strandedShare(nodes: readonly BenchNode[], waiting: readonly BenchTask[]): number {
  const middle = waiting.toSorted((a, b) => a.memoryBytes - b.memoryBytes)[waiting.length >> 1];
  if (middle === undefined) return 0;
  const stranded = nodes.filter((node) => node.freeMemoryBytes < middle.memoryBytes);
  return (
    sum(stranded.map((node) => node.freeCpuMillis)) /
    sum(nodes.map((node) => node.allocatable.cpuMillis))
  );
}

function release(node: BenchNode, task: BenchTask): void {
  node.running.delete(task);
  node.freeCpuMillis += task.cpuMillis;
  node.freeMemoryBytes += task.memoryBytes;
  node.podsLeft += 1;
}

interface Ending {
  readonly task: BenchTask;
  readonly node: BenchNode;
  readonly endsAtMs: number;
}

function simulate(packer: Packer, tasks: readonly BenchTask[]): Run {
  const nodes = freshNodes();
  const lastEndMs = new Map<BenchNode, number>();
  let waiting = tasks;
  let endings: Ending[] = [];
  let nowMs = 0;
  let nothingWaitsMs = 0;
  let first: { used: number; stranded: number } | undefined;
  while (waiting.length > 0 || endings.length > 0) {
    if (waiting.length > 0) {
      const choices = packer.place(waiting, nodes, nowMs);
      const placed = new Set(choices.map(([task]) => task));
      waiting = waiting.filter((task) => !placed.has(task));
      const more = choices.map(([task, node]) => ({
        task,
        node,
        endsAtMs: nowMs + task.durationMs,
      }));
      endings = [...endings, ...more].toSorted((a, b) => a.endsAtMs - b.endsAtMs);
      first ??= { used: usedShare(nodes), stranded: strandedShare(nodes, waiting) };
      nothingWaitsMs = nowMs;
    }
    const untilMs = endings[0]!.endsAtMs + (waiting.length > 0 ? TURN_MS : 0);
    const next = endings.findIndex(({ endsAtMs }) => endsAtMs > untilMs);
    for (const { node, task, endsAtMs } of next < 0 ? endings : endings.slice(0, next)) {
      release(node, task);
      lastEndMs.set(node, endsAtMs);
    }
    endings = next < 0 ? [] : endings.slice(next);
    nowMs = untilMs;
  }
  const paid = nodes.map((node) => Math.max(nothingWaitsMs, lastEndMs.get(node) ?? 0));
  return {
    usedShare: first!.used,
    strandedShare: first!.stranded,
    makespanHours: nowMs / HOUR_MS,
    nodeHours: sum(paid) / HOUR_MS,
    emptyShare: 1 - (sum(paid) / NODES - nothingWaitsMs) / (nowMs - nothingWaitsMs),
  };
}

const percent = (part: number): string => `${(part * 100).toFixed(1)} %`;

function rowsOf({ name, tasks }: TaskMix): Figure[] {
  const runs = packers().map((packer) => ({ packer, run: simulate(packer, tasks) }));
  const kube = runs.at(-1)!.run;
  return runs.map(({ packer, run }) => ({
    name: `${name}: ${packer.name}`,
    value: `${percent(run.usedShare)} used; ${Math.round(run.nodeHours)} node hours (${(run.nodeHours / kube.nodeHours).toFixed(3)} of kube-scheduler's)`,
    beside: `${percent(run.strandedShare)} of cores stranded; all done after ${run.makespanHours.toFixed(1)} h; nodes empty for ${percent(run.emptyShare)} of the tail`,
  }));
}

export const qualityFigures = (): Figure[] => taskMixes(TASKS).flatMap(rowsOf);
