import type { Resources } from '@majorana/core';
import { NodeIndex, planPlacement } from '@majorana/core';
import { FailureFrontier } from '../packages/core/src/placement/failure-frontier.ts';
import { amounts, benchGroup, randomFrom } from './placement-cluster.ts';

export interface BenchTask {
  readonly key: string;
  readonly cpuMillis: number;
  readonly memoryBytes: number;
  readonly durationMs: number;
  /** What is predicted; placement knows only this. */
  readonly expectedDurationMs: number;
}

export interface BenchNode {
  readonly name: string;
  readonly allocatable: Resources;
  freeCpuMillis: number;
  freeMemoryBytes: number;
  podsLeft: number;
  readonly running: Map<BenchTask, { readonly expectedEndMs: number }>;
}

export type Choice = readonly [task: BenchTask, node: BenchNode];

/** Chooses nodes for what waits, oldest first, and takes their room. */
export interface Packer {
  readonly name: string;
  readonly place: (
    waiting: readonly BenchTask[],
    nodes: readonly BenchNode[],
    nowMs: number,
  ) => Choice[];
}

export function hold(node: BenchNode, task: BenchTask, nowMs: number): void {
  node.freeCpuMillis -= task.cpuMillis;
  node.freeMemoryBytes -= task.memoryBytes;
  node.podsLeft -= 1;
  node.running.set(task, { expectedEndMs: nowMs + task.expectedDurationMs });
}

const hasRoom = (node: BenchNode, task: BenchTask): boolean =>
  node.podsLeft > 0 &&
  node.freeCpuMillis >= task.cpuMillis &&
  node.freeMemoryBytes >= task.memoryBytes;

const part = (task: BenchTask, node: BenchNode): number =>
  Math.max(
    task.cpuMillis / node.allocatable.cpuMillis,
    task.memoryBytes / node.allocatable.memoryBytes,
  );

/** One task after the other, each on the node that `choose` names. */
const oneByOne = (
  name: string,
  isLargestFirst: boolean,
  choose: (task: BenchTask, nodes: readonly BenchNode[]) => BenchNode | undefined,
): Packer => ({
  name,
  place(waiting, nodes, nowMs) {
    const order = isLargestFirst
      ? waiting.toSorted((a, b) => part(b, nodes[0]!) - part(a, nodes[0]!))
      : waiting;
    const choices: Choice[] = [];
    // What is as large as something that failed is not tried: the same answer, sooner.
    const failed = new FailureFrontier();
    for (const task of order) {
      const demand = { columns: [0, 1], amounts: [task.cpuMillis, task.memoryBytes] };
      if (failed.covers(demand, 0)) continue;
      const node = choose(task, nodes);
      if (node === undefined) {
        failed.add(demand, 0);
        continue;
      }
      hold(node, task, nowMs);
      choices.push([task, node]);
    }
    return choices;
  },
});

const firstFit = (task: BenchTask, nodes: readonly BenchNode[]): BenchNode | undefined =>
  nodes.find((node) => hasRoom(node, task));

/** The node with the least left over, as parts of its cores and memory. */
function bestFit(task: BenchTask, nodes: readonly BenchNode[]): BenchNode | undefined {
  let best: BenchNode | undefined;
  let least = Infinity;
  for (const node of nodes) {
    if (!hasRoom(node, task)) continue;
    const left =
      node.freeCpuMillis / node.allocatable.cpuMillis +
      node.freeMemoryBytes / node.allocatable.memoryBytes;
    if (left >= least) continue;
    best = node;
    least = left;
  }
  return best;
}

/** NodeResourcesFit, LeastAllocated with cores and memory of weight 1: whole numbers to 100. */
function leastAllocated(task: BenchTask, node: BenchNode): number {
  const score = (free: number, total: number): number => Math.floor((free * 100) / total);
  const cpu = score(node.freeCpuMillis - task.cpuMillis, node.allocatable.cpuMillis);
  const memory = score(node.freeMemoryBytes - task.memoryBytes, node.allocatable.memoryBytes);
  return Math.floor((cpu + memory) / 2);
}

