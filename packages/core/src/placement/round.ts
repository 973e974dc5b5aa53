import type { Asked } from './asked.ts';
import { Constraint, narrow } from './constraint.ts';
import type { Eligibility } from './constraints.ts';
import type { Demand } from './demand.ts';
import { CPU, fitsSlot, MEMORY, PODS, takeFrom } from './demand.ts';
import type { DemandKind } from './demand-kind.ts';
import { cellOf, cellsOf, EMPTY_CLASS, endClassOf, FreeGrid, NO_CELL } from './free-grid.ts';
import type { ImagePulls, ImageState } from './image-state.ts';
import { Images, isBinding } from './image-state.ts';
import type { NodeIndex } from './node-index.ts';
import { isClosed } from './node-index.ts';
import type { NodePicture } from './node-picture.ts';
import type { Gang } from './placement-group.ts';

export interface PlacementRules {
  readonly nowMs: number;
  readonly imagePulls: ImagePulls;
}

/** A group as the search sees it. */
export interface Request {
  readonly demand: Demand;
  readonly constraint: Constraint;
  /** Of a single task that asks for more than one pod of cores and memory. */
  readonly kind: DemandKind | undefined;
  readonly isPack: boolean;
  readonly gang: Gang | undefined;
  /** Infinite when the duration is not known. */
  readonly endsAtMs: number;
  readonly endClass: number;
  readonly image: ImageState | undefined;
}

export const latestEndMs = (node: NodePicture): number =>
  node.runningEnds.reduce((latest, { endsAtMs }) => Math.max(latest, endsAtMs ?? Infinity), 0);

/** The free room of all nodes while one plan is made. The index itself stays as it is. */
export class Round {
  readonly index: NodeIndex;
  readonly rules: PlacementRules;
  readonly free: Float64Array[];
  readonly grid: FreeGrid;
  /** The same of what is open, or to be avoided, to those who tolerate nothing: most. */
  readonly #gridsByVerdict: readonly (FreeGrid | undefined)[];
  /** Nodes that take nothing in this round. */
  readonly closed: Uint8Array;
  readonly endClasses: Uint8Array;
  readonly rank: Int32Array;
  /** Kept for a large task from then on: only what ends before may go there; 0: not kept. */
  readonly reservedFromMs: Float64Array;
  readonly kept: number[] = [];
  readonly cpuPart: Float64Array;
  readonly memoryPart: Float64Array;
  readonly #latestEndMs: Float64Array;
  readonly everywhere = new Constraint();
  readonly images: Images;
  #plain: Constraint | undefined;
  readonly #domains = new Map<string, Int32Array>();

