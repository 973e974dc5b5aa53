import type { Client, StateRun } from '@majorana/client';
import type { JobView } from '@majorana/protocol';
import { setBeforeNote } from '../output.ts';
import { followJobs } from './follow-jobs.ts';
import { drawLegend, drawPicture } from './picture.ts';
import { endLine, progressLine, RateWindow, totals } from './progress.ts';
import { Screen } from './screen.ts';

const DRAW_MS = 200;
/** Without a terminal a line now and then, not one for every change. */
const PLAIN_MS = 5000;
const PICTURE_MS = 1000;
const PICTURE_HEIGHT_MAX = 16;

export interface WatchOptions {
  readonly signal: AbortSignal;
  /** The state map above the progress line, in a terminal. */
  readonly hasPicture?: boolean;
  readonly isQuiet?: boolean;
}

class Display {
  readonly #screen = new Screen(process.stderr);
  readonly #rate = new RateWindow();
  readonly #client: Client;
  readonly #options: WatchOptions;
  #jobs: readonly JobView[] = [];
  #lastPlain = '';
  #lastPlainMs = 0;
  #pictures = new Map<string, StateRun[]>();
  #picturesAtMs = 0;
  #drawing: Promise<void> = Promise.resolve();

  constructor(client: Client, options: WatchOptions) {
    this.#client = client;
    this.#options = options;
  }

  set jobs(jobs: readonly JobView[]) {
    this.#jobs = jobs;
  }

  start(): () => Promise<void> {
    if (this.#options.isQuiet === true) return () => Promise.resolve();
    if (this.#screen.isTerminal) setBeforeNote(() => this.#screen.finish());
    const timer = setInterval(() => {
      this.#drawing = this.#drawing.then(() => this.#draw());
    }, DRAW_MS);
    return async () => {
      clearInterval(timer);
      await this.#drawing;
      await this.#drawEnd();
    };
  }

  async #draw(): Promise<void> {
    if (this.#jobs.length === 0) return;
    const now = totals(this.#jobs);
    const nowMs = Date.now();
    this.#rate.add(nowMs, now.done);
    const line = progressLine(now, this.#rate.perSecond());
    if (!this.#screen.isTerminal) this.#writePlain(line, nowMs);
    else
      this.#screen.draw([...(await this.#picture(nowMs)), line.slice(0, this.#screen.width - 1)]);
  }

  #writePlain(line: string, nowMs: number): void {
    if (nowMs - this.#lastPlainMs < PLAIN_MS || line === this.#lastPlain) return;
    this.#lastPlainMs = nowMs;
    this.#lastPlain = line;
    this.#screen.write(line);
  }

  async #picture(nowMs: number): Promise<string[]> {
    if (this.#options.hasPicture !== true) return [];
    if (nowMs - this.#picturesAtMs >= PICTURE_MS) {
      this.#picturesAtMs = nowMs;
      for (const { id } of this.#jobs) {
        const map = await this.#client
          .stateMap(id, { signal: this.#options.signal })
          .catch(() => undefined);
        if (map !== undefined) this.#pictures.set(id, map.runs);
      }
    }
    const { width, height, hasColour } = this.#screen;
    // A title, and a legend that may take two lines.
    const rows = Math.floor((height - 2) / this.#jobs.length) - 3;
    return this.#jobs.flatMap((job) => {
      const runs = this.#pictures.get(job.id);
      if (runs === undefined || rows < 1) return [];
      const size = { width: width - 1, height: Math.min(rows, PICTURE_HEIGHT_MAX), hasColour };
      const title = `${job.id} ${job.name}`.slice(0, width - 1);
      return [title, ...drawPicture(runs, size), ...drawLegend(runs, size)];
    });
  }

  async #drawEnd(): Promise<void> {
    const isEnded = this.#jobs.length > 0 && this.#jobs.every((job) => job.endedAtMs !== null);
    if (!isEnded) {
      if (this.#screen.isTerminal) this.#screen.finish();
      return;
    }
    const line = endLine(this.#jobs);
    if (!this.#screen.isTerminal) {
      this.#screen.write(line);
      return;
    }
    this.#picturesAtMs = 0;
    this.#screen.draw([...(await this.#picture(Date.now())), line]);
    this.#screen.finish();
  }
}

/** Shows progress on stderr until all jobs have ended; answers with their last known state. */
export async function watchJobs(
  client: Client,
  ids: readonly string[],
  options: WatchOptions,
): Promise<JobView[]> {
  const display = new Display(client, options);
  const stop = display.start();
  try {
    return await followJobs(client, ids, {
      signal: options.signal,
      onChange: (jobs) => (display.jobs = jobs),
    });
  } finally {
    await stop();
  }
}
