/** A 32-bit hash of text (FNV-1a), also used to fingerprint traces. */
export function hashText(text: string, start = 0x811c9dc5): number {
  let hash = start;
  for (let position = 0; position < text.length; position += 1) {
    hash = Math.imul(hash ^ text.charCodeAt(position), 0x01000193);
  }
  return hash >>> 0;
}

/**
 * One stream of numbers for one concern (sfc32). Each concern has its own, named, so a fault that
 * is added or a draw that is dropped shifts no other stream and old seeds stay comparable.
 */
export class Random {
  readonly #name: string;
  #a: number;
  #b: number;
  #c: number;
  #count = 1;

  constructor(name: string) {
    this.#name = name;
    this.#a = hashText(name);
    this.#b = hashText(name, this.#a ^ 0x9e3779b9);
    this.#c = hashText(name, this.#b ^ 0x85ebca6b);
    for (let round = 0; round < 12; round += 1) this.next();
  }

  /** A stream of its own that depends on this one's name only, never on what was drawn. */
  stream(name: string | number): Random {
    return new Random(`${this.#name}/${name}`);
  }

  /** From 0 up to, not including, 1. */
  next(): number {
    const sum = (((this.#a + this.#b) | 0) + this.#count) | 0;
    this.#count = (this.#count + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + sum) | 0;
    return (sum >>> 0) / 2 ** 32;
  }

  chance(probability: number): boolean {
    return this.next() < probability;
  }

  /** A whole number from `min` to `max`, both included. */
  int(min: number, max: number): number {
    return min + Math.floor(this.next() * (max - min + 1));
  }

  between(min: number, max: number): number {
    return min + this.next() * (max - min);
  }

  /** As likely between 1 and 10 as between 10 and 100: durations and sizes of real work. */
  spread(min: number, max: number): number {
    return min * (max / min) ** this.next();
  }

  exponential(mean: number): number {
    return -mean * Math.log(1 - this.next());
  }

  pick<T>(list: readonly T[]): T {
    return list[Math.floor(this.next() * list.length)]!;
  }
}
