import fc from 'fast-check';
import { expect, test } from 'vitest';
import { OfferedRoom } from './offered-room.ts';
import type { Resources } from './resources.ts';
import { DEFAULT_RESOURCES, fits, subtractResources } from './resources.ts';

const sized = (cores: number, memory: number): Resources => ({
  ...DEFAULT_RESOURCES,
  cpuMillis: cores * 1000,
  memoryBytes: memory,
});
const size = fc.record({
  cores: fc.integer({ min: 1, max: 8 }),
  memory: fc.integer({ min: 1, max: 9 }),
});

const fitting = (free: readonly Resources[], asked: Resources): number =>
  free.reduce(
    (sum, { cpuMillis, memoryBytes }) =>
      sum + Math.floor(Math.min(cpuMillis / asked.cpuMillis, memoryBytes / asked.memoryBytes)),
    0,
  );

test('wherever the tasks that were given go, the next that is given has a node too', () => {
  const nodes = fc.array(size, { minLength: 1, maxLength: 6 });
  const picks = fc.array(fc.tuple(fc.nat(), fc.nat()), { maxLength: 60 });
  fc.assert(
    fc.property(
      nodes,
      fc.array(size, { minLength: 1, maxLength: 5 }),
      picks,
      (has, asked, draws) => {
        const free = has.map(({ cores, memory }) => sized(cores, memory));
        const shapes = asked.map(({ cores, memory }, at) => ({
          shapeKey: `s${at}`,
          shapeKind: 'kind',
          resources: sized(cores, memory),
        }));
        const offers = new Map(
          shapes.map(({ shapeKey, resources }) => [shapeKey, fitting(free, resources)]),
        );
        const room = new OfferedRoom(offers, new Map(), []);
        for (const [which, where] of draws) {
          const shape = shapes[which % shapes.length]!;
          if (room.leftFor(shape) <= 0) continue;
          room.take(shape, 1);
          const able = [...free.keys()].filter((at) => fits(shape.resources, free[at]!));
          expect(able).not.toHaveLength(0);
          const at = able[where % able.length]!;
          free[at] = subtractResources(free[at]!, shape.resources);
        }
      },
    ),
  );
});

test('one large task takes the nodes of many small ones, and no start of theirs', () => {
  const small = { shapeKey: 'small', shapeKind: 'k', resources: sized(1, 1) };
  const large = { shapeKey: 'large', shapeKind: 'k', resources: sized(8, 4) };
  const offers = new Map([
    ['small', 10],
    ['large', 5],
  ]);
  const room = new OfferedRoom(offers, new Map([['small', 90]]), []);
  room.take(large, 1);
  expect(room.leftFor(small)).toBe(10);
  room.take(small, 2);
  expect([room.leftFor(small), room.leftFor(large)]).toEqual([8, 2]);
  expect(new OfferedRoom(offers, new Map(), [{ ...large, count: 1 }]).leftFor(small)).toBe(2);
});

test('what finds room on other nodes takes none of these', () => {
  const one = { shapeKey: 'a', resources: sized(1, 1) };
  const room = new OfferedRoom(new Map([['a', 3]]), new Map(), [
    { ...one, shapeKind: 'b', count: 3 },
  ]);
  expect(room.leftFor(one)).toBe(3);
  expect(room.leftFor({ ...one, shapeKey: 'not offered' })).toBe(0);
});
