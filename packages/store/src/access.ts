import type { Role, TokenView } from '@majorana/protocol';
import type pg from 'pg';

export interface Access {
  readonly user: string;
  readonly role: Role;
  /** Null: the role holds in every project. */
  readonly project: string | null;
}

/** Users, projects and tokens. Only a token's SHA-256 is kept. */
export class AccessStore {
  readonly #pool: pg.Pool;

  constructor(pool: pg.Pool) {
    this.#pool = pool;
  }

  async find(tokenSha256: string): Promise<Access | undefined> {
    const { rows } = await this.#pool.query<Access>(
      'select user_name as "user", role, project from api_token where token_sha256 = $1',
      [tokenSha256],
    );
    return rows[0];
  }

  async hasProject(name: string): Promise<boolean> {
    const { rowCount } = await this.#pool.query('select from project where name = $1', [name]);
    return rowCount === 1;
  }

  /** Makes the user, and the project it is for, when they are new; a known token stays as it is. */
  async add(tokenSha256: string, access: Access): Promise<TokenView> {
    const { user, role, project } = access;
    await this.#pool.query('insert into app_user values ($1) on conflict do nothing', [user]);
    if (project !== null) {
      await this.#pool.query('insert into project values ($1) on conflict do nothing', [project]);
    }
    await this.#pool.query(
      `insert into api_token (token_sha256, user_name, role, project) values ($1, $2, $3, $4)
       on conflict do nothing`,
      [tokenSha256, user, role, project],
    );
    return (await this.#select('where token_sha256 = $1', [tokenSha256]))[0]!;
  }

  list(): Promise<TokenView[]> {
    return this.#select('order by token_id', []);
  }

  async remove(tokenId: number): Promise<boolean> {
    const { rowCount } = await this.#pool.query('delete from api_token where token_id = $1', [
      tokenId,
    ]);
    return rowCount === 1;
  }

  /** Takes back the tokens of the agent of this name, the newest too unless it is spared. */
  async removeAgent(name: string, isNewestSpared = false): Promise<number> {
    const { rowCount } = await this.#pool.query(
      `with of_agent as (select token_id from api_token where user_name = $1 and role = 'agent')
       delete from api_token where token_id in (select token_id from of_agent)
         and not ($2 and token_id = (select max(token_id) from of_agent))`,
      [name, isNewestSpared],
    );
    return rowCount ?? 0;
  }

  /** Whether somebody could make tokens. */
  async hasAdmin(): Promise<boolean> {
    const { rowCount } = await this.#pool.query(
      `select from api_token where role = 'admin' and project is null limit 1`,
    );
    return rowCount === 1;
  }

  async #select(tail: string, values: unknown[]): Promise<TokenView[]> {
    const { rows } = await this.#pool.query<TokenView>(
      `select token_id as id, user_name as "user", role, project,
         floor(extract(epoch from created_at) * 1000)::bigint as "createdAtMs"
       from api_token ${tail}`,
      values,
    );
    return rows;
  }
}
