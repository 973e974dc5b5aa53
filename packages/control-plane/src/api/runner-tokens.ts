import { createHmac, timingSafeEqual } from 'node:crypto';

/**
 * A runner's token is made of its attempt's id, by a key that the control planes of one database
 * share: nothing is kept for ten thousand pods, and each may be asked of any of them.
 */
export class RunnerTokens {
  readonly #readKey: () => Promise<Buffer>;
  #key: Promise<Buffer> | undefined;

  constructor(readKey: () => Promise<Buffer>) {
    this.#readKey = readKey;
  }

  #secret(): Promise<Buffer> {
    this.#key ??= this.#readKey().catch((error: unknown) => {
      this.#key = undefined;
      throw error;
    });
    return this.#key;
  }

  async make(attemptId: string): Promise<string> {
    // The purpose stands before the id: the same key may sign other things.
    const hmac = createHmac('sha256', await this.#secret()).update(`runner ${attemptId}`);
    return `mjr_run_${hmac.digest('base64url')}`;
  }

  /** Takes the same time wherever the two differ. */
  async isOf(token: string, attemptId: string): Promise<boolean> {
    const expected = Buffer.from(await this.make(attemptId));
    const given = Buffer.from(token);
    return given.length === expected.length && timingSafeEqual(given, expected);
  }
}
