/** Up to so many nodes are looked at one by one: a search of all would meet few of them. */
const FEW_NODES = 64;

/** The nodes, by slot, that have one thing a task may ask for: a label's value, a device, an image. */
export class Term {
  readonly #slots = new Set<number>();
  /** The same as a list, made when asked for: searches walk along it task after task. */
  #list: readonly number[] | undefined;
  /** Of more than a few nodes: searches ask it of node after node, five times as fast as a set. */
  #mask: Uint8Array | undefined;

  add(slot: number): void {
    this.#slots.add(slot);
    this.#list = undefined;
    if (this.#mask !== undefined && slot < this.#mask.length) this.#mask[slot] = 1;
    else if (this.#slots.size > FEW_NODES) this.#mask = this.#makeMask();
  }

  delete(slot: number): void {
    this.#slots.delete(slot);
    this.#list = undefined;
    if (this.#mask !== undefined) this.#mask[slot] = 0;
  }

  has(slot: number): boolean {
    return this.#mask === undefined ? this.#slots.has(slot) : this.#mask[slot] === 1;
  }

  get size(): number {
    return this.#slots.size;
  }

  /** Few nodes have it. */
  get isRare(): boolean {
    return this.#slots.size <= FEW_NODES;
  }

  get slots(): readonly number[] {
    this.#list ??= [...this.#slots];
    return this.#list;
  }

  #makeMask(): Uint8Array {
    const mask = new Uint8Array(2 * (Math.max(...this.#slots) + 1));
    for (const slot of this.#slots) mask[slot] = 1;
    return mask;
  }
}

/** The one that fewest nodes have, if these are few. */
export function rarestOf(terms: readonly Term[]): Term | undefined {
  let rarest: Term | undefined;
  for (const term of terms)
    if (term.isRare && (rarest === undefined || term.size < rarest.size)) rarest = term;
  return rarest;
}
