import { lookup } from 'node:dns';
import { Agent } from 'node:http';
import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { S3Client } from '@aws-sdk/client-s3';
import { S3Server } from '@majorana/testing';
import { afterAll, beforeAll, beforeEach, expect, test, vi } from 'vitest';
import { ObjectStoreUnavailableError } from './object-store.ts';
import { openObjects } from './open-objects.ts';
import { S3Bucket } from './s3-bucket.ts';
import { S3Objects } from './s3-objects.ts';

const DOMAIN = 's3.test';
let server: S3Server;
beforeAll(async () => {
  server = await S3Server.start('versitygw', { domain: DOMAIN });
});
afterAll(() => server[Symbol.asyncDispose]());
beforeEach(() => {
  for (const [name, value] of Object.entries(server.environment)) vi.stubEnv(name, value);
});

const open = (url: string): Promise<unknown> => openObjects(url, '/nowhere');
const content = (): Readable => Readable.from([Buffer.from('content')]);

test('a URL and the credentials of the environment are enough', async () => {
  const store = await openObjects(server.url('here/'), '/nowhere');
  const { object } = await store.putStream(content());
  expect(await text(await store.read(object))).toBe('content');
});

test('buckets may be part of the host’s name', async () => {
  const port = new URL(server.endpoint).port;
  const hosts: string[] = [];
  const httpAgent = new Agent({
    lookup: (host, options, done) => {
      hosts.push(host);
      lookup('127.0.0.1', options, done);
    },
  });
  const client = new S3Client({
    endpoint: `http://${DOMAIN}:${port}`,
    region: 'us-east-1',
    requestHandler: { httpAgent },
  });
  const bucket = new S3Bucket({ client, bucket: server.bucket, where: 'virtual host' });
  const store = new S3Objects(bucket, 'virtual/');
  const { object } = await store.putStream(content());
  const { url } = await store.presignGet(object, 60);
  expect(await text(await store.read(object))).toBe('content');
  expect(new URL(url).hostname).toBe(`bucket.${DOMAIN}`);
  expect(new Set(hosts)).toEqual(new Set([`bucket.${DOMAIN}`]));
});

test('what is set up wrongly is told with the place and what to do, and no secret', async () => {
  const missing = server.url('').replace('s3://bucket', 's3://absent');
  await expect(open(missing)).rejects.toThrow(/s3:\/\/absent.*no such bucket: create it/);
  await expect(open('s3://bucket?endpoint=http://127.0.0.1:1&style=path')).rejects.toThrow(
    /at http:\/\/127.0.0.1:1.*cannot be reached \(ECONNREFUSED\)/,
  );
  vi.stubEnv('AWS_SECRET_ACCESS_KEY', 'another-secret');
  await expect(open(server.url(''))).rejects.toThrow(/access is denied .*credentials/);
  await expect(open(server.url(''))).rejects.not.toThrow('another-secret');
  await expect(open(server.url(''))).rejects.toThrow(ObjectStoreUnavailableError);
});

test('without credentials it says which are looked for', async () => {
  for (const name of Object.keys(server.environment)) vi.stubEnv(name, '');
  vi.stubEnv('AWS_EC2_METADATA_DISABLED', 'true');
  vi.stubEnv('AWS_SHARED_CREDENTIALS_FILE', '/nowhere');
  vi.stubEnv('AWS_CONFIG_FILE', '/nowhere');
  await expect(open(server.url(''))).rejects.toThrow(/no credentials were found: set AWS_/);
});
