import fc from 'fast-check';
import { expect, test } from 'vitest';
import { RESERVE_AFTER_MS } from '../dispatch.ts';
import type { Resources } from '../resources.ts';
import {
  addResources,
  fits,
  NO_RESOURCES,
  subtractResources,
  timesResources,
} from '../resources.ts';
import { findHardTaint, findMissingLabel } from './constraints.ts';
import type { Explanation, ReasonCount } from './explain.ts';
import { isClosed, NodeIndex } from './node-index.ts';
import type { NodePicture } from './node-picture.ts';
import type { PlacementGroup, TaskShape } from './placement-group.ts';
import type { PlacementPlan } from './plan-placement.ts';
import { explainLeft, planPlacement } from './plan-placement.ts';

const NOW = 100 * RESERVE_AFTER_MS;
const GIB = 2 ** 30;

const rulesFor = (nodesMax: number) => ({
  nowMs: NOW,
  imagePulls: { nodesMax, nodesByImage: new Map<string, Set<string>>() },
});

const amounts = (cpu: number, memory: number, least = 0): fc.Arbitrary<Resources> =>
  fc.record({
    cpuMillis: fc.integer({ min: least, max: cpu }),
    memoryBytes: fc
      .integer({ min: Math.min(1, least), max: memory })
      .map((part) => (part * GIB) / 4),
    scratchBytes: fc.constantFrom(0, 0, GIB),
    shmBytes: fc.constant(0),
    gpuCount: fc.constantFrom(0, 0, 0, 1, 2),
    countable: fc.constantFrom<Record<string, number>>({}, {}, { 'x/y': 1 }, { 'x/z': 2 }),
  });

const isFact = fc.constant(true as const);
const taint = fc.record(
  {
    key: fc.constantFrom('k1', 'k2'),
    value: fc.constantFrom('', 'v'),
    effect: fc.constantFrom(
      'NoSchedule' as const,
      'PreferNoSchedule' as const,
      'NoExecute' as const,
    ),
    isFact,
  },
  { requiredKeys: ['key', 'value', 'effect'] },
);

const toleration = fc.record(
  {
    key: fc.constantFrom('', 'k1', 'k2'),
    operator: fc.constantFrom('Exists' as const, 'Equal' as const),
    value: fc.constantFrom('', 'v'),
    isFact,
  },
  { requiredKeys: ['key', 'operator', 'value'] },
);

const runningEnds = fc.array(
  fc.record({
    endsAtMs: fc.option(fc.integer({ min: NOW - 1000, max: NOW + 1e8 }), { nil: undefined }),
    resources: amounts(2000, 8),
    podCount: fc.constant(1),
  }),
  { maxLength: 3 },
);

/** Nodes in use, in every state; what runs may even be more than they have. */
const nodeParts = fc.record({
  zone: fc.constantFrom('z1', 'z2'),
  taints: fc.oneof({ weight: 3, arbitrary: fc.constant([]) }, fc.array(taint, { maxLength: 2 })),
  isSchedulable: fc.constantFrom(true, true, true, true, false),
  notReadySinceMs: fc.constantFrom(undefined, undefined, undefined, 5),
  coolDownUntilMs: fc.constantFrom(undefined, undefined, NOW - 1, NOW + 1),
  allocatable: amounts(8000, 64),
  podsMax: fc.integer({ min: 0, max: 12 }),
  others: amounts(2000, 8),
  othersPods: fc.integer({ min: 0, max: 3 }),
  images: fc.subarray(['i1', 'i2']).map((names) => new Set(names)),
  runningEnds,
});

const nodeOf = (
  name: string,
  parts: typeof nodeParts extends fc.Arbitrary<infer Parts> ? Parts : never,
): NodePicture => {
  const { zone, others, othersPods, notReadySinceMs, coolDownUntilMs, ...rest } = parts;
  return {
    ...rest,
    name,
    labels: { zone },
    ...(notReadySinceMs === undefined ? {} : { notReadySinceMs }),
    ...(coolDownUntilMs === undefined ? {} : { coolDownUntilMs }),
    held: rest.runningEnds.reduce((sum, end) => addResources(sum, end.resources), others),
    podCount: othersPods + rest.runningEnds.length,
  };
};

