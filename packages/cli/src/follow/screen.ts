import type { WriteStream } from 'node:tty';

/** Rewrites its lines in place. Elsewhere than in a terminal it writes lines now and then. */
export class Screen {
  readonly #out: WriteStream;
  #lineCount = 0;

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
    const up = this.#lineCount > 1 ? `\u001B[${this.#lineCount - 1}A` : '';
    this.#out.write(`\r${up}\u001B[J${lines.join('\n')}`);
    this.#lineCount = lines.length;
  }

  /** What stands there stays; the next drawing begins below. */
  finish(): void {
    if (this.#lineCount > 0) this.#out.write('\n');
    this.#lineCount = 0;
  }

  write(line: string): void {
    this.#out.write(`${line}\n`);
  }
}
