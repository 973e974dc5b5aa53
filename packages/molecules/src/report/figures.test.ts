import { expect, test } from 'vitest';
import { histogramSvg } from './figures.ts';

const titlesOf = (counts: Map<number, number>, width = 0.5): string[] => {
  const svg = histogramSvg({ title: 'logP', width, valueOf: () => undefined, counts });
  return [...svg.matchAll(/<title>([^<]*)<\/title>/g)].map((match) => match[1]!);
};
const range = (first: number, last: number, count: number): [number, number][] =>
  Array.from({ length: last - first + 1 }, (_, at) => [first + at, count]);

test('few bins are shown as they are', () => {
  expect(titlesOf(new Map([...range(-1, 0, 3), [1, 5]]))).toEqual([
    '-0.5 to 0: 3',
    '0 to 0.5: 3',
    '0.5 to 1: 5',
  ]);
});

test('a few far values share the outer bars, and the many keep theirs', () => {
  const counts = new Map([...range(0, 27, 100), [-60, 1], [-59, 2], [90, 4]]);
  const titles = titlesOf(counts);
  expect(titles).toHaveLength(30);
  expect(titles.filter((title) => title.endsWith(': 100'))).toHaveLength(28);
  expect(titles[0]).toBe('below 0: 3');
  expect(titles.at(-1)).toBe('14 or more: 4');
});
