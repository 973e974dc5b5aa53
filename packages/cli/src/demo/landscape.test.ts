import { expect, test } from 'vitest';
import { drawLandscape } from './landscape.ts';

const point = (densityGramPerCm3: number, aboveMinimumKjPerMol: number, experiment = '') => ({
  densityGramPerCm3,
  aboveMinimumKjPerMol,
  experiment,
});

test('the lowest and densest packing stands at the lower right, the highest at the top', () => {
  const lines = drawLandscape([point(1.1, 0), point(1, 8)]);
  const rows = lines.filter((line) => line.includes('│'));
  expect(rows[0]).toBe('   8.0 │·');
  expect(rows.at(-1)).toBe(`   0.0 │${' '.repeat(59)}·`);
});

test('a measured crystal is seen among packings in the same place', () => {
  const lines = drawLandscape([point(1.1, 0, 'phase I'), point(1.1, 0), point(1, 8)]);
  expect(lines.filter((line) => line.includes('│')).at(-1)).toContain('◉');
});

test('one packing alone, or none, is drawn too', () => {
  expect(drawLandscape([])).toEqual([]);
  expect(drawLandscape([point(1, 0)]).join('')).toContain('·');
});
