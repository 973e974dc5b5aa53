import { Constraint } from './constraint.ts';
import { BLOCKED, constraintKey } from './constraints.ts';
import type { Demand } from './demand.ts';
import {
  countableColumn,
  countFitting,
  demandOf,
  FIXED_COLUMNS,
  isRare,
  withRequestFloor,
} from './demand.ts';
import type { NodePicture } from './node-picture.ts';
import type { TaskShape } from './placement-group.ts';
import { Places } from './places.ts';

/** How many tasks of a shape fit now, kept up to date as nodes change. */
interface Offer {
  readonly demand: Demand;
  readonly constraint: Constraint;
  /** Of the places, when the constraint was made. */
  readonly version: number;
  readonly bySlot: Int32Array;
  total: number;
}

/** A cache that has grown to this is begun anew: shapes come and go for weeks. */
const OFFERS_MAX = 256;
const SLOTS_FIRST = 64;
const NOTHING: Demand = { columns: [], amounts: [] };

/** A node that takes nothing now: cordoned, not ready, or cooling down after a failed start. */
export const isClosed = (node: NodePicture, nowMs: number): boolean =>
  !node.isSchedulable || node.notReadySinceMs !== undefined || (node.coolDownUntilMs ?? 0) > nowMs;

/**
 * The nodes of one cluster as columns of numbers. A node has a slot while it is here; a change of
 * its pods costs a write per resource and per offered shape, and nothing is built anew.
 */
export class NodeIndex {
  readonly #slotByName = new Map<string, number>();
  readonly #nodes: (NodePicture | undefined)[] = [];
  readonly #vacant: number[] = [];
  readonly #columnNames = [...FIXED_COLUMNS];
  /** Of countable resources, by their own names. */
  readonly #countables = new Map<string, number>();
  /** What its nodes have, whatever runs there. */
  readonly places = new Places();
  readonly #offers = new Map<string, Offer>();
  readonly #cooling = new Set<number>();
  #size = SLOTS_FIRST;
  #allocatable = FIXED_COLUMNS.map(() => new Float64Array(SLOTS_FIRST));
  #free = FIXED_COLUMNS.map(() => new Float64Array(SLOTS_FIRST));
  #ordered: readonly number[] | undefined;

  constructor(nodes: Iterable<NodePicture> = []) {
    for (const node of nodes) this.set(node);
  }

  /** A node has come, or something about it has changed. */
  set(node: NodePicture): void {
    let slot = this.#slotByName.get(node.name);
    if (slot === undefined) {
      slot = this.#vacant.pop() ?? this.#nodes.length;
      if (slot >= this.#size) this.#grow();
      this.#slotByName.set(node.name, slot);
      this.#ordered = undefined;
    }
    const before = this.#nodes[slot];
    this.#nodes[slot] = node;
    if (before?.allocatable !== node.allocatable || before.podsMax !== node.podsMax)
      this.#write(slot, demandOf(node.allocatable, node.podsMax, this.columnOf));
    this.#hold(slot, demandOf(node.held, node.podCount, this.columnOf));
    if (node.coolDownUntilMs !== undefined) this.#cooling.add(slot);
    else this.#cooling.delete(slot);
    this.places.set(slot, before, node);
    this.#offerAgain(slot);
  }

  remove(name: string): void {
    const slot = this.#slotByName.get(name);
    if (slot === undefined) return;
    const before = this.#nodes[slot];
    this.#slotByName.delete(name);
    this.#nodes[slot] = undefined;
    this.#vacant.push(slot);
    this.#cooling.delete(slot);
    this.#ordered = undefined;
    this.#write(slot, NOTHING);
    this.#hold(slot, NOTHING);
    this.places.set(slot, before, undefined);
    this.#offerAgain(slot);
  }

  /** Slots by the name of their node: what is decided may not depend on who came first. */
  get slots(): readonly number[] {
    this.#ordered ??= [...this.#slotByName]
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([, slot]) => slot);
    return this.#ordered;
  }

  /** Slots are below this. */
  get size(): number {
    return this.#size;
  }