const nodeList = (maxLength: number): fc.Arbitrary<NodePicture[]> =>
  fc
    .array(nodeParts, { maxLength })
    .map((list) => list.map((parts, number) => nodeOf(`n${number}`, parts)));

const groupParts = fc.record({
  resources: amounts(4000, 32, 10),
  podsPerTask: fc.constantFrom(1, 1, 2),
  nodeSelector: fc.constantFrom<Record<string, string>>({}, {}, { zone: 'z1' }),
  tolerations: fc.array(toleration, { maxLength: 2 }),
  priority: fc.integer({ min: 0, max: 2 }),
  waitingSinceMs: fc.constantFrom(NOW, 0),
  count: fc.integer({ min: 1, max: 12 }),
  policy: fc.constantFrom('pack' as const, 'spread' as const),
  image: fc.constantFrom(undefined, 'i1', 'i2'),
  expectedDurationMs: fc.constantFrom(undefined, 1000, 1e6, 1e8),
  gang: fc.constantFrom(
    undefined,
    undefined,
    { size: 3 },
    { size: 4, ranksPerNodeMax: 2, topologyKey: 'zone' },
  ),
});

const groupList = fc.array(groupParts, { maxLength: 10 }).map((list) =>
  list.map((parts, number): PlacementGroup => {
    const { image, expectedDurationMs, gang, ...rest } = parts;
    return {
      ...rest,
      key: `g${number}`,
      ...(image === undefined ? {} : { image }),
      ...(expectedDurationMs === undefined ? {} : { expectedDurationMs }),
      ...(gang === undefined ? {} : { gang }),
    };
  }),
);

function withoutGang(group: PlacementGroup): PlacementGroup {
  const { gang: _, ...rest } = group;
  return rest;
}

const countOf = (plan: PlacementPlan, key: string): number =>
  plan.assignments.reduce((sum, one) => sum + (one.groupKey === key ? one.count : 0), 0);

/** The nodes as they are once the plan has been carried out. */
function carryOut(
  nodes: readonly NodePicture[],
  groups: readonly PlacementGroup[],
  plan: PlacementPlan,
): NodePicture[] {
  return nodes.map((node) =>
    plan.assignments
      .filter(({ nodeName }) => nodeName === node.name)
      .reduce((after, { groupKey, count }) => {
        const group = groups.find(({ key }) => key === groupKey)!;
        return {
          ...after,
          held: addResources(after.held, timesResources(group.resources, count)),
          podCount: after.podCount + count * group.podsPerTask,
          images:
            group.image === undefined ? after.images : after.images.union(new Set([group.image])),
        };
      }, node),
  );
}

const isAllowed = (shape: TaskShape, node: NodePicture): boolean =>
  findMissingLabel(shape, node) === undefined &&
  findHardTaint(shape, node) === undefined &&
  !isClosed(node, NOW);

test('no node is given more than it has of anything, nor what it does not allow', () => {
  fc.assert(
    fc.property(nodeList(8), groupList, fc.integer({ min: 0, max: 2 }), (nodes, groups, pulls) => {
      const plan = planPlacement(new NodeIndex(nodes), groups, rulesFor(pulls));
      const after = carryOut(nodes, groups, plan);
      for (const { groupKey, nodeName, count } of plan.assignments) {
        const group = groups.find(({ key }) => key === groupKey)!;
        const node = nodes.find(({ name }) => name === nodeName)!;
        expect(count).toBeGreaterThan(0);
        expect(isAllowed(group, node)).toBe(true);
        const used = subtractResources(
          after.find(({ name }) => name === nodeName)!.held,
          NO_RESOURCES,
        );
        const own = fitsOnlyAsked(group.resources, used, node.allocatable);
        expect(own).toBe(true);
        expect(after.find(({ name }) => name === nodeName)!.podCount).toBeLessThanOrEqual(
          node.podsMax,
        );
      }
    }),
    { numRuns: 500 },
  );
});

