import { BASIS, hash32, hex64, SECOND_BASIS } from './text-hash.ts';

/**
 * What two sides compare before they send each other a list: how many ids a set has, and 64 bits
 * over all of them. Adding and removing cost the same whatever the size of the set.
 */
export class IdDigest {
  #count = 0;
  #low = 0;
  #high = 0;

  static of(ids: Iterable<string>): IdDigest {
    const digest = new IdDigest();
    for (const id of ids) digest.add(id);
    return digest;
  }

  /** An id that is not in the set yet. */
  add(id: string): void {
    this.#toggle(id, 1);
  }

  /** An id that is in the set. */
  remove(id: string): void {
    this.#toggle(id, -1);
  }

  #toggle(id: string, change: 1 | -1): void {
    this.#count += change;
    this.#low ^= hash32(id, BASIS);
    this.#high ^= hash32(id, SECOND_BASIS);
  }

  copy(): IdDigest {
    const digest = new IdDigest();
    digest.#count = this.#count;
    digest.#low = this.#low;
    digest.#high = this.#high;
    return digest;
  }

  /** Such as `24000-9ae16a3b2f90404f`; equal for equal sets. */
  toString(): string {
    return `${this.#count}-${hex64(this.#high, this.#low)}`;
  }
}