  get columnNames(): readonly string[] {
    return this.#columnNames;
  }

  get allocatable(): readonly Float64Array[] {
    return this.#allocatable;
  }

  get free(): readonly Float64Array[] {
    return this.#free;
  }

  slotOf(name: string): number | undefined {
    return this.#slotByName.get(name);
  }

  nodeAt(slot: number): NodePicture {
    const node = this.#nodes[slot];
    if (node === undefined) throw new Error(`slot ${slot} of the node index has no node`);
    return node;
  }

  demandOf(shape: TaskShape): Demand {
    return demandOf(withRequestFloor(shape.resources), shape.podsPerTask, this.columnOf);
  }

  /** How many tasks of this shape would fit now, if nothing else were placed. */
  countFitting(shape: TaskShape, nowMs: number): number {
    for (const slot of this.#cooling) {
      if ((this.nodeAt(slot).coolDownUntilMs ?? 0) > nowMs) continue;
      this.#cooling.delete(slot);
      this.#offerAgain(slot);
    }
    return this.#offerOf(shape).total;
  }

  #offerOf(shape: TaskShape): Offer {
    const demand = this.demandOf(shape);
    const key = `${demand.columns.join()} ${demand.amounts.join()} ${constraintKey(shape)}`;
    const known = this.#offers.get(key);
    const { version } = this.places;
    if (known?.version === version) return known;
    const constraint = this.places.constraintOf(new Constraint(), shape, demand);
    const offer =
      known?.constraint.isSameAs(constraint) === true
        ? { ...known, version }
        : this.#countAll(demand, constraint);
    if (this.#offers.size >= OFFERS_MAX) this.#offers.clear();
    this.#offers.set(key, offer);
    return offer;
  }

  #countAll(demand: Demand, constraint: Constraint): Offer {
    const { version } = this.places;
    const offer = { demand, constraint, version, bySlot: new Int32Array(this.#size), total: 0 };
    for (const slot of this.#slotByName.values()) this.#count(offer, slot);
    return offer;
  }

  #offerAgain(slot: number): void {
    for (const offer of this.#offers.values()) this.#count(offer, slot);
  }

  #count(offer: Offer, slot: number): void {
    const node = this.#nodes[slot];
    const isOut =
      node === undefined || this.#cooling.has(slot) || offer.constraint.at(slot) === BLOCKED;
    const count =
      isOut || isClosed(node, Infinity) ? 0 : countFitting(offer.demand, this.#free, slot);
    offer.total += count - offer.bySlot[slot]!;
    offer.bySlot[slot] = count;
  }

  #write(slot: number, { columns, amounts }: Demand): void {
    for (const [column, has] of this.#allocatable.entries()) {
      if (isRare(column)) this.places.setDevice(slot, column, columns.includes(column));
      has[slot] = 0;
    }
    for (const [at, column] of columns.entries()) this.#allocatable[column]![slot] = amounts[at]!;
  }

  #hold(slot: number, { columns, amounts }: Demand): void {
    for (const [column, free] of this.#free.entries())
      free[slot] = this.#allocatable[column]![slot]!;
    for (const [at, column] of columns.entries()) this.#free[column]![slot]! -= amounts[at]!;
  }

  /** Of a countable resource; one that is asked for first gets a column of nothing. */
  readonly columnOf = (name: string): number => {
    const known = this.#countables.get(name);
    if (known !== undefined) return known;
    this.#allocatable.push(new Float64Array(this.#size));
    this.#free.push(new Float64Array(this.#size));
    this.#columnNames.push(countableColumn(name));
    this.#countables.set(name, this.#free.length - 1);
    return this.#free.length - 1;
  };

  /** Offers are as long as the table was: they are made again when asked for. */
  #grow(): void {
    this.#size *= 2;
    const grown = (column: Float64Array): Float64Array<ArrayBuffer> => {
      const longer = new Float64Array(this.#size);
      longer.set(column);
      return longer;
    };
    this.#allocatable = this.#allocatable.map(grown);
    this.#free = this.#free.map(grown);
    this.#offers.clear();
  }
}