/** A node may be over its limit already in what a task does not ask for. */
const fitsOnlyAsked = (asked: Resources, used: Resources, has: Resources): boolean =>
  (asked.cpuMillis === 0 || used.cpuMillis <= has.cpuMillis) &&
  (asked.memoryBytes === 0 || used.memoryBytes <= has.memoryBytes) &&
  (asked.scratchBytes === 0 || used.scratchBytes <= has.scratchBytes) &&
  (asked.gpuCount === 0 || used.gpuCount <= has.gpuCount) &&
  Object.keys(asked.countable).every(
    (name) => (used.countable[name] ?? 0) <= (has.countable[name] ?? 0),
  );

test('no more nodes begin to pull an image than the limit allows, have it already, or one gang needs', () => {
  fc.assert(
    fc.property(nodeList(8), groupList, fc.integer({ min: 0, max: 2 }), (nodes, groups, pulls) => {
      const plan = planPlacement(new NodeIndex(nodes), groups, rulesFor(pulls));
      const after = carryOut(nodes, groups, plan);
      for (const image of ['i1', 'i2']) {
        const needed = groups.map(({ gang, image: own }) =>
          own === image ? (gang?.size ?? 0) : 0,
        );
        const has = (list: readonly NodePicture[]): number =>
          list.filter(({ images }) => images.has(image)).length;
        const grown = Math.max(pulls, has(nodes));
        const most = grown === 0 ? 0 : Math.max(grown, ...needed);
        expect(has(after) - has(nodes)).toBeLessThanOrEqual(most);
      }
    }),
  );
});

test('a gang is placed whole, each within the ranks a node may have, in one domain', () => {
  fc.assert(
    fc.property(nodeList(8), groupList, (nodes, groups) => {
      const plan = planPlacement(new NodeIndex(nodes), groups, rulesFor(9));
      for (const group of groups) {
        const left = plan.left.find((one) => one.group === group)?.count ?? 0;
        expect(countOf(plan, group.key)).toBe((group.count - left) * (group.gang?.size ?? 1));
        if (group.gang?.topologyKey === undefined || group.count > 1) continue;
        const mine = plan.assignments.filter(({ groupKey }) => groupKey === group.key);
        const zones = mine.map(
          ({ nodeName }) => nodes.find(({ name }) => name === nodeName)!.labels['zone'],
        );
        expect(new Set(zones).size).toBeLessThanOrEqual(1);
        for (const { count } of mine) expect(count).toBeLessThanOrEqual(2);
      }
    }),
  );
});

test('what is left over fits no node that remains open to it', () => {
  fc.assert(
    fc.property(nodeList(8), groupList, (nodes, list) => {
      // Nothing has waited long, so that no node is kept; and there are no ranks.
      const groups = list.map((group) => ({ ...withoutGang(group), waitingSinceMs: NOW }));
      const plan = planPlacement(new NodeIndex(nodes), groups, rulesFor(9));
      const after = carryOut(nodes, groups, plan);
      for (const { group } of plan.left)
        for (const node of after)
          expect(isAllowed(group, node) && hasAsked(group, node)).toBe(false);
    }),
    { numRuns: 500 },
  );
});

/** So many that most constraints allow more than a few nodes: each node ten times over. */
const largeCluster = fc
  .array(nodeParts, { minLength: 12, maxLength: 20 })
  .map((list) => Array.from({ length: 10 }, () => list).flat())
  .map((list) => list.map((parts, number) => nodeOf(`n${number}`, parts)));

test('on a large cluster too, what is left over fits no node that remains open to it', () => {
  fc.assert(
    fc.property(largeCluster, groupList, groupList, (nodes, first, second) => {
      const groups = [
        ...first,
        ...second.map((group) => ({ ...group, key: `${group.key}-2` })),
      ].map((group) => ({ ...withoutGang(group), waitingSinceMs: NOW, count: group.count * 30 }));
      const plan = planPlacement(new NodeIndex(nodes), groups, rulesFor(999));
      const after = carryOut(nodes, groups, plan);
      for (const { group } of plan.left)
        for (const node of after)
          expect(isAllowed(group, node) && hasAsked(group, node)).toBe(false);
    }),
    { numRuns: 60 },
  );
});

