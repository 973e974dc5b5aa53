import type { Random } from './random.ts';
import type { ServerProcess } from './server-process.ts';
import type { World } from './world.ts';

const HOP_MS_MEAN = 2;
/** How late a message may be. */
export const LATE_MS_MAX = 90_000;
/** A closed port answers at once; a connection to a machine that died is reset when it is noticed. */
const RESET_MS_MEAN = 50;

export type Direction = 'up' | 'down';

/** The way between one party and the server; each direction is cut on its own. */
export class Link {
  readonly name: string;
  readonly random: Random;
  readonly #cutUntilMs = { up: 0, down: 0 };

  constructor(name: string, random: Random) {
    this.name = name;
    this.random = random;
  }

  cut(direction: Direction, untilMs: number): void {
    this.#cutUntilMs[direction] = Math.max(this.#cutUntilMs[direction], untilMs);
  }

  isCut(direction: Direction, nowMs: number): boolean {
    return nowMs < this.#cutUntilMs[direction];
  }

  heal(): void {
    this.#cutUntilMs.up = 0;
    this.#cutUntilMs.down = 0;
  }
}

export type Answer<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly error: Error };

export interface Request<T> {
  readonly jobId: number;
  readonly text: string;
  /** What the server does with it; called once for each copy that arrives. */
  readonly serve: (server: ServerProcess) => Promise<T>;
  /** Called for each answer that arrives; the caller takes the first. */
  readonly onAnswer: (answer: Answer<T>) => void;
}

/**
 * Requests and their answers. A message may be lost, arrive twice, or so late that its sender has
 * long given up; messages overtake each other. No answer at all is normal: the caller has to have
 * a deadline.
 */
export class Network {
  readonly #world: World;
  readonly #server: ServerProcess;

  constructor(world: World, server: ServerProcess) {
    this.#world = world;
    this.#server = server;
  }

  request<T>(link: Link, request: Request<T>): void {
    const copies = this.#world.faults.happens('messageDouble', link.random) ? 2 : 1;
    if (copies === 2) this.#note(link, 'message_doubled', request);
    for (let copy = 0; copy < copies; copy += 1) {
      this.#send(link, 'up', request, () => this.#deliver(link, request));
    }
  }

  #deliver<T>(link: Link, request: Request<T>): void {
    const answer = (result: Answer<T>, delayMs = 0): void => {
      this.#world.time.schedule(delayMs, () =>
        this.#send(link, 'down', request, () => request.onAnswer(result)),
      );
    };
    const server = this.#server;
    const { life } = server;
    if (life === undefined || !server.isServing) {
      answer({ ok: false, error: new Error('connection refused') });
      return;
    }
    const callOff = life.onEnd(() => {
      const delayMs = link.random.exponential(RESET_MS_MEAN);
      answer({ ok: false, error: new Error('connection reset') }, delayMs);
    });
    // A process that has ended sends nothing any more, whatever its objects still resolve.
    const settle = (result: Answer<T>): void => {
      if (!life.isAlive) return;
      callOff();
      answer(result);
    };
    request.serve(server).then(
      (value) => settle({ ok: true, value }),
      (error: Error) => settle({ ok: false, error }),
    );
  }

  #send<T>(link: Link, direction: Direction, request: Request<T>, arrive: () => void): void {
    const { time, faults } = this.#world;
    if (link.isCut(direction, time.nowMs)) {
      this.#note(link, 'message_cut_off', request);
      return;
    }
    if (faults.happens('messageLoss', link.random)) {
      this.#note(link, 'message_lost', request);
      return;
    }
    let delayMs = link.random.exponential(HOP_MS_MEAN);
    if (faults.happens('messageLate', link.random)) {
      delayMs = link.random.spread(100, LATE_MS_MAX);
      this.#note(link, 'message_late', request);
    }
    time.schedule(delayMs, arrive);
  }

  #note<T>(link: Link, what: string, request: Request<T>): void {
    this.#world.trace.add(`fault.${what}`, request.jobId, `${link.name} ${request.text}`);
  }
}
