import type {
  GetObjectCommandOutput,
  ListMultipartUploadsCommandOutput,
  MultipartUpload,
  S3Client,
} from '@aws-sdk/client-s3';
import {
  AbortMultipartUploadCommand,
  CopyObjectCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  paginateListObjectsV2,
  PutObjectCommand,
} from '@aws-sdk/client-s3';
import { Upload } from '@aws-sdk/lib-storage';
import type { Readable } from 'node:stream';
import { copyInParts } from './s3-copy.ts';
import { explainS3Error, isLostRace, isNotImplemented, statusOf } from './s3-errors.ts';
import type { ListedKey } from './s3-keys.ts';

/** Two on their way and one being filled stay below 100 MB whatever the object's size. */
export const PART_BYTES = 8 * 1024 * 1024;
const PARTS_AT_ONCE = 2;
/** More in one part than this no server copies by itself. */
const COPY_BYTES_MAX = 5 * 1024 ** 3;

export interface BucketOptions {
  readonly client: S3Client;
  readonly bucket: string;
  /** What errors call it. */
  readonly where: string;
  /** Objects above this size are copied in parts; the default is what S3 sets. */
  readonly copyBytesMax?: number;
}

/** The few requests that the store makes, with errors that say where and what to do. */
export class S3Bucket {
  readonly client: S3Client;
  readonly name: string;
  readonly where: string;
  readonly #copyBytesMax: number;
  #isConditional = true;

  constructor(options: BucketOptions) {
    this.client = options.client;
    this.name = options.bucket;
    this.where = options.where;
    this.#copyBytesMax = options.copyBytesMax ?? COPY_BYTES_MAX;
  }

  /** By the server's clock: the client corrects itself when a signature is refused for its time. */
  nowMs(): number {
    return Date.now() + this.client.config.systemClockOffset;
  }

  #explain(error: unknown): never {
    throw explainS3Error(error, this.where);
  }

  /** Fails clearly when the bucket is not there, or not for us. */
  async check(prefix: string): Promise<void> {
    const command = new ListObjectsV2Command({ Bucket: this.name, Prefix: prefix, MaxKeys: 1 });
    await this.client.send(command).catch((error: unknown) => this.#explain(error));
  }

  async *list(prefix: string): AsyncGenerator<ListedKey> {
    try {
      const pages = paginateListObjectsV2(
        { client: this.client },
        { Bucket: this.name, Prefix: prefix },
      );
      for await (const { Contents = [] } of pages) {
        for (const { Key, Size = 0, LastModified } of Contents) {
          yield { key: Key!, sizeBytes: Size, writtenAtMs: LastModified?.getTime() ?? Infinity };
        }
      }
    } catch (error) {
      this.#explain(error);
    }
  }

  /** False when another put was first. `isNew`: only if nothing is there, where the server can. */
  async #unless(isNew: boolean, put: (condition?: { IfNoneMatch: '*' }) => Promise<unknown>) {
    try {
      await put(isNew && this.#isConditional ? { IfNoneMatch: '*' } : undefined);
    } catch (error) {
      if (isLostRace(error)) return;
      if (!isNew || !this.#isConditional || !isNotImplemented(error)) this.#explain(error);
      this.#isConditional = false;
      await this.#unless(isNew, put);
    }
  }

  /** The server refuses what has not this hash. */
  putBytes(key: string, body: Buffer, sha256: string, isNew: boolean): Promise<void> {
    const ChecksumSHA256 = Buffer.from(sha256, 'hex').toString('base64');
    const input = { Bucket: this.name, Key: key, Body: body, ChecksumSHA256 };
    return this.#unless(isNew, (condition) =>
      this.client.send(new PutObjectCommand({ ...input, ...condition })),
    );
  }

  async putMark(key: string): Promise<void> {
    const command = new PutObjectCommand({ Bucket: this.name, Key: key, Body: new Uint8Array() });
    await this.client.send(command).catch((error: unknown) => this.#explain(error));
  }

  /** Each part has a checksum, which the server compares. */
  upload(key: string, open: () => Readable, sizeBytes: number | undefined, isNew: boolean) {
    return this.#unless(isNew, async (condition) => {
      const partSize = Math.max(PART_BYTES, Math.ceil((sizeBytes ?? 0) / 9000));
      const params = { Bucket: this.name, Key: key, Body: open(), ...condition };
      await new Upload({ client: this.client, params, partSize, queueSize: PARTS_AT_ONCE }).done();
    });
  }

  async copy(from: string, to: string, sizeBytes: number): Promise<void> {
    const source = { Bucket: this.name, CopySource: `${this.name}/${encodeURI(from)}`, Key: to };
    const copying =
      sizeBytes <= this.#copyBytesMax
        ? this.client.send(new CopyObjectCommand(source))
        : copyInParts(this.client, source, sizeBytes, this.#copyBytesMax);
    await copying.catch((error: unknown) => this.#explain(error));
  }

  /** Undefined when the key is not there; `range` as in the HTTP header. */
  async get(
    key: string,
    range: string | undefined,
    etag?: string,
  ): Promise<GetObjectCommandOutput | undefined> {
    const input = { Bucket: this.name, Key: key, Range: range, IfMatch: etag };
    return this.client.send(new GetObjectCommand(input)).catch((error: unknown) => {
      if ((error as Error).name !== 'NoSuchBucket' && statusOf(error) === 404) return undefined;
      return this.#explain(error);
    });
  }

  /** Answers whether each was asked only once: a request that was repeated may act once more. */
  async delete(keys: readonly string[]): Promise<boolean> {
    const answers = await Promise.all(
      keys.map((key) => this.client.send(new DeleteObjectCommand({ Bucket: this.name, Key: key }))),
    ).catch((error: unknown) => this.#explain(error));
    return answers.every(({ $metadata }) => ($metadata.attempts ?? 1) === 1);
  }

  async *#uploads(Prefix: string): AsyncGenerator<MultipartUpload> {
    const input = { Bucket: this.name, Prefix };
    let page: ListMultipartUploadsCommandOutput | undefined;
    do {
      const after = {
        KeyMarker: page?.NextKeyMarker,
        UploadIdMarker: page?.NextUploadIdMarker,
      };
      page = await this.client.send(new ListMultipartUploadsCommand({ ...input, ...after }));
      yield* page.Uploads ?? [];
    } while (page.IsTruncated === true);
  }

  /** Parts that were sent and never put together. */
  async abortUploads(prefix: string, beganBeforeMs: number): Promise<void> {
    try {
      for await (const { Key, UploadId, Initiated } of this.#uploads(prefix)) {
        if (Initiated === undefined || Initiated.getTime() >= beganBeforeMs) continue;
        const input = { Bucket: this.name, Key, UploadId };
        await this.client.send(new AbortMultipartUploadCommand(input));
      }
    } catch (error) {
      // Its putter may just have ended it.
      if ((error as Error).name !== 'NoSuchUpload') this.#explain(error);
    }
  }
}
