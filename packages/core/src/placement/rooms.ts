/** Which nodes take how many ranks of a gang, side by side: a list of pairs made as much garbage as a plan. */
export class Rooms {
  /** What stands beyond the length means nothing. */
  readonly slots: number[] = [];
  readonly counts: number[] = [];
  length = 0;

  add(slot: number, count: number): void {
    this.slots[this.length] = slot;
    this.counts[this.length] = count;
    this.length += 1;
  }

  clear(): void {
    this.length = 0;
  }

  get total(): number {
    let total = 0;
    for (let at = 0; at < this.length; at += 1) total += this.counts[at]!;
    return total;
  }

  filter(isKept: (at: number) => boolean): Rooms {
    const kept = new Rooms();
    for (let at = 0; at < this.length; at += 1)
      if (isKept(at)) kept.add(this.slots[at]!, this.counts[at]!);
    return kept;
  }

  /** Into parts by the number of each slot, in the order of these numbers; below 0 is in none. */
  split(numbers: Int32Array): Rooms[] {
    const parts = new Map<number, Rooms>();
    for (let at = 0; at < this.length; at += 1) {
      const slot = this.slots[at]!;
      const number = numbers[slot]!;
      if (number < 0) continue;
      let part = parts.get(number);
      if (part === undefined) parts.set(number, (part = new Rooms()));
      part.add(slot, this.counts[at]!);
    }
    return [...parts].toSorted(([a], [b]) => a - b).map(([, part]) => part);
  }
}
