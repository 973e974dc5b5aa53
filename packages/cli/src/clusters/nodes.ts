import type { ClusterNode } from '@majorana/protocol';
import { formatDuration, plural, table } from '../output.ts';
import { barColumn, usedOf } from './amounts.ts';

/** Nodes as people are shown them. */

export const NODE_STATES = ['ready', 'not-ready', 'cordoned', 'left-alone', 'tainted'] as const;
type NodeState = (typeof NODE_STATES)[number];

const FREE = {
  cores: ({ allocatable, allocated }: ClusterNode) => allocatable.cpuMillis - allocated.cpuMillis,
  memory: ({ allocatable, allocated }: ClusterNode) =>
    allocatable.memoryBytes - allocated.memoryBytes,
  gpus: ({ allocatable, allocated }: ClusterNode) => allocatable.gpuCount - allocated.gpuCount,
};
/** By its name; else the one with most free first. */
export const NODE_ORDERS = ['name', 'cores', 'memory', 'gpus'] as const;

const SHOWN: Readonly<Record<NodeState, (node: ClusterNode) => boolean>> = {
  ready: ({ isReady, isCordoned, coolingUntilMs }) =>
    isReady && !isCordoned && coolingUntilMs === null,
  'not-ready': ({ isReady }) => !isReady,
  cordoned: ({ isCordoned }) => isCordoned,
  'left-alone': ({ coolingUntilMs }) => coolingUntilMs !== null,
  tainted: ({ taints }) => taints.length > 0,
};

export interface NodeChoice {
  readonly state?: NodeState;
  readonly of?: string;
  readonly sort: (typeof NODE_ORDERS)[number];
}

export function chooseNodes(nodes: readonly ClusterNode[], choice: NodeChoice): ClusterNode[] {
  const { state, of, sort } = choice;
  const chosen = nodes.filter(
    (node) =>
      (state === undefined || SHOWN[state](node)) && (of === undefined || node.group === of),
  );
  return sort === 'name' ? chosen : chosen.toSorted((a, b) => FREE[sort](b) - FREE[sort](a));
}

function stateWords(node: ClusterNode, nowMs: number): string {
  const words = [
    ...(node.isReady ? [] : ['not ready']),
    ...(node.isCordoned ? ['cordoned'] : []),
    ...(node.coolingUntilMs === null
      ? []
      : [`left alone for ${formatDuration(node.coolingUntilMs - nowMs)}`]),
  ];
  return words.join(', ') || 'ready';
}

/** Other than cores, memory and GPUs: `example.com/licence 1/5`. */
const namedOf = ({ allocatable, allocated }: ClusterNode): string[] =>
  Object.entries(allocatable.countable)
    .filter(([, all]) => all > 0)
    .map(([name, all]) => `${name} ${allocated.countable[name] ?? 0}/${all}`);

export function nodesTable(
  nodes: readonly ClusterNode[],
  nowMs: number,
  { barWidth = 0, limit = Infinity } = {},
): string {
  if (nodes.length === 0) return 'no such nodes';
  const shown = nodes.slice(0, limit);
  const hasGpus = shown.some(({ allocatable }) => allocatable.gpuCount > 0);
  const gap = barWidth > 0 ? [''] : [];
  const gpus = hasGpus ? ['GPUS'] : [];
  const headers = ['NODE', 'OF', 'STATE', ...gap, 'CORES', ...gap, 'GIB', ...gpus, 'PODS', 'ALSO'];
  const rows = shown.map((node) => {
    const { allocatable, allocated } = node;
    return [
      node.name,
      node.group,
      stateWords(node, nowMs),
      ...barColumn('cpuMillis', allocated, allocatable, barWidth),
      usedOf('cpuMillis', allocated, allocatable),
      ...barColumn('memoryBytes', allocated, allocatable, barWidth),
      usedOf('memoryBytes', allocated, allocatable),
      ...(hasGpus ? [usedOf('gpuCount', allocated, allocatable)] : []),
      `${node.ourPodCount}/${node.podCount}`,
      [...namedOf(node), ...node.taints, node.fault.slice(0, 80)].filter(Boolean).join('; '),
    ];
  });
  const left = nodes.length - shown.length;
  const more = left > 0 ? `\n${plural(left, 'node')} more: --limit, --state, --of or --sort` : '';
  return table(headers, rows) + more;
}