/** NodeResourcesBalancedAllocation: 100 less the deviation of the two used parts. */
function balancedAllocation(task: BenchTask, node: BenchNode): number {
  const cpu = 1 - (node.freeCpuMillis - task.cpuMillis) / node.allocatable.cpuMillis;
  const memory = 1 - (node.freeMemoryBytes - task.memoryBytes) / node.allocatable.memoryBytes;
  return Math.floor((1 - Math.abs(cpu - memory) / 2) * 100);
}

/** `percentageOfNodesToScore` by default: so many nodes with room are enough to choose from. */
const nodesToFind = (nodeCount: number): number =>
  nodeCount < 100
    ? nodeCount
    : Math.max(100, Math.floor((nodeCount * Math.max(5, 50 - nodeCount / 125)) / 100));

/**
 * What kube-scheduler decides by with its defaults, of which only the two resource scores differ
 * between our nodes: the highest sum, any one of equals, beginning each time where the last search
 * ended. https://kubernetes.io/docs/reference/scheduling/config/ (plugins and weights),
 * https://kubernetes.io/docs/concepts/scheduling-eviction/scheduler-perf-tuning/ (the share).
 */
function kubeDefault(): Packer {
  const random = randomFrom(7);
  let start = 0;
  return oneByOne('kube-scheduler default', false, (task, nodes) => {
    let [best, bestScore, equals, found, looked]: [BenchNode | undefined, ...number[]] = [
      undefined,
      -1,
      0,
      0,
      0,
    ];
    for (; looked! < nodes.length && found! < nodesToFind(nodes.length); looked! += 1) {
      const node = nodes[(start + looked!) % nodes.length]!;
      if (!hasRoom(node, task)) continue;
      found! += 1;
      const score = leastAllocated(task, node) + balancedAllocation(task, node);
      equals = score === bestScore ? equals! + 1 : 1;
      if (score < bestScore! || (score === bestScore && random() >= 1 / equals)) continue;
      best = node;
      bestScore = score;
    }
    start = (start + looked!) % nodes.length;
    return best;
  });
}

/** Ours, through its public functions; the index is built anew as the bench's nodes are not pictures. */
const ours = (name: string, knowsEnds: boolean): Packer => ({
  name,
  place(waiting, nodes, nowMs) {
    const index = new NodeIndex(nodes.map((node) => pictureOf(node, knowsEnds)));
    const groups = waiting.map((task) =>
      benchGroup(task.key, {
        resources: amounts(task.cpuMillis, task.memoryBytes),
        waitingSinceMs: nowMs,
        ...(knowsEnds ? { expectedDurationMs: task.expectedDurationMs } : {}),
      }),
    );
    const imagePulls = { nodesMax: 1000, nodesByImage: new Map<string, Set<string>>() };
    const { assignments } = planPlacement(index, groups, { nowMs, imagePulls });
    const taskByKey = new Map(waiting.map((task) => [task.key, task]));
    const nodeByName = new Map(nodes.map((node) => [node.name, node]));
    return assignments.map(({ groupKey, nodeName }): Choice => {
      const choice: Choice = [taskByKey.get(groupKey)!, nodeByName.get(nodeName)!];
      hold(choice[1], choice[0], nowMs);
      return choice;
    });
  },
});

function pictureOf(node: BenchNode, knowsEnds: boolean): Parameters<NodeIndex['set']>[0] {
  const ends = [...node.running]
    .map(([task, { expectedEndMs }]) => ({
      endsAtMs: knowsEnds ? expectedEndMs : undefined,
      resources: amounts(task.cpuMillis, task.memoryBytes),
      podCount: 1,
    }))
    .toSorted((a, b) => (a.endsAtMs ?? 0) - (b.endsAtMs ?? 0));
  const { cpuMillis, memoryBytes } = node.allocatable;
  return {
    name: node.name,
    labels: {},
    taints: [],
    isSchedulable: true,
    allocatable: node.allocatable,
    podsMax: node.podsLeft + node.running.size,
    held: amounts(cpuMillis - node.freeCpuMillis, memoryBytes - node.freeMemoryBytes),
    podCount: node.running.size,
    images: new Set(),
    runningEnds: ends,
  };
}

export const packers = (): readonly Packer[] => [
  ours('placement', true),
  ours('placement, no durations known', false),
  oneByOne('first-fit', false, firstFit),
  oneByOne('first-fit, largest first', true, firstFit),
  oneByOne('best-fit', false, bestFit),
  kubeDefault(),
];
