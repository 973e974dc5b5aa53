import { BLOCKED } from './constraints.ts';
import { countableColumn, demandOf, fitsSlot } from './demand.ts';
import type { Request, Round } from './round.ts';

/** Nodes drained at once for tasks that waited too long: more would idle more than they help. */
const RESERVATIONS_MAX = 8;
/** Looks at all nodes that found none to keep; after these a round has done enough for its oldest. */
const FAILURES_MAX = 32;

/** Later than any end that is known. */
const UNKNOWN_END_MS = Number.MAX_VALUE;

/** Nothing ends so early: with no end known, the node is kept from everything. */
const FROM_NOW_ON_MS = 1;

/** One node's free room, as a table with a single slot. */
type Open = readonly Float64Array[];

interface Candidate {
  readonly slot: number;
  /** A node that is not free sooner is of no use. */
  readonly beforeMs: number;
}

/** When the demand fits as the node's pods end; undefined: not soon enough. */
function fitsFromMs(
  round: Round,
  { demand }: Request,
  { slot, beforeMs }: Candidate,
  open: Open,
): number | undefined {
  const { runningEnds } = round.index.nodeAt(slot);
  if (runningEnds.length === 0) return undefined;
  open.forEach((column, at) => (column[0] = round.free[at]![slot]!));
  const columns = round.index.columnNames;
  for (const { resources, podCount, endsAtMs = UNKNOWN_END_MS } of runningEnds) {
    if (endsAtMs >= beforeMs) return undefined;
    const freed = demandOf(resources, podCount, (name) => columns.indexOf(countableColumn(name)));
    for (const [at, column] of freed.columns.entries()) open[column]![0]! += freed.amounts[at]!;
    if (fitsSlot(demand, open, 0)) return endsAtMs;
  }
  return undefined;
}

/**
 * Keeps the node where a task will fit soonest by the predicted ends of what runs there. Until
 * then only what ends before may still go there; with no end known, nothing.
 */
export class Reservations {
  readonly #round: Round;
  #failureCount = 0;

  constructor(round: Round) {
    this.#round = round;
  }

  get mayTry(): boolean {
    return this.#round.kept.length < RESERVATIONS_MAX && this.#failureCount < FAILURES_MAX;
  }

  reserve(request: Request): void {
    const round = this.#round;
    // It has its place; what it waits for is the image.
    if (request.image !== undefined && request.image.pullsLeft <= 0) return;
    const found = this.#findSoonest(request);
    if (found === undefined) {
      this.#failureCount += 1;
      return;
    }
    const { slot, fromMs } = found;
    round.keep(slot, fromMs === UNKNOWN_END_MS ? FROM_NOW_ON_MS : fromMs);
  }

  #findSoonest(request: Request): { readonly slot: number; readonly fromMs: number } | undefined {
    const round = this.#round;
    const { constraint, demand } = request;
    const open = round.free.map(() => new Float64Array(1));
    let [best, bestFromMs] = [-1, Infinity];
    for (const slot of round.around(constraint)) {
      if (round.closed[slot] === 1 || round.reservedFromMs[slot] !== 0) continue;
      if (!fitsSlot(demand, round.index.allocatable, slot)) continue;
      if (constraint.at(slot) === BLOCKED) continue;
      const fromMs = fitsFromMs(round, request, { slot, beforeMs: bestFromMs }, open);
      if (fromMs === undefined) continue;
      best = slot;
      bestFromMs = fromMs;
    }
    return best < 0 ? undefined : { slot: best, fromMs: bestFromMs };
  }
}
