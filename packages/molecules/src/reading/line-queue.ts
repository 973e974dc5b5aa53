import type { Line } from './lines.ts';

/** Lines of a file, with a look at those to come. */
export class LineQueue {
  readonly #lines: AsyncIterator<Line>;
  readonly #ahead: Line[] = [];

  constructor(lines: AsyncIterable<Line>) {
    this.#lines = lines[Symbol.asyncIterator]();
  }

  /** The line `distance` lines on, without taking it; undefined past the end. */
  async peek(distance = 0): Promise<Line | undefined> {
    while (this.#ahead.length <= distance) {
      const next = await this.#lines.next();
      if (next.done === true) return undefined;
      this.#ahead.push(next.value);
    }
    return this.#ahead[distance];
  }

  async take(): Promise<Line | undefined> {
    const line = await this.peek();
    this.#ahead.shift();
    return line;
  }

  async takeMany(count: number): Promise<Line[]> {
    const taken: Line[] = [];
    while (taken.length < count) {
      const line = await this.take();
      if (line === undefined) break;
      taken.push(line);
    }
    return taken;
  }

  async close(): Promise<void> {
    await this.#lines.return?.();
  }
}
