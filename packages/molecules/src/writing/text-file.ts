import { closeSync, openSync, writeSync } from 'node:fs';

const BUFFER_LENGTH = 256 * 1024;

/** A file written piece by piece; what waits is never more than the buffer. */
export class TextFile {
  readonly #handle: number;
  #waiting = '';

  constructor(file: string) {
    this.#handle = openSync(file, 'w');
  }

  write(text: string): void {
    this.#waiting += text;
    if (this.#waiting.length > BUFFER_LENGTH) this.#flush();
  }

  #flush(): void {
    const bytes = Buffer.from(this.#waiting);
    for (let at = 0; at < bytes.length;) at += writeSync(this.#handle, bytes, at);
    this.#waiting = '';
  }

  close(): void {
    try {
      this.#flush();
    } finally {
      closeSync(this.#handle);
    }
  }
}

/** A row of CSV (RFC 4180). */
export function csvRow(cells: readonly (string | number | undefined)[]): string {
  const quoted = cells.map((cell) => {
    const text = cell === undefined ? '' : String(cell);
    return /[",\r\n]/.test(text) || text !== text.trim() ? `"${text.replaceAll('"', '""')}"` : text;
  });
  return `${quoted.join(',')}\n`;
}
