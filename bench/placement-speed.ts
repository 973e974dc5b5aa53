import { explainLeft, GIBIBYTE, NodeIndex, planPlacement } from '@majorana/core';
import type { Figure } from './figure.ts';
import { amounts } from './placement-cluster.ts';
import type { RoundInput } from './placement-inputs.ts';
import { alikeNodes, groups, roundInputs } from './placement-inputs.ts';

const NODES = 3000;
const RUNS = 15;
/** The goal of a round, of processor time. */
const GOAL_MS = 100;
const RULES = {
  nowMs: 0,
  imagePulls: { nodesMax: 10, nodesByImage: new Map<string, Set<string>>() },
};

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

const processorMsSince = (begun: NodeJS.CpuUsage): number => {
  const { user, system } = process.cpuUsage(begun);
  return (user + system) / 1000;
};

/** The middle of the rounds after the first: an agent is asked again and again. */
function roundFigure({ what, nodes, groups: waiting }: RoundInput): Figure {
  const index = new NodeIndex(nodes());
  const list = waiting();
  const rounds = Array.from({ length: RUNS + 1 }, () => {
    const begun = process.cpuUsage();
    const { assignments } = planPlacement(index, list, RULES);
    return { assignments, ms: processorMsSince(begun) };
  });
  const [first, ...others] = rounds;
  const ms = others.map((round) => round.ms).toSorted((a, b) => a - b);
  const [best, middle] = [ms[0]!, ms[RUNS >> 1]!];
  const placed = first!.assignments.reduce((sum, { count }) => sum + count, 0);
  return {
    name: `a round: 100,000 waiting tasks, ${what}, 3,000 nodes`,
    value: `${middle.toFixed(0)} ms of processor time: ${(middle / GOAL_MS).toFixed(2)} of the limit`,
    beside: `limit ${GOAL_MS} ms; the best of ${RUNS} ${best.toFixed(0)} ms, the first ${first!.ms.toFixed(0)} ms; ${placed.toLocaleString('en')} placed`,
  };
}

/** A pod comes and goes on one node after the other, with 50 shapes offered. */
function changeFigures(): Figure[] {
  const list = alikeNodes();
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

export const speedFigures = (): Figure[] => [...roundInputs.map(roundFigure), ...changeFigures()];
