/** FNV-1a with 32 bits (Fowler, Noll, Vo), from a given basis. */
function hash(text: string, basis: number): number {
  let value = basis;
  for (let at = 0; at < text.length; at += 1)
    value = Math.imul(value ^ text.charCodeAt(at), 0x01_00_01_93);
  return value;
}

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
    this.#low ^= hash(id, 0x81_1c_9d_c5);
    // Another basis makes the halves differ; which one it is does not matter.
    this.#high ^= hash(id, 0x2f_3a_91_07);
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
    const hex = (value: number): string => (value >>> 0).toString(16).padStart(8, '0');
    return `${this.#count}-${hex(this.#high)}${hex(this.#low)}`;
  }
}
