import type { Eligibility } from './constraints.ts';
import { eligibilityByTaints, OPEN } from './constraints.ts';
import type { Taint } from './node-picture.ts';
import type { Toleration } from './placement-group.ts';

/** The taints of a node; nodes with the same ones share it. */
interface TaintSet {
  readonly id: number;
  readonly key: string;
  readonly taints: readonly Taint[];
  nodeCount: number;
}

type SetBySlot = readonly (TaintSet | undefined)[];
/** Their ids stand apart: searches ask for them of node after node. */
interface TaintsBySlot {
  readonly sets: SetBySlot;
  readonly ids: readonly number[];
}
const NO_TAINT = -1;

/** What some tolerations make of the taints of nodes. Most nodes have none. */
export class Tolerance {
  readonly #tolerations: readonly Toleration[];
  readonly #setBySlot: SetBySlot;
  readonly #idBySlot: readonly number[];
  /** By the id of the set; 0: not judged yet. An id is given anew only once this is thrown away. */
  readonly #verdicts: Uint8Array;

  constructor(tolerations: readonly Toleration[], taints: TaintsBySlot, setCount: number) {
    this.#tolerations = tolerations;
    this.#setBySlot = taints.sets;
    this.#idBySlot = taints.ids;
    this.#verdicts = new Uint8Array(setCount);
  }

  at(slot: number): Eligibility {
    const id = this.#idBySlot[slot]!;
    if (id === NO_TAINT) return OPEN;
    const verdict = this.#verdicts[id]!;
    return verdict === 0 ? this.#judge(slot, id) : ((verdict - 1) as Eligibility);
  }

  #judge(slot: number, id: number): Eligibility {
    const verdict = eligibilityByTaints(this.#tolerations, this.#setBySlot[slot]!.taints);
    this.#verdicts[id] = verdict + 1;
    return verdict;
  }
}

/** A cache that has grown to this is begun anew: tolerations come and go for weeks. */
const TOLERANCES_MAX = 1024;

/** The taints of all nodes, and what lists of tolerations make of them. */
export class Taints {
  readonly #setBySlot: (TaintSet | undefined)[] = [];
  readonly #idBySlot: number[] = [];
  readonly #sets = new Map<string, TaintSet>();
  readonly #tolerances = new Map<string, Tolerance>();
  readonly #vacantIds: number[] = [];
  none = this.#make([]);
  /** Rises when a tolerance that was asked for before may no longer be the one to go by. */
  version = 0;
  /** The values of each key; made when asked for after a change. */
  #values: Map<string, Set<string>> | undefined;
  #hasAvoided: boolean | undefined;

  set(slot: number, taints: readonly Taint[]): void {
    const before = this.#setBySlot[slot];
    const set = taints.length === 0 ? undefined : this.#setOf(taints);
    this.#setBySlot[slot] = set;
    this.#idBySlot[slot] = set?.id ?? NO_TAINT;
    if (set !== undefined) set.nodeCount += 1;
    if (before === undefined) return;
    before.nodeCount -= 1;
    if (before.nodeCount > 0) return;
    this.#sets.delete(before.key);
    this.#vacantIds.push(before.id);
    this.#changed();
  }

  /** Whether a node may be allowed, and another be better. */
  get hasAvoided(): boolean {
    this.#hasAvoided ??= this.#all().some(({ effect }) => effect === 'PreferNoSchedule');
    return this.#hasAvoided;
  }

  /** Lists that differ in what no node has as a taint are one. */
  toleranceOf(tolerations: readonly Toleration[]): Tolerance {
    let key = '';
    for (const one of tolerations)
      if (this.#matters(one))
        key += `${one.key}\n${one.operator}\n${one.value ?? ''}\n${one.effect ?? ''}\n${one.isFact ?? ''}\n`;
    if (key === '') return this.none;
    const known = this.#tolerances.get(key);
    if (known !== undefined) return known;
    if (this.#tolerances.size >= TOLERANCES_MAX) this.#tolerances.clear();
    const tolerance = this.#make(tolerations);
    this.#tolerances.set(key, tolerance);
    return tolerance;
  }

  #setOf(taints: readonly Taint[]): TaintSet {
    const key = JSON.stringify(
      taints.map(({ key: name, value, effect, isFact }) => [name, value, effect, isFact]),
    );
    const known = this.#sets.get(key);
    if (known !== undefined) return known;
    const id = this.#vacantIds.pop() ?? this.#sets.size;
    const set = { id, key, taints, nodeCount: 0 };
    this.#sets.set(key, set);
    this.#changed();
    return set;
  }

  #make(tolerations: readonly Toleration[]): Tolerance {
    const setCount = this.#sets.size + this.#vacantIds.length;
    const bySlot = { sets: this.#setBySlot, ids: this.#idBySlot };
    return new Tolerance(tolerations, bySlot, setCount);
  }

  #matters({ key, operator, value = '' }: Toleration): boolean {
    this.#values ??= this.#valuesByKey();
    if (key === '' && operator === 'Exists') return this.#values.size > 0;
    const values = this.#values.get(key);
    return values !== undefined && (operator === 'Exists' || values.has(value));
  }

  #all(): Taint[] {
    return [...this.#sets.values()].flatMap(({ taints }) => taints);
  }

  #valuesByKey(): Map<string, Set<string>> {
    const byKey = Map.groupBy(this.#all(), ({ key }) => key);
    return new Map([...byKey].map(([key, list]) => [key, new Set(list.map((one) => one.value))]));
  }

  /** What did not matter may do so now. */
  #changed(): void {
    this.#values = undefined;
    this.#hasAvoided = undefined;
    this.#tolerances.clear();
    this.none = this.#make([]);
    this.version += 1;
  }
}
