import { UnavailableError } from '../engine/engine.ts';

const FIRST_DELAY_MS = 250;
const DELAY_MS_MAX = 60_000;
/** With delays doubling from a quarter of a second: after about a minute. */
const TRIES_MAX = 9;

/** PostgreSQL's classes for what passes: no connection, no room, a shutdown, a lost race. */
const PASSING = /^(08|53|57|58|40)/;
const PASSING_CODES = new Set(['ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'ETIMEDOUT', 'ENOENT']);

/** Whether a failure says something about the world, and nothing about what was asked. */
export function isPassing(error: Error & { readonly code?: unknown }): boolean {
  if (error instanceof UnavailableError) return true;
  if (/Connection terminated|connection timeout/i.test(error.message)) return true;
  const { code } = error;
  return typeof code === 'string' && (PASSING.test(code) || PASSING_CODES.has(code));
}

interface Trouble {
  readonly tries: number;
  /** Of them, those that no outage explains: after a long one the first of these is no reason. */
  readonly ownTries: number;
  /** For a person: what failed, and when it is tried again. */
  readonly text: string;
}

export type Verdict =
  | { readonly kind: 'again'; readonly afterMs: number }
  | { readonly kind: 'give_up'; readonly reason: string };

/** Commands of one run that failed without being refused: each is tried again later, and shown. */
export class Troubles {
  readonly #byPath = new Map<string, Trouble>();

  of(path: string): string | undefined {
    return this.#byPath.get(path)?.text;
  }

  clear(path: string): void {
    this.#byPath.delete(path);
  }

  add(path: string, error: Error): Verdict {
    const before = this.#byPath.get(path) ?? { tries: 0, ownTries: 0 };
    const tries = before.tries + 1;
    const ownTries = before.ownTries + (isPassing(error) ? 0 : 1);
    if (ownTries >= TRIES_MAX) {
      this.clear(path);
      return { kind: 'give_up', reason: `given up after ${ownTries} tries: ${error.message}` };
    }
    const afterMs = Math.min(FIRST_DELAY_MS * 2 ** (tries - 1), DELAY_MS_MAX);
    const text = `tried ${tries} times, again within ${Math.ceil(afterMs / 1000)} s: ${error.message}`;
    this.#byPath.set(path, { tries, ownTries, text });
    return { kind: 'again', afterMs };
  }
}
