import type { Asked } from './asked.ts';
import { OPEN } from './constraints.ts';
import type { Demand } from './demand.ts';
import { CPU, fitsSlot, MEMORY, plainDemand, PODS, takeFrom } from './demand.ts';
import { FailureFrontier } from './failure-frontier.ts';
import { cellOf, EMPTY_CLASS, endClassOf, FreeGrid } from './free-grid.ts';
import type { Constraint, NodeIndex } from './node-index.ts';
import { isClosed } from './node-index.ts';
import type { NodePicture } from './node-picture.ts';
import type { PlacementGroup } from './placement-group.ts';

/** Pulls of one image that may run at once; a registry does not survive a thousand. */
export interface ImagePulls {
  readonly nodesMax: number;
  /** The nodes that pull an image now: one more task of it there is no pull more. */
  readonly nodesByImage: ReadonlyMap<string, ReadonlySet<string>>;
}

export interface PlacementRules {
  readonly nowMs: number;
  readonly imagePulls: ImagePulls;
}

/** A group as the search sees it. */
export interface Request {
  readonly group: PlacementGroup;
  readonly demand: Demand;
  readonly constraint: Constraint;
  /** Infinite when the duration is not known. */
  readonly endsAtMs: number;
  readonly endClass: number;
  readonly image: ImageState | undefined;
}

/** Nodes with an image, as this round knows it: a node that was told to pull it counts. */
export interface ImageState {
  readonly has: Uint8Array;
  pullsLeft: number;
}

export const latestEndMs = (node: NodePicture): number =>
  node.runningEnds.reduce((latest, { endsAtMs }) => Math.max(latest, endsAtMs ?? Infinity), 0);

/** The free room of all nodes while one plan is made. The index itself stays as it is. */
export class Round {
  readonly index: NodeIndex;
  readonly rules: PlacementRules;
  readonly free: Float64Array[];
  readonly grid: FreeGrid;
  /** Nodes that take nothing in this round. */
  readonly closed: Uint8Array;
  readonly endClasses: Uint8Array;
  readonly rank: Int32Array;
  /** Kept for a large task from then on: only what ends before may go there; 0: not kept. */
  readonly reservedFromMs: Float64Array;
  reservationCount = 0;
  readonly cpuPart: Float64Array;
  readonly memoryPart: Float64Array;
  readonly #latestEndMs: Float64Array;
  #anywhere: Constraint | undefined;
  readonly #images = new Map<string, ImageState>();
  readonly #frontiers = new Map<string, FailureFrontier>();
  readonly #lists = new Map<Constraint, readonly number[]>();

  constructor(index: NodeIndex, rules: PlacementRules) {
    const { size } = index;
    this.index = index;
    this.rules = rules;
    this.free = index.free.map((column) => column.slice());
    this.grid = new FreeGrid(size);
    this.closed = new Uint8Array(size);
    this.endClasses = new Uint8Array(size);
    this.rank = new Int32Array(size);
    this.reservedFromMs = new Float64Array(size);
    this.#latestEndMs = new Float64Array(size);
    this.cpuPart = index.allocatable[CPU]!.map((amount) => 1 / Math.max(1, amount));
    this.memoryPart = index.allocatable[MEMORY]!.map((amount) => 1 / Math.max(1, amount));
    // A list begins with what was put last: so names stand in order.
    const { slots } = index;
    for (let rank = slots.length - 1; rank >= 0; rank -= 1) this.#open(slots[rank]!, rank);
  }

