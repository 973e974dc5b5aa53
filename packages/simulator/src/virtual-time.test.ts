import { expect, test } from 'vitest';
import { EPOCH_MS, Life } from './life.ts';
import { Random } from './random.ts';
import { Trace } from './trace.ts';
import { VirtualTime } from './virtual-time.ts';

const never = (): boolean => false;

test('events run in the order of their time, those of one moment in the order they were made', async () => {
  const time = new VirtualTime();
  const random = new Random('order');
  const expected: { readonly atMs: number; readonly number: number }[] = [];
  const seen: typeof expected = [];
  for (let number = 0; number < 2000; number += 1) {
    const event = { atMs: random.int(0, 50), number };
    expected.push(event);
    time.schedule(event.atMs, () => seen.push(event));
  }
  await time.run(1000, never);
  expect(seen).toEqual(expected.toSorted((a, b) => a.atMs - b.atMs || a.number - b.number));
});

test('whatever an event sets going with promises is done before the next event', async () => {
  const time = new VirtualTime();
  const seen: string[] = [];
  time.schedule(1, () => {
    void (async () => {
      for (let hop = 0; hop < 100; hop += 1) await Promise.resolve();
      seen.push('hops');
    })();
  });
  time.schedule(1, () => seen.push('next'));
  await time.run(10, never);
  expect(seen).toEqual(['hops', 'next']);
});

test('a cancelled event never runs, and time stops where it is told to', async () => {
  const time = new VirtualTime();
  const seen: number[] = [];
  const cancel = time.schedule(5, () => seen.push(5));
  time.schedule(20, () => seen.push(20));
  cancel();
  await time.run(10, never);
  expect([seen, time.nowMs]).toEqual([[], 10]);
  await time.run(30, never);
  expect(seen).toEqual([20]);
});

test('a clock that runs fast sees more time pass, and its timers come earlier', async () => {
  const time = new VirtualTime();
  const life = new Life(time, { offsetMs: -500, rate: 1.25 });
  let firedAtMs = 0;
  life.after(1000, () => (firedAtMs = time.nowMs));
  await time.run(4000, never);
  expect(firedAtMs).toBe(800);
  expect(life.nowMs()).toBe(EPOCH_MS - 500 + 5000);
});

test('the end of a life takes its timers with it, and nothing it waits for comes', async () => {
  const time = new VirtualTime();
  const life = new Life(time, { offsetMs: 0, rate: 1 });
  const seen: string[] = [];
  life.after(10, () => seen.push('timer'));
  life.later(10, () => seen.push('answer'));
  life.onEnd(() => seen.push('end'));
  time.schedule(5, () => life.end());
  await time.run(100, never);
  expect(seen).toEqual(['end']);
});

test('a timer of no length or of more than Node can wait comes at once, as in Node', async () => {
  const time = new VirtualTime();
  const life = new Life(time, { offsetMs: 0, rate: 1 });
  const firedAtMs: number[] = [];
  for (const delayMs of [0, -5, 2 ** 31]) life.after(delayMs, () => firedAtMs.push(time.nowMs));
  await time.run(100, never);
  expect(firedAtMs).toEqual([1, 1, 1]);
});

test('streams of different names are independent, of the same name the same', () => {
  const draw = (random: Random): number[] => Array.from({ length: 5 }, () => random.next());
  const root = new Random('seed 1');
  const first = draw(root.stream('a'));
  root.next();
  expect(draw(root.stream('a'))).toEqual(first);
  expect(draw(root.stream('b'))).not.toEqual(first);
  expect(draw(new Random('seed 2').stream('a'))).not.toEqual(first);
});

test('numbers are spread evenly', () => {
  const random = new Random('even');
  const buckets = Array.from({ length: 10 }, () => 0);
  for (let count = 0; count < 100_000; count += 1) buckets[random.int(0, 9)]! += 1;
  for (const count of buckets) expect(Math.abs(count - 10_000)).toBeLessThan(500);
});

test('a trace is told from another by its fingerprint, and gives the lines of one job', () => {
  const make = (text: string): Trace => {
    const trace = new Trace(() => ({ nowMs: 1, stepCount: 2 }));
    trace.add('boot', 0, 'server');
    trace.add('transition', 7, text);
    trace.add('transition', 8, 'other');
    return trace;
  };
  expect(make('a').fingerprint).toBe(make('a').fingerprint);
  expect(make('a').fingerprint).not.toBe(make('b').fingerprint);
  expect(
    make('a')
      .last(7, 10)
      .map((line) => line.text),
  ).toEqual(['server', 'a']);
});
