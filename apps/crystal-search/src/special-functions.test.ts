import { expect, test } from 'vitest';
import { erf, erfc } from './special-functions.ts';

test('erf and erfc agree with tabulated values on both sides of the change of method', () => {
  // Abramowitz and Stegun, table 7.1, and DLMF 7.
  expect(erf(0)).toBe(0);
  expect(erf(0.5)).toBeCloseTo(0.5204998778130465, 14);
  expect(erf(-1)).toBeCloseTo(-0.8427007929497149, 14);
  expect(erf(2)).toBeCloseTo(0.9953222650189527, 14);
  expect(erfc(3) / 2.209049699858544e-5).toBeCloseTo(1, 11);
  expect(erfc(5) / 1.5374597944280349e-12).toBeCloseTo(1, 10);
  expect(erf(2.5 - 1e-12)).toBeCloseTo(erf(2.5 + 1e-12), 11);
});
