import { expect, test } from 'vitest';
import { RESERVE_AFTER_MS } from '../dispatch.ts';
import type { Resources } from '../resources.ts';
import { GIBIBYTE, NO_RESOURCES } from '../resources.ts';
import { formatExplanation } from './explain.ts';
import { NodeIndex } from './node-index.ts';
import type { NodePicture } from './node-picture.ts';
import type { PlacementGroup } from './placement-group.ts';
import type { PlacementPlan } from './plan-placement.ts';
import { explainLeft, planPlacement } from './plan-placement.ts';
import type { PlacementRules } from './round.ts';

const NOW = 100 * RESERVE_AFTER_MS;
const HOUR = 3_600_000;
const rules: PlacementRules = {
  nowMs: NOW,
  imagePulls: { nodesMax: 2, nodesByImage: new Map() },
};

const cores = (count: number, gib = count): Resources => ({
  ...NO_RESOURCES,
  cpuMillis: count * 1000,
  memoryBytes: gib * GIBIBYTE,
});

const node = (name: string, edit: Partial<NodePicture> = {}): NodePicture => ({
  name,
  labels: {},
  taints: [],
  isSchedulable: true,
  allocatable: cores(8),
  podsMax: 110,
  held: cores(0),
  podCount: 0,
  images: new Set(),
  runningEnds: [],
  ...edit,
});

/** A node whose pods of ours hold so many cores and end then. */
const busy = (name: string, held: number, endsAtMs?: number): NodePicture =>
  node(name, {
    held: cores(held),
    podCount: 1,
    runningEnds: [{ endsAtMs, resources: cores(held), podCount: 1 }],
  });

const group = (key: string, edit: Partial<PlacementGroup> = {}): PlacementGroup => ({
  key,
  resources: cores(1),
  podsPerTask: 1,
  nodeSelector: {},
  tolerations: [],
  priority: 0,
  waitingSinceMs: NOW,
  count: 1,
  policy: 'pack',
  ...edit,
});

const plan = (
  nodes: readonly NodePicture[],
  groups: readonly PlacementGroup[],
  edit: Partial<PlacementRules> = {},
): PlacementPlan => planPlacement(new NodeIndex(nodes), groups, { ...rules, ...edit });

/** `{ group: { node: count } }`. */
const byGroup = ({ assignments }: PlacementPlan): Record<string, Record<string, number>> => {
  const found: Record<string, Record<string, number>> = {};
  for (const { groupKey, nodeName, count } of assignments)
    (found[groupKey] ??= {})[nodeName] = count;
  return found;
};

const sentence = (made: PlacementPlan): string =>
  formatExplanation(made.left[0]!.group, made.left[0]!.explanation!);

test('fractional cores fill a node to the last thousandth', () => {
  const made = plan(
    [node('a')],
    [group('g', { resources: { ...cores(0), cpuMillis: 300 }, count: 30 })],
  );
  expect(byGroup(made)).toEqual({ g: { a: 26 } });
  expect(made.left).toMatchObject([{ count: 4 }]);
});

test('what others hold, pods per node, scratch, GPUs and named devices all count', () => {
  const has = { ...cores(64), scratchBytes: 10 * GIBIBYTE, gpuCount: 2, countable: { 'x/y': 3 } };
  const free = (edit: Partial<NodePicture>, asked: Partial<Resources>): number => {
    const picture = node('a', { allocatable: has, ...edit });
    return new NodeIndex([picture]).countFitting(
      group('g', { resources: { ...cores(1), ...asked } }),
      NOW,
    );
  };
  expect(free({}, {})).toBe(64);
  expect(free({ held: cores(60) }, {})).toBe(4);
  expect(free({ podsMax: 10, podCount: 7 }, {})).toBe(3);
  expect(free({}, { scratchBytes: 4 * GIBIBYTE })).toBe(2);
  expect(free({}, { gpuCount: 1 })).toBe(2);
  expect(free({}, { countable: { 'x/y': 2 } })).toBe(1);
  expect(free({}, { countable: { other: 1 } })).toBe(0);
});

test('a task goes only where labels and taints allow', () => {
  const taint = { key: 'dedicated', value: 'gpu', effect: 'NoSchedule' as const };
  const nodes = [node('a', { taints: [taint] }), node('b', { labels: { zone: 'z1' } })];
  const tolerant = group('t', {
    tolerations: [{ key: 'dedicated', operator: 'Equal', value: 'gpu' }],
    nodeSelector: {},
    count: 16,
  });
  expect(byGroup(plan(nodes, [group('g', { count: 16 })]))).toEqual({ g: { b: 8 } });
  expect(byGroup(plan(nodes, [tolerant]))).toEqual({ t: { a: 8, b: 8 } });
  const zoned = group('z', { nodeSelector: { zone: 'z2' } });
  expect(sentence(plan(nodes, [zoned]))).toBe('2 nodes: 2 without the label zone=z2');
});

