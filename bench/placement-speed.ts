import type { NodePicture, PlacementGroup } from '@majorana/core';
import { explainLeft, GIBIBYTE, NodeIndex, planPlacement } from '@majorana/core';
import type { Figure } from './figure.ts';
import { amounts, benchGroup, benchNode, randomFrom } from './placement-cluster.ts';

const NODES = 3000;
const TASKS = 100_000;
const RUNS = 15;
const SIZES = [
  [16, 64],
  [32, 128],
  [64, 128],
  [64, 512],
] as const;
const RULES = {
  nowMs: 0,
  imagePulls: { nodesMax: 10, nodesByImage: new Map<string, Set<string>>() },
};

const nodes = (): NodePicture[] =>
  Array.from({ length: NODES }, (_, number) => {
    const [cores, gib] = SIZES[number % SIZES.length]!;
    return benchNode(number, cores, gib);
  });

/** A tenth of a core to four, up to 8 GiB, a second to six hours. */
function groups(shapes: number): PlacementGroup[] {
  const random = randomFrom(1);
  return Array.from({ length: shapes }, (_, number) => {
    const cpuMillis = Math.round(100 + random() * 3900);
    const memoryBytes = Math.round((0.1 + random() * 7.9) * GIBIBYTE);
    return benchGroup(`g${number}`, {
      resources: amounts(cpuMillis, memoryBytes),
      count: TASKS / shapes,
      expectedDurationMs: Math.exp(random() * 10) * 1000,
    });
  });
}

/** The middle of the runs after the first, in which the code is compiled; and the best of them. */
function milliseconds(act: () => unknown, each = 1): { median: string; best: string } {
  const times: number[] = [];
  for (let run = 0; run <= RUNS; run += 1) {
    const begun = performance.now();
    act();
    if (run > 0) times.push((performance.now() - begun) / each);
  }
  const sorted = times.toSorted((a, b) => a - b);
  const text = (ms: number): string => (ms < 10 ? ms.toPrecision(2) : ms.toFixed(0));
  return { median: text(sorted[RUNS >> 1]!), best: text(sorted[0]!) };
}

/** Every third has a selector, every fifth a toleration, every seventh an image of twenty. */
const constrained = (list: readonly PlacementGroup[]): PlacementGroup[] =>
  list.map((group, number) => ({
    ...group,
    ...(number % 3 === 0 ? { nodeSelector: { zone: `zone-${(number / 3) % 3}` } } : {}),
    ...(number % 5 === 0 ? { tolerations: [{ key: 'spot', operator: 'Exists' as const }] } : {}),
    ...(number % 7 === 0 ? { image: `image-${number % 20}` } : {}),
  }));

function roundFigure(what: string, waiting: readonly PlacementGroup[]): Figure {
  const index = new NodeIndex(nodes());
  const { assignments } = planPlacement(index, waiting, RULES);
  const placed = assignments.reduce((sum, { count }) => sum + count, 0);
  const begun = process.cpuUsage();
  const { median, best } = milliseconds(() => planPlacement(index, waiting, RULES));
  const { user, system } = process.cpuUsage(begun);
  const perRound = Math.round((user + system) / 1000 / (RUNS + 1));
  return {
    name: `a round: 100,000 waiting tasks, ${what}, 3,000 nodes`,
    value: `${perRound} ms of processor time`,
    beside: `goal: under 100 ms; by the clock ${median} ms, the best of ${RUNS} runs ${best} ms; ${placed} placed, the others refused`,
  };
}

/** A pod comes and goes on one node after the other, with 50 shapes offered. */
function changeFigures(): Figure[] {
  const list = nodes();
  const shapes = groups(50);
  const index = new NodeIndex(list);
  const offer = (): number => shapes.reduce((sum, one) => sum + index.countFitting(one, 0), 0);
  offer();
  const busy = list.map((node) => ({ ...node, held: amounts(4000, GIBIBYTE), podCount: 4 }));
  const change = milliseconds(() => {
    for (const node of busy) index.set(node);
    for (const node of list) index.set(node);
  }, 2 * NODES);
  const asked = milliseconds(offer);
  const rebuilt = milliseconds(() => new NodeIndex(list));
  planPlacement(index, shapes, RULES);
  const why = milliseconds(() => explainLeft(index, shapes[0]!, RULES));
  return [
    {
      name: 'one pod comes or goes, 50 shapes offered, 3,000 nodes',
      value: `${(Number(change.median) * 1000).toFixed(1)} µs`,
      beside: 'the index and the 50 counts are up to date after it',
    },
    { name: 'how many tasks of each of 50 shapes fit', value: `${asked.median} ms`, beside: '' },
    { name: 'the index of 3,000 nodes built anew', value: `${rebuilt.median} ms`, beside: '' },
    { name: 'why a task finds no node among 3,000', value: `${why.median} ms`, beside: '' },
  ];
}

export const speedFigures = (): Figure[] => [
  ...[50, 1000, TASKS].map((shapes) => roundFigure(`${shapes} shapes`, groups(shapes))),
  roundFigure(`${TASKS} shapes, half of them constrained`, constrained(groups(TASKS))),
  ...changeFigures(),
];