  constructor(index: NodeIndex, rules: PlacementRules) {
    const { size } = index;
    this.index = index;
    this.rules = rules;
    this.images = new Images(index, rules.imagePulls);
    this.free = index.free.map((column) => column.slice());
    this.grid = new FreeGrid(size);
    const { hasTaints, hasAvoided } = index.places;
    this.#gridsByVerdict = [
      undefined,
      hasTaints ? new FreeGrid(size) : undefined,
      hasAvoided ? new FreeGrid(size) : undefined,
    ];
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
    const cell = isFull || this.closed[slot] === 1 ? NO_CELL : cellOf(endClass, cpu, memory);
    this.grid.put(slot, cell);
    this.#gridsByVerdict[this.index.places.noTolerance.at(slot)]?.put(slot, cell);
  }

  /** Where to search for nodes that a constraint judges so; others may stand there too. */
  gridOf({ tolerance }: Constraint, verdict: Eligibility): FreeGrid {
    const isPlain = tolerance === this.index.places.noTolerance;
    return (isPlain ? this.#gridsByVerdict[verdict] : undefined) ?? this.grid;
  }

  requestAt(asked: Asked, place: number): Request {
    const isPlain = asked.isPlainAt(place);
    const gang = isPlain ? undefined : asked.gangAt(place);
    const image = isPlain ? undefined : this.images.at(asked.imageNumberAt(place));
    const kind = isPlain || gang !== undefined ? undefined : asked.kindAt(place);
    return {
      demand: asked.demandAt(place),
      constraint: isPlain ? this.plain : this.#constraintAt(asked, place, { image, kind }),
      kind,
      isPack: asked.isPackAt(place),
      gang,
      endsAtMs: asked.endsAtMsAt(place),
      endClass: asked.endClassAt(place),
      image,
    };
  }

  /** Whether a search may find a node, told before a request is made. */
  mayFitAt(asked: Asked, place: number): boolean {
    const image = this.images.at(asked.imageNumberAt(place));
    return asked.mayFitAt(place, isBinding(image) ? image.nodes : undefined, this.free);
  }

  #constraintAt(
    asked: Asked,
    place: number,
    { image, kind }: Pick<Request, 'image' | 'kind'>,
  ): Constraint {
    const terms = asked.termsAt(place);
    if (isBinding(image)) terms.push(image.nodes);
    return narrow(this.everywhere, asked.toleranceAt(place), terms, kind);
  }

  /** A group may name a resource that no node has: it gets a column of nothing. */
  widen(): void {
    for (let column = this.free.length; column < this.index.free.length; column += 1)
      this.free.push(new Float64Array(this.index.size));
  }

  take(slot: number, request: Request, count: number): void {
    takeFrom(this.free, slot, request.demand, count);
    this.#latestEndMs[slot] = Math.max(this.#latestEndMs[slot]!, request.endsAtMs);
    const { image } = request;
    if (image !== undefined && !image.nodes.has(slot)) {
      image.nodes.add(slot);
      image.pullsLeft -= 1;
    }
    this.#settle(slot);
  }

  /** A node that may take the task now, room included. */
  accepts(slot: number, request: Request): boolean {
    return this.hasRoom(slot, request) && this.mayPull(slot, request);
  }

  /** Open, large enough, and not kept for another task. */
  hasRoom(slot: number, request: Request): boolean {
    return (
      this.closed[slot] === 0 &&
      fitsSlot(request.demand, this.free, slot) &&
      !this.isKept(slot, request)
    );
  }

  isKept(slot: number, { endsAtMs }: Request): boolean {
    const reserved = this.reservedFromMs[slot]!;
    return reserved !== 0 && endsAtMs > reserved;
  }

  mayPull(slot: number, { image }: Request): boolean {
    return image === undefined || image.pullsLeft > 0 || image.nodes.has(slot);
  }

  keep(slot: number, fromMs: number): void {
    this.reservedFromMs[slot] = fromMs;
    this.kept.push(slot);
  }

  /** How long a task runs decides only whether it may go to a node that is kept. */
  failsSinceMs({ demand, endsAtMs }: Request): number {
    const isTimed = this.kept.some((slot) => fitsSlot(demand, this.free, slot));
    return isTimed ? endsAtMs : -Infinity;
  }

  /** The number of each slot's value of a label, in the order of values; -1: it has none. */
  domainsOf(label: string): Int32Array {
    const known = this.#domains.get(label);
    if (known !== undefined) return known;
    const { index } = this;
    const byValue = Map.groupBy(index.slots, (slot) => index.nodeAt(slot).labels[label]);
    byValue.delete(undefined);
    const byName = [...byValue].toSorted(([a], [b]) => (a! < b! ? -1 : 1));
    const numbers = new Int32Array(index.size).fill(-1);
    for (const [number, [, slots]] of byName.entries())
      for (const slot of slots) numbers[slot] = number;
    this.#domains.set(label, numbers);
    return numbers;
  }

  hasRoomAnywhere(request: Request): boolean {
    const { grid } = this;
    for (const cell of cellsOf(request.demand.amounts[0]!, request.demand.amounts[1]!))
      for (let slot = grid.first(cell, false); slot >= 0; slot = grid.after(slot))
        if (this.hasRoom(slot, request)) return true;
    return false;
  }

  boundOf({ constraint, image, kind }: Request): Constraint {
    if (!isBinding(image) || constraint.terms.includes(image.nodes)) return constraint;
    const terms = [...constraint.terms, image.nodes];
    return narrow(this.everywhere, constraint.tolerance, terms, kind);
  }

  /** Of what asks for cores and memory alone, wherever no taint is. */
  get plain(): Constraint {
    this.#plain ??= this.everywhere.tolerating(this.index.places.noTolerance);
    return this.#plain;
  }

  /** Slots outside which a constraint allows nothing, by name. */
  around({ few }: Constraint): readonly number[] {
    if (few === undefined) return this.index.slots;
    return few.toSorted((a, b) => this.rank[a]! - this.rank[b]!);
  }
}