/** As `hasRoom`, where only what is asked for counts. */
const hasAsked = (shape: TaskShape, node: NodePicture): boolean =>
  node.podCount + shape.podsPerTask <= node.podsMax &&
  fitsOnlyAsked(shape.resources, addResources(node.held, shape.resources), node.allocatable);

/** One reason of the picture alone, worked out the slow way. */
function nodesWith(
  reason: ReasonCount,
  group: PlacementGroup,
  nodes: readonly NodePicture[],
): number {
  const label = (node: NodePicture): boolean => findMissingLabel(group, node) === undefined;
  const untainted = (node: NodePicture): boolean => findHardTaint(group, node) === undefined;
  const placeable = nodes.filter((node) => label(node) && untainted(node));
  if (reason.kind === 'selector') return nodes.filter((node) => !label(node)).length;
  if (reason.kind === 'unschedulable')
    return placeable.filter(({ isSchedulable }) => !isSchedulable).length;
  const open = placeable.filter(({ isSchedulable }) => isSchedulable);
  if (reason.kind === 'notReady')
    return open.filter((node) => node.notReadySinceMs !== undefined).length;
  const ready = open.filter((node) => node.notReadySinceMs === undefined);
  if (reason.kind === 'coolDown')
    return ready.filter((node) => (node.coolDownUntilMs ?? 0) > NOW).length;
  return ready.filter((node) => (node.coolDownUntilMs ?? 0) <= NOW && !hasAsked(group, node))
    .length;
}

/** At least as many open nodes are short of the resource, and the most free is one of theirs. */
function checkShort(
  reason: ReasonCount,
  group: PlacementGroup,
  nodes: readonly NodePicture[],
): void {
  if (reason.kind !== 'short') return;
  const asked = askedOf({ ...group, podCount: group.podsPerTask }, reason.resource);
  const free = nodes
    .filter((node) => isAllowed(group, node))
    .map((node) => {
      const left = subtractResources(node.allocatable, node.held);
      return askedOf({ resources: left, podCount: node.podsMax - node.podCount }, reason.resource);
    })
    .filter((amount) => amount < asked);
  expect(free.length).toBeGreaterThanOrEqual(reason.nodeCount);
  expect(free.map((amount) => Math.max(0, amount))).toContain(reason.bestAvailable);
}

function askedOf(one: { resources: Resources; podCount: number }, resource: string): number {
  if (resource === 'pods') return one.podCount;
  if (resource.startsWith('countable:')) return one.resources.countable[resource.slice(10)] ?? 0;
  return one.resources[resource as 'cpuMillis'];
}

function checkReasons(
  explained: Explanation,
  group: PlacementGroup,
  nodes: readonly NodePicture[],
): void {
  const { reasons, nodeCount } = explained;
  expect(reasons.reduce((sum, one) => sum + one.nodeCount, 0)).toBe(nodeCount);
  expect(nodeCount).toBe(nodes.length);
  for (const reason of reasons) {
    if (reason.kind === 'short' || reason.kind === 'taint' || !('nodeCount' in reason)) continue;
    if (['reserved', 'imagePull', 'gang', 'room'].includes(reason.kind)) continue;
    expect(reason.nodeCount).toBe(nodesWith(reason, group, nodes));
  }
  const short = reasons.filter(({ kind }) => kind === 'short');
  const shortCount = short.reduce((sum, one) => sum + one.nodeCount, 0);
  if (short.length > 0) expect(shortCount).toBe(nodesWith(short[0]!, group, nodes));
  for (const one of short) checkShort(one, group, nodes);
}