test('a node with a PreferNoSchedule taint is taken last', () => {
  const taint = { key: 'spare', value: '', effect: 'PreferNoSchedule' as const };
  const nodes = [node('a', { taints: [taint] }), node('b')];
  expect(byGroup(plan(nodes, [group('g', { count: 8 })]))).toEqual({ g: { b: 8 } });
  expect(byGroup(plan(nodes, [group('g', { count: 9 })]))).toEqual({ g: { a: 1, b: 8 } });
});

test('a node that cools down takes tasks again when its time has passed', () => {
  const index = new NodeIndex([node('a', { coolDownUntilMs: NOW + 1 }), node('b')]);
  expect(index.countFitting(group('g'), NOW)).toBe(8);
  expect(index.countFitting(group('g'), NOW + 1)).toBe(16);
});

test('pack fills the node in use before it opens one; spread takes the emptiest', () => {
  const nodes = [node('a'), busy('b', 4), node('c')];
  expect(byGroup(plan(nodes, [group('g', { count: 4 })]))).toEqual({ g: { b: 4 } });
  const spread = group('s', { count: 4, policy: 'spread' });
  expect(byGroup(plan(nodes, [spread]))).toEqual({ s: { a: 2, c: 2 } });
});

test('tasks go where pods end at about the same time, so that nodes empty together', () => {
  const nodes = [busy('a', 4, NOW + 60_000), busy('b', 2, NOW + 9 * HOUR), node('c')];
  const short = group('short', { expectedDurationMs: 30_000 });
  const long = group('long', { expectedDurationMs: 9 * HOUR });
  expect(byGroup(plan(nodes, [short, long]))).toEqual({ short: { a: 1 }, long: { b: 1 } });
});

test('the longest are placed first, within one priority', () => {
  const groups = [
    group('short', { resources: cores(8), expectedDurationMs: 60_000 }),
    group('long', { resources: cores(8), expectedDurationMs: HOUR }),
  ];
  expect(byGroup(plan([node('a')], groups))).toEqual({ long: { a: 1 } });
  const urgent = { ...groups[0]!, priority: 1 };
  expect(byGroup(plan([node('a')], [urgent, groups[1]!]))).toEqual({ short: { a: 1 } });
});

test('what is left over keeps the proportion of the node', () => {
  const held = (name: string, cpu: number, gib: number) =>
    node(name, { held: cores(cpu, gib), podCount: 1 });
  const nodes = [held('a', 4, 0), held('b', 0, 4)];
  const hungry = group('memory', { resources: cores(1, 4) });
  const busyOne = group('cores', { resources: cores(4, 1) });
  expect(byGroup(plan(nodes, [hungry, busyOne]))).toEqual({ memory: { a: 1 }, cores: { b: 1 } });
});

test('a node with the image is preferred, and only so many pull it at once', () => {
  const nodes = [node('a'), node('b', { images: new Set(['i']) }), node('c'), node('d')];
  const asked = group('g', { image: 'i', count: 1 });
  expect(byGroup(plan(nodes, [asked]))).toEqual({ g: { b: 1 } });
  const many = plan(nodes, [{ ...asked, count: 32 }]);
  expect(byGroup(many)).toEqual({ g: { a: 8, b: 8, c: 8 } });
  expect(many.left[0]!.explanation!.reasons).toContainEqual({ kind: 'imagePull', nodeCount: 1 });
});

test('as many nodes pull an image as have it already: it doubles from few to all', () => {
  const having = (count: number): number => {
    const nodes = Array.from({ length: 500 }, (_, at) =>
      node(`n${at}`, { images: new Set(at < count ? ['i'] : []) }),
    );
    const placed = byGroup(plan(nodes, [group('g', { image: 'i', count: 4000 })]))['g']!;
    return Object.keys(placed).length;
  };
  expect([0, 2, 60, 300].map(having)).toEqual([2, 4, 120, 428]);
});

test('a node that pulls an image takes more tasks of it: they wait for the same pull', () => {
  const nodes = [node('a'), node('b'), node('c')];
  const pulling = { nodesMax: 2, nodesByImage: new Map([['i', new Set(['b', 'c'])]]) };
  const asked = group('g', { image: 'i', count: 32 });
  expect(byGroup(plan(nodes, [asked], { imagePulls: pulling }))).toEqual({ g: { b: 8, c: 8 } });
});

