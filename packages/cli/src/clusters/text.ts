import type { Resources } from '@majorana/core';
import type { ClusterReport, ClusterView } from '@majorana/protocol';
import { formatDuration, formatFigure, plural, table } from '../output.ts';
import type { Amount } from './amounts.ts';
import { bar, barColumn, formats, usedOf } from './amounts.ts';

/** Clusters as people are shown them. */

const agoOf = (ms: number | null, nowMs: number): string =>
  ms === null ? 'never' : `${formatDuration(nowMs - ms)} ago`;

function unheardWords({ lastSeenMs, leasesEndAtMs }: ClusterView, nowMs: number): string {
  const words = lastSeenMs === null ? 'no agent' : 'silent';
  if (leasesEndAtMs === null) return words;
  return `${words}, leases kept for ${formatDuration(leasesEndAtMs - nowMs)}`;
}

/** Of a core for an hour, and of a gigabyte. */
function priceOf({ corePricePerHour, dataPricePerGb }: ClusterView): string {
  const core = corePricePerHour === null ? '-' : formatFigure(corePricePerHour);
  return dataPricePerGb === 0 ? core : `${core} + ${formatFigure(dataPricePerGb)}/GB`;
}

export function priceSentence({ corePricePerHour, dataPricePerGb }: ClusterView): string {
  const core =
    corePricePerHour === null
      ? 'its agent says no price of a core, so those with a price go first'
      : `a core costs ${formatFigure(corePricePerHour)} an hour`;
  const data =
    dataPricePerGb === 0
      ? 'bringing data there costs nothing'
      : `bringing data there or back costs ${formatFigure(dataPricePerGb)} a GB`;
  return `${core}; ${data}`;
}

function clusterRow(cluster: ClusterView, nowMs: number): string[] {
  const { name, state, isConnected, lastSeenMs, heldCount, report } = cluster;
  const ordered = state === 'active' ? [] : [state];
  const shown = isConnected ? state : [...ordered, unheardWords(cluster, nowMs)].join(', ');
  const rest = [String(heldCount), priceOf(cluster), agoOf(lastSeenMs, nowMs)];
  if (report === null) return [name, shown, '-', '-', '-', '-', '-', ...rest];
  const { nodes, allocatable, allocatedByOurs: ours, allocatedByOthers: others } = report;
  const amount = (of: Amount): string =>
    `${formats[of](ours[of] + others[of])}/${formats[of](allocatable[of])}`;
  return [
    name,
    shown,
    `${nodes.ready}/${nodes.count}`,
    amount('cpuMillis'),
    amount('memoryBytes'),
    amount('gpuCount'),
    `${report.window.starting}/${report.window.limit}`,
    ...rest,
  ];
}

export const clustersTable = (clusters: readonly ClusterView[], nowMs: number): string =>
  clusters.length === 0
    ? 'no clusters; "majorana clusters add NAME --kubeconfig FILE" adds one'
    : table(
        [
          'CLUSTER',
          'STATE',
          'READY',
          'CORES',
          'GIB',
          'GPUS',
          'STARTING',
          'TASKS',
          'PRICE',
          'HEARD',
        ],
        clusters.map((cluster) => clusterRow(cluster, nowMs)),
      );

export function stateSentence(cluster: ClusterView, nowMs: number): string {
  const { name, state, heldCount, endsAtMs, isConnected } = cluster;
  const holds = `it holds ${plural(heldCount, 'task')}`;
  switch (state) {
    case 'active':
      return isConnected ? `${name} takes tasks; ${holds}` : `${name} is not heard; ${holds}`;
    case 'cordoned':
      return `${name} is cordoned: no new tasks; ${holds}`;
    case 'draining': {
      if (heldCount === 0) return `${name} is drained`;
      const leftMs = (endsAtMs ?? 0) - nowMs;
      const rest = leftMs > 0 ? `what runs has ${formatDuration(leftMs)}` : 'all is being ended';
      return `${name} is draining: ${holds}; ${rest}`;
    }
    case 'removed':
      return `${name} was removed`;
  }
}

const spanOf = (ms: number): string =>
  ms % 3_600_000 === 0 && ms < 172_800_000 ? `${ms / 3_600_000} h` : formatDuration(ms);

/** What its lease time means now. */
export function leaseSentence(cluster: ClusterView, nowMs: number): string {
  const { leaseTtlMs, isConnected, lastSeenMs, leasesEndAtMs } = cluster;
  const rule = `when its agent is silent for ${spanOf(leaseTtlMs)}, its tasks run elsewhere`;
  if (isConnected) return rule;
  const silent =
    lastSeenMs === null
      ? 'its agent has not spoken to this control plane yet'
      : `its agent has been silent for ${formatDuration(nowMs - lastSeenMs)}`;
  if (leasesEndAtMs === null) return `${silent}; ${rule}`;
  const leftMs = Math.max(0, leasesEndAtMs - nowMs);
  const until = new Date(leasesEndAtMs).toISOString();
  return `${silent}; its leases are kept until ${until}, ${formatDuration(leftMs)} more`;
}

