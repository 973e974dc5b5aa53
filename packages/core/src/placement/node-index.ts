import type { Eligibility } from './constraints.ts';
import { BLOCKED, constraintKey, eligibilityOf } from './constraints.ts';
import type { Demand } from './demand.ts';
import { countFitting, demandOf, FIXED_COLUMNS, rareColumns, withRequestFloor } from './demand.ts';
import type { NodePicture } from './node-picture.ts';
import type { TaskShape } from './placement-group.ts';

/** Where tasks with the same selector, tolerations and rare resources may run, by slot. */
export interface Constraint {
  readonly key: string;
  readonly mask: Uint8Array;
  /** Nodes that are not blocked. */
  count: number;
}

interface CachedConstraint extends Constraint {
  readonly shape: TaskShape;
  readonly rare: readonly number[];
}

/** How many tasks of a shape fit now, kept up to date as nodes change. */
interface Offer {
  readonly demand: Demand;
  readonly constraint: Constraint;
  readonly bySlot: Int32Array;
  total: number;
}

/** A cache that has grown to this is begun anew: shapes come and go for weeks. */
const CONSTRAINTS_MAX = 1024;
const OFFERS_MAX = 256;
const SLOTS_FIRST = 64;

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
  readonly #columnByName = new Map(FIXED_COLUMNS.map((name, column) => [name, column]));
  readonly #constraints = new Map<string, CachedConstraint>();
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
    this.#write(this.#allocatable, slot, demandOf(node.allocatable, node.podsMax, this.#columnOf));
    this.#write(this.#free, slot, demandOf(node.allocatable, node.podsMax, this.#columnOf));
    const { columns, amounts } = demandOf(node.held, node.podCount, this.#columnOf);
    for (const [at, column] of columns.entries()) this.#free[column]![slot]! -= amounts[at]!;
    if (node.coolDownUntilMs !== undefined) this.#cooling.add(slot);
    else this.#cooling.delete(slot);
    if (before === undefined || !isSamePlace(before, node)) this.#judge(slot, node);
    this.#offerAgain(slot);
  }

  remove(name: string): void {
    const slot = this.#slotByName.get(name);
    if (slot === undefined) return;
    this.#slotByName.delete(name);
    this.#nodes[slot] = undefined;
    this.#vacant.push(slot);
    this.#cooling.delete(slot);
    this.#ordered = undefined;
    for (const constraint of this.#constraints.values()) setMask(constraint, slot, BLOCKED);
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

  nodeAt(slot: number): NodePicture {
    const node = this.#nodes[slot];
    if (node === undefined) throw new Error(`slot ${slot} of the node index has no node`);
    return node;
  }

  demandOf(shape: TaskShape): Demand {
    return demandOf(withRequestFloor(shape.resources), shape.podsPerTask, this.#columnOf);
  }

  constraintOf(shape: TaskShape, demand: Demand): Constraint {
    const rare = rareColumns(demand);
    const key = rare.length === 0 ? constraintKey(shape) : `${rare.join()} ${constraintKey(shape)}`;
    const known = this.#constraints.get(key);
    if (known !== undefined) return known;
    if (this.#constraints.size >= CONSTRAINTS_MAX) this.#forget();
    const constraint = { key, shape, rare, mask: new Uint8Array(this.#size), count: 0 };
    for (const slot of this.#slotByName.values())
      setMask(constraint, slot, this.#eligibility(constraint, slot, this.nodeAt(slot)));
    this.#constraints.set(key, constraint);
    return constraint;
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
    const constraint = this.constraintOf(shape, demand);
    const key = `${demand.columns.join()} ${demand.amounts.join()} ${constraint.key}`;
    const known = this.#offers.get(key);
    if (known !== undefined) return known;
    if (this.#offers.size >= OFFERS_MAX) this.#offers.clear();
    const offer = { demand, constraint, bySlot: new Int32Array(this.#size), total: 0 };
    for (const slot of this.#slotByName.values()) this.#count(offer, slot);
    this.#offers.set(key, offer);
    return offer;
  }

  #offerAgain(slot: number): void {
    for (const offer of this.#offers.values()) this.#count(offer, slot);
  }

  #count(offer: Offer, slot: number): void {
    const node = this.#nodes[slot];
    const isOut =
      node === undefined || offer.constraint.mask[slot] === BLOCKED || this.#cooling.has(slot);
    const count =
      isOut || isClosed(node, Infinity) ? 0 : countFitting(offer.demand, this.#free, slot);
    offer.total += count - offer.bySlot[slot]!;
    offer.bySlot[slot] = count;
  }

  #judge(slot: number, node: NodePicture): void {
    for (const constraint of this.#constraints.values())
      setMask(constraint, slot, this.#eligibility(constraint, slot, node));
  }

  #eligibility(constraint: CachedConstraint, slot: number, node: NodePicture): Eligibility {
    for (const column of constraint.rare)
      if (this.#allocatable[column]![slot]! <= 0) return BLOCKED;
    return eligibilityOf(constraint.shape, node);
  }

  #write(table: readonly Float64Array[], slot: number, { columns, amounts }: Demand): void {
    for (const column of table) column[slot] = 0;
    for (const [at, column] of columns.entries()) table[column]![slot] = amounts[at]!;
  }

  readonly #columnOf = (name: string): number => {
    const known = this.#columnByName.get(name);
    if (known !== undefined) return known;
    this.#allocatable.push(new Float64Array(this.#size));
    this.#free.push(new Float64Array(this.#size));
    this.#columnNames.push(name);
    this.#columnByName.set(name, this.#free.length - 1);
    return this.#free.length - 1;
  };

  /** Masks and offers are as long as the table was: they are made again when asked for. */
  #grow(): void {
    this.#size *= 2;
    const grown = (column: Float64Array): Float64Array<ArrayBuffer> => {
      const longer = new Float64Array(this.#size);
      longer.set(column);
      return longer;
    };
    this.#allocatable = this.#allocatable.map(grown);
    this.#free = this.#free.map(grown);
    this.#forget();
  }

  /** An offer lives by the mask of its constraint: they go together. */
  #forget(): void {
    this.#constraints.clear();
    this.#offers.clear();
  }
}

function setMask(constraint: Constraint, slot: number, eligibility: Eligibility): void {
  const before = constraint.mask[slot]!;
  constraint.mask[slot] = eligibility;
  constraint.count += Number(eligibility !== BLOCKED) - Number(before !== BLOCKED);
}

/** Most changes are pods that come and go: the watch keeps labels and taints as they were. */
const isSamePlace = (a: NodePicture, b: NodePicture): boolean =>
  a.labels === b.labels && a.taints === b.taints && a.allocatable === b.allocatable;
