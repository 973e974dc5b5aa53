import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { Client } from '@majorana/client';
import fc from 'fast-check';
import { afterAll, expect, test } from 'vitest';
import { forEachConcurrently } from './concurrent.ts';
import { readJobId, readTarget } from './ids.ts';
import { tailStart } from './logs.ts';
import { formatDuration, table } from './output.ts';
import { pathBelow, writeResults } from './results.ts';
import { mapInOrder } from './submit/upload.ts';

const folder = mkdtempSync(path.join(os.tmpdir(), 'majorana-reading-'));
afterAll(() => rmSync(folder, { recursive: true }));

test('ids are taken with and without their prefix; what is none is told', () => {
  expect(readTarget('42')).toEqual({ kind: 'job', id: 'job_42' });
  expect(readTarget('42.7')).toEqual({ kind: 'task', id: 'job_42.7' });
  expect(readTarget('job_42.7.2')).toEqual({ kind: 'task', id: 'job_42.7', attemptNumber: 2 });
  expect(() => readTarget('demo')).toThrow('"demo" is no job or task id');
  expect(() => readJobId('job_42.7')).toThrow('job_42.7 is a task; a job is expected');
});

test.each(['../x', 'a/../../x', '/etc/passwd', '..', '.', '', 'a/..', 'a\0b', 'a/'])(
  'the name %j does not lead out of the folder',
  (name) => expect(pathBelow(folder, name)).toBeUndefined(),
);

test('whatever the name, the path is below the folder or there is none', () => {
  const part = fc.oneof(fc.constantFrom('..', '.', '', 'a', '...', '~', 'C:'), fc.string());
  fc.assert(
    fc.property(
      fc.array(part).map((parts) => parts.join('/')),
      (name) => {
        const target = pathBelow('/out', name);
        expect(target === undefined || path.resolve(target).startsWith('/out/')).toBe(true);
      },
    ),
  );
});

test('a file that leads out is refused and named, and nothing is written for it', async () => {
  const artifact = {
    role: 'output' as const,
    path: '../evil',
    object: 'a'.repeat(64),
    sizeBytes: 1,
    taskId: 'job_1.0',
    taskIndex: 0,
    attemptNumber: 1,
  };
  const nobody = new Client('http://127.0.0.1:9', 'token');
  const report = await writeResults(nobody, [artifact], () => path.join(folder, 'out'), {
    folder,
    hasLogs: false,
  });
  expect(report).toMatchObject({ written: 0, refused: ['job_1.0: ../evil'] });
  expect(readdirSync(folder)).toEqual([]);
});

test('what is there with the same content is kept; what is not whole leaves no trace', async () => {
  const file = path.join(folder, 'kept');
  writeFileSync(file, 'hello');
  const object = '2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824';
  const same = {
    role: 'output' as const,
    path: 'kept',
    object,
    sizeBytes: 5,
    taskId: 'job_1.0',
    taskIndex: 0,
    attemptNumber: 1,
  };
  const nobody = new Client('http://127.0.0.1:9', 'token');
  const options = { folder, hasLogs: false };
  expect(await writeResults(nobody, [same], () => folder, options)).toMatchObject({ kept: 1 });
  const other = { ...same, object: 'b'.repeat(64) };
  await expect(writeResults(nobody, [other], () => folder, options)).rejects.toThrow('no answer');
  expect(readdirSync(folder)).toEqual(['kept']);
  expect(readFileSync(file, 'utf8')).toBe('hello');
});

test('the last lines begin where they should, with and without an end of line', () => {
  const lines = fc.array(fc.stringMatching(/^[a-z]{0,5}$/), { minLength: 1, maxLength: 20 });
  fc.assert(
    fc.property(lines, fc.integer({ min: 1, max: 25 }), (list, count) => {
      const text = Buffer.from(`${list.join('\n')}\n`);
      const start = tailStart(text, count) ?? 0;
      expect(text.subarray(start).toString()).toBe(`${list.slice(-count).join('\n')}\n`);
    }),
  );
});

test('things are done at most so many at once, each once, and results keep their order', async () => {
  let running = 0;
  let most = 0;
  const act = async (item: number): Promise<number> => {
    most = Math.max(most, (running += 1));
    await new Promise((resolve) => setTimeout(resolve, (item * 7) % 5));
    running -= 1;
    return item * 2;
  };
  const items = Array.from({ length: 50 }, (_value, at) => at);
  const done: number[] = [];
  await forEachConcurrently(items, 8, async (item) => void done.push(await act(item)));
  expect(done.toSorted((a, b) => a - b)).toEqual(items.map((item) => item * 2));
  const ordered: number[] = [];
  for await (const result of mapInOrder(items, 8, act)) ordered.push(result);
  expect(ordered).toEqual(items.map((item) => item * 2));
  expect(most).toBeLessThanOrEqual(8);
});

test('the first failure ends the rest', async () => {
  const seen: number[] = [];
  const act = async (item: number): Promise<void> => {
    seen.push(item);
    if (item === 3) throw new Error('three');
  };
  await expect(forEachConcurrently([1, 2, 3, 4, 5, 6, 7, 8], 2, act)).rejects.toThrow('three');
  expect(seen).not.toContain(8);
});

test('columns are as wide as their widest cell; times are short', () => {
  expect(table(['A', 'LONG'], [['xyz', 'b']])).toBe('A    LONG\nxyz  b');
  expect([300, 45_000, 600_000, 8_000_000, 900_000_000].map(formatDuration)).toEqual([
    '0.3 s',
    '45 s',
    '10 min',
    '2.2 h',
    '10 d',
  ]);
});
