import { DEFAULT_RESOURCES } from '@majorana/core';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Occupant } from './room.ts';
import { Room } from './room.ts';

const cores = (count: number) => ({ ...DEFAULT_RESOURCES, cpuMillis: count * 1000 });
const capacity = { ...cores(4), memoryBytes: 1e15 };

const occupant = (count: number): Occupant & { wakes: number } => ({
  attemptId: '',
  resources: cores(count),
  giveBack: () => undefined,
  wakes: 0,
  wake() {
    this.wakes += 1;
  },
});

test('whoever does not fit waits, is woken in order, and a small one does not pass by', () => {
  const room = new Room(capacity);
  const [a, big, small] = [occupant(2), occupant(3), occupant(1)];
  expect(room.enter(a)).toBe(true);
  expect(room.enter(big)).toBe(false);
  expect(room.enter(small)).toBe(false);
  room.leave(a);
  expect([big.wakes, small.wakes]).toEqual([1, 0]);
  expect(room.enter(big)).toBe(true);
  expect(small.wakes).toBe(1);
  expect(room.enter(small)).toBe(true);
  expect(room.enter(small)).toBe(true);
});

test('one that gives up waiting lets the next one in', () => {
  const room = new Room(capacity);
  const [a, big, small] = [occupant(2), occupant(3), occupant(1)];
  room.enter(a);
  room.enter(big);
  room.enter(small);
  room.leave(big);
  expect(small.wakes).toBe(1);
  expect(room.enter(small)).toBe(true);
});

test('what may run keeps its room, and has to ask when it turns out not to', () => {
  const room = new Room(capacity);
  const [a, b, c] = [occupant(3), occupant(3), occupant(1)];
  room.presume(a);
  room.presume(b);
  expect(room.enter(c)).toBe(false);
  room.occupy(a);
  expect(room.enter(b)).toBe(false);
  expect(c.wakes).toBe(0);
  room.leave(c);
  room.leave(a);
  expect(room.enter(b)).toBe(true);
});

test('never more inside than there is room for, and nobody is forgotten', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 4 }), { maxLength: 30 }), (sizes) => {
      const room = new Room(capacity);
      const inside: Occupant[] = [];
      const waiting = sizes.map(occupant);
      const tryAll = (): void => {
        for (const one of waiting) if (!inside.includes(one) && room.enter(one)) inside.push(one);
      };
      tryAll();
      let done = 0;
      while (inside.length > 0) {
        const used = inside.reduce((sum, one) => sum + one.resources.cpuMillis, 0);
        if (used > capacity.cpuMillis) return false;
        const first = inside.shift()!;
        room.leave(first);
        waiting.splice(waiting.indexOf(first as (typeof waiting)[number]), 1);
        done += 1;
        tryAll();
      }
      return done === sizes.length;
    }),
  );
});
