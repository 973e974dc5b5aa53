import type { NodePicture, PlacementGroup, RunningEnd } from '@majorana/core';
import { GIBIBYTE } from '@majorana/core';
import { amounts, benchGroup, benchNode, randomFrom } from './placement-cluster.ts';

const NODES = 3000;
const TASKS = 100_000;
const HOUR_MS = 3_600_000;
const SIZES = [
  [16, 64],
  [32, 128],
  [64, 128],
  [64, 512],
] as const;

/** What a round is given; made when it is its turn, as 100,000 groups slow the collector down. */
export interface RoundInput {
  readonly what: string;
  readonly nodes: () => NodePicture[];
  readonly groups: () => PlacementGroup[];
}

type Edit = (number: number, random: () => number) => Partial<PlacementGroup>;

export const alikeNodes = (): NodePicture[] =>
  Array.from({ length: NODES }, (_, number) => {
    const [cores, gib] = SIZES[number % SIZES.length]!;
    return benchNode(number, cores, gib);
  });

/** A tenth of a core to four, up to 8 GiB, a second to six hours; each shape differs. */
export function groups(shapes: number, edit: Edit = () => ({})): PlacementGroup[] {
  const random = randomFrom(1);
  const randomEdit = randomFrom(2);
  return Array.from({ length: shapes }, (_, number) => {
    const cpuMillis = Math.round(100 + random() * 3900);
    const memoryBytes = Math.round((0.1 + random() * 7.9) * GIBIBYTE);
    return benchGroup(`g${number}`, {
      resources: amounts(cpuMillis, memoryBytes),
      count: TASKS / shapes,
      expectedDurationMs: Math.exp(random() * 10) * 1000,
      ...edit(number, randomEdit),
    });
  });
}

const pick = (count: number, random: () => number): number => Math.floor(random() * count);

/** How many values each label of the different nodes has. */
const LABELS = { zone: 3, disk: 2, type: 40, rack: 100, team: 300 } as const;

/** No two nodes with the same labels or size, a third with a taint of its own or of its team. */
function differentNodes(): NodePicture[] {
  const random = randomFrom(3);
  return Array.from({ length: NODES }, (_, number) => {
    const picture = benchNode(number, 8 + pick(120, random), 16 + pick(1000, random));
    const labels = Object.entries(LABELS).map(([label, values]) => [
      label,
      `${label}-${pick(values, random)}`,
    ]);
    const value = number % 6 === 0 ? picture.name : `team-${pick(LABELS.team, random)}`;
    const effect = number % 2 === 0 ? 'NoSchedule' : 'PreferNoSchedule';
    return {
      ...picture,
      labels: { ...Object.fromEntries(labels), hostname: picture.name },
      taints: number % 3 === 0 ? [{ key: 'dedicated', value, effect } as const] : [],
    };
  });
}

/** Two labels of five with some value, and a toleration with another. */
const distinctConstraints: Edit = (number, random) => {
  const names = Object.keys(LABELS) as (keyof typeof LABELS)[];
  const [first, second] = [names[number % 5]!, names[(number + 1 + pick(4, random)) % 5]!];
  return {
    nodeSelector: {
      [first]: `${first}-${pick(LABELS[first], random)}`,
      [second]: `${second}-${pick(LABELS[second], random)}`,
    },
    tolerations: [
      { key: 'dedicated', operator: 'Equal', value: `team-${pick(LABELS.team, random)}` },
      { key: `only-${number}`, operator: 'Exists' },
    ],
    image: `image-${pick(200, random)}`,
  };
};

/** Every third has a selector, every fifth a toleration, every seventh an image of twenty. */
const halfConstrained: Edit = (number) => ({
  ...(number % 3 === 0 ? { nodeSelector: { zone: `zone-${(number / 3) % 3}` } } : {}),
  ...(number % 5 === 0 ? { tolerations: [{ key: 'spot', operator: 'Exists' as const }] } : {}),
  ...(number % 7 === 0 ? { image: `image-${number % 20}` } : {}),
});

const hostOf = (number: number): string => `node-${String(number).padStart(5, '0')}`;

/** Devices on one node of a hundred, which every second task asks for. */
const deviceNodes = (): NodePicture[] =>
  alikeNodes().map((node, number) => {
    if (number % 100 !== 0) return node;
    const countable = { [`fpga/${number % 300}`]: 16 };
    return { ...node, allocatable: { ...node.allocatable, gpuCount: 8, countable } };
  });

