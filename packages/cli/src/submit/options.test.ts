import os from 'node:os';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { readAfter } from './after.ts';
import { parseBytes, parseCores, parseCounts, parseDuration, parsePairs } from './quantities.ts';
import { readRetry, readSignal } from './retry-options.ts';
import { readArrayOption, readInput, readOptions } from './spec-options.ts';

const lists = {
  retryOn: [],
  retryExitCode: [],
  retrySignal: [],
  resource: [],
  nodeSelector: [],
  toleration: [],
  mount: [],
  env: [],
  label: [],
  input: [],
  output: [],
  after: [],
};

test.each([
  ['500M', 500 * 1024 ** 2],
  ['4G', 4 * 1024 ** 3],
  ['4GiB', 4 * 1024 ** 3],
  ['4gb', 4 * 1024 ** 3],
  ['1.5K', 1536],
  ['1048576', 1_048_576],
])('the size %s is %i bytes', (text, bytes) => {
  expect(parseBytes('--memory', text)).toBe(bytes);
});

test.each([
  ['90', 90_000],
  ['90s', 90_000],
  ['1h30m', 5_400_000],
  ['300ms', 300],
  ['0.5h', 1_800_000],
  ['2d', 172_800_000],
])('the time %s is %i ms', (text, ms) => {
  expect(parseDuration('--time-limit', text)).toBe(ms);
});

test.each(['', 'x', '4 G', '-4G', '4X', '99999999999T', '1e3'])(
  'the size "%s" is refused by the name of its option',
  (text) => expect(() => parseBytes('--memory', text)).toThrow('--memory'),
);

test.each(['', 'soon', '1h30', '-1s', '1 h', '9999999999999d'])(
  'the time "%s" is refused by the name of its option',
  (text) => expect(() => parseDuration('--time-limit', text)).toThrow('--time-limit'),
);

test('whole sizes come back as they were said, whatever the number and unit', () => {
  const units = ['K', 'M', 'G'] as const;
  fc.assert(
    fc.property(fc.nat(1_000_000), fc.constantFrom(...units), (count, unit) => {
      const bytes = parseBytes('--memory', `${count}${unit}`);
      return bytes === count * 1024 ** (units.indexOf(unit) + 1);
    }),
  );
});

test('cores are thousandths, and nothing that would be none', () => {
  expect(parseCores('--cores', '0.5')).toBe(500);
  for (const text of ['0', '-1', 'many', '', '0.0001'])
    expect(() => parseCores('--cores', text)).toThrow('--cores');
});

test('pairs keep what stands behind the first =, and are given once', () => {
  expect(parsePairs('--env', ['A=b=c', 'B='])).toEqual({ A: 'b=c', B: '' });
  expect(() => parsePairs('--env', ['A=1', 'A=2'])).toThrow('given twice');
  expect(() => parsePairs('--env', ['=1'])).toThrow('NAME=VALUE');
  expect(parseCounts('--resource', ['licence=2'])).toEqual({ licence: 2 });
  expect(() => parseCounts('--resource', ['licence=0'])).toThrow('from 1');
});

test.each([
  ['job_3', { jobId: 3, on: 'ok' }],
  ['3:any', { jobId: 3, on: 'any' }],
  ['job_3:ok:each', { jobId: 3, on: 'ok', each: true }],
  ['job_3:each', { jobId: 3, on: 'ok', each: true }],
])('--after %s', (text, after) => expect(readAfter(text)).toEqual(after));

test.each(['', 'three', 'job_3.1', 'job_3:', 'job_3:none', 'job_3:each:ok', 'job_3:ok:any'])(
  '--after "%s" is refused',
  (text) => expect(() => readAfter(text)).toThrow('--after'),
);

test('without retry options nothing is said of retries; with details alone it is asked how many', () => {
  expect(readRetry(lists)).toBeUndefined();
  expect(readRetry({ ...lists, retries: 0 })).toEqual({ limit: 0 });
  expect(() => readRetry({ ...lists, retryBackoff: '5s' })).toThrow('--retries N');
});

test('codes and signals alone narrow retries to such ends', () => {
  const retry = readRetry({
    ...lists,
    retries: 3,
    retryExitCode: ['75,76'],
    retrySignal: ['SIGSEGV', 'kill'],
  });
  expect(retry).toEqual({
    limit: 3,
    on: ['exit_code', 'signal'],
    exitCodes: [75, 76],
    signals: [os.constants.signals.SIGSEGV, os.constants.signals.SIGKILL],
  });
});

test('every retry option finds its place in the spec', () => {
  const retry = readRetry({
    ...lists,
    retries: 5,
    retryOn: ['exit,memory', 'time'],
    retryBackoff: '10s',
    retryBackoffMax: '5m',
    retryMemoryFactor: 1.5,
    retryMemoryMax: '16G',
  });
  expect(retry).toEqual({
    limit: 5,
    on: ['exit_code', 'out_of_memory', 'time_limit'],
    backoffMs: 10_000,
    backoffMsMax: 300_000,
    memoryFactor: 1.5,
    memoryBytesMax: 16 * 1024 ** 3,
  });
});

test.each([
  [{ retryOn: ['sometimes'] }, '--retry-on sometimes'],
  [{ retryExitCode: ['0'] }, '--retry-exit-code 0'],
  [{ retryExitCode: ['256'] }, '--retry-exit-code 256'],
  [{ retrySignal: ['SIGNAL'] }, '--retry-signal SIGNAL'],
  [{ retryOn: ['exit'], retryMemoryMax: '4G' }, 'add memory to --retry-on'],
  [{ retryMemoryFactor: 2 }, 'needs --retry-memory-max'],
])('retry options that make no sense are refused: %j', (options, message) => {
  expect(() => readRetry({ ...lists, retries: 1, ...options })).toThrow(message);
});

test('every signal of this system is known by name and number', () => {
  for (const [name, number] of Object.entries(os.constants.signals)) {
    expect(readSignal(name)).toBe(number);
    if (number >= 1) expect(readSignal(String(number))).toBe(number);
  }
});

test('a wrong range is shown with a mark below its place', () => {
  expect(() => readArrayOption({ ...lists, array: '0-9,5' })).toThrow(/0-9,5\n {6}\^/);
  expect(() => readArrayOption({ ...lists, array: '0-9', each: 'x' })).toThrow('exclude');
});

test('a checkpoint is words between blanks, and its time needs it', () => {
  const { checkpoint } = readOptions(['x'], { ...lists, checkpoint: ' save  now ' });
  expect(checkpoint).toEqual({ argv: ['save', 'now'] });
  expect(() => readOptions(['x'], { ...lists, checkpoint: ' ' })).toThrow('a program is expected');
  expect(() => readOptions(['x'], { ...lists, checkpointTime: '5s' })).toThrow('--checkpoint');
});

test('an input may get another name; only its last = counts', () => {
  expect(readInput('/a/b.txt')).toEqual({ file: '/a/b.txt', path: 'b.txt' });
  expect(readInput('/a/x=1.txt=in/y.txt')).toEqual({ file: '/a/x=1.txt', path: 'in/y.txt' });
  expect(() => readInput('/a/b=')).toThrow('--input');
});

test('a job is named after its program, as far as a name may go', () => {
  expect(readOptions(['/opt/bin/dftb+', 'in'], lists).name).toBe('dftb+');
  expect(readOptions([`/opt/${'x'.repeat(300)}`], lists).name).toBe('x'.repeat(200));
  expect(readOptions(['/'], lists).name).toBeUndefined();
});