test('of nodes that take as many ranks of a gang those have it that have the image', () => {
  const nodes = ['a', 'b', 'c', 'd'].map((name) =>
    node(name, { images: new Set(name > 'b' ? ['i'] : []) }),
  );
  const gang = (edit: object) => [group('g', { image: 'i', gang: { size: 2, ...edit } })];
  expect(byGroup(plan(nodes, gang({ ranksPerNodeMax: 1 })))).toEqual({ g: { c: 1, d: 1 } });
  expect(byGroup(plan(nodes, gang({ size: 12 })))).toEqual({ g: { c: 8, d: 4 } });
  expect(byGroup(plan(nodes, gang({ size: 17 })))).toEqual({ g: { a: 1, c: 8, d: 8 } });
  const roomier = node('e', { allocatable: cores(16) });
  expect(byGroup(plan([...nodes, roomier], gang({ size: 20 })))).toEqual({ g: { e: 16, c: 4 } });
});

test('a gang on more nodes than may pull its image starts when no other node pulls it', () => {
  const nodes = ['a', 'b', 'c', 'd'].map((name) => node(name));
  const gang = group('g', { image: 'i', gang: { size: 3, ranksPerNodeMax: 1 } });
  expect(byGroup(plan(nodes, [gang]))).toEqual({ g: { a: 1, b: 1, c: 1 } });
  const pulling = { nodesMax: 2, nodesByImage: new Map([['i', new Set(['d'])]]) };
  expect(byGroup(plan(nodes, [gang], { imagePulls: pulling }))).toEqual({});
});

test('a gang is placed whole in one zone, or not at all', () => {
  const zoned = (name: string, zone: string) => node(name, { labels: { zone } });
  const nodes = [zoned('a', 'z1'), zoned('b', 'z2'), zoned('c', 'z2')];
  const gang = (size: number, edit: object = {}) =>
    group('g', { gang: { size, topologyKey: 'zone', ...edit } });
  expect(byGroup(plan(nodes, [gang(6)]))).toEqual({ g: { a: 6 } });
  expect(byGroup(plan(nodes, [gang(12)]))).toEqual({ g: { b: 8, c: 4 } });
  expect(byGroup(plan(nodes, [gang(2, { ranksPerNodeMax: 1 })]))).toEqual({ g: { b: 1, c: 1 } });
  const refused = plan(nodes, [gang(17)]);
  expect(refused.assignments).toEqual([]);
  expect(sentence(refused)).toBe(
    '3 nodes: 3 with room for some of the ranks, but not for all together',
  );
});

test('for a large task that waited too long a node is kept, and only what ends before goes there', () => {
  const nodes = [busy('a', 4, NOW + HOUR), busy('b', 4, NOW + 2 * HOUR)];
  const large = group('large', { resources: cores(8), waitingSinceMs: 0 });
  const small = (key: string, expectedDurationMs: number) =>
    group(key, { count: 8, expectedDurationMs });
  const made = plan(nodes, [large, small('long', 3 * HOUR), small('short', HOUR / 2)]);
  expect(byGroup(made)).toEqual({ long: { b: 4 }, short: { a: 4 } });
  const young = plan(nodes, [{ ...large, waitingSinceMs: NOW }, small('long', 3 * HOUR)]);
  expect(byGroup(young)).toEqual({ long: { a: 4, b: 4 } });
});

test('the reasons name each node once, in a sentence', () => {
  const taint = { key: 'dedicated', value: 'gpu', effect: 'NoSchedule' as const };
  const many = (count: number, name: string, edit: Partial<NodePicture>): NodePicture[] =>
    Array.from({ length: count }, (_, number) => node(`${name}${number}`, edit));
  const nodes = [
    ...many(2400, 'full', { held: cores(0, 6.5), podCount: 4 }),
    ...many(560, 'gpu', { taints: [taint] }),
    ...many(40, 'dead', { notReadySinceMs: 5 }),
  ];
  const asked = group('g', { resources: cores(1, 4) });
  const text =
    '3,000 nodes: 2,400 short of memory (most free: 1.5 GiB of 4.0 GiB), ' +
    '560 tainted dedicated=gpu, 40 not ready';
  expect(sentence(plan(nodes, [asked]))).toBe(text);
  const explained = explainLeft(new NodeIndex(nodes), asked, rules);
  expect(explained).toMatchObject({ eligibleCount: 2400, fitsWhenEmptyCount: 2400 });
  expect(formatExplanation(asked, explained)).toBe(text);
});

test('without a node the sentence says so', () => {
  expect(sentence(plan([], [group('g')]))).toBe('there is no node');
});

test('a task that asks for nothing gets the least that a pod may request', () => {
  const index = new NodeIndex([node('a')]);
  expect(index.countFitting(group('g', { resources: NO_RESOURCES }), NOW)).toBe(110);
  const large = new NodeIndex([node('a', { podsMax: 9999 })]);
  expect(large.countFitting(group('g', { resources: NO_RESOURCES }), NOW)).toBe(512);
});