  #open(slot: number, rank: number): void {
    const node = this.index.nodeAt(slot);
    this.rank[slot] = rank;
    this.#latestEndMs[slot] = latestEndMs(node);
    this.closed[slot] = Number(isClosed(node, this.rules.nowMs));
    this.#settle(slot);
  }

  /** A node without cores, memory or pods left is in no cell: no search meets it again. */
  #settle(slot: number): void {
    const latest = this.#latestEndMs[slot]!;
    const endClass = latest === 0 ? EMPTY_CLASS : endClassOf(latest, this.rules.nowMs);
    this.endClasses[slot] = endClass;
    const [cpu, memory] = [this.free[CPU]![slot]!, this.free[MEMORY]![slot]!];
    const isFull = cpu <= 0 || memory <= 0 || this.free[PODS]![slot]! <= 0;
    if (isFull || this.closed[slot] === 1) this.grid.take(slot);
    else this.grid.put(slot, cellOf(endClass, cpu, memory));
  }

  request(group: PlacementGroup): Request {
    const demand = this.index.demandOf(group);
    this.#widen();
    const { nowMs } = this.rules;
    const endsAtMs =
      group.expectedDurationMs === undefined ? Infinity : nowMs + group.expectedDurationMs;
    return {
      group,
      demand,
      constraint: this.index.constraintOf(group, demand),
      endsAtMs,
      endClass: endClassOf(endsAtMs, nowMs),
      image: group.image === undefined ? undefined : this.#imageOf(group.image),
    };
  }

  /** The same for a plain group, whose other fields are not looked at. */
  plainRequest(group: PlacementGroup, asked: Asked, at: number): Request {
    const demand = plainDemand(asked.cpuMillis[at]!, asked.memoryBytes[at]!);
    const endsAtMs = asked.endsAtMs[at]!;
    this.#anywhere ??= this.index.constraintOf(group, demand);
    return {
      group,
      demand,
      constraint: this.#anywhere,
      endsAtMs,
      endClass: endClassOf(endsAtMs, this.rules.nowMs),
      image: undefined,
    };
  }

  /** A group may name a resource that no node has: it gets a column of nothing. */
  #widen(): void {
    for (let column = this.free.length; column < this.index.free.length; column += 1)
      this.free.push(new Float64Array(this.index.size));
  }

  take(slot: number, request: Request, count: number): void {
    takeFrom(this.free, slot, request.demand, count);
    this.#latestEndMs[slot] = Math.max(this.#latestEndMs[slot]!, request.endsAtMs);
    const { image } = request;
    if (image !== undefined && image.has[slot] === 0) {
      image.has[slot] = 1;
      image.pullsLeft -= 1;
    }
    this.#settle(slot);
  }

  /** A node that may take the task now, room included. */
  accepts(slot: number, request: Request): boolean {
    return (
      this.closed[slot] === 0 &&
      fitsSlot(request.demand, this.free, slot) &&
      this.isOpenTo(slot, request)
    );
  }

  /** Neither kept for another task nor in want of one pull too many. */
  isOpenTo(slot: number, { image, endsAtMs }: Request): boolean {
    const reserved = this.reservedFromMs[slot]!;
    if (reserved !== 0 && endsAtMs > reserved) return false;
    return image === undefined || image.pullsLeft > 0 || image.has[slot] === 1;
  }

  #imageOf(image: string): ImageState {
    const known = this.#images.get(image);
    if (known !== undefined) return known;
    const has = new Uint8Array(this.index.size);
    const { nodesMax, nodesByImage } = this.rules.imagePulls;
    const pulling = nodesByImage.get(image);
    for (const slot of this.index.slots) {
      const { name, images } = this.index.nodeAt(slot);
      if (images.has(image) || pulling?.has(name) === true) has[slot] = 1;
    }
    const state = { has, pullsLeft: nodesMax - (pulling?.size ?? 0) };
    this.#images.set(image, state);
    return state;
  }

  /** What has failed on the same nodes; with no pull left, the image decides on them too. */
  frontierOf({ constraint, group, image }: Request): FailureFrontier {
    const isBound = image !== undefined && image.pullsLeft <= 0;
    return this.#frontier(isBound ? `${constraint.key} ${group.image}` : constraint.key);
  }

  /** Of what may run anywhere and asks for nothing rare. */
  get plainFrontier(): FailureFrontier {
    return this.#frontier('');
  }

  #frontier(key: string): FailureFrontier {
    let frontier = this.#frontiers.get(key);
    if (frontier === undefined) {
      frontier = new FailureFrontier();
      this.#frontiers.set(key, frontier);
    }
    return frontier;
  }

  /** The slots a constraint allows, by name. */
  listOf(constraint: Constraint): readonly number[] {
    let list = this.#lists.get(constraint);
    if (list === undefined) {
      list = this.index.slots.filter((slot) => constraint.mask[slot]! >= OPEN);
      this.#lists.set(constraint, list);
    }
    return list;
  }
}