function groupLines({ groups, allocatable }: ClusterReport, barWidth: number): string {
  const hasGpus = allocatable.gpuCount > 0;
  const rows = groups.map(({ name, nodeCount, allocatable: all, allocated }) => [
    name,
    String(nodeCount),
    ...barColumn('cpuMillis', allocated, all, barWidth),
    usedOf('cpuMillis', allocated, all),
    ...barColumn('memoryBytes', allocated, all, barWidth),
    usedOf('memoryBytes', allocated, all),
    ...(hasGpus ? [usedOf('gpuCount', allocated, all)] : []),
  ]);
  const gap = barWidth > 0 ? [''] : [];
  const gpus = hasGpus ? ['GPUS'] : [];
  return table(['NODES OF', 'COUNT', ...gap, 'CORES', ...gap, 'GIB', ...gpus], rows);
}

function roomLines(
  { allocatable, allocatedByOurs, allocatedByOthers }: ClusterReport,
  barWidth: number,
): string {
  const line = (
    label: string,
    of: (resources: Resources) => number,
    format: (amount: number) => string = String,
  ): string[] => {
    const [all, ours, others] = [allocatable, allocatedByOurs, allocatedByOthers].map(of) as [
      number,
      number,
      number,
    ];
    const picture = barWidth > 0 ? [bar([ours, others], all, barWidth)] : [];
    const free = Math.max(0, all - ours - others);
    return [label, ...picture, ...[all, free, ours, others].map(format)];
  };
  const named = Object.keys(allocatable.countable).map((name) =>
    line(name, ({ countable }) => countable[name] ?? 0),
  );
  return table(
    ['', ...(barWidth > 0 ? ['█ TASKS ▒ OTHERS'] : []), 'ALL', 'FREE', 'TASKS', 'OTHERS'],
    [
      line('cores', ({ cpuMillis }) => cpuMillis, formats.cpuMillis),
      line('memory, GiB', ({ memoryBytes }) => memoryBytes, formats.memoryBytes),
      ...(allocatable.gpuCount > 0 ? [line('GPUs', ({ gpuCount }) => gpuCount)] : []),
      ...named,
    ],
  );
}

const countsOf = (record: Readonly<Record<string, number>>): string =>
  Object.entries(record)
    .map(([name, count]) => `${count} ${name}`)
    .join(', ') || 'none';

function apiLine({ api }: ClusterReport): string {
  const refusals = Object.entries(api.refusals)
    .map(([status, count]) => `${count} with ${status === '0' ? 'no answer' : status}`)
    .join(', ');
  const requests = `${plural(api.requestCount, 'request')}, refused: ${refusals || 'none'}`;
  return `API server: half within ${api.latencyMsP50} ms, 95 % within ${api.latencyMsP95} ms; ${requests}`;
}

function faultLines({ faults }: ClusterReport, nowMs: number): string[] {
  if (faults.length === 0) return [];
  const rows = faults.map(({ node, fault, untilMs }) => [
    node,
    untilMs > nowMs ? formatDuration(untilMs - nowMs) : 'over',
    fault,
  ]);
  return ['', table(['NODE AT FAULT', 'LEFT ALONE FOR', 'WHY'], rows)];
}

/** One cluster on one page. */
export function clusterPage(cluster: ClusterView, nowMs: number, barWidth = 0): string {
  const { report, reportedAtMs } = cluster;
  const head = `${stateSentence(cluster, nowMs)}\n${leaseSentence(cluster, nowMs)}\n${priceSentence(cluster)}`;
  if (report === null) return `${head}\nits agent has reported nothing to this control plane yet`;
  const { nodes, window } = report;
  const { starting, limit } = window;
  // It shrinks faster than what has begun ends.
  const most = starting > limit ? `now at most ${limit} may` : `at most ${limit} may`;
  return [
    head,
    `Kubernetes ${report.kubernetesVersion}; reported ${agoOf(reportedAtMs, nowMs)}`,
    `nodes: ${nodes.count}, ready ${nodes.ready}, cordoned ${nodes.cordoned}, left alone after a fault ${nodes.cooling}`,
    `pods: ${countsOf(report.podsByPhase)}; of others: ${report.otherPodCount}`,
    `dispatch window: ${plural(starting, 'pod')} starting, ${most} (${window.why}); ${plural(window.waiting, 'task')} waiting for it or a node`,
    apiLine(report),
    '',
    roomLines(report, barWidth),
    '',
    groupLines(report, barWidth),
    ...faultLines(report, nowMs),
  ].join('\n');
}
