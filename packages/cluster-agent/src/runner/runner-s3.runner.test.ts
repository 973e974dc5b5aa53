import { randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import type { ObjectStore } from '@majorana/objects';
import { TestS3 } from '@majorana/objects/test-s3';
import { S3_SERVERS } from '@majorana/testing';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { readArtifact, run } from '../attempt-host.conformance.ts';
import { FaultyProxy } from './test-faulty-proxy.ts';
import { RunnerBench } from './test-runner-bench.ts';

describe.each(S3_SERVERS)('with objects in %s', (name) => {
  let s3: TestS3;
  let objects: ObjectStore;
  let proxy: FaultyProxy;
  let bench: RunnerBench;
  beforeAll(async () => {
    s3 = await TestS3.start(name);
    objects = s3.open(s3.nextPrefix());
    proxy = await FaultyProxy.start(() => bench.url);
    bench = await RunnerBench.open({ objects, url: () => proxy.url });
  });
  afterAll(async () => {
    await bench[Symbol.asyncDispose]();
    await proxy[Symbol.asyncDispose]();
    await s3[Symbol.asyncDispose]();
  });
  beforeEach(() => {
    proxy.requests.length = 0;
  });
  const needed = (): string[] => proxy.requests.filter((request) => request !== 'POST link');

  test('content goes between pod and store, and the control plane sees none of it', async () => {
    const content = randomBytes(2_000_000);
    const { object } = await objects.putStream(Readable.from([content]));
    const script = 'cat in in > out; : > empty; echo done';
    const lease = await bench.lease(['sh', '-c', script], {
      inputs: [{ path: 'in', object }],
      outputs: ['out', 'empty'],
    });
    const event = await run(bench.host, lease);
    expect(event.outcome.reason).toBe('exit code 0');
    expect(event.artifacts.map((one) => [one.path, one.sizeBytes])).toEqual([
      ['stdout', 5],
      ['empty', 0],
      ['out', 4_000_000],
    ]);
    expect(await readArtifact(objects, event, 'stdout')).toBe('done\n');
    expect(needed()).toEqual(['GET task', 'POST uploads']);
  });

  test('a gather’s many inputs are asked for one by one, and come from the store', async () => {
    const { object } = await objects.putStream(Readable.from([Buffer.from('0123456789')]));
    const inputs = Array.from({ length: 120 }, (_, index) => ({ path: `in${index}`, object }));
    const event = await run(
      bench.host,
      await bench.lease(['sh', '-c', 'cat in* | wc -c'], { inputs }),
    );
    expect(await readArtifact(objects, event, 'stdout')).toBe('1200\n');
    expect(needed().filter((request) => request === 'GET objects').length).toBe(120);
  });

  test('an input that is not in the store is told by its name', async () => {
    const object = 'ab'.repeat(32);
    const lease = await bench.lease(['true'], { inputs: [{ path: 'x', object }] });
    const { outcome } = await run(bench.host, lease);
    expect(outcome.kind).toBe('start_error');
    expect(outcome.reason).toContain(object);
  });
});
