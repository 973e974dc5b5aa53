import { demandOf, fitsSlot } from './demand.ts';
import type { Request, Round } from './round.ts';

/** Nodes drained at once for tasks that waited too long: more would idle more than they help. */
const RESERVATIONS_MAX = 8;

/** Nothing ends so early: with no end known, the node is kept from everything. */
const FROM_NOW_ON_MS = 1;

/** One node's free room, as a table with a single slot. */
type Open = readonly Float64Array[];

/** When the demand fits as the node's pods end, if that is before `beforeMs`. */
function fitsFromMs(round: Round, request: Request, slot: number, open: Open): number | undefined {
  open.forEach((column, at) => (column[0] = round.free[at]![slot]!));
  const columns = round.index.columnNames;
  for (const { resources, podCount, endsAtMs } of round.index.nodeAt(slot).runningEnds) {
    const freed = demandOf(resources, podCount, (name) => columns.indexOf(name));
    for (const [at, column] of freed.columns.entries()) open[column]![0]! += freed.amounts[at]!;
    if (fitsSlot(request.demand, open, 0)) return endsAtMs ?? Infinity;
  }
  return undefined;
}

/**
 * Keeps the node where the task will fit soonest by the predicted ends of what runs there. Until
 * then only what ends before may still go there; with no end known, nothing.
 */
export function reserveNode(round: Round, request: Request): void {
  if (round.reservationCount >= RESERVATIONS_MAX) return;
  const open = round.free.map(() => new Float64Array(1));
  let best = -1;
  let bestFromMs = Infinity;
  for (const slot of round.listOf(request.constraint)) {
    if (round.closed[slot] === 1 || round.reservedFromMs[slot] !== 0) continue;
    if (!fitsSlot(request.demand, round.index.allocatable, slot)) continue;
    const fromMs = fitsFromMs(round, request, slot, open);
    if (fromMs === undefined || (best >= 0 && fromMs >= bestFromMs)) continue;
    best = slot;
    bestFromMs = fromMs;
  }
  if (best < 0) return;
  round.reservedFromMs[best] = bestFromMs === Infinity ? FROM_NOW_ON_MS : bestFromMs;
  round.reservationCount += 1;
}
