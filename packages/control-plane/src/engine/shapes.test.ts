import type { Refusal, WaitingGroup } from '@majorana/core';
import { compareGroups, DEFAULT_RESOURCES, RESERVE_AFTER_MS } from '@majorana/core';
import type { WaitingShape } from '@majorana/protocol';
import { OFFERED_SHAPES_MAX } from '@majorana/protocol';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { chooseShapes, lateShapes, waitingFor } from './shapes.ts';

const resources = DEFAULT_RESOURCES;
const groupOf = (number: number, edit: Partial<WaitingGroup> = {}): WaitingGroup => ({
  jobId: number,
  queue: 'default',
  priority: 0,
  submittedAtMs: number,
  remainingMs: 0,
  waitingSinceMs: 0,
  resources,
  shapeKey: `s${number}`,
  count: 1,
  aheadPerSlot: 0,
  coreHours: 1,
  dataBytes: 0,
  ...edit,
});
const groupsOf = (count: number): WaitingGroup[] =>
  Array.from({ length: count }, (_, number) => groupOf(number));

const shapesOf = (groups: readonly WaitingGroup[]): Map<string, WaitingShape> => {
  const container = { image: 'i', nodeSelector: {}, tolerations: [], mounts: [] };
  return new Map(
    groups.map(({ shapeKey }) => [shapeKey!, { key: shapeKey!, resources, container }]),
  );
};

const NO_REFUSALS = { atMs: new Map<string, number>(), isAboveFull: () => false };

const chosen = (
  groups: readonly WaitingGroup[],
  atMs = new Map<string, number>(),
  isAboveFull: (shape: WaitingShape) => boolean = () => false,
): string[] =>
  chooseShapes(groups, shapesOf(groups), { atMs, isAboveFull }).shapes.map(({ key }) => key);

test('few shapes are asked for in the order of dispatch, each once', () => {
  const groups = [...groupsOf(5), groupOf(9, { shapeKey: 's3', priority: 1 })];
  expect(chosen(groups.toReversed())).toEqual(['s3', 's0', 's1', 's2', 's4']);
  expect(chosen([])).toEqual([]);
});

test('shapes without room do not keep those behind them from being asked for', () => {
  const groups = groupsOf(1000);
  const refused = new Map<string, number>();
  const asked = new Set<string>();
  for (let round = 1; round <= 10; round += 1) {
    const keys = chosen(groups, refused);
    expect(keys).toHaveLength(OFFERED_SHAPES_MAX);
    expect(keys.slice(0, 128)).toEqual(groups.slice(0, 128).map(({ shapeKey }) => shapeKey));
    for (const key of keys) refused.set(key, round);
    keys.forEach((key) => asked.add(key));
  }
  expect(asked.size).toBe(1000);
});

test('what needs more than something without room is not asked for, unless it goes first', () => {
  const keys = chosen(groupsOf(1000), new Map(), ({ key }) => Number(key.slice(1)) < 500);
  expect(keys).toHaveLength(OFFERED_SHAPES_MAX);
  expect(keys.slice(127, 129)).toEqual(['s127', 's500']);
});

const LATE_MS = RESERVE_AFTER_MS + 1;

test('what found no room for five minutes is told as late to the agents that it may go to', () => {
  const rest = [
    groupOf(0),
    groupOf(1, { agentId: 'a' }),
    groupOf(2, { waitingSinceMs: 1 }),
    groupOf(3, { queue: 'limited' }),
  ];
  const refusals = new Map<number, Refusal>(rest.map(({ jobId }) => [jobId, 'no_room']));
  refusals.set(3, 'queue_limit');
  const late = lateShapes({ rest, refusals }, LATE_MS);
  const waiting = chooseShapes(rest, shapesOf(rest), NO_REFUSALS, late);
  const lateOf = (agentId: string): string[] =>
    waitingFor(waiting, agentId).shapes.flatMap(({ key, isLate }) => (isLate ? [key] : []));
  expect([lateOf('a'), lateOf('b')]).toEqual([['s0', 's1'], ['s0']]);
  expect(waiting.digest).not.toBe(chooseShapes(rest, shapesOf(rest), NO_REFUSALS).digest);
});

test('the first of each order are those that sorting would give', () => {
  const group = fc.record({
    shapeKey: fc.nat(600).map((number) => `s${number}`),
    submittedAtMs: fc.nat(50),
    priority: fc.nat(2),
  });
  const refusals = fc.dictionary(
    fc.nat(600).map((number) => `s${number}`),
    fc.nat(9),
  );
  fc.assert(
    fc.property(fc.array(group, { maxLength: 1000 }), refusals, (parts, refused) => {
      const groups = parts.map((edit, number) => groupOf(number, edit));
      const distinct = (list: readonly WaitingGroup[]): string[] => [
        ...new Set(list.map(({ shapeKey }) => shapeKey!)),
      ];
      const inOrder = distinct(groups.toSorted(compareGroups));
      const isAll = inOrder.length <= OFFERED_SHAPES_MAX;
      const first = inOrder.slice(0, isAll ? OFFERED_SHAPES_MAX : OFFERED_SHAPES_MAX / 2);
      const inTurn = inOrder
        .filter((key) => !first.includes(key))
        .toSorted((a, b) => (refused[a] ?? 0) - (refused[b] ?? 0));
      const expected = [...first, ...inTurn].slice(0, OFFERED_SHAPES_MAX);
      expect(chosen(groups, new Map(Object.entries(refused)))).toEqual(expected);
    }),
  );
});
