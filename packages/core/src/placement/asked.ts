import { RESERVE_AFTER_MS } from '../dispatch.ts';
import type { Demand } from './demand.ts';
import { CPU, MEMORY, plainDemand, withRequestFloor } from './demand.ts';
import type { DemandKind } from './demand-kind.ts';
import { DemandKinds } from './demand-kind.ts';
import { endClassOf } from './free-grid.ts';
import { Numbered } from './numbered.ts';
import type { Gang, PlacementGroup } from './placement-group.ts';
import type { Round } from './round.ts';
import type { Term } from './term.ts';
import type { Tolerance } from './tolerance.ts';

/** A group is a row of 64 bytes, one line of the processor's cache: four large numbers first, */
const CPU_MILLIS = 0;
const MEMORY_BYTES = 1;
const ENDS_AT_MS = 2;
const COUNT = 3;
const ROW = 8;
/** and small ones, which are half as wide: what is no number is held in lists, by number. */
const FLAGS = 8;
const KIND = 9;
const TOLERANCE = 10;
const IMAGE = 11;
const GANG = 12;
const TERMS_FROM = 13;
const TERMS_END = 14;
const SMALL_ROW = 2 * ROW;

const IS_AGED = 1;
const IS_PACK = 2;
const IS_PLAIN = 4;
/** The class of its end stands above the flags. */
const END_CLASS_SHIFT = 3;

/**
 * What groups ask for. Groups are read once in the order given, which is that of memory; in the
 * order of placement each would be fetched from afar, with all it refers to.
 */
export class Asked {
  readonly length: number;
  /** As given: in the order of memory. */
  readonly keys: string[] = [];
  readonly #priorities: Float64Array;
  readonly #kinds: DemandKinds;
  readonly #tolerances = new Numbered<Tolerance>();
  readonly #gangs = new Numbered<Gang>();
  /** The terms of all, one after the other. */
  #terms: Term[] = [];
  #rows: Float64Array;
  #small: Int32Array;

  constructor(round: Round, groups: readonly PlacementGroup[]) {
    const { length } = groups;
    this.length = length;
    this.#priorities = new Float64Array(length);
    this.#kinds = new DemandKinds(round.index.columnOf);
    this.#rows = new Float64Array(ROW * length);
    this.#small = new Int32Array(this.#rows.buffer);
    for (let at = 0; at < length; at += 1) this.#read(at, groups[at]!, round);
    round.widen();
  }

  #read(at: number, group: PlacementGroup, { rules, index, images }: Round): void {
    const { nowMs } = rules;
    const { gang, image } = group;
    const resources = withRequestFloor(group.resources);
    const kind = this.#kinds.of(resources, group.podsPerTask);
    const endsAtMs = nowMs + (group.expectedDurationMs ?? Infinity);
    const tolerance = index.places.toleranceOf(group.tolerations);
    const termsFrom = this.#terms.length;
    index.places.addTerms(this.#terms, group.nodeSelector, kind.columns);
    const termsEnd = this.#terms.length;
    const isAnywhere = tolerance === index.places.noTolerance && termsEnd === termsFrom;
    const isPlain = kind.number === 0 && isAnywhere && image === undefined && gang === undefined;
    const rows = this.#rows;
    const row = ROW * at;
    rows[row + CPU_MILLIS] = resources.cpuMillis;
    rows[row + MEMORY_BYTES] = resources.memoryBytes;
    rows[row + ENDS_AT_MS] = endsAtMs;
    rows[row + COUNT] = group.count;
    const numbers = this.#small;
    const small = SMALL_ROW * at;
    numbers[small + FLAGS] =
      (endClassOf(endsAtMs, nowMs) << END_CLASS_SHIFT) |
      (nowMs - group.waitingSinceMs > RESERVE_AFTER_MS ? IS_AGED : 0) |
      (group.policy === 'pack' ? IS_PACK : 0) |
      (isPlain ? IS_PLAIN : 0);
    this.keys.push(group.key);
    this.#priorities[at] = group.priority;
    if (isPlain) return;
    numbers[small + KIND] = kind.number;
    numbers[small + TOLERANCE] = this.#tolerances.numberOf(tolerance);
    numbers[small + IMAGE] = image === undefined ? 0 : images.numberOf(image);
    numbers[small + GANG] = gang === undefined ? 0 : this.#gangs.numberOf(gang);
    numbers[small + TERMS_FROM] = termsFrom;
    numbers[small + TERMS_END] = termsEnd;
  }

