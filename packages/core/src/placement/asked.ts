import { RESERVE_AFTER_MS } from '../dispatch.ts';
import type { Demand } from './demand.ts';
import { isCommonDemand, withRequestFloor } from './demand.ts';
import { endClassOf } from './free-grid.ts';
import type { Gang, PlacementGroup } from './placement-group.ts';
import type { ImageState, Round } from './round.ts';
import type { Term } from './term.ts';
import type { Tolerance } from './tolerance.ts';

/**
 * What groups ask for, as columns. Groups are read once in the order given, which is that of
 * memory; in the order of placement each would be fetched from afar, with all it refers to.
 */
export class Asked {
  readonly length: number;
  readonly keys: string[];
  readonly counts: Float64Array;
  readonly cpuMillis: Float64Array;
  readonly memoryBytes: Float64Array;
  /** Of those that ask for more than one pod of cores and memory. */
  readonly demands: (Demand | undefined)[];
  /** Infinite when the duration is not known. */
  readonly endsAtMs: Float64Array;
  readonly endClasses: Uint8Array;
  readonly priorities: Float64Array;
  /** It has waited so long that a node may be kept for it. */
  readonly isAged: Uint8Array;
  readonly isPack: Uint8Array;
  readonly gangs: (Gang | undefined)[];
  readonly images: (ImageState | undefined)[];
  readonly tolerances: Tolerance[];
  /** One pod of cores and memory, which may run wherever no taint is. */
  readonly isPlain: Uint8Array;
  /** The terms of all, one after the other, and where those of each end. */
  readonly #terms: Term[] = [];
  readonly #termsEnd: Uint32Array;
  readonly #round: Round;

  constructor(round: Round, groups: readonly PlacementGroup[]) {
    const { length } = groups;
    this.#round = round;
    this.length = length;
    this.keys = new Array<string>(length);
    this.demands = new Array<Demand | undefined>(length);
    this.gangs = new Array<Gang | undefined>(length);
    this.images = new Array<ImageState | undefined>(length);
    this.tolerances = new Array<Tolerance>(length);
    this.counts = new Float64Array(length);
    this.cpuMillis = new Float64Array(length);
    this.memoryBytes = new Float64Array(length);
    this.endsAtMs = new Float64Array(length);
    this.endClasses = new Uint8Array(length);
    this.priorities = new Float64Array(length);
    this.isAged = new Uint8Array(length);
    this.isPack = new Uint8Array(length);
    this.isPlain = new Uint8Array(length);
    this.#termsEnd = new Uint32Array(length);
    for (let at = 0; at < length; at += 1) this.#read(at, groups[at]!);
    round.widen();
  }

  #read(at: number, group: PlacementGroup): void {
    const { index, rules } = this.#round;
    const { key, count, policy, gang, image, podsPerTask, tolerations, nodeSelector } = group;
    const resources = withRequestFloor(group.resources);
    const isCommon = podsPerTask === 1 && isCommonDemand(resources);
    const demand = isCommon ? undefined : index.demandOf(group);
    this.keys[at] = key;
    this.counts[at] = count;
    this.cpuMillis[at] = resources.cpuMillis;
    this.memoryBytes[at] = resources.memoryBytes;
    this.demands[at] = demand;
    this.endsAtMs[at] = rules.nowMs + (group.expectedDurationMs ?? Infinity);
    this.endClasses[at] = endClassOf(this.endsAtMs[at]!, rules.nowMs);
    this.priorities[at] = group.priority;
    this.isAged[at] = Number(rules.nowMs - group.waitingSinceMs > RESERVE_AFTER_MS);
    this.isPack[at] = Number(policy === 'pack');
    this.gangs[at] = gang;
    this.images[at] = image === undefined ? undefined : this.#round.imageOf(image);
    const tolerance = index.places.toleranceOf(tolerations);
    const termsFrom = this.#terms.length;
    this.tolerances[at] = tolerance;
    index.places.addTerms(this.#terms, nodeSelector, demand);
    this.#termsEnd[at] = this.#terms.length;
    const isAnywhere = tolerance === index.places.noTolerance && this.#terms.length === termsFrom;
    this.isPlain[at] = Number(isCommon && image === undefined && gang === undefined && isAnywhere);
  }

  termsAt(at: number): readonly Term[] {
    const from = at === 0 ? 0 : this.#termsEnd[at - 1]!;
    const end = this.#termsEnd[at]!;
    return from === end ? NONE : this.#terms.slice(from, end);
  }
}

const NONE: readonly Term[] = [];
