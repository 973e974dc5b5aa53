import { RESERVE_AFTER_MS } from '../dispatch.ts';
import type { Demand } from './demand.ts';
import { isCommonDemand, plainDemand, withRequestFloor } from './demand.ts';
import { endClassOf } from './free-grid.ts';
import type { Gang, PlacementGroup } from './placement-group.ts';
import type { ImageState, Round } from './round.ts';
import type { Term } from './term.ts';
import type { Tolerance } from './tolerance.ts';

/** The numbers of a group stand side by side: one line of the processor's cache. */
const COUNT = 0;
const CPU_MILLIS = 1;
const MEMORY_BYTES = 2;
const ENDS_AT_MS = 3;
const FLAGS = 4;
const TERMS_FROM = 5;
const TERMS_END = 6;
/** Where the group stands in the lists of what is no number. */
const AT = 7;
const ROW = 8;

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
  readonly #priorities: Float64Array;
  readonly #keys: string[] = [];
  readonly #demands: (Demand | undefined)[] = [];
  readonly #gangs: (Gang | undefined)[] = [];
  readonly #images: (ImageState | undefined)[] = [];
  readonly #tolerances: Tolerance[] = [];
  /** The terms of all, one after the other. */
  readonly #terms: Term[] = [];
  #rows: Float64Array;

  constructor(round: Round, groups: readonly PlacementGroup[]) {
    const { length } = groups;
    this.length = length;
    this.#priorities = new Float64Array(length);
    this.#rows = new Float64Array(ROW * length);
    for (let at = 0; at < length; at += 1) this.#read(at, groups[at]!, round);
    round.widen();
  }

  #read(at: number, group: PlacementGroup, { rules, index, imageOf }: Round): void {
    const { nowMs } = rules;
    const { gang, image } = group;
    const resources = withRequestFloor(group.resources);
    const isCommon = group.podsPerTask === 1 && isCommonDemand(resources);
    const demand = isCommon ? undefined : index.demandOf(group);
    const endsAtMs = nowMs + (group.expectedDurationMs ?? Infinity);
    const tolerance = index.places.toleranceOf(group.tolerations);
    const termsFrom = this.#terms.length;
    index.places.addTerms(this.#terms, group.nodeSelector, demand);
    const termsEnd = this.#terms.length;
    const isAnywhere = tolerance === index.places.noTolerance && termsEnd === termsFrom;
    const isPlain = isCommon && isAnywhere && image === undefined && gang === undefined;
    const rows = this.#rows;
    const row = ROW * at;
    rows[row + COUNT] = group.count;
    rows[row + CPU_MILLIS] = resources.cpuMillis;
    rows[row + MEMORY_BYTES] = resources.memoryBytes;
    rows[row + ENDS_AT_MS] = endsAtMs;
    rows[row + FLAGS] =
      (endClassOf(endsAtMs, nowMs) << END_CLASS_SHIFT) |
      (nowMs - group.waitingSinceMs > RESERVE_AFTER_MS ? IS_AGED : 0) |
      (group.policy === 'pack' ? IS_PACK : 0) |
      (isPlain ? IS_PLAIN : 0);
    rows[row + TERMS_FROM] = termsFrom;
    rows[row + TERMS_END] = termsEnd;
    rows[row + AT] = at;
    this.#priorities[at] = group.priority;
    this.#keys.push(group.key);
    this.#demands.push(demand);
    this.#gangs.push(gang);
    this.#images.push(image === undefined ? undefined : imageOf(image));
    this.#tolerances.push(tolerance);
  }

  /** Puts the groups in the order of placement: what is asked for one by one then lies in a row. */
  arrange(order: Uint32Array): void {
    const rows = new Float64Array(this.#rows.length);
    for (let place = 0; place < order.length; place += 1) {
      const from = ROW * order[place]!;
      for (let column = 0; column < ROW; column += 1)
        rows[ROW * place + column] = this.#rows[from + column]!;
    }
    this.#rows = rows;
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
    return this.#rows[ROW * place + FLAGS]! >> END_CLASS_SHIFT;
  }

  /** It has waited so long that a node may be kept for it. */
  isAgedAt(place: number): boolean {
    return (this.#rows[ROW * place + FLAGS]! & IS_AGED) !== 0;
  }

  isPackAt(place: number): boolean {
    return (this.#rows[ROW * place + FLAGS]! & IS_PACK) !== 0;
  }

  /** One pod of cores and memory, which may run wherever no taint is. */
  isPlainAt(place: number): boolean {
    return (this.#rows[ROW * place + FLAGS]! & IS_PLAIN) !== 0;
  }

  priorityAt(place: number): number {
    return this.#priorities[this.#listed(place)]!;
  }

  keyAt(place: number): string {
    return this.#keys[this.#listed(place)]!;
  }

  demandAt(place: number): Demand {
    const known = this.#demands[this.#listed(place)];
    return known ?? plainDemand(this.cpuMillisAt(place), this.memoryBytesAt(place));
  }

  gangAt(place: number): Gang | undefined {
    return this.#gangs[this.#listed(place)];
  }

  imageAt(place: number): ImageState | undefined {
    return this.#images[this.#listed(place)];
  }

  toleranceAt(place: number): Tolerance {
    return this.#tolerances[this.#listed(place)]!;
  }

  termsAt(place: number): readonly Term[] {
    const terms: Term[] = [];
    const end = this.#rows[ROW * place + TERMS_END]!;
    for (let one = this.#rows[ROW * place + TERMS_FROM]!; one < end; one += 1)
      terms.push(this.#terms[one]!);
    return terms;
  }

  #listed(place: number): number {
    return this.#rows[ROW * place + AT]!;
  }
}
