import { RateWindow } from './follow/progress.ts';
import { Screen } from './follow/screen.ts';
import { formatDuration } from './output.ts';

/** What is done sooner needs no line. */
const SILENT_MS = 2000;
const TERMINAL_MS = 200;
const PLAIN_MS = 5000;

export const megabytes = (bytes: number): string => `${(bytes / 1_000_000).toFixed(1)} MB`;

export interface FileProgress {
  /** Bytes that are there by now, of this file. */
  readonly at: (bytes: number) => void;
}

/** One line for all files under way, on standard error, once it has taken a while. */
export class TransferProgress implements Disposable {
  readonly #verb: string;
  readonly #screen = new Screen(process.stderr);
  readonly #rate = new RateWindow();
  #startedMs = Date.now();
  #drawnMs = 0;
  #doneBytes = 0;
  #totalBytes = 0;
  #files = 0;

  constructor(verb: string) {
    this.#verb = verb;
  }

  /** A file joins; `startBytes` of it need no transfer. */
  begin(sizeBytes: number, startBytes = 0): FileProgress {
    this.#files += 1;
    this.#totalBytes += sizeBytes;
    this.#doneBytes += startBytes;
    let known = startBytes;
    return {
      at: (bytes) => {
        this.#doneBytes += bytes - known;
        known = bytes;
        this.#draw(Date.now());
      },
    };
  }

  #draw(nowMs: number): void {
    const everyMs = this.#screen.isTerminal ? TERMINAL_MS : PLAIN_MS;
    if (nowMs - this.#startedMs < SILENT_MS || nowMs - this.#drawnMs < everyMs) return;
    this.#drawnMs = nowMs;
    this.#rate.add(nowMs, this.#doneBytes);
    const line = this.#line();
    if (this.#screen.isTerminal) this.#screen.draw([line]);
    else this.#screen.write(line);
  }

  #line(): string {
    const files = this.#files === 1 ? '' : ` in ${this.#files} files`;
    const parts = [
      `${this.#verb} ${megabytes(this.#doneBytes)} of ${megabytes(this.#totalBytes)}${files}`,
    ];
    const rate = this.#rate.perSecond();
    if (rate !== undefined && rate > 0) {
      const leftMs = ((this.#totalBytes - this.#doneBytes) / rate) * 1000;
      parts.push(`${megabytes(rate)}/s`, `about ${formatDuration(leftMs)} left`);
    }
    return parts.join(', ');
  }

  [Symbol.dispose](): void {
    this.#screen.finish();
  }
}
