import type { Eligibility } from './constraints.ts';
import { BLOCKED, OPEN } from './constraints.ts';
import type { Demand } from './demand.ts';
import { FailureFrontier } from './failure-frontier.ts';
import type { Term } from './term.ts';
import type { Tolerance } from './tolerance.ts';

/**
 * Where some tasks may run: each is one step narrower than its parent, and the first is everywhere.
 * What found no node among the parent's finds none here: a failure is told once for all below.
 */
export class Constraint {
  readonly #parent: Constraint | undefined;
  readonly #tolerance: Tolerance | undefined;
  readonly #terms: readonly Term[];
  /** The term that fewest nodes have. */
  #rarest: Term | undefined;
  // Made when needed: a round may narrow to 100,000 different constraints.
  #narrower: Map<object, Constraint> | undefined;
  #unavoided: Constraint | undefined;
  /** What found no node here in this round. */
  #refused: FailureFrontier | undefined;

  constructor(parent?: Constraint, tolerance?: Tolerance, terms: readonly Term[] = []) {
    this.#parent = parent;
    this.#tolerance = tolerance;
    this.#terms = terms;
    for (const term of terms)
      if (this.#rarest === undefined || term.size < this.#rarest.size) this.#rarest = term;
  }

  tolerating(tolerance: Tolerance): Constraint {
    const known = this.#narrower?.get(tolerance);
    return known ?? this.#keep(tolerance, new Constraint(this, tolerance, this.#terms));
  }

  having(term: Term): Constraint {
    const known = this.#narrower?.get(term);
    if (known !== undefined) return known;
    const narrower = new Constraint(this, this.#tolerance, [...this.#terms, term]);
    return narrower.few === undefined ? this.#keep(term, narrower) : narrower;
  }

  /** The same nodes, where the refusals of what asks for more than nodes are remembered apart. */
  apart(by: object): Constraint {
    const known = this.#narrower?.get(by);
    return known ?? this.#keep(by, new Constraint(this, this.#tolerance, this.#terms));
  }

  /** Where refusals of the nodes that are not to be avoided are remembered. */
  get unavoided(): Constraint {
    this.#unavoided ??= new Constraint(this, this.#tolerance, this.#terms);
    return this.#unavoided;
  }

  #keep(by: object, narrower: Constraint): Constraint {
    this.#narrower ??= new Map();
    this.#narrower.set(by, narrower);
    return narrower;
  }

  at(slot: number): Eligibility {
    for (const term of this.#terms) if (!term.has(slot)) return BLOCKED;
    return this.#tolerance?.at(slot) ?? OPEN;
  }

  /** Slots outside which nothing is allowed, when these are few. */
  get few(): readonly number[] | undefined {
    const rarest = this.#rarest;
    return rarest?.isRare === true ? rarest.slots : undefined;
  }

  isSameAs(other: Constraint): boolean {
    return (
      this.#tolerance === other.#tolerance &&
      this.#terms.length === other.#terms.length &&
      this.#terms.every((term, at) => term === other.#terms[at])
    );
  }

  refuse(demand: Demand, endsAtMs: number): void {
    // Of few nodes nothing is remembered: no other task would come upon this constraint.
    if (this.few !== undefined) return;
    this.#refused ??= new FailureFrontier();
    this.#refused.add(demand, endsAtMs);
  }

  isRefused(demand: Demand, endsAtMs: number): boolean {
    if (this.#refused?.covers(demand, endsAtMs) === true) return true;
    return this.#parent !== undefined && this.#parent.isRefused(demand, endsAtMs);
  }

  /** The same for any demand that begins with so much, of which more is not known. */
  isPlainRefused(cpuMillis: number, memoryBytes: number, endsAtMs: number): boolean {
    if (this.#refused?.coversPlain(cpuMillis, memoryBytes, endsAtMs) === true) return true;
    const parent = this.#parent;
    return parent !== undefined && parent.isPlainRefused(cpuMillis, memoryBytes, endsAtMs);
  }
}
