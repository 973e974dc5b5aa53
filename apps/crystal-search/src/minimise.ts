/** L-BFGS with a limited step and a backtracking line search: Liu and Nocedal, 1989. */
export interface MinimiserOptions {
  iterationsMax: number;
  /** Converged when the energy changed by less than this and the gradient is small enough. */
  energyTolerance: number;
  gradientTolerance: number;
  /** No variable moves further than this in one step. */
  stepMax: number;
  /** Ends the search early, for instance when a crystal has fallen apart. */
  isHopeless?: (variables: Float64Array, value: number) => boolean;
}

export interface Minimum {
  variables: Float64Array;
  value: number;
  gradientMax: number;
  iterations: number;
  evaluations: number;
  converged: boolean;
}

type Objective = (variables: Float64Array, gradient: Float64Array) => number;

const MEMORY = 12;
const ARMIJO = 1e-4;
const BACKTRACKS_MAX = 12;

function dotOf(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let k = 0; k < a.length; k++) sum += a[k]! * b[k]!;
  return sum;
}

function largest(a: Float64Array): number {
  let result = 0;
  for (const value of a) result = Math.max(result, Math.abs(value));
  return result;
}

interface Pair {
  step: Float64Array;
  change: Float64Array;
  curvature: number;
}

/** The two-loop recursion. */
function direction(gradient: Float64Array, memory: readonly Pair[]): Float64Array {
  const result = gradient.map((value) => -value);
  const factors: number[] = [];
  for (const pair of memory.toReversed()) {
    const factor = dotOf(pair.step, result) / pair.curvature;
    factors.push(factor);
    for (let k = 0; k < result.length; k++) result[k]! -= factor * pair.change[k]!;
  }
  const last = memory.at(-1);
  // Without history: a step of a tenth of a unit along the gradient.
  const scale = last
    ? last.curvature / dotOf(last.change, last.change)
    : 0.1 / Math.max(largest(gradient), 1e-12);
  for (let k = 0; k < result.length; k++) result[k]! *= scale;
  for (const pair of memory) {
    const factor = factors.pop()! - dotOf(pair.change, result) / pair.curvature;
    for (let k = 0; k < result.length; k++) result[k]! += factor * pair.step[k]!;
  }
  return result;
}

interface Point {
  variables: Float64Array;
  gradient: Float64Array;
  value: number;
}

function lineSearch(
  objective: Objective,
  from: Point,
  along: Float64Array,
  slope: number,
): { point: Point; evaluations: number } | undefined {
  let length = 1;
  for (let attempt = 1; attempt <= BACKTRACKS_MAX; attempt++) {
    const variables = from.variables.map((value, k) => value + length * along[k]!);
    const gradient = new Float64Array(variables.length);
    const value = objective(variables, gradient);
    if (value <= from.value + ARMIJO * length * slope) {
      return { point: { variables, gradient, value }, evaluations: attempt };
    }
    const excess = value - from.value - length * slope;
    const parabola = excess > 0 ? (-slope * length * length) / (2 * excess) : length / 2;
    length = Math.min(Math.max(parabola, 0.1 * length), 0.5 * length);
  }
  return undefined;
}

function limited(along: Float64Array, stepMax: number): Float64Array {
  const size = largest(along);
  return size > stepMax ? along.map((value) => (value * stepMax) / size) : along;
}

function remember(memory: Pair[], from: Point, to: Point): void {
  const step = to.variables.map((value, k) => value - from.variables[k]!);
  const change = to.gradient.map((value, k) => value - from.gradient[k]!);
  const curvature = dotOf(step, change);
  if (curvature <= 1e-10 * dotOf(change, change)) return;
  memory.push({ step, change, curvature });
  if (memory.length > MEMORY) memory.shift();
}

export function minimise(
  objective: Objective,
  start: Float64Array,
  options: MinimiserOptions,
): Minimum {
  const gradient = new Float64Array(start.length);
  let point: Point = { variables: start, gradient, value: objective(start, gradient) };
  let memory: Pair[] = [];
  let evaluations = 1;
  let iterations = 0;
  let converged = false;
  let lastChange = Infinity;
  for (; iterations < options.iterationsMax; iterations++) {
    const isFlat = largest(point.gradient) < options.gradientTolerance;
    converged = isFlat && lastChange < options.energyTolerance;
    if (converged || options.isHopeless?.(point.variables, point.value)) break;
    let along = limited(direction(point.gradient, memory), options.stepMax);
    let slope = dotOf(along, point.gradient);
    if (slope >= 0) {
      memory = [];
      along = limited(direction(point.gradient, memory), options.stepMax);
      slope = dotOf(along, point.gradient);
    }
    const found = lineSearch(objective, point, along, slope);
    evaluations += found?.evaluations ?? BACKTRACKS_MAX;
    if (!found) {
      // Nothing lower along this direction: once with no history, then that is the minimum.
      if (memory.length === 0) {
        converged = isFlat;
        break;
      }
      memory = [];
      continue;
    }
    lastChange = point.value - found.point.value;
    remember(memory, point, found.point);
    point = found.point;
  }
  return {
    variables: point.variables,
    value: point.value,
    gradientMax: largest(point.gradient),
    iterations,
    evaluations,
    converged,
  };
}
