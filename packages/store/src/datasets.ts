import { createHash } from 'node:crypto';
import type { DatasetDifference, DatasetFile } from '@majorana/protocol';
import type pg from 'pg';

/** Rows in one statement. */
const ROWS = 5000;

export interface DatasetRecord {
  readonly datasetId: number;
  readonly project: string;
  readonly name: string;
  readonly owner: string;
  readonly description: string;
  readonly createdAtMs: number;
  /** Null: all its versions were removed. */
  readonly latestVersion: number | null;
  readonly fileCount: number;
  readonly sizeBytes: number;
}

export interface DatasetVersionRecord {
  readonly versionId: number;
  readonly version: number;
  readonly digest: string;
  readonly fileCount: number;
  readonly sizeBytes: number;
  readonly user: string;
  readonly message: string;
  readonly source: string | null;
  readonly createdAtMs: number;
}

export interface NewVersion {
  readonly project: string;
  readonly name: string;
  readonly user: string;
  readonly message: string;
  /** Undefined: as it was. */
  readonly description: string | undefined;
  readonly source: string | null;
}

export interface RemovalReport {
  readonly versions: readonly number[];
  readonly objectCount: number;
  /** Objects that other versions, results or inputs of jobs still name. */
  readonly keptCount: number;
  /** Of the others: what the next sweep frees. */
  readonly freedBytes: number;
}

/** The list of files cannot be a version: the reason names the path. */
export class DatasetContentError extends Error {
  override name = 'DatasetContentError';
}

const versionFields = `v.version_id as "versionId", v.version, v.digest,
  v.file_count as "fileCount", v.size_bytes as "sizeBytes", v.user_name as "user", v.message,
  v.source, v.created_at_ms as "createdAtMs"`;
const datasetFields = `d.dataset_id as "datasetId", d.project, d.name, d.owner, d.description,
  d.created_at_ms as "createdAtMs", v.version as "latestVersion",
  coalesce(v.file_count, 0) as "fileCount", coalesce(v.size_bytes, 0) as "sizeBytes"`;
const withLatest = `dataset d left join lateral (
  select version, file_count, size_bytes from dataset_version
  where dataset_id = d.dataset_id order by version desc limit 1) v on true`;

/** Reads sorted files and refuses a name that is both a file and a folder. */
class ContentReader {
  fileCount = 0;
  sizeBytes = 0;
  readonly #hash = createHash('sha256').update('majorana dataset 1\n');
  /** Files whose name begins the current one: in this order they stand directly before it. */
  #before: string[] = [];

  take({ path, object, sizeBytes }: DatasetFile): void {
    this.#before = this.#before.filter((one) => path.startsWith(one));
    const file = this.#before.find((one) => path.startsWith(`${one}/`));
    if (file !== undefined) {
      throw new DatasetContentError(`${file} is a file, and ${path} needs it to be a folder`);
    }
    this.#before.push(path);
    this.#hash.update(`${path}\0${object}\n`);
    this.fileCount += 1;
    this.sizeBytes += sizeBytes;
  }

  digest(): string {
    return this.#hash.digest('hex');
  }
}

async function writeFiles(
  client: pg.PoolClient,
  versionId: number,
  files: readonly DatasetFile[],
): Promise<void> {
  const { rows } = await client.query<{ path: string }>(
    `insert into dataset_file (version_id, path, object, size_bytes)
     select $1, * from unnest($2::text[], $3::text[], $4::bigint[])
     on conflict do nothing returning path`,
    [
      versionId,
      files.map(({ path }) => path),
      files.map(({ object }) => object),
      files.map(({ sizeBytes }) => sizeBytes),
    ],
  );
  if (rows.length === files.length) return;
  const written = new Set(rows.map(({ path }) => path));
  const twice = files.find(({ path }) => !written.delete(path))!;
  throw new DatasetContentError(`${twice.path} is there twice`);
}

async function readContent(client: pg.PoolClient, versionId: number): Promise<ContentReader> {
  const content = new ContentReader();
  for (let after = ''; ;) {
    const { rows } = await client.query<DatasetFile>(
      `select path, object, size_bytes as "sizeBytes" from dataset_file
       where version_id = $1 and path > $2 order by path limit ${ROWS}`,
      [versionId, after],
    );
    for (const file of rows) content.take(file);
    if (rows.length < ROWS) return content;
    after = rows.at(-1)!.path;
  }
}

/** Named collections of files, in immutable versions. */
export class Datasets {
  readonly #pool: pg.Pool;

  constructor(pool: pg.Pool) {
    this.#pool = pool;
  }

  async #rows<R extends pg.QueryResultRow>(sql: string, values: unknown[]): Promise<R[]> {
    return (await this.#pool.query<R>(sql, values)).rows;
  }

