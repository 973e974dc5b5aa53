import type { Eligibility } from './constraints.ts';
import { BLOCKED, OPEN } from './constraints.ts';
import type { Demand } from './demand.ts';
import type { DemandKind } from './demand-kind.ts';
import { FailureFrontier } from './failure-frontier.ts';
import type { Term } from './term.ts';
import { rarestOf } from './term.ts';
import type { Tolerance } from './tolerance.ts';

/**
 * Where some tasks may run: each is one step narrower than its parent, and the first is everywhere.
 * What found no node among the parent's finds none here: a failure is told once for all below.
 */
export class Constraint {
  readonly parent: Constraint | undefined;
  readonly tolerance: Tolerance | undefined;
  readonly terms: readonly Term[];
  /** Slots outside which nothing is allowed, when these are few. */
  readonly few: readonly number[] | undefined;
  /** Those who ask here are alike but for cores, memory and time. */
  #isOfOneKind = false;
  // Made when needed: a round may narrow to 100,000 different constraints.
  #narrower: Map<object, Constraint> | undefined;
  #unavoided: Constraint | undefined;
  /** What found no node here in this round. */
  #refused: FailureFrontier | undefined;

  constructor(parent?: Constraint, tolerance?: Tolerance, terms: readonly Term[] = []) {
    this.parent = parent;
    this.tolerance = tolerance;
    this.terms = terms;
    this.few = rarestOf(terms)?.slots;
  }

  tolerating(tolerance: Tolerance): Constraint {
    return this.#narrower?.get(tolerance) ?? this.#keep(tolerance, this.terms, tolerance);
  }

  having(term: Term): Constraint {
    return this.#narrower?.get(term) ?? this.#keep(term, [...this.terms, term]);
  }

  /** The same nodes, where the refusals of what asks for more than nodes are remembered apart. */
  apart(by: object): Constraint {
    return this.#narrower?.get(by) ?? this.#keep(by, this.terms);
  }

  /** The same nodes, for one kind of demand alone. */
  of(kind: DemandKind): Constraint {
    const narrower = this.apart(kind);
    narrower.#isOfOneKind = true;
    return narrower;
  }

  /** Where refusals of the nodes that are not to be avoided are remembered. */
  get unavoided(): Constraint {
    if (this.#unavoided !== undefined) return this.#unavoided;
    this.#unavoided = new Constraint(this, this.tolerance, this.terms);
    this.#unavoided.#isOfOneKind = this.#isOfOneKind;
    return this.#unavoided;
  }

  #keep(by: object, terms: readonly Term[], tolerance = this.tolerance): Constraint {
    const narrower = new Constraint(this, tolerance, terms);
    this.#narrower ??= new Map();
    this.#narrower.set(by, narrower);
    return narrower;
  }

  at(slot: number): Eligibility {
    for (const term of this.terms) if (!term.has(slot)) return BLOCKED;
    return this.tolerance?.at(slot) ?? OPEN;
  }

  isSameAs(other: Constraint): boolean {
    return (
      this.tolerance === other.tolerance &&
      this.terms.length === other.terms.length &&
      this.terms.every((term, at) => term === other.terms[at])
    );
  }

  refuse(demand: Demand, endsAtMs: number): void {
    this.#refused ??= new FailureFrontier(this.#isOfOneKind);
    this.#refused.add(demand, endsAtMs);
  }

  isRefused(demand: Demand, endsAtMs: number): boolean {
    if (this.#refused?.covers(demand, endsAtMs) === true) return true;
    return this.parent !== undefined && this.parent.isRefused(demand, endsAtMs);
  }

  /** The same for any demand that begins with so much, of which more is not known. */
  isPlainRefused(cpuMillis: number, memoryBytes: number, endsAtMs: number): boolean {
    if (this.#refused?.coversPlain(cpuMillis, memoryBytes, endsAtMs) === true) return true;
    const { parent } = this;
    return parent !== undefined && parent.isPlainRefused(cpuMillis, memoryBytes, endsAtMs);
  }
}

/** To look at so few nodes costs no more than to find what is remembered of them. */
const SEEN_AT_ONCE = 16;

/**
 * Where is remembered what none of the few nodes of a term has room for, whatever else is asked:
 * that may be another for each task.
 */
function amongOf(everywhere: Constraint, rarest: Term, kind: DemandKind | undefined): Constraint {
  if (kind !== undefined) return everywhere.having(rarest).of(kind);
  return rarest.size <= SEEN_AT_ONCE ? everywhere : everywhere.having(rarest);
}

/** From everywhere to the nodes that have all the terms, step by step. */
export function narrow(
  everywhere: Constraint,
  tolerance: Tolerance | undefined,
  terms: readonly Term[],
  kind?: DemandKind,
): Constraint {
  const rarest = rarestOf(terms);
  if (rarest !== undefined)
    return new Constraint(amongOf(everywhere, rarest, kind), tolerance, terms);
  let constraint = tolerance === undefined ? everywhere : everywhere.tolerating(tolerance);
  for (const term of terms) constraint = constraint.having(term);
  return kind === undefined ? constraint : constraint.of(kind);
}
