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

/** Of tolerations that matter, one after the other: each by its number leads to the next step. */
interface Step {
  tolerance: Tolerance | undefined;
  readonly next: Map<number, Step>;
}

/** A toleration's number is that of its key and value, and within it of its effect and of facts. */
const EFFECTS = [undefined, 'NoSchedule', 'PreferNoSchedule', 'NoExecute'] as const;

/** The taints of all nodes, and what lists of tolerations make of them. */
export class Taints {
  readonly #setBySlot: (TaintSet | undefined)[] = [];
  readonly #idBySlot: number[] = [];
  readonly #sets = new Map<string, TaintSet>();
  readonly #vacantIds: number[] = [];
  readonly #first: Step = { tolerance: undefined, next: new Map() };
  #stepCount = 0;
  /** Rises when a tolerance that was asked for before may no longer be the one to go by. */
  version = 0;
  /** Of each key and value that some taint has, and of any value of a key (undefined); made when asked for after a change. */
  #numbers: Map<string, Map<string | undefined, number>> | undefined;
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

  get hasAny(): boolean {
    return this.#sets.size > 0;
  }

  /** Whether a node may be allowed, and another be better. */
  get hasAvoided(): boolean {
    this.#hasAvoided ??= this.#all().some(({ effect }) => effect === 'PreferNoSchedule');
    return this.#hasAvoided;
  }

  /** Lists that differ in what no node has as a taint are one. */
  toleranceOf(tolerations: readonly Toleration[]): Tolerance {
    let step = this.#first;
    for (const one of tolerations) {
      const number = this.#numberOf(one);
      if (number !== undefined) step = step.next.get(number) ?? this.#addStep(step, number);
    }
    step.tolerance ??= this.#make(tolerations);
    return step.tolerance;
  }

  get none(): Tolerance {
    this.#first.tolerance ??= this.#make([]);
    return this.#first.tolerance;
  }

  #addStep(before: Step, number: number): Step {
    const step = { tolerance: undefined, next: new Map<number, Step>() };
    this.#stepCount += 1;
    if (this.#stepCount > TOLERANCES_MAX) this.#forget();
    else before.next.set(number, step);
    return step;
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

  /** Undefined: it matters to no taint of any node. */
  #numberOf({ key, operator, value = '', effect, isFact }: Toleration): number | undefined {
    this.#numbers ??= this.#numberTaints();
    const number = this.#numbers.get(key)?.get(operator === 'Exists' ? undefined : value);
    if (number === undefined) return undefined;
    return number + EFFECTS.indexOf(effect) + (isFact === true ? EFFECTS.length : 0);
  }

  #all(): Taint[] {
    return [...this.#sets.values()].flatMap(({ taints }) => taints);
  }

  #numberTaints(): Map<string, Map<string | undefined, number>> {
    const taints = this.#all();
    const byKey = Map.groupBy(taints, ({ key }) => key);
    // Without a key it tolerates every taint, so it matters wherever there is one.
    if (taints.length > 0 && !byKey.has('')) byKey.set('', []);
    let number = 0;
    const next = (): number => (number += 2 * EFFECTS.length);
    return new Map(
      [...byKey].map(([key, list]) => [
        key,
        new Map([undefined, ...list.map((one) => one.value)].map((value) => [value, next()])),
      ]),
    );
  }

  /** What did not matter may do so now. */
  #changed(): void {
    this.#numbers = undefined;
    this.#hasAvoided = undefined;
    this.#forget();
    this.#first.tolerance = undefined;
    this.version += 1;
  }

  #forget(): void {
    this.#first.next.clear();
    this.#stepCount = 0;
  }
}