  /** Puts the groups in the order of placement: what is asked for one by one then lies in a row. */
  arrange(order: Uint32Array): void {
    const rows = new Float64Array(this.#rows.length);
    const small = new Int32Array(rows.buffer);
    const terms: Term[] = [];
    terms.length = this.#terms.length;
    let termCount = 0;
    for (let place = 0; place < order.length; place += 1) {
      const from = ROW * order[place]!;
      for (let column = 0; column < ROW; column += 1)
        rows[ROW * place + column] = this.#rows[from + column]!;
      const termsFrom = small[SMALL_ROW * place + TERMS_FROM]!;
      const termsEnd = small[SMALL_ROW * place + TERMS_END]!;
      small[SMALL_ROW * place + TERMS_FROM] = termCount;
      for (let one = termsFrom; one < termsEnd; one += 1) terms[termCount++] = this.#terms[one]!;
      small[SMALL_ROW * place + TERMS_END] = termCount;
    }
    this.#rows = rows;
    this.#small = small;
    this.#terms = terms;
  }

  /** Only before they are arranged. */
  priorityAt(at: number): number {
    return this.#priorities[at]!;
  }

  countAt(place: number): number {
    return this.#rows[ROW * place + COUNT]!;
  }

  cpuMillisAt(place: number): number {
    return this.#rows[ROW * place + CPU_MILLIS]!;
  }

  memoryBytesAt(place: number): number {
    return this.#rows[ROW * place + MEMORY_BYTES]!;
  }

  /** Infinite when the duration is not known. */
  endsAtMsAt(place: number): number {
    return this.#rows[ROW * place + ENDS_AT_MS]!;
  }

  endClassAt(place: number): number {
    return this.#small[SMALL_ROW * place + FLAGS]! >> END_CLASS_SHIFT;
  }

  /** It has waited so long that a node may be kept for it. */
  isAgedAt(place: number): boolean {
    return (this.#small[SMALL_ROW * place + FLAGS]! & IS_AGED) !== 0;
  }

  isPackAt(place: number): boolean {
    return (this.#small[SMALL_ROW * place + FLAGS]! & IS_PACK) !== 0;
  }

  /**
   * False: no node has all that is asked for, of which one more thing may be given, and the cores
   * and memory free. It is told where few nodes have one of the things, else there may be one.
   */
  mayFitAt(place: number, also: Term | undefined, free: readonly Float64Array[]): boolean {
    const from = this.#small[SMALL_ROW * place + TERMS_FROM]!;
    const end = this.#small[SMALL_ROW * place + TERMS_END]!;
    let rarest = also;
    for (let one = from; one < end; one += 1)
      if (rarest === undefined || this.#terms[one]!.size < rarest.size) rarest = this.#terms[one]!;
    if (rarest?.isRare !== true) return true;
    const [cpuFree, memoryFree] = [free[CPU]!, free[MEMORY]!];
    const [cpuMillis, memoryBytes] = [this.cpuMillisAt(place), this.memoryBytesAt(place)];
    for (const slot of rarest.slots) {
      let isFit = cpuFree[slot]! >= cpuMillis && memoryFree[slot]! >= memoryBytes;
      isFit &&= also === undefined || also === rarest || also.has(slot);
      for (let one = from; one < end && isFit; one += 1)
        isFit = this.#terms[one] === rarest || this.#terms[one]!.has(slot);
      if (isFit) return true;
    }
    return false;
  }

  /** One pod of cores and memory, which may run wherever no taint is. */
  isPlainAt(place: number): boolean {
    return (this.#small[SMALL_ROW * place + FLAGS]! & IS_PLAIN) !== 0;
  }

  demandAt(place: number): Demand {
    const [cpuMillis, memoryBytes] = [this.cpuMillisAt(place), this.memoryBytesAt(place)];
    return (
      this.kindAt(place)?.demand(cpuMillis, memoryBytes) ?? plainDemand(cpuMillis, memoryBytes)
    );
  }

  /** Undefined: one pod of cores and memory. */
  kindAt(place: number): DemandKind | undefined {
    const number = this.#small[SMALL_ROW * place + KIND]!;
    return number === 0 ? undefined : this.#kinds.at(number);
  }

  gangAt(place: number): Gang | undefined {
    return this.#gangs.at(this.#small[SMALL_ROW * place + GANG]!);
  }

  /** Of the round's images; 0: any. */
  imageNumberAt(place: number): number {
    return this.#small[SMALL_ROW * place + IMAGE]!;
  }

  toleranceAt(place: number): Tolerance {
    return this.#tolerances.at(this.#small[SMALL_ROW * place + TOLERANCE]!)!;
  }

  termsAt(place: number): Term[] {
    const terms: Term[] = [];
    const end = this.#small[SMALL_ROW * place + TERMS_END]!;
    for (let one = this.#small[SMALL_ROW * place + TERMS_FROM]!; one < end; one += 1)
      terms.push(this.#terms[one]!);
    return terms;
  }
}
