import type { Constraint } from './constraint.ts';
import type { Eligibility } from './constraints.ts';
import { AVOIDED, BLOCKED, OPEN } from './constraints.ts';
import { CPU, isCommon, MEMORY } from './demand.ts';
import type { FreeGrid } from './free-grid.ts';
import { cellOf, EMPTY_CLASS, END_CLASSES } from './free-grid.ts';
import type { Request, Round } from './round.ts';

/**
 * Nodes with room that are compared before one is chosen. 32 cost no more than 8, as few searches
 * meet so many, and left 3.5 points less of a grid trace's cluster unused.
 */
const CANDIDATES_MAX = 32;
/** The same of each class of ends, all of which are searched for the emptiest. */
const SPREAD_CANDIDATES_MAX = 8;

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

/** Where each class stands in the order of a task's own. */
const PACK_PLACES = PACK_ORDERS.map((order) =>
  Array.from({ length: END_CLASSES }, (_, endClass) => order.indexOf(endClass)),
);

/** Finds the node of a task. Between two calls it holds nothing of meaning. */
export class NodeSearch {
  readonly #round: Round;
  #request: Request | undefined;
  #constraint: Constraint;
  #isPack = true;
  #wanted: Eligibility = OPEN;
  #best = -1;
  #bestTier = Infinity;
  #bestScore = -Infinity;

  constructor(round: Round) {
    this.#round = round;
    this.#constraint = round.everywhere;
  }

  /** The slot of the best node, or -1. */
  find(request: Request): number {
    const { demand, endsAtMs } = request;
    const constraint = this.#round.boundOf(request);
    const { few } = constraint;
    if (few?.length === 0) return -1;
    if (constraint.isRefused(demand, endsAtMs)) return -1;
    this.#request = request;
    this.#constraint = constraint;
    this.#isPack = request.isPack;
    const slot = few === undefined ? this.#findInGrid(request) : this.#findAmong(few);
    if (slot >= 0) return slot;
    this.#whereFailed(request)?.refuse(demand, this.#round.failsSinceMs(request));
    return -1;
  }

  #findInGrid(request: Request): number {
    if (!this.#round.index.places.hasAvoided) return this.#findWith(request, OPEN);
    const { unavoided } = this.#constraint;
    if (!unavoided.isRefused(request.demand, request.endsAtMs)) {
      const found = this.#findWith(request, OPEN);
      if (found >= 0) return found;
      unavoided.refuse(request.demand, this.#round.failsSinceMs(request));
    }
    return this.#findWith(request, AVOIDED);
  }

  #findWith({ demand, endClass: own }: Request, wanted: Eligibility): number {
    const isPack = this.#isPack;
    const cell = cellOf(0, demand.amounts[0]!, demand.amounts[1]!);
    this.#begin();
    this.#wanted = wanted;
    const grid = this.#round.gridOf(this.#constraint, wanted);
    const order = isPack ? PACK_ORDERS[own]! : SPREAD_ORDER;
    for (let at = 0; at < END_CLASSES; at += 1) {
      this.#walk(grid, (order[at]! << 10) | cell);
      if (isPack && this.#best >= 0) break;
    }
    return this.#best;
  }

  #findAmong(slots: readonly number[]): number {
    this.#begin();
    for (const slot of slots) {
      const eligibility = this.#constraint.at(slot);
      if (eligibility !== BLOCKED) this.#compare(slot, eligibility);
    }
    return this.#best;
  }

  /** The widest that has no room for it; of few nodes with room nothing is worth to be told. */
  #whereFailed(request: Request): Constraint | undefined {
    const constraint = this.#constraint;
    const { few, parent } = constraint;
    if (few?.some((slot) => this.#round.hasRoom(slot, request)) === true) return undefined;
    const { everywhere } = this.#round;
    if (!this.#hasRoomAnywhere(request)) return everywhere;
    if (few === undefined) return constraint;
    return parent === everywhere ? undefined : parent;
  }

  /** Whether any node would take it but for labels, taints and images; of devices nobody asks. */
  #hasRoomAnywhere(request: Request): boolean {
    return !isCommon(request.demand) || this.#round.hasRoomAnywhere(request);
  }

  #begin(): void {
    this.#best = -1;
    this.#bestTier = Infinity;
    this.#bestScore = -Infinity;
  }

  /** Compares the nodes of one class of ends, until it has met enough that have room. */
  #walk(grid: FreeGrid, cell: number): void {
    const constraint = this.#constraint;
    let left = this.#isPack ? CANDIDATES_MAX : SPREAD_CANDIDATES_MAX;
    for (let slot = grid.first(cell, this.#isPack); slot >= 0; slot = grid.after(slot)) {
      if (constraint.at(slot) !== this.#wanted || !this.#compare(slot, this.#wanted)) continue;
      left -= 1;
      if (left === 0) return;
    }
  }

  /** Whether the node has room; the best so far is kept: by taints, then by its end, then by score. */
  #compare(slot: number, eligibility: number): boolean {
    const round = this.#round;
    const request = this.#request!;
    if (!round.accepts(slot, request)) return false;
    const place = this.#isPack ? PACK_PLACES[request.endClass]![round.endClasses[slot]!]! : 0;
    const tier = eligibility * END_CLASSES + place;
    if (tier > this.#bestTier) return true;
    const score = this.#score(slot, request);
    const isBetter =
      tier < this.#bestTier ||
      score > this.#bestScore ||
      (score === this.#bestScore && round.rank[slot]! < round.rank[this.#best]!);
    if (!isBetter) return true;
    this.#best = slot;
    this.#bestTier = tier;
    this.#bestScore = score;
    return true;
  }

  /** Best fit by what is left of cores and memory as parts of the node; spread wants the rest large. */
  #score(slot: number, { demand, image }: Request): number {
    const { free, cpuPart, memoryPart } = this.#round;
    const cpuLeft = (free[CPU]![slot]! - demand.amounts[0]!) * cpuPart[slot]!;
    const memoryLeft = (free[MEMORY]![slot]! - demand.amounts[1]!) * memoryPart[slot]!;
    const left = cpuLeft + memoryLeft;
    const bonus = image !== undefined && image.nodes.has(slot) ? IMAGE_BONUS : 0;
    if (!this.#isPack) return bonus + left;
    return bonus - left - IMBALANCE_WEIGHT * Math.abs(cpuLeft - memoryLeft);
  }
}
