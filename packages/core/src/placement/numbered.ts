/** Things by small numbers, the first is 0: a table then holds the number, side by side with others. */
export class Numbered<Thing> {
  readonly #numbers = new Map<Thing, number>();
  readonly #list: Thing[] = [];

  numberOf(thing: Thing): number {
    const known = this.#numbers.get(thing);
    if (known !== undefined) return known;
    this.#numbers.set(thing, this.#list.length);
    return this.#list.push(thing) - 1;
  }

  at(number: number): Thing {
    return this.#list[number]!;
  }
}