const deviceTasks = (list: readonly PlacementGroup[]): PlacementGroup[] =>
  list.map((group, number) => ({
    ...group,
    resources: {
      ...group.resources,
      ...(number % 4 === 0 ? { gpuCount: 1 } : {}),
      ...(number % 4 === 1 ? { countable: { [`fpga/${(number % 3) * 100}`]: 1 } } : {}),
    },
  }));

/** 64 ranks of one core and 2 GiB, more or less, among single tasks. */
function withGangs(gangs: number): PlacementGroup[] {
  const random = randomFrom(5);
  const single = groups(TASKS).slice(0, TASKS - gangs * 64);
  const many = Array.from({ length: gangs }, (_, number) =>
    benchGroup(`gang${number}`, {
      resources: amounts(500 + pick(4000, random), (1 + random() * 8) * GIBIBYTE),
      gang: { size: 64 },
      expectedDurationMs: random() * 6 * HOUR_MS,
    }),
  );
  return [...single, ...many];
}

/** Either no cores or no memory left, by what never ends. */
const fullNodes = (): NodePicture[] =>
  alikeNodes().map((node, number) => {
    const { cpuMillis, memoryBytes } = node.allocatable;
    const held =
      number % 2 === 0
        ? amounts(cpuMillis - 90, memoryBytes - 3 * GIBIBYTE)
        : amounts(cpuMillis - 3000, memoryBytes - 0.09 * GIBIBYTE);
    return { ...node, held, podCount: 20 };
  });

/** Eight pods with an eighth of what the node has, each. */
function endsOf({ allocatable }: NodePicture, number: number): RunningEnd[] {
  const random = randomFrom(number);
  const resources = amounts(allocatable.cpuMillis / 9, allocatable.memoryBytes / 9);
  return Array.from({ length: 8 }, () => ({
    endsAtMs: random() * 6 * HOUR_MS,
    resources,
    podCount: 1,
  })).toSorted((a, b) => a.endsAtMs - b.endsAtMs);
}

/** 24,000 pods of ours on 3,000 nodes, a little room beside them. */
const busyNodes = (): NodePicture[] =>
  alikeNodes().map((node, number) => {
    const { cpuMillis, memoryBytes } = node.allocatable;
    const held = amounts((cpuMillis * 8) / 9, (memoryBytes * 8) / 9);
    return { ...node, held, podCount: 11, runningEnds: endsOf(node, number) };
  });

const oneNode: Edit = (_, random) => ({ nodeSelector: { hostname: hostOf(pick(NODES, random)) } });

const oneZone: Edit = (number) => ({
  nodeSelector: { zone: 'zone-0', ...(number % 2 === 0 && { [`no-${number % 999}`]: '' }) },
});

const PAIR = { gang: { size: 2 } };

/** They have waited past the time after which nodes are kept. */
const aged: Edit = () => ({ waitingSinceMs: -HOUR_MS });

/** Each shape differs, and so may what `edit` makes of it. */
const each =
  (edit: Edit = () => ({})) =>
  (): PlacementGroup[] =>
    groups(TASKS, edit);

const input = (
  what: string,
  nodes: () => NodePicture[],
  list: () => PlacementGroup[],
): RoundInput => ({ what, nodes, groups: list });

export const roundInputs: readonly RoundInput[] = [
  input('50 shapes', alikeNodes, () => groups(50)),
  input('1,000 shapes', alikeNodes, () => groups(1000)),
  input('100,000 shapes', alikeNodes, each()),
  input('half of 100,000 shapes constrained', alikeNodes, each(halfConstrained)),
  input('all nodes different', differentNodes, each()),
  input('all nodes and all constraints different', differentNodes, each(distinctConstraints)),
  input('each for one node by its name', differentNodes, each(oneNode)),
  input('all for one zone of three, half with a label of no node', alikeNodes, each(oneZone)),
  input('half for devices that 30 nodes have', deviceNodes, () => deviceTasks(groups(TASKS))),
  input('300 gangs of 64 among them', alikeNodes, () => withGangs(300)),
  input('1,500 gangs of 64 among them', alikeNodes, () => withGangs(1500)),
  input('50,000 gangs of 2', alikeNodes, () => groups(TASKS / 2, () => ({ ...PAIR, count: 1 }))),
  input(
    'spread',
    alikeNodes,
    each(() => ({ policy: 'spread' })),
  ),
  input('everything full', fullNodes, each()),
  input('everything full, all constraints different', fullNodes, each(distinctConstraints)),
  input('everything full, all have waited long', fullNodes, each(aged)),
  input('24,000 pods with predicted ends', busyNodes, each()),
  input('24,000 pods with predicted ends, all have waited long', busyNodes, each(aged)),
];
