import type pg from 'pg';

export class Lineage {
  readonly #pool: pg.Pool;

  constructor(pool: pg.Pool) {
    this.#pool = pool;
  }

  async catchUp(): Promise<void> {
    void this.#pool;
  }
}
