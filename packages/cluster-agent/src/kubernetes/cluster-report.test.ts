import type { NodePicture } from '@majorana/core';
import { GIBIBYTE, NO_RESOURCES } from '@majorana/core';
import { clusterReportSchema, nodesAnswerSchema } from '@majorana/protocol';
import { expect, test } from 'vitest';
import { makeNodesPage, makeReport, ReportPace } from './cluster-report.ts';

type Shown = Parameters<typeof makeReport>[0][number];

function shownNode(at: number, edit: Partial<NodePicture> = {}, fault = ''): Shown {
  const picture: NodePicture = {
    name: `node-${String(at).padStart(5, '0')}`,
    labels: { 'node.kubernetes.io/instance-type': `type-${at % 30}` },
    taints: [],
    isSchedulable: true,
    allocatable: { ...NO_RESOURCES, cpuMillis: 32_000, memoryBytes: 128 * GIBIBYTE },
    podsMax: 110,
    held: { ...NO_RESOURCES, cpuMillis: 3000 },
    podCount: 3,
    images: new Set(),
    runningEnds: [
      { endsAtMs: undefined, resources: { ...NO_RESOURCES, cpuMillis: 1000 }, podCount: 1 },
    ],
    ...edit,
  };
  return { picture, ourCount: 1, fault };
}
const nodes = Array.from({ length: 3000 }, (_, at) => shownNode(at));
const parts = {
  kubernetesVersion: 'v1.34.4',
  podsByPhase: { Running: 3000 },
  window: { limit: 100, starting: 1, waiting: 0, why: 'containers start' },
  api: { latencyMsP50: 5, latencyMsP95: 20, requestCount: 9, refusals: {} },
};

test('3,000 nodes are one report of 21 groups, below 16 kB', () => {
  const report = clusterReportSchema.parse(makeReport(nodes, parts, 0));
  expect(report.nodes).toEqual({ count: 3000, ready: 3000, cordoned: 0, cooling: 0 });
  expect(report.allocatable.cpuMillis).toBe(96_000_000);
  expect(report.allocatedByOurs.cpuMillis).toBe(3_000_000);
  expect(report.allocatedByOthers.cpuMillis).toBe(6_000_000);
  expect(report.otherPodCount).toBe(6000);
  expect(report.groups).toHaveLength(21);
  expect(report.groups.at(-1)).toMatchObject({ name: 'others', nodeCount: 1000 });
  expect(JSON.stringify(report).length).toBeLessThan(16_000);
});

test('a node without an instance type is of the group of its size', () => {
  const { groups } = makeReport([shownNode(1, { labels: {} })], parts, 0);
  expect(groups.map(({ name }) => name)).toEqual(['32 cores, 128 GiB']);
});

test('the nodes at fault are told, the latest first, twenty of them', () => {
  const faulty = Array.from({ length: 30 }, (_, at) =>
    shownNode(at, { coolDownUntilMs: 1000 + at }, 'no image'),
  );
  const report = makeReport(faulty, parts, 1010);
  expect(report.faults).toHaveLength(20);
  expect(report.faults[0]).toEqual({ node: 'node-00029', fault: 'no image', untilMs: 1029 });
  expect(report.nodes.cooling).toBe(19);
});

test('pages hold every node once, in the order of their names', () => {
  const seen: string[] = [];
  let after: string | null = '';
  while (after !== null) {
    const page = nodesAnswerSchema.parse(
      makeNodesPage(nodes.toReversed(), { requestId: 'r', after, limit: 499 }, 0),
    );
    seen.push(...page.nodes.map(({ name }) => name));
    after = page.next;
  }
  expect(seen).toEqual(nodes.map(({ picture }) => picture.name));
});

test('a report goes when it has changed, every five seconds at most, and at once to a new server', () => {
  const pace = new ReportPace();
  let count = 1;
  const make = (): ReturnType<typeof makeReport> =>
    makeReport([], { ...parts, podsByPhase: { Running: count } }, 0);
  const first = pace.due(make, 0, false);
  pace.delivered(first!);
  count = 2;
  expect(pace.due(make, 4999, false)).toBeUndefined();
  const second = pace.due(make, 5000, false);
  expect(second).toMatchObject({ podsByPhase: { Running: 2 } });
  // Not delivered: it goes again.
  expect(pace.due(make, 10_000, false)).toEqual(second);
  pace.delivered(second!);
  expect(pace.due(make, 15_000, false)).toBeUndefined();
  expect(pace.due(make, 15_001, true)).toEqual(second);
});

test('a node says what keeps jobs away from it', () => {
  const taints = [
    { key: 'dedicated', value: 'bio', effect: 'NoSchedule' },
    { key: 'gpu', value: '', effect: 'NoExecute' },
    { key: 'old', value: '', effect: 'PreferNoSchedule' },
  ] as const;
  const page = makeNodesPage(
    [shownNode(1, { taints })],
    { requestId: 'r', after: '', limit: 5 },
    0,
  );
  expect(nodesAnswerSchema.parse(page).nodes[0]?.taints).toEqual([
    'dedicated=bio:NoSchedule',
    'gpu:NoExecute',
  ]);
});
