import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { detectCapacity } from './local/capacity.ts';
import { readOptions } from './options.ts';

const folder = mkdtempSync(path.join(os.tmpdir(), 'options-test-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const read = (...args: string[]): ReturnType<typeof readOptions> =>
  readOptions(['--data', folder, '--url', 'http://here', ...args]);

test('what the command line gives is the capacity', async () => {
  const given = ['--cores', '1.5', '--memory', '1000', '--gpus', '2', '--scratch', '500'];
  const { capacity } = read(...given, '--resource', 'license=3', '--resource', 'fpga=1');
  expect(await detectCapacity(folder, capacity)).toEqual({
    cpuMillis: 1500,
    memoryBytes: 1000,
    scratchBytes: 500,
    shmBytes: 0,
    gpuCount: 2,
    countable: { license: 3, fpga: 1 },
  });
});

test('what is not given is detected', async () => {
  const capacity = await detectCapacity(folder, read().capacity);
  expect(capacity.cpuMillis).toBeGreaterThan(0);
  expect(capacity.cpuMillis).toBeLessThanOrEqual(os.availableParallelism() * 1000);
  expect(capacity.memoryBytes).toBeGreaterThan(0);
  expect(capacity.memoryBytes).toBeLessThan(os.totalmem());
  expect(Number.isSafeInteger(capacity.scratchBytes)).toBe(true);
});

test('an amount that is none is refused by name', () => {
  expect(() => read('--cores', 'many')).toThrow('--cores many: a number from 0 is needed');
  expect(() => read('--memory', '1.5')).toThrow('--memory 1.5: a whole number is needed');
  expect(() => read('--gpus', '')).toThrow('--gpus : a number from 0 is needed');
  expect(() => read('--resource', 'license')).toThrow('name=count is needed');
  expect(() => read('--resource', 'license=x')).toThrow('--resource license x');
  expect(() => read('--memory-limits', 'none')).toThrow('groups or sampling');
  expect(() => readOptions(['--data', folder])).toThrow('--data and one of --url');
  expect(() => read('--nats-ca', 'ca.pem')).toThrow('need --nats-url');
  expect(() => read('--nats-url', 'nats://far:4222')).toThrow('without TLS only on this machine');
});

test('a broker is told by its url, and its secret by a file', () => {
  const where = ['--nats-url', 'tls://nats:4222', '--nats-ca', 'ca.pem'];
  const who = ['--name', 'berlin', '--nats-credentials', 'berlin.nk'];
  const { broker, name } = readOptions(['--data', folder, ...where, ...who]);
  expect(broker).toEqual({
    url: 'tls://nats:4222',
    credentialsFile: 'berlin.nk',
    caFile: 'ca.pem',
  });
  expect(name).toBe('berlin');
});
