/**
 * Sine and cosine from additions and multiplications only. ECMAScript lets every engine round
 * Math.sin and Math.cos as it likes; the search must give the same crystals everywhere, and IEEE
 * 754 defines +, -, *, / and sqrt to the last bit.
 */
function sineSeries(x: number): number {
  let term = x;
  let sum = x;
  for (let n = 1; n < 14; n++) {
    term *= (-x * x) / (2 * n * (2 * n + 1));
    sum += term;
  }
  return sum;
}

export function sine(radians: number): number {
  const turns = Math.floor(radians / (2 * Math.PI) + 0.5);
  const x = radians - turns * 2 * Math.PI;
  if (x > Math.PI / 2) return sineSeries(Math.PI - x);
  if (x < -Math.PI / 2) return sineSeries(-Math.PI - x);
  return sineSeries(x);
}

export function cosine(radians: number): number {
  return sine(radians + Math.PI / 2);
}
