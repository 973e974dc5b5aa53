/** Things by small numbers from 1 on, so that a table may hold the number; 0 is none. */
export class Numbered<Thing> {
  readonly #numbers = new Map<Thing, number>();
  readonly #list: (Thing | undefined)[] = [undefined];

  numberOf(thing: Thing): number {
    const known = this.#numbers.get(thing);
    if (known !== undefined) return known;
    const number = this.#list.push(thing) - 1;
    this.#numbers.set(thing, number);
    return number;
  }

  at(number: number): Thing | undefined {
    return this.#list[number];
  }
}
