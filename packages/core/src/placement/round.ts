import type { Asked } from './asked.ts';
import { Constraint } from './constraint.ts';
import type { Demand } from './demand.ts';
import { CPU, fitsSlot, MEMORY, plainDemand, PODS, takeFrom } from './demand.ts';
import { cellOf, EMPTY_CLASS, endClassOf, FreeGrid } from './free-grid.ts';
import type { NodeIndex } from './node-index.ts';
import { isClosed } from './node-index.ts';
import type { NodePicture } from './node-picture.ts';
import type { Gang } from './placement-group.ts';
import { narrow } from './places.ts';
import { Term } from './term.ts';

/** Pulls of one image that may run at once; a registry does not survive a thousand. */
export interface ImagePulls {
  /** At first; then as many as have it already, since its registry has served them. */
  readonly nodesMax: number;
  /** The nodes that pull an image now: one more task of it there is no pull more. */
  readonly nodesByImage: ReadonlyMap<string, ReadonlySet<string>>;
}

const PULLS_GROWN_MAX = 128;

export interface PlacementRules {
  readonly nowMs: number;
  readonly imagePulls: ImagePulls;
}

/** A group as the search sees it. */
export interface Request {
  readonly demand: Demand;
  readonly constraint: Constraint;
  readonly isPack: boolean;
  readonly gang: Gang | undefined;
  /** Infinite when the duration is not known. */
  readonly endsAtMs: number;
  readonly endClass: number;
  readonly image: ImageState | undefined;
}

/** Nodes with an image, as this round knows it: a node that was told to pull it counts. */
export interface ImageState {
  readonly nodes: Term;
  readonly pullsMax: number;
  pullsLeft: number;
}

/** The nodes with each value of a label, which gangs may have to stay within. */
type Domains = readonly (readonly number[])[];

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
  readonly kept: number[] = [];
  readonly cpuPart: Float64Array;
  readonly memoryPart: Float64Array;
  readonly #latestEndMs: Float64Array;
  readonly everywhere = new Constraint();
  #plain: Constraint | undefined;
  readonly #domains = new Map<string, Domains>();
  readonly #images = new Map<string, ImageState>();

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

  requestAt(asked: Asked, place: number): Request {
    const isPlain = asked.isPlainAt(place);
    return {
      demand: isPlain
        ? plainDemand(asked.cpuMillisAt(place), asked.memoryBytesAt(place))
        : asked.demandAt(place),
      constraint: isPlain
        ? this.plain
        : narrow(this.everywhere, asked.toleranceAt(place), asked.termsAt(place)),
      isPack: asked.isPackAt(place),
      gang: isPlain ? undefined : asked.gangAt(place),
      endsAtMs: asked.endsAtMsAt(place),
      endClass: asked.endClassAt(place),
      image: isPlain ? undefined : asked.imageAt(place),
    };
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

  readonly imageOf = (image: string): ImageState => {
    const known = this.#images.get(image);
    if (known !== undefined) return known;
    const { nodesMax, nodesByImage } = this.rules.imagePulls;
    const pulling = nodesByImage.get(image);
    const nodes = new Term();
    for (const slot of this.index.places.withImage(image).slots) nodes.add(slot);
    const pullsMax = Math.max(nodesMax, Math.min(nodes.size, PULLS_GROWN_MAX));
    for (const name of pulling ?? []) {
      const slot = this.index.slotOf(name);
      if (slot !== undefined) nodes.add(slot);
    }
    const state = { nodes, pullsMax, pullsLeft: pullsMax - (pulling?.size ?? 0) };
    this.#images.set(image, state);
    return state;
  };

  keep(slot: number, fromMs: number): void {
    this.reservedFromMs[slot] = fromMs;
    this.kept.push(slot);
  }

  /** How long a task runs decides only whether it may go to a node that is kept. */
  failsSinceMs({ demand, endsAtMs }: Request): number {
    const isTimed = this.kept.some((slot) => fitsSlot(demand, this.free, slot));
    return isTimed ? endsAtMs : -Infinity;
  }

  domainsOf(label: string): Domains {
    const known = this.#domains.get(label);
    if (known !== undefined) return known;
    const byValue = Map.groupBy(this.index.slots, (slot) => this.index.nodeAt(slot).labels[label]);
    byValue.delete(undefined);
    const byName = [...byValue].toSorted(([a], [b]) => (a! < b! ? -1 : 1));
    const domains = byName.map(([, slots]) => slots);
    this.#domains.set(label, domains);
    return domains;
  }

  /** With no pull left, the image decides on the nodes too. */
  boundOf({ constraint, image }: Request): Constraint {
    const isBound = image !== undefined && image.pullsLeft <= 0;
    return isBound ? constraint.having(image.nodes) : constraint;
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
