import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import fc from 'fast-check';
import { afterAll, expect, test } from 'vitest';
import { csvRecords, jsonRecords, lineRecords, paramRecords } from './records.ts';
import type { TextSource } from './text-source.ts';
import { openText } from './text-source.ts';

const folder = mkdtempSync(path.join(os.tmpdir(), 'majorana-records-'));
afterAll(() => rmSync(folder, { recursive: true }));

async function* inPieces(text: string, size: number): AsyncGenerator<string> {
  for (let at = 0; at < text.length; at += size) yield text.slice(at, at + size);
}
const source = (text: string, size = 7): TextSource => ({
  name: 'runs',
  chunks: inPieces(text, size),
});

async function collect(records: AsyncIterable<string>): Promise<unknown[]> {
  let text = '';
  for await (const piece of records) text += piece;
  return text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as unknown);
}

test('each line is a record, with LF or CRLF, an empty one too; the last needs no end', async () => {
  const records = await collect(lineRecords(source('one\r\n\ntwo "x"\nthree')));
  expect(records.map((record) => (record as { line: string }).line)).toEqual([
    'one',
    '',
    'two "x"',
    'three',
  ]);
});

test('lines come back whole, wherever the pieces are cut', async () => {
  const line = fc
    .string({ unit: 'binary', maxLength: 20 })
    .map((text) => text.replaceAll(/[\0\r\n]/g, ''));
  await fc.assert(
    fc.asyncProperty(
      fc.array(line, { minLength: 1 }),
      fc.integer({ min: 1, max: 9 }),
      async (lines, size) => {
        const records = await collect(lineRecords(source(`${lines.join('\n')}\n`, size)));
        expect(records).toEqual(
          lines.map((text) => ({ line: text.toWellFormed() === text ? text : expect.any(String) })),
        );
      },
    ),
  );
});

test('JSON lines: strings stay as they are, other values become JSON text', async () => {
  const text = '{"a":"x","b":1.50,"c":[1,{"d":null}]}\n\n{"c":true,"b":"2","a":null}\n';
  expect(await collect(jsonRecords(source(text)))).toEqual([
    { a: 'x', b: '1.5', c: '[1,{"d":null}]' },
    { a: 'null', b: '2', c: 'true' },
  ]);
});

test('CSV: header, quotes, line feeds inside them, spaces around values', async () => {
  const text = 'molecule, t\nurea , 300\n"ben, zene","two\nlines"\n';
  expect(await collect(csvRecords(source(text), ','))).toEqual([
    { molecule: 'urea', t: '300' },
    { molecule: 'ben, zene', t: 'two\nlines' },
  ]);
});

test.each([
  ['{"a":1}\n{"a":\n', 'runs, line 2'],
  ['{"a":1}\n\n{"b":2}\n', 'runs, line 3: the field b is not in the first record'],
  ['{"a":1,"b":1}\n{"a":2}\n', 'runs, line 2: lacks the field b'],
  ['[1]\n', 'runs, line 1: each line is one JSON object'],
  ['{"my field":1}\n', 'runs, line 1: "my field" is no field name'],
  ['{"a":"\\u0000"}\n', 'runs, line 1: a holds a NUL'],
  ['\n', 'runs: holds no record'],
])('JSON lines that are wrong are told by line: %j', async (text, message) => {
  await expect(collect(jsonRecords(source(text)))).rejects.toThrow(message);
});

test.each([
  ['a,b\n1,2\n1,2,3\n', 'line 3'],
  ['a,a\n1,2\n', 'runs, line 1: the column a comes twice'],
  ['a,b c\n1,2\n', 'runs, line 1: "b c" is no field name'],
  ['a,b\n1,"2\n', 'runs: '],
  ['a,b\n', 'runs: holds no record'],
  [`a,b\n1,2\n1,${'x'.repeat(65_537)}\n`, 'runs, line 3: b is longer'],
])('CSV that is wrong is told by line', async (text, message) => {
  await expect(collect(csvRecords(source(text, 1000), ','))).rejects.toThrow(message);
});

test('what has no telling name is known by its first character', async () => {
  expect(await collect(paramRecords('-', source('\n {"a":1}\n')))).toEqual([{ a: '1' }]);
  expect(await collect(paramRecords('-', source('a\n1\n')))).toEqual([{ a: '1' }]);
  expect(await collect(paramRecords('x.tsv', source('a\tb\n1\t2\n')))).toEqual([
    { a: '1', b: '2' },
  ]);
});

test('a line without end is refused before it fills the memory', async () => {
  await expect(collect(lineRecords(source('x'.repeat(200_000), 5000)))).rejects.toThrow(
    'runs, line 1: longer than',
  );
});

test('bytes that are no UTF-8 are told with their line, a missing file with its name', async () => {
  const file = path.join(folder, 'latin1.txt');
  writeFileSync(file, Buffer.from([0x61, 0x0a, 0xe4, 0x0a]));
  await expect(collect(lineRecords(await openText(file)))).rejects.toThrow(`${file}: not UTF-8`);
  await expect(openText(path.join(folder, 'none'))).rejects.toThrow('cannot be read (ENOENT)');
});

test('a million and one records are one too many', async () => {
  const text = 'x\n'.repeat(1_000_001);
  await expect(collect(lineRecords(source(text, 100_000)))).rejects.toThrow('more than 1000000');
});