test('the reasons count each node once, and each is true', () => {
  fc.assert(
    fc.property(nodeList(8), groupList, (nodes, groups) => {
      const plan = planPlacement(new NodeIndex(nodes), groups, rulesFor(1));
      const after = carryOut(nodes, groups, plan);
      for (const { group, explanation } of plan.left) checkReasons(explanation!, group, after);
    }),
    { numRuns: 500 },
  );
});

const change = fc.oneof(
  { weight: 4, arbitrary: fc.tuple(fc.constant('set' as const), fc.nat(99), nodeParts) },
  { weight: 1, arbitrary: fc.tuple(fc.constant('remove' as const), fc.nat(99), nodeParts) },
);

test('an index that was kept up to date answers as one built anew', () => {
  fc.assert(
    fc.property(
      fc.array(change, { minLength: 1, maxLength: 150 }),
      groupList,
      (changes, groups) => {
        const index = new NodeIndex();
        const pictures = new Map<string, NodePicture>();
        for (const [kind, number, parts] of changes) {
          const name = `n${number}`;
          for (const group of groups.slice(0, 3)) index.countFitting(group, NOW - 2);
          if (kind === 'remove') {
            index.remove(name);
            pictures.delete(name);
          } else {
            index.set(nodeOf(name, parts));
            pictures.set(name, nodeOf(name, parts));
          }
        }
        const anew = new NodeIndex([...pictures.values()].toReversed());
        const rules = rulesFor(1);
        expect(planPlacement(index, groups, rules)).toEqual(planPlacement(anew, groups, rules));
        for (const group of groups) {
          expect(index.countFitting(group, NOW)).toBe(anew.countFitting(group, NOW));
          expect(explainLeft(index, group, rules)).toEqual(explainLeft(anew, group, rules));
        }
      },
    ),
  );
});

test('an offer is the sum of what each open node has room for', () => {
  fc.assert(
    fc.property(nodeList(8), groupList, (nodes, groups) => {
      const index = new NodeIndex(nodes);
      for (const group of groups) {
        let sum = 0;
        for (const node of nodes.filter((one) => isAllowed(group, one))) {
          let after = node;
          while (hasAsked(group, after)) {
            sum += 1;
            const held = addResources(after.held, group.resources);
            after = { ...after, held, podCount: after.podCount + group.podsPerTask };
          }
        }
        expect(index.countFitting(group, NOW)).toBe(sum);
      }
    }),
  );
});

/** As many tasks as any plan could place: every choice of node, or none, for each task. */
function mostPlaceable(tasks: readonly Resources[], free: readonly Resources[]): number {
  if (tasks.length === 0) return 0;
  const [task, ...rest] = tasks;
  let most = mostPlaceable(rest, free);
  free.forEach((room, at) => {
    if (most === tasks.length || !fits(task!, room)) return;
    const after = free.with(at, subtractResources(room, task!));
    most = Math.max(most, 1 + mostPlaceable(rest, after));
  });
  return most;
}

const plain = (cpuMillis: number, gib: number): Resources => ({
  ...NO_RESOURCES,
  cpuMillis,
  memoryBytes: gib * GIB,
});

/** Up to three nodes of up to 8 cores and 8 GiB, up to six tasks of up to half of that. */
const size = fc.tuple(fc.integer({ min: 1, max: 8 }), fc.integer({ min: 1, max: 8 }));
const smallCase = fc.record({
  rooms: fc
    .array(size, { minLength: 1, maxLength: 3 })
    .map((list) => list.map(([cpu, gib]) => plain(cpu * 1000, gib))),
  tasks: fc
    .array(size, { minLength: 1, maxLength: 6 })
    .map((list) => list.map(([cpu, gib]) => plain(cpu * 500, gib / 2))),
});

const emptyNode = (allocatable: Resources, number: number): NodePicture => ({
  name: `n${number}`,
  labels: {},
  taints: [],
  isSchedulable: true,
  allocatable,
  podsMax: 99,
  held: NO_RESOURCES,
  podCount: 0,
  images: new Set(),
  runningEnds: [],
});

