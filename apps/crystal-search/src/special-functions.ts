/**
 * erf and erfc to near machine precision: the Maclaurin series of exp(x^2) erf(x) below 2.5, the
 * continued fraction of erfc (Abramowitz and Stegun 7.1.14) above it.
 */
const SERIES_LIMIT = 2.5;

export function erf(x: number): number {
  if (x < 0) return -erf(-x);
  if (x > SERIES_LIMIT) return 1 - erfcFraction(x);
  let term = x;
  let sum = x;
  for (let n = 1; n < 120 && term > sum * 1e-17; n++) {
    term *= (2 * x * x) / (2 * n + 1);
    sum += term;
  }
  return (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * sum;
}

export function erfc(x: number): number {
  return x > SERIES_LIMIT ? erfcFraction(x) : 1 - erf(x);
}

function erfcFraction(x: number): number {
  let tail = 0;
  for (let n = 60; n >= 1; n--) tail = n / 2 / (x + tail);
  return Math.exp(-x * x) / Math.sqrt(Math.PI) / (x + tail);
}
