import type { NodePicture, Resources } from '@majorana/core';
import { addResources, GIBIBYTE, NO_RESOURCES, subtractResources } from '@majorana/core';
import type { ClusterNode, ClusterReport, NodesAnswer, NodesRequest } from '@majorana/protocol';
import { FAULTS_MAX, NODE_GROUPS_MAX, TAINTS_MAX } from '@majorana/protocol';
import type { ClusterView } from './cluster-view.ts';

const INSTANCE_TYPE = 'node.kubernetes.io/instance-type';

type NodeShown = ReturnType<ClusterView['pictures']>[number];

/** Its instance type; of a node without, as on one's own machines, its size. */
export function groupOfNode({ labels, allocatable }: NodePicture): string {
  const cores = Math.round(allocatable.cpuMillis / 100) / 10;
  const gib = Math.round(allocatable.memoryBytes / GIBIBYTE);
  const gpus = allocatable.gpuCount > 0 ? `, ${allocatable.gpuCount} GPUs` : '';
  return labels[INSTANCE_TYPE]?.slice(0, 200) ?? `${cores} cores, ${gib} GiB${gpus}`;
}

/** Of a sum that may be below zero for a moment: a pod is counted on a node not yet seen. */
function shown(resources: Resources): Resources {
  const whole = (amount: number): number => Math.max(0, Math.round(amount));
  return {
    cpuMillis: whole(resources.cpuMillis),
    memoryBytes: whole(resources.memoryBytes),
    scratchBytes: whole(resources.scratchBytes),
    shmBytes: whole(resources.shmBytes),
    gpuCount: whole(resources.gpuCount),
    countable: Object.fromEntries(
      Object.entries(resources.countable).map(([name, amount]) => [name, whole(amount)]),
    ),
  };
}

const ourShare = ({ runningEnds }: NodePicture): Resources =>
  runningEnds[0]?.resources ?? NO_RESOURCES;

interface Group {
  nodeCount: number;
  allocatable: Resources;
  allocated: Resources;
}

function addTo(groups: Map<string, Group>, name: string, of: Group): void {
  const known = groups.get(name);
  groups.set(name, {
    nodeCount: (known?.nodeCount ?? 0) + of.nodeCount,
    allocatable: addResources(known?.allocatable ?? NO_RESOURCES, of.allocatable),
    allocated: addResources(known?.allocated ?? NO_RESOURCES, of.allocated),
  });
}

/** The largest by name; the rest of a wilder cluster together. */
function groupsOf(nodes: readonly NodeShown[]): ClusterReport['groups'] {
  const all = new Map<string, Group>();
  for (const { picture } of nodes) {
    const { allocatable, held: allocated } = picture;
    addTo(all, groupOfNode(picture), { nodeCount: 1, allocatable, allocated });
  }
  const largest = [...all].toSorted(
    ([nameA, a], [nameB, b]) => b.nodeCount - a.nodeCount || (nameA < nameB ? -1 : 1),
  );
  const few = new Map<string, Group>();
  for (const [at, [name, group]] of largest.entries())
    addTo(few, at < NODE_GROUPS_MAX ? name : 'others', group);
  return [...few].map(([name, { nodeCount, allocatable, allocated }]) => ({
    name,
    nodeCount,
    allocatable: shown(allocatable),
    allocated: shown(allocated),
  }));
}

const faultsOf = (nodes: readonly NodeShown[]): ClusterReport['faults'] =>
  nodes
    .filter(({ fault }) => fault !== '')
    .toSorted((a, b) => (b.picture.coolDownUntilMs ?? 0) - (a.picture.coolDownUntilMs ?? 0))
    .slice(0, FAULTS_MAX)
    .map(({ picture, fault }) => ({
      node: picture.name,
      fault: fault.slice(0, 500),
      untilMs: picture.coolDownUntilMs ?? 0,
    }));

export type ReportedParts = Pick<
  ClusterReport,
  'kubernetesVersion' | 'podsByPhase' | 'window' | 'api'
>;

/** A cluster on one page: what its administrator wants to see of it. */
export function makeReport(
  nodes: readonly NodeShown[],
  parts: ReportedParts,
  nowMs: number,
): ClusterReport {
  let [allocatable, held, ours] = [NO_RESOURCES, NO_RESOURCES, NO_RESOURCES];
  let otherPodCount = 0;
  for (const { picture, ourCount } of nodes) {
    allocatable = addResources(allocatable, picture.allocatable);
    held = addResources(held, picture.held);
    ours = addResources(ours, ourShare(picture));
    otherPodCount += picture.podCount - ourCount;
  }
  const countOf = (is: (picture: NodePicture) => boolean): number =>
    nodes.filter(({ picture }) => is(picture)).length;
  return {
    ...parts,
    nodes: {
      count: nodes.length,
      ready: countOf((one) => one.notReadySinceMs === undefined),
      cordoned: countOf((one) => !one.isSchedulable),
      cooling: countOf((one) => (one.coolDownUntilMs ?? 0) > nowMs),
    },
    allocatable: shown(allocatable),
    allocatedByOurs: shown(ours),
    allocatedByOthers: shown(subtractResources(held, ours)),
    groups: groupsOf(nodes),
    otherPodCount: Math.max(0, otherPodCount),
    faults: faultsOf(nodes),
  };
}

/** One that keeps nobody away is not told. */
const taintsOf = ({ taints }: NodePicture): string[] =>
  taints
    .filter(({ effect }) => effect !== 'PreferNoSchedule')
    .slice(0, TAINTS_MAX)
    .map(({ key, value, effect }) =>
      `${key}${value === '' ? '' : `=${value}`}:${effect}`.slice(0, 400),
    );

function nodeView({ picture, ourCount, fault }: NodeShown, nowMs: number): ClusterNode {
  const { name, notReadySinceMs, isSchedulable, coolDownUntilMs = 0 } = picture;
  return {
    name: name.slice(0, 256),
    group: groupOfNode(picture),
    isReady: notReadySinceMs === undefined,
    isCordoned: !isSchedulable,
    coolingUntilMs: coolDownUntilMs > nowMs ? coolDownUntilMs : null,
    taints: taintsOf(picture),
    fault: fault.slice(0, 500),
    allocatable: shown(picture.allocatable),
    allocated: shown(picture.held),
    ourPodCount: ourCount,
    podCount: picture.podCount,
  };
}

/** The nodes behind one, in the order of their names. */
export function makeNodesPage(
  nodes: readonly NodeShown[],
  { requestId, after, limit }: NodesRequest,
  nowMs: number,
): NodesAnswer {
  const behind = nodes
    .filter(({ picture }) => picture.name > after)
    .toSorted((a, b) => (a.picture.name < b.picture.name ? -1 : 1));
  const page = behind.slice(0, limit);
  return {
    requestId,
    nodes: page.map((node) => nodeView(node, nowMs)),
    next: behind.length > limit ? page.at(-1)!.picture.name : null,
  };
}

/** A report costs a look at every node and some kilobytes. */
const REPORT_EVERY_MS = 5000;

/** Says when a report is due: at once to a new server, else when it has changed, not too often. */
export class ReportPace {
  #lastMs = -Infinity;
  #delivered = '';

  due(make: () => ClusterReport, nowMs: number, isServerNew: boolean): ClusterReport | undefined {
    if (nowMs - this.#lastMs < REPORT_EVERY_MS && !isServerNew) return undefined;
    this.#lastMs = nowMs;
    const report = make();
    return isServerNew || JSON.stringify(report) !== this.#delivered ? report : undefined;
  }

  delivered(report: ClusterReport): void {
    this.#delivered = JSON.stringify(report);
  }
}