  list(after: string, limit: number, project: string | undefined): Promise<DatasetRecord[]> {
    return this.#rows(
      `select ${datasetFields} from ${withLatest}
       where (d.project || '/' || d.name) collate "C" > $1 and ($3::text is null or d.project = $3)
       order by (d.project || '/' || d.name) collate "C" limit $2`,
      [after, limit, project ?? null],
    );
  }

  async find(project: string, name: string): Promise<DatasetRecord | undefined> {
    const sql = `select ${datasetFields} from ${withLatest} where d.project = $1 and d.name = $2`;
    return (await this.#rows<DatasetRecord>(sql, [project, name]))[0];
  }

  versions(datasetId: number, before: number, limit: number): Promise<DatasetVersionRecord[]> {
    return this.#rows(
      `select ${versionFields} from dataset_version v
       where v.dataset_id = $1 and v.version < $2 order by v.version desc limit $3`,
      [datasetId, before, limit],
    );
  }

  async version(datasetId: number, version: number): Promise<DatasetVersionRecord | undefined> {
    const sql = `select ${versionFields} from dataset_version v
      where v.dataset_id = $1 and v.version = $2`;
    return (await this.#rows<DatasetVersionRecord>(sql, [datasetId, version]))[0];
  }

  /** By path; `below` is a file, or a folder with all in it. */
  files(
    versionId: number,
    after: string,
    limit: number,
    below: string | undefined,
  ): Promise<DatasetFile[]> {
    // "0" follows "/": what is below a folder is a range of the key.
    const folder = below === undefined ? null : `${below}/`;
    return this.#rows(
      `select path, object, size_bytes as "sizeBytes" from dataset_file
       where version_id = $1 and path > $2 and ($4::text is null or path = $4
         or (path >= $5 and path < $6))
       order by path limit $3`,
      [versionId, after, limit, below ?? null, folder, folder?.replace(/\/$/, '0') ?? null],
    );
  }

  /** Files that are not the same in two versions, by path. */
  differences(
    from: number,
    to: number,
    after: string,
    limit: number,
  ): Promise<DatasetDifference[]> {
    return this.#rows(
      `select path, case when a.path is null then 'added' when b.path is null then 'removed'
           else 'changed' end as change,
         a.object as "before", b.object as "now",
         a.size_bytes as "beforeBytes", b.size_bytes as "nowBytes"
       from (select * from dataset_file where version_id = $1 and path > $3) a
         full join (select * from dataset_file where version_id = $2 and path > $3) b using (path)
       where a.object is distinct from b.object order by path limit $4`,
      [from, to, after, limit],
    );
  }

  /**
   * A version more, whole or not at all; content equal to the latest is that version again. Of two
   * who put at once the second waits for the first, and compares with it.
   */
  async put(
    version: NewVersion,
    files: AsyncIterable<readonly DatasetFile[]>,
    nowMs: number,
  ): Promise<{ readonly version: DatasetVersionRecord; readonly isNew: boolean }> {
    const client = await this.#pool.connect();
    try {
      await client.query('begin');
      const { rows } = await client.query<{ id: number }>(
        `select nextval(pg_get_serial_sequence('dataset_version', 'version_id'))::int as id`,
      );
      const versionId = rows[0]!.id;
      for await (const some of files) await writeFiles(client, versionId, some);
      const content = await readContent(client, versionId);
      const written = await this.#number(client, { ...version, versionId, content }, nowMs);
      await client.query(written.isNew ? 'commit' : 'rollback');
      client.release();
      return written;
    } catch (error) {
      client.release(true);
      throw error;
    }
  }

  async #number(
    client: pg.PoolClient,
    made: NewVersion & { readonly versionId: number; readonly content: ContentReader },
    nowMs: number,
  ): Promise<{ readonly version: DatasetVersionRecord; readonly isNew: boolean }> {
    const { project, name, user, message, description, source, versionId, content } = made;
    const { rows } = await client.query<{ id: number; next: number }>(
      `insert into dataset (project, name, owner, description, last_version, created_at_ms)
       values ($1, $2, $3, coalesce($4, ''), 1, $5)
       on conflict (project, name) do update set last_version = dataset.last_version + 1,
         description = coalesce($4, dataset.description)
       returning dataset_id as id, last_version as next`,
      [project, name, user, description ?? null, nowMs],
    );
    const { id, next } = rows[0]!;
    const digest = content.digest();
    const latest = await client.query<DatasetVersionRecord>(
      `select ${versionFields} from dataset_version v where v.dataset_id = $1
       order by v.version desc limit 1`,
      [id],
    );
    if (latest.rows[0]?.digest === digest) return { version: latest.rows[0], isNew: false };
    const { fileCount, sizeBytes } = content;
    const inserted = await client.query<DatasetVersionRecord>(
      `insert into dataset_version as v (version_id, dataset_id, version, digest, file_count,
         size_bytes, user_name, message, source, created_at_ms)
       overriding system value values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
       returning ${versionFields}`,
      [versionId, id, next, digest, fileCount, sizeBytes, user, message, source, nowMs],
    );
    return { version: inserted.rows[0]!, isNew: true };
  }

  /** What the removal of a version, or of all, does to objects. `object_reader` is up to date. */
  async removal(datasetId: number, version: number | undefined): Promise<RemovalReport> {
    const [report] = await this.#rows<RemovalReport>(
      `with gone as (
         select version_id, version from dataset_version
         where dataset_id = $1 and ($2::int is null or version = $2)),
       named as (
         select object, max(size_bytes) as size_bytes from dataset_file
         where version_id in (select version_id from gone) group by object),
       judged as (
         select size_bytes, exists (select from dataset_file f where f.object = named.object
             and f.version_id not in (select version_id from gone))
           or exists (select from artifact where artifact.object = named.object)
           or exists (select from object_reader r where r.object = named.object) as is_kept
         from named)
       select (select coalesce(array_agg(version order by version), '{}') from gone) as versions,
         count(*) as "objectCount", count(*) filter (where is_kept) as "keptCount",
         coalesce(sum(size_bytes) filter (where not is_kept), 0)::bigint as "freedBytes"
       from judged`,
      [datasetId, version ?? null],
    );
    return report!;
  }

  async remove(datasetId: number, version: number | undefined): Promise<void> {
    const sql =
      version === undefined
        ? 'delete from dataset where dataset_id = $1'
        : 'delete from dataset_version where dataset_id = $1 and version = $2';
    await this.#pool.query(sql, version === undefined ? [datasetId] : [datasetId, version]);
  }
}
