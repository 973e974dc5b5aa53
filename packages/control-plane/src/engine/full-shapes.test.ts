import { DEFAULT_RESOURCES } from '@majorana/core';
import type { WaitingShape } from '@majorana/protocol';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { FullShapes, isAtLeast } from './full-shapes.ts';

const container = { image: 'i', nodeSelector: {}, tolerations: [], mounts: [] };
const shapeOf = (cores: number, gib: number, image = 'i', nodes = 0): WaitingShape => ({
  key: [cores, gib, image, nodes].join(),
  resources: { ...DEFAULT_RESOURCES, cpuMillis: cores * 1000, memoryBytes: gib * 2 ** 30 },
  container: { ...container, image },
  ...(nodes > 0 && { nodes }),
});

const aShape = fc
  .record({
    cores: fc.nat(6),
    gib: fc.nat(6),
    image: fc.constantFrom('i', 'j'),
    nodes: fc.constantFrom(0, 2),
  })
  .map(({ cores, gib, image, nodes }) => shapeOf(cores, gib, image, nodes));

test('exactly what is alike and asks for at least as much as a full one is above it, itself not', () => {
  fc.assert(
    fc.property(fc.array(aShape, { maxLength: 30 }), fc.array(aShape), (full, asked) => {
      const shapes = new FullShapes();
      shapes.learn(full, [], 0);
      const isAbove = shapes.above();
      for (const shape of asked) {
        const isExpected = full.some((one) => one.key !== shape.key && isAtLeast(shape, one));
        expect(isAbove(shape)).toBe(isExpected);
      }
    }),
  );
});

test('where a full one finds room, what asks for more is asked for again; what is still full stays', () => {
  const shapes = new FullShapes();
  shapes.learn([shapeOf(2, 1), shapeOf(2, 2), shapeOf(4, 1), shapeOf(1, 8)], [], 0);
  shapes.learn([], [shapeOf(1, 1)], 1);
  expect(shapes.above()(shapeOf(3, 3))).toBe(true);
  shapes.learn([shapeOf(4, 1)], [shapeOf(2, 1)], 2);
  const isAbove = shapes.above();
  expect(isAbove(shapeOf(3, 3))).toBe(false);
  expect(isAbove(shapeOf(5, 1))).toBe(true);
  expect(isAbove(shapeOf(1, 9))).toBe(true);
});

test('that there was no room holds for ten seconds', () => {
  const shapes = new FullShapes();
  shapes.learn([shapeOf(2, 2)], [], 0);
  shapes.learn([], [], 9_999);
  expect(shapes.above()(shapeOf(3, 3))).toBe(true);
  shapes.learn([], [], 10_000);
  expect(shapes.above()(shapeOf(3, 3))).toBe(false);
});
