interface Entry {
  readonly atMs: number;
  /** Entries of the same moment run in the order they were made. */
  readonly number: number;
  action: (() => void) | undefined;
}

const isBefore = (a: Entry, b: Entry): boolean =>
  a.atMs < b.atMs || (a.atMs === b.atMs && a.number < b.number);

/**
 * Time that passes only from event to event. After each event all promises are drained: one trip
 * through setImmediate empties the whole microtask queue, however long its chains, for 0.9 us.
 */
export class VirtualTime {
  #heap: Entry[] = [];
  #entryCount = 0;
  #nowMs = 0;
  #stepCount = 0;

  get nowMs(): number {
    return this.#nowMs;
  }

  get stepCount(): number {
    return this.#stepCount;
  }

  /** Runs `action` once after this time; the answer cancels it. */
  schedule(delayMs: number, action: () => void): () => void {
    if (!(delayMs >= 0)) throw new RangeError(`a delay of ${delayMs} ms`);
    const entry: Entry = { atMs: this.#nowMs + delayMs, number: this.#entryCount, action };
    this.#entryCount += 1;
    this.#push(entry);
    return () => {
      entry.action = undefined;
    };
  }

  /** Steps until `isDone`, or until this moment. */
  async run(untilMs: number, isDone: () => boolean): Promise<void> {
    await drain();
    while (!isDone()) {
      const entry = this.#pop();
      if (entry === undefined || entry.atMs > untilMs) {
        if (entry !== undefined) this.#push(entry);
        this.#nowMs = untilMs;
        return;
      }
      if (entry.action === undefined) continue;
      this.#nowMs = entry.atMs;
      this.#stepCount += 1;
      entry.action();
      await drain();
    }
  }

  #push(entry: Entry): void {
    const heap = this.#heap;
    let place = heap.length;
    heap.push(entry);
    while (place > 0) {
      const parent = (place - 1) >> 1;
      if (!isBefore(entry, heap[parent]!)) break;
      heap[place] = heap[parent]!;
      place = parent;
    }
    heap[place] = entry;
  }

  #pop(): Entry | undefined {
    const heap = this.#heap;
    const first = heap[0];
    const last = heap.pop();
    if (first === undefined || last === undefined || heap.length === 0) return first;
    let place = 0;
    for (;;) {
      let child = 2 * place + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child += 1;
      if (!isBefore(heap[child]!, last)) break;
      heap[place] = heap[child]!;
      place = child;
    }
    heap[place] = last;
    return first;
  }
}

const drain = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
