import type { WriteStream } from 'node:tty';
import { stripVTControlCharacters } from 'node:util';

/** Rewrites its lines in place. Elsewhere than in a terminal it writes lines now and then. */
export class Screen {
  readonly #out: WriteStream;
  #rowCount = 0;

  constructor(out: WriteStream) {
    this.#out = out;
  }

  get isTerminal(): boolean {
    return this.#out.isTTY;
  }
  get width(): number {
    return Math.max(20, this.#out.columns ?? 80);
  }
  get height(): number {
    return Math.max(5, this.#out.rows ?? 24);
  }
  get hasColour(): boolean {
    return this.isTerminal && (process.env['NO_COLOR'] ?? '') === '';
  }

  /** The last line has no line feed, so that what the shell prints after Ctrl-C stays below. */
  draw(lines: readonly string[]): void {
    const up = this.#rowCount > 1 ? `\u001B[${this.#rowCount - 1}A` : '';
    this.#out.write(`\r${up}\u001B[J${lines.join('\n')}`);
    // A line longer than the terminal is wide takes more rows.
    const rowsOf = (line: string): number =>
      Math.max(1, Math.ceil(stripVTControlCharacters(line).length / this.width));
    this.#rowCount = lines.reduce((sum, line) => sum + rowsOf(line), 0);
  }

  /** What stands there stays; the next drawing begins below. */
  finish(): void {
    if (this.#rowCount > 0) this.#out.write('\n');
    this.#rowCount = 0;
  }

  write(line: string): void {
    this.#out.write(`${line}\n`);
  }
}
