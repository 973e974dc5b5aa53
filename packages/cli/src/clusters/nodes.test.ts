import type { ClusterNode } from '@majorana/protocol';
import { NO_RESOURCES } from '@majorana/core';
import { expect, test } from 'vitest';
import { bar } from './amounts.ts';
import { chooseNodes, nodesTable } from './nodes.ts';

const GIB = 2 ** 30;
const node = (name: string, edit: Partial<ClusterNode> = {}): ClusterNode => ({
  name,
  group: 'S5.4XLARGE64',
  isReady: true,
  isCordoned: false,
  coolingUntilMs: null,
  taints: [],
  fault: '',
  allocatable: { ...NO_RESOURCES, cpuMillis: 16_000, memoryBytes: 64 * GIB },
  allocated: { ...NO_RESOURCES, cpuMillis: 4000, memoryBytes: 32 * GIB },
  ourPodCount: 3,
  podCount: 5,
  ...edit,
});
const nodes = [
  node('a', { isReady: false, isCordoned: true }),
  node('b', { group: 'gn7', taints: ['gpu=yes:NoSchedule'], allocated: NO_RESOURCES }),
  node('c', { coolingUntilMs: 30_000, fault: 'no such image' }),
  node('d'),
];
const names = (of: readonly ClusterNode[]): string[] => of.map(({ name }) => name);

test.each([
  [{ sort: 'name' }, ['a', 'b', 'c', 'd']],
  [{ sort: 'cores' }, ['b', 'a', 'c', 'd']],
  [{ sort: 'name', of: 'gn7' }, ['b']],
  [{ sort: 'name', state: 'ready' }, ['b', 'd']],
  [{ sort: 'name', state: 'not-ready' }, ['a']],
  [{ sort: 'name', state: 'cordoned' }, ['a']],
  [{ sort: 'name', state: 'left-alone' }, ['c']],
  [{ sort: 'name', state: 'tainted' }, ['b']],
] as const)('the nodes that are asked for: %j', (choice, expected) => {
  expect(names(chooseNodes(nodes, choice))).toEqual(expected);
});

test('a node says all that keeps tasks away from it', () => {
  expect(nodesTable(nodes, 0)).toBe(
    [
      'NODE  OF            STATE                CORES  GIB    PODS  ALSO',
      'a     S5.4XLARGE64  not ready, cordoned  4/16   32/64  3/5',
      'b     gn7           ready                0/16   0/64   3/5   gpu=yes:NoSchedule',
      'c     S5.4XLARGE64  left alone for 30 s  4/16   32/64  3/5   no such image',
      'd     S5.4XLARGE64  ready                4/16   32/64  3/5',
    ].join('\n'),
  );
});

test('where a person looks there are bars, and a page says how many it leaves out', () => {
  const licences = { ...NO_RESOURCES, cpuMillis: 8000, gpuCount: 4, countable: { licence: 5 } };
  const [head, row, more] = nodesTable([node('e', { allocatable: licences }), ...nodes], 0, {
    barWidth: 4,
    limit: 1,
  }).split('\n');
  expect(head).toContain('GPUS');
  expect(row).toMatch(/^e .* ██·· {2}4\/8 .*0\/4 .*licence 0\/5$/);
  expect(more).toBe('4 nodes more: --limit, --state, --of or --sort');
});

test('nothing that fits is said, not shown as an empty table', () => {
  expect(nodesTable([], 0)).toBe('no such nodes');
});

test.each([
  [[1, 1], 4, '█▒··'],
  [[1, 0], 1000, '█···'],
  [[4, 4], 4, '████'],
  [[0, 0], 0, '····'],
])('of a bar each part is seen and none is beyond its end: %j of %i', (parts, whole, cells) => {
  expect(bar(parts, whole, 4)).toBe(cells);
});
