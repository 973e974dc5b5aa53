import { AVOIDED, OPEN } from './constraints.ts';
import { CPU, MEMORY } from './demand.ts';
import { cellOf, EMPTY_CLASS, END_CLASSES } from './free-grid.ts';
import type { Request, Round } from './round.ts';

/**
 * Nodes with room that are compared before one is chosen. 32 cost no more than 8, as few searches
 * meet so many, and left 3.5 points less of a grid trace's cluster unused.
 */
const CANDIDATES_MAX = 32;

/** Up to this many allowed nodes are all looked at: a search of the cells would meet few of them. */
const LIST_MAX = 64;

/** Unequal parts of cores and memory left over weigh more than how much is left. */
const IMBALANCE_WEIGHT = 2;
const IMAGE_BONUS = 8;

/** Classes of ends in the order a task of some class tries them. */
const PACK_ORDERS = Array.from({ length: END_CLASSES }, (_, own) => packOrder(own));
const SPREAD_ORDER = Array.from({ length: END_CLASSES }, (_, endClass) => endClass);

/**
 * Nodes that stay as long anyway cost nothing; then those whose life is extended least; a node
 * that is empty, and could go, comes last.
 */
function packOrder(own: number): readonly number[] {
  const order: number[] = [];
  for (let endClass = own; endClass < END_CLASSES; endClass += 1) order.push(endClass);
  for (let endClass = own - 1; endClass > EMPTY_CLASS; endClass -= 1) order.push(endClass);
  if (own !== EMPTY_CLASS) order.push(EMPTY_CLASS);
  return order;
}

/** Finds the node of a task. Between two calls it holds nothing of meaning. */
export class NodeSearch {
  readonly #round: Round;
  #request: Request | undefined;
  #wanted: number = OPEN;
  #best = -1;
  #bestScore = -Infinity;
  #seen = 0;

  constructor(round: Round) {
    this.#round = round;
  }

  /** The slot of the best node, or -1. */
  find(request: Request): number {
    const frontier = this.#round.frontierOf(request);
    if (frontier.covers(request.demand, request.endsAtMs)) return -1;
    const found = this.#findWith(request, OPEN);
    const slot = found >= 0 ? found : this.#findWith(request, AVOIDED);
    // While no node is kept, how long a task runs does not decide whether it fits.
    const isTimed = this.#round.reservationCount > 0;
    if (slot < 0) frontier.add(request.demand, isTimed ? request.endsAtMs : -Infinity);
    return slot;
  }

  #findWith(request: Request, wanted: number): number {
    const { constraint } = request;
    if (constraint.count === 0) return -1;
    this.#request = request;
    this.#wanted = wanted;
    return constraint.count <= LIST_MAX ? this.#findInList(request) : this.#findInGrid(request);
  }

  #findInGrid(request: Request): number {
    const [cpuMillis, memoryBytes] = request.demand.amounts;
    const isPack = request.group.policy === 'pack';
    const order = isPack ? PACK_ORDERS[request.endClass]! : SPREAD_ORDER;
    const cell = cellOf(0, cpuMillis!, memoryBytes!);
    this.#begin();
    for (const endClass of order) {
      this.#seen = 0;
      this.#round.grid.visit((endClass << 10) | cell, isPack, this.#look);
      if (isPack && this.#best >= 0) break;
    }
    return this.#best;
  }

  #findInList(request: Request): number {
    const list = this.#round.listOf(request.constraint);
    const { endClasses } = this.#round;
    if (request.group.policy === 'spread') {
      this.#begin();
      this.#seen = -list.length;
      list.forEach(this.#look);
      return this.#best;
    }
    for (const endClass of PACK_ORDERS[request.endClass]!) {
      this.#begin();
      this.#seen = -list.length;
      for (const slot of list) if (endClasses[slot] === endClass) this.#look(slot);
      if (this.#best >= 0) return this.#best;
    }
    return -1;
  }

  #begin(): void {
    this.#best = -1;
    this.#bestScore = -Infinity;
    this.#seen = 0;
  }

  readonly #look = (slot: number): boolean => {
    const round = this.#round;
    const request = this.#request!;
    if (request.constraint.mask[slot] !== this.#wanted) return false;
    if (!round.accepts(slot, request)) return false;
    const score = this.#score(slot, request);
    const isBetter =
      score > this.#bestScore ||
      (score === this.#bestScore && round.rank[slot]! < round.rank[this.#best]!);
    if (isBetter) {
      this.#best = slot;
      this.#bestScore = score;
    }
    this.#seen += 1;
    return this.#seen >= CANDIDATES_MAX;
  };

  /** Best fit by what is left of cores and memory as parts of the node; spread wants the rest large. */
  #score(slot: number, { demand, group, image }: Request): number {
    const { free, cpuPart, memoryPart } = this.#round;
    const cpuLeft = (free[CPU]![slot]! - demand.amounts[0]!) * cpuPart[slot]!;
    const memoryLeft = (free[MEMORY]![slot]! - demand.amounts[1]!) * memoryPart[slot]!;
    const left = cpuLeft + memoryLeft;
    const bonus = image !== undefined && image.has[slot] === 1 ? IMAGE_BONUS : 0;
    if (group.policy === 'spread') return bonus + left;
    return bonus - left - IMBALANCE_WEIGHT * Math.abs(cpuLeft - memoryLeft);
  }
}
