import { S3_SERVERS } from '@majorana/testing';
import { afterAll, beforeAll, describe } from 'vitest';
import { testObjectStore } from './object-store.conformance.ts';
import { TestS3 } from './test-s3.ts';

describe.each(S3_SERVERS)('%s', (name) => {
  let s3: TestS3;
  beforeAll(async () => {
    s3 = await TestS3.start(name);
  });
  afterAll(() => s3[Symbol.asyncDispose]());

  testObjectStore(async () => s3.storeUnderTest());
});
