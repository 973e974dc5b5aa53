import {
  DeleteObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
} from '@aws-sdk/client-s3';
import type { S3ServerName } from '@majorana/testing';
import { S3Server } from '@majorana/testing';
import type { StoreUnderTest } from './object-store.conformance.ts';
import type { BucketOptions } from './s3-bucket.ts';
import { S3Bucket } from './s3-bucket.ts';
import { Keys } from './s3-keys.ts';
import { S3Objects } from './s3-objects.ts';

/** Stores in one server, each below a prefix of its own, and ways around them through S3. */
export class TestS3 implements AsyncDisposable {
  readonly server: S3Server;
  readonly client: S3Client;
  #count = 0;

  private constructor(server: S3Server) {
    this.server = server;
    this.client = this.newClient(server.endpoint);
  }

  static async start(name: S3ServerName): Promise<TestS3> {
    return new TestS3(await S3Server.start(name));
  }

  newClient(endpoint: string): S3Client {
    const { accessKeyId, secretAccessKey } = this.server;
    const credentials = { accessKeyId, secretAccessKey };
    return new S3Client({ endpoint, region: 'us-east-1', forcePathStyle: true, credentials });
  }

  nextPrefix(): string {
    return `store-${(this.#count += 1)}/`;
  }

  open(prefix: string, options: Partial<BucketOptions> = {}): S3Objects {
    const { bucket } = this.server;
    const where = `s3://${bucket}/${prefix}`;
    return new S3Objects(new S3Bucket({ client: this.client, bucket, where, ...options }), prefix);
  }

  async put(key: string, content: string): Promise<void> {
    await this.client.send(
      new PutObjectCommand({ Bucket: 'bucket', Key: key, Body: Buffer.from(content) }),
    );
  }

  async remove(key: string): Promise<void> {
    await this.client.send(new DeleteObjectCommand({ Bucket: 'bucket', Key: key }));
  }

  async keys(prefix: string): Promise<string[]> {
    const command = new ListObjectsV2Command({ Bucket: 'bucket', Prefix: prefix });
    const { Contents = [] } = await this.client.send(command);
    return Contents.map(({ Key }) => Key!);
  }

  storeUnderTest(options: Partial<BucketOptions> = {}): StoreUnderTest {
    const prefix = this.nextPrefix();
    const keys = new Keys(prefix);
    return {
      store: this.open(prefix, options),
      damage: (object, content) => this.put(keys.generation(object, 0), content),
      age: async (object, usedAtMs) => {
        for (const key of await this.keys(keys.folder(object))) {
          if (!key.includes('/used-')) continue;
          await this.remove(key);
        }
        await this.put(keys.used(object, usedAtMs, 'aged'), '');
      },
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.client.destroy();
    await this.server[Symbol.asyncDispose]();
  }
}
