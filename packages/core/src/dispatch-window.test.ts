import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { DispatchWindow, WindowNews } from './dispatch-window.ts';
import {
  isStuck,
  nextWindow,
  openWindow,
  shapeRoom,
  WINDOW_LIMITS,
  windowRoom,
} from './dispatch-window.ts';

const after = (list: readonly WindowNews[], from = openWindow(), stepMs = 1): DispatchWindow =>
  list.reduce((window, news, at) => nextWindow(window, news, at * stepMs), from);
const times = (count: number, news: WindowNews): WindowNews[] =>
  Array.from({ length: count }, () => news);
const STARTED: WindowNews = { kind: 'started' };
const TOO_MANY: WindowNews = { kind: 'refused', status: 429, retryAfterMs: 5000 };

test('it doubles with each round of starts until the first trouble, then grows by one a round', () => {
  const first = after(times(WINDOW_LIMITS.first, STARTED));
  expect(first.limit).toBe(2 * WINDOW_LIMITS.first);
  const shrunk = nextWindow(first, { kind: 'start_failed', why: 'no disk' }, 1e6);
  expect(shrunk).toMatchObject({ limit: 0.8 * first.limit, why: 'a start failed: no disk' });
  const later = after(times(Math.round(shrunk.limit), STARTED), shrunk);
  expect(later.limit - shrunk.limit).toBeCloseTo(1, 1);
});

test('while it grows again it still says what made it small', () => {
  const shrunk = nextWindow(openWindow(), { kind: 'created', latencyMs: 1800 }, 0);
  expect(after([STARTED], openWindow()).why).toBe('containers start');
  expect(after([STARTED], shrunk).why).toBe('it grows again, after a creation took 1.8 s');
});

test('429 halves it, and nothing is created until the time the server asked for', () => {
  const window = nextWindow(openWindow(), TOO_MANY, 100);
  expect(window.limit).toBe(WINDOW_LIMITS.first / 2);
  expect(windowRoom(window, 0, 5099)).toBe(0);
  expect(windowRoom(window, 3, 5100)).toBe(13);
});

test('a hundred refusals of one moment shrink it once', () => {
  expect(after(times(100, TOO_MANY)).limit).toBe(WINDOW_LIMITS.first / 2);
});

test('whatever comes, it stays within its limits and says why', () => {
  const news = fc.oneof(
    fc.constant(STARTED),
    fc.record({ kind: fc.constant('start_failed' as const), why: fc.string() }),
    fc.record({ kind: fc.constant('created' as const), latencyMs: fc.nat(60_000) }),
    fc.record({
      kind: fc.constant('refused' as const),
      status: fc.constantFrom(0, 429, 500, 503),
      retryAfterMs: fc.nat(60_000),
    }),
  );
  fc.assert(
    fc.property(fc.array(news, { maxLength: 300 }), (list) => {
      const window = after(list, openWindow(), 500);
      expect(window.limit).toBeGreaterThanOrEqual(WINDOW_LIMITS.min);
      expect(window.limit).toBeLessThanOrEqual(WINDOW_LIMITS.max);
      expect(window.why).not.toBe('');
    }),
  );
});

test('a shape none of which starts has half of the window, and few of a large one', () => {
  const { first, min, max, ofShapeFirst, stuckMs } = WINDOW_LIMITS;
  const room = (limit: number, podCount: number, wellAtMs = -Infinity): number =>
    shapeRoom({ ...openWindow(), limit }, { podCount, wellAtMs }, 1e6);
  expect([min, first, max].map((limit) => room(limit, 0))).toEqual([
    min / 2,
    ofShapeFirst,
    ofShapeFirst,
  ]);
  expect(room(first, first)).toBe(0);
  expect(room(max, 100, 1e6 - stuckMs + 1)).toBe(Infinity);
  expect(room(max, 100, 1e6 - stuckMs)).toBe(0);
});

test('a pod is stuck once it has waited for as long as no start takes', () => {
  expect(isStuck(0, WINDOW_LIMITS.stuckMs - 1)).toBe(false);
  expect(isStuck(0, WINDOW_LIMITS.stuckMs)).toBe(true);
  expect(isStuck(Infinity, 1e9)).toBe(false);
});
