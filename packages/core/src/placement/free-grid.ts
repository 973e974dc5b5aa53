/** Half octaves: a node in the cell above the asked one has room for sure, with 32 to a mask. */
const LEVELS = 32;
const CPU_FIRST_MILLIS = 50;
const MEMORY_FIRST_BYTES = 32 * 1024 * 1024;

const level = (amount: number, first: number): number =>
  amount < first ? 0 : Math.min(LEVELS - 1, 1 + Math.floor(2 * Math.log2(amount / first)));
export const cpuLevel = (cpuMillis: number): number => level(cpuMillis, CPU_FIRST_MILLIS);
export const memoryLevel = (bytes: number): number => level(bytes, MEMORY_FIRST_BYTES);

/** Classes of ends: 0 is an empty node, then doublings from a minute to 17 hours, then unknown. */
export const END_CLASSES = 13;
export const EMPTY_CLASS = 0;
const UNKNOWN_CLASS = END_CLASSES - 1;
const ALL_CLASSES = Array.from({ length: END_CLASSES }, (_, endClass) => endClass);

/** `endsAtMs` is infinite when nobody can say. */
export function endClassOf(endsAtMs: number, nowMs: number): number {
  if (endsAtMs === Infinity) return UNKNOWN_CLASS;
  const minutes = Math.max(1, (endsAtMs - nowMs) / 60_000);
  return Math.min(UNKNOWN_CLASS - 1, 1 + Math.floor(Math.log2(minutes)));
}

/** Where no search comes. */
export const NO_CELL = -1;

/** The lowest or highest bit of a mask that is not zero. */
const lowest = (mask: number): number => 31 - Math.clz32(mask & -mask);
const highest = (mask: number): number => 31 - Math.clz32(mask);
const from = (bit: number): number => -1 << bit;

/**
 * Nodes in cells by the class of their end and the levels of free cores and memory, each cell a
 * linked list in typed arrays: a node moves in constant time, and nothing is allocated.
 */
export class FreeGrid {
  readonly #heads = new Int32Array(END_CLASSES * LEVELS * LEVELS).fill(-1);
  /** Which memory levels have nodes, for each class and level of cores. */
  readonly #rows = new Int32Array(END_CLASSES * LEVELS);
  /** Which levels of cores have nodes, for each class. */
  readonly #classes = new Int32Array(END_CLASSES);
  readonly #next: Int32Array;
  readonly #before: Int32Array;
  readonly #cell: Int32Array;
  /** Of a walk: the row it is in, and what it has not come to yet. */
  #row = 0;
  #levelsLeft = 0;
  #memoriesLeft = 0;
  #memoriesAsked = 0;
  #isTightFirst = true;

  constructor(size: number) {
    this.#next = new Int32Array(size).fill(-1);
    this.#before = new Int32Array(size).fill(-1);
    this.#cell = new Int32Array(size).fill(NO_CELL);
  }

  /** Cell numbers: class, then level of cores, then level of memory. */
  put(slot: number, cell: number): void {
    if (this.#cell[slot] === cell) return;
    this.#take(slot);
    if (cell === NO_CELL) return;
    const head = this.#heads[cell]!;
    this.#next[slot] = head;
    if (head >= 0) this.#before[head] = slot;
    this.#heads[cell] = slot;
    this.#cell[slot] = cell;
    const row = cell >> 5;
    this.#rows[row]! |= 1 << (cell & 31);
    this.#classes[row >> 5]! |= 1 << (row & 31);
  }

  #take(slot: number): void {
    const cell = this.#cell[slot]!;
    if (cell === NO_CELL) return;
    const next = this.#next[slot]!;
    const before = this.#before[slot]!;
    if (next >= 0) this.#before[next] = before;
    if (before >= 0) this.#next[before] = next;
    else this.#heads[cell] = next;
    this.#next[slot] = -1;
    this.#before[slot] = -1;
    this.#cell[slot] = NO_CELL;
    if (this.#heads[cell]! >= 0) return;
    const row = cell >> 5;
    this.#rows[row]! &= ~(1 << (cell & 31));
    if (this.#rows[row] === 0) this.#classes[row >> 5]! &= ~(1 << (row & 31));
  }

  /** The first that may have room, of the tightest cells or the roomiest; -1: none. */
  first(cell: number, isTightFirst: boolean): number {
    const endClass = cell >> 10;
    this.#isTightFirst = isTightFirst;
    this.#memoriesAsked = from(cell & 31);
    this.#levelsLeft = this.#classes[endClass]! & from((cell >> 5) & 31);
    this.#memoriesLeft = 0;
    this.#row = endClass << 5;
    return this.#levelsLeft === 0 ? -1 : this.#firstOfNextCell();
  }

  /** The one after it, -1 after the last. One walk at a time: nothing may move meanwhile. */
  after(slot: number): number {
    const next = this.#next[slot]!;
    return next >= 0 ? next : this.#firstOfNextCell();
  }

  #firstOfNextCell(): number {
    while (this.#memoriesLeft === 0) {
      if (this.#levelsLeft === 0) return -1;
      const level = this.#isTightFirst ? lowest(this.#levelsLeft) : highest(this.#levelsLeft);
      this.#levelsLeft &= ~(1 << level);
      this.#row = (this.#row & ~31) | level;
      this.#memoriesLeft = this.#rows[this.#row]! & this.#memoriesAsked;
    }
    const level = this.#isTightFirst ? lowest(this.#memoriesLeft) : highest(this.#memoriesLeft);
    this.#memoriesLeft &= ~(1 << level);
    return this.#heads[(this.#row << 5) | level]!;
  }
}

export const cellOf = (endClass: number, cpuMillis: number, memoryBytes: number): number =>
  (((endClass << 5) | cpuLevel(cpuMillis)) << 5) | memoryLevel(memoryBytes);

/** The same of each class of ends. */
export function cellsOf(cpuMillis: number, memoryBytes: number): number[] {
  const cell = cellOf(0, cpuMillis, memoryBytes);
  return ALL_CLASSES.map((endClass) => (endClass << 10) | cell);
}
