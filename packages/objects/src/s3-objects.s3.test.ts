import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import os from 'node:os';
import path from 'node:path';
import { Readable } from 'node:stream';
import { buffer, text } from 'node:stream/consumers';
import { CreateMultipartUploadCommand, ListMultipartUploadsCommand } from '@aws-sdk/client-s3';
import { CuttingProxy, S3_SERVERS } from '@majorana/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { hashBytes } from './hashing.ts';
import { testObjectStore } from './object-store.conformance.ts';
import type { PresignedRequest } from './object-store.ts';
import { ObjectMissingError } from './object-store.ts';
import { TestS3 } from './test-s3.ts';

const MEBIBYTE = 1024 ** 2;
const bytes = (content: string): Readable => Readable.from([Buffer.from(content)]);
const chunks = (content: Buffer): Readable =>
  Readable.from(
    Array.from({ length: Math.ceil(content.length / MEBIBYTE) }, (_, at) =>
      content.subarray(at * MEBIBYTE, (at + 1) * MEBIBYTE),
    ),
  );

/** fetch sets its own length; here the caller's is sent. */
function send(method: string, { url, headers }: PresignedRequest, body = ''): Promise<number> {
  return new Promise((resolve, reject) => {
    const sent = request(url, { method, headers }, (response) => {
      response.resume();
      resolve(response.statusCode!);
    });
    sent.on('error', reject);
    sent.end(body);
  });
}

describe.each(S3_SERVERS)('%s', (name) => {
  const folder = mkdtempSync(path.join(os.tmpdir(), 's3-test-'));
  let s3: TestS3;
  beforeAll(async () => {
    s3 = await TestS3.start(name);
  });
  afterAll(async () => {
    rmSync(folder, { recursive: true });
    await s3[Symbol.asyncDispose]();
  });

  testObjectStore(async () => s3.storeUnderTest());

  test('what is too large for one copy is copied in parts', async () => {
    const content = randomBytes(13 * MEBIBYTE);
    const { store } = s3.storeUnderTest({ copyBytesMax: 5 * MEBIBYTE });
    const { object } = await store.putStream(chunks(content));
    expect(content.equals(await buffer(await store.read(object)))).toBe(true);
  });

  test('a file of several parts is stored, and stored again without a second upload', async () => {
    const file = path.join(folder, 'parts');
    writeFileSync(file, randomBytes(20 * MEBIBYTE));
    const prefix = s3.nextPrefix();
    const store = s3.open(prefix);
    const first = await store.putFile(file);
    expect(await store.putFile(file)).toEqual(first);
    // Its content, and one mark of its last use.
    expect(await s3.keys(prefix)).toHaveLength(2);
  });

  test('a broken line is taken up where it broke', async () => {
    const content = randomBytes(40 * MEBIBYTE);
    const prefix = s3.nextPrefix();
    const { object } = await s3.open(prefix).putStream(chunks(content));
    const target = s3.server.endpoint;
    await using proxy = await CuttingProxy.start({
      target,
      seed: 7,
      bytesMax: 30 * MEBIBYTE,
      cuts: 4,
    });
    const client = s3.newClient(proxy.url);
    const store = s3.open(prefix, { client });
    for (let round = 0; proxy.cuts < 4 && round < 20; round += 1) {
      expect(content.equals(await buffer(await store.read(object)))).toBe(true);
    }
    expect(proxy.cuts).toBe(4);
    client.destroy();
  });

  test('uploads through lines that break end up whole', async () => {
    const target = s3.server.endpoint;
    await using proxy = await CuttingProxy.start({
      target,
      seed: 3,
      bytesMax: 20 * MEBIBYTE,
      cuts: 4,
    });
    const client = s3.newClient(proxy.url);
    const store = s3.open(s3.nextPrefix(), { client });
    for (let round = 0; proxy.cuts < 4 && round < 20; round += 1) {
      const content = randomBytes(20 * MEBIBYTE);
      const { object } = await store.putStream(chunks(content));
      expect(object).toBe(hashBytes(content).object);
      expect(content.equals(await buffer(await store.read(object)))).toBe(true);
    }
    expect(proxy.cuts).toBe(4);
    client.destroy();
  });

  test('what broken-off puts and removals leave is taken when it is old, and nothing else', async () => {
    const prefix = s3.nextPrefix();
    const store = s3.open(prefix);
    const kept = await store.putStream(bytes('kept'));
    const before = await s3.keys(prefix);
    await s3.put(`${prefix}incoming/half`, 'half');
    await s3.put(`${prefix}objects/ab/${'c'.repeat(62)}/used-1-x`, '');
    await s3.put(`${before[0]!.replace(/[^/]*$/, '')}doomed-0-x`, '');
    await s3.client.send(
      new CreateMultipartUploadCommand({ Bucket: 'bucket', Key: `${prefix}incoming/parts` }),
    );
    const uploads = async (): Promise<number> => {
      const command = new ListMultipartUploadsCommand({ Bucket: 'bucket', Prefix: prefix });
      return (await s3.client.send(command)).Uploads?.length ?? 0;
    };
    await store.removeLeftovers(Date.now() - 60_000);
    expect(await s3.keys(prefix)).toHaveLength(before.length + 3);
    // Every upload of moto began in 2010.
    expect(await uploads()).toBe(name === 'moto' ? 0 : 1);
    await store.removeLeftovers(Date.now() + 60_000);
    expect(await s3.keys(prefix)).toEqual(before);
    expect(await uploads()).toBe(0);
    expect(await text(await store.read(kept.object))).toBe('kept');
  });

  test('what a removal has doomed is brought anew, whatever becomes of that removal', async () => {
    const prefix = s3.nextPrefix();
    const store = s3.open(prefix);
    const { object } = await store.putStream(bytes('doomed'));
    const [content] = (await s3.keys(prefix)).filter((key) => key.endsWith('/0'));
    await s3.put(`${content!.slice(0, -1)}doomed-0-somebody`, '');
    expect(await store.touch(object)).toBe(false);
    await store.putStream(bytes('doomed'));
    await s3.remove(content!);
    expect(await text(await store.read(object))).toBe('doomed');
    expect(await store.touch(object)).toBe(true);
  });

  test('presigned requests bring and fetch one content without credentials', async () => {
    const store = s3.open(s3.nextPrefix());
    const content = hashBytes(Buffer.from('presigned'));
    const put = await store.presignPut(content, 60);
    expect(await send('PUT', put!, 'presigned')).toBe(200);
    expect(await store.stat(content.object)).toMatchObject(content);
    expect(await store.presignPut(content, 60)).toBeUndefined();
    const get = await store.presignGet(content.object, 60);
    expect(await (await fetch(get.url)).text()).toBe('presigned');
    await expect(store.presignGet('0'.repeat(64), 60)).rejects.toThrow(ObjectMissingError);
    await expect(store.presignGet(content.object, 10 ** 6)).rejects.toThrow(RangeError);
  });

  // Moto checks neither signatures nor lengths.
  test.runIf(name === 'versitygw')('a presigned put takes no other content', async () => {
    const store = s3.open(s3.nextPrefix());
    const content = hashBytes(Buffer.from('presigned'));
    const put = await store.presignPut(content, 60);
    expect(await send('PUT', put!, 'presigneD')).toBe(400);
    const length = { ...put!.headers, 'content-length': '12' };
    expect(await send('PUT', { ...put!, headers: length }, 'presigned...')).toBe(403);
    expect(await store.has(content.object)).toBe(false);
  });
});
