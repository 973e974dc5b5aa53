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

  /** Visits what may have room, the tightest cells first or last, until the visitor says enough: then true. */
  visit(cell: number, isTightFirst: boolean, isEnough: (slot: number) => boolean): boolean {
    const pick = isTightFirst ? lowest : highest;
    const endClass = cell >> 10;
    let levels = this.#classes[endClass]! & from((cell >> 5) & 31);
    while (levels !== 0) {
      const cpu = pick(levels);
      levels &= ~(1 << cpu);
      const row = (endClass << 5) | cpu;
      let memories = this.#rows[row]! & from(cell & 31);
      while (memories !== 0) {
        const memory = pick(memories);
        memories &= ~(1 << memory);
        if (this.#visitCell((row << 5) | memory, isEnough)) return true;
      }
    }
    return false;
  }

  #visitCell(cell: number, isEnough: (slot: number) => boolean): boolean {
    for (let slot = this.#heads[cell]!; slot >= 0; slot = this.#next[slot]!)
      if (isEnough(slot)) return true;
    return false;
  }
}

export const cellOf = (endClass: number, cpuMillis: number, memoryBytes: number): number =>
  (((endClass << 5) | cpuLevel(cpuMillis)) << 5) | memoryLevel(memoryBytes);
