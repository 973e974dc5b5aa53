import { expect, test } from 'vitest';
import { minimise } from './minimise.ts';

const OPTIONS = {
  iterationsMax: 500,
  energyTolerance: 1e-12,
  gradientTolerance: 1e-6,
  stepMax: 0.5,
};

function rosenbrock(at: Float64Array, gradient: Float64Array): number {
  const [x, y] = [at[0]!, at[1]!];
  gradient[0] = -2 * (1 - x) - 400 * x * (y - x * x);
  gradient[1] = 200 * (y - x * x);
  return (1 - x) ** 2 + 100 * (y - x * x) ** 2;
}

test('the bottom of the banana valley is reached and called converged', () => {
  const found = minimise(rosenbrock, Float64Array.from([-1.2, 1]), OPTIONS);
  expect(found.converged).toBe(true);
  expect(found.variables[0]).toBeCloseTo(1, 5);
  expect(found.variables[1]).toBeCloseTo(1, 5);
  expect(found.evaluations).toBeLessThan(150);
});

test('a run that is cut short does not claim to have converged', () => {
  const options = { ...OPTIONS, iterationsMax: 3 };
  const found = minimise(rosenbrock, Float64Array.from([-1.2, 1]), options);
  expect(found.converged).toBe(false);
  expect(found.iterations).toBe(3);
});

test('no step is longer than asked for', () => {
  const seen: number[] = [];
  const steep = (at: Float64Array, gradient: Float64Array) => {
    seen.push(at[0]!);
    gradient[0] = 1e6 * at[0]!;
    return 5e5 * at[0]! ** 2;
  };
  minimise(steep, Float64Array.from([10]), { ...OPTIONS, stepMax: 0.25 });
  expect(seen[1]).toBeGreaterThanOrEqual(9.75);
});

test('a hopeless search is given up', () => {
  const downhill = (at: Float64Array, gradient: Float64Array) => {
    gradient[0] = -1;
    return -at[0]!;
  };
  const found = minimise(downhill, Float64Array.from([0]), {
    ...OPTIONS,
    isHopeless: (at) => at[0]! > 5,
  });
  expect(found.converged).toBe(false);
  expect(found.iterations).toBeLessThan(100);
});
