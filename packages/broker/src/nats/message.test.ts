import { zstdCompressSync } from 'node:zlib';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Assembly, decode, encode, split } from './message.ts';

const messages = fc.array(fc.string({ maxLength: 400 }), { maxLength: 200 });

test('any message in parts of any size comes together again', async () => {
  await fc.assert(
    fc.asyncProperty(messages, fc.integer({ min: 1, max: 2000 }), async (message, payload) => {
      const assembly = new Assembly();
      const parts = split(await encode(message), payload);
      const wholes = parts.map((part) => assembly.add(part));
      expect(wholes.slice(0, -1).every((whole) => whole === undefined)).toBe(true);
      expect(await decode(wholes.at(-1)!)).toEqual(message);
      const size = Math.max(1, payload - 512);
      expect(parts.every(({ data }) => data.length <= size)).toBe(true);
    }),
  );
});

test('a part that is missing, doubled or no part is an error', () => {
  const parts = split(new Uint8Array(5), 513);
  for (const order of [[0, 2], [1], [0, 0], [0, 1, 1]]) {
    const assembly = new Assembly();
    const add = (): void => order.forEach((at) => assembly.add(parts[at]!));
    expect(add).toThrow(/part of the message was lost/);
  }
  for (const place of ['0/1', '2/1', '-1/1', '1/', 'x'])
    expect(() => new Assembly().add({ data: new Uint8Array(1), place })).toThrow(/was lost/);
});

test('a message that is too long is refused before it is sent, and before it fills the memory', async () => {
  await expect(encode('x'.repeat(64 * 1024 * 1024))).rejects.toThrow(/67108866 bytes is too long/);
  await expect(decode(zstdCompressSync(Buffer.alloc(65 * 1024 * 1024)))).rejects.toThrow();
});
