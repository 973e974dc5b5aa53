import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { S3Server } from '@majorana/testing';
import { afterAll, beforeAll, beforeEach, expect, test, vi } from 'vitest';
import { Product } from './product.ts';

const folder = mkdtempSync(path.join(os.tmpdir(), 'majorana-s3-e2e-'));
let server: S3Server;
beforeAll(async () => {
  server = await S3Server.start('versitygw');
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true });
});
beforeEach(() => {
  for (const [name, value] of Object.entries(server.environment)) vi.stubEnv(name, value);
});

test('inputs, outputs, logs and results pass through a bucket, and nothing else is kept', async () => {
  vi.stubEnv('MAJORANA_OBJECTS_URL', server.url('e2e/'));
  await using product = new Product();
  await product.ok('up', '--detach', '--cores', '2');
  const input = path.join(folder, 'input');
  writeFileSync(input, 'from a bucket\n');
  const script = 'cat input > out; cat input; test -z "$AWS_SECRET_ACCESS_KEY"';
  const submit = ['submit', '--input', input, '--output', 'out', '--array', '0-3', '--wait'];
  const id = await product.ok(...submit, '--quiet', '--', 'sh', '-c', script);
  const results = path.join(folder, 'results');
  await product.ok('results', id, '-o', results);
  expect(readFileSync(path.join(results, '3', 'out'), 'utf8')).toBe('from a bucket\n');
  expect(await product.ok('logs', `${id}.2`)).toBe('from a bucket');
  expect(existsSync(path.join(product.data, 'objects'))).toBe(false);
  expect(readFileSync(path.join(product.data, 'server.log'), 'utf8')).not.toContain('test-secret');
});

test('a bucket that is not there is told by up', async () => {
  vi.stubEnv('MAJORANA_OBJECTS_URL', server.url('').replace('s3://bucket', 's3://absent'));
  await using product = new Product();
  const { code, stderr } = await product.run('up', '--detach');
  expect(code).not.toBe(0);
  expect(stderr).toContain('no such bucket: create it, or mend the name');
});
