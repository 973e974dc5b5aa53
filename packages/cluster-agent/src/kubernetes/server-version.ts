/** A server is replaced by a newer one while agents run; asked so seldom, it costs nothing. */
const TTL_MS = 5 * 60_000;

/** The version of the API server, for people: one that does not tell is watched all the same. */
export class ServerVersion {
  readonly #ask: () => Promise<{ readonly gitVersion?: string }>;
  #known = 'unknown';
  #askedAtMs = -Infinity;

  constructor(ask: () => Promise<{ readonly gitVersion?: string }>) {
    this.#ask = ask;
  }

  async read(nowMs: number): Promise<void> {
    this.#askedAtMs = nowMs;
    const answer = await this.#ask().catch(() => undefined);
    this.#known = answer?.gitVersion ?? this.#known;
  }

  /** As of the last time it was asked, which is done again in the background. */
  current(nowMs: number): string {
    if (nowMs - this.#askedAtMs >= TTL_MS) void this.read(nowMs);
    return this.#known;
  }
}