const oneTask = (resources: Resources, number: number): PlacementGroup => ({
  key: `g${number}`,
  resources,
  podsPerTask: 1,
  nodeSelector: {},
  tolerations: [],
  priority: 0,
  waitingSinceMs: NOW,
  count: 1,
  policy: 'pack',
});

test('over small cases nine tenths of the most that any plan could place are placed', () => {
  let [placed, most] = [0, 0];
  fc.assert(
    fc.property(smallCase, ({ rooms, tasks }) => {
      const index = new NodeIndex(rooms.map(emptyNode));
      const { left } = planPlacement(index, tasks.map(oneTask), rulesFor(9));
      placed += tasks.length - left.length;
      most += mostPlaceable(tasks, rooms);
      expect(left.length === tasks.length).toBe(mostPlaceable(tasks, rooms) === 0);
    }),
    // Largest first gives up count for size, so single cases are far off: the sum is judged.
    { numRuns: 2000, seed: 1 },
  );
  expect(placed / most).toBeGreaterThan(0.9);
});

test('of equal tasks exactly as many are placed as there is room for', () => {
  fc.assert(
    fc.property(nodeList(8), groupList, (nodes, groups) => {
      for (const group of groups.slice(0, 3).map(withoutGang)) {
        const index = new NodeIndex(nodes);
        const room = index.countFitting(group, NOW);
        const { left } = planPlacement(index, [{ ...group, count: room + 1 }], rulesFor(9));
        expect(left).toMatchObject([{ count: 1 }]);
      }
    }),
  );
});

test('a task alone on a cluster is placed if any node allows it, as each node by itself shows', () => {
  fc.assert(
    fc.property(nodeList(8), groupList, (nodes, groups) => {
      for (const group of groups.slice(0, 2).map(withoutGang)) {
        const { left } = planPlacement(new NodeIndex(nodes), [{ ...group, count: 1 }], rulesFor(1));
        const canGo = nodes.some((node) => isAllowed(group, node) && hasAsked(group, node));
        expect(left.length).toBe(canGo ? 0 : 1);
      }
    }),
    { numRuns: 500 },
  );
});

/** How many tasks of a group fit on a node, counted one by one. */
function countOn(group: PlacementGroup, node: NodePicture): number {
  if (!isAllowed(group, node)) return 0;
  let [count, after] = [0, node];
  for (; hasAsked(group, after); count += 1) {
    const held = addResources(after.held, group.resources);
    after = { ...after, held, podCount: after.podCount + group.podsPerTask };
  }
  return count;
}

test('a gang alone on a cluster is placed if the nodes of one domain have room for all its ranks', () => {
  fc.assert(
    fc.property(nodeList(8), groupList, (nodes, groups) => {
      for (const group of groups) {
        const { gang } = group;
        if (gang === undefined) continue;
        const { size: ranks, ranksPerNodeMax = ranks, topologyKey } = gang;
        const roomByDomain = new Map<string, number>();
        for (const node of nodes) {
          const domain = topologyKey === undefined ? '' : node.labels[topologyKey]!;
          const room = Math.min(ranksPerNodeMax, countOn(group, node));
          roomByDomain.set(domain, (roomByDomain.get(domain) ?? 0) + room);
        }
        const canGo = [...roomByDomain.values()].some((room) => room >= ranks);
        const one = { ...group, count: 1 };
        const { left } = planPlacement(new NodeIndex(nodes), [one], rulesFor(9));
        expect(left.length).toBe(canGo ? 0 : 1);
      }
    }),
    { numRuns: 300 },
  );
});

test('the order in which nodes are told decides nothing', () => {
  fc.assert(
    fc.property(nodeList(12), groupList, fc.infiniteStream(fc.nat()), (nodes, groups, order) => {
      const shuffled = nodes.toSorted(() => (order.next().value! % 2 === 0 ? 1 : -1));
      const rules = rulesFor(1);
      expect(planPlacement(new NodeIndex(shuffled), groups, rules)).toEqual(
        planPlacement(new NodeIndex(nodes), groups, rules),
      );
    }),
  );
});
