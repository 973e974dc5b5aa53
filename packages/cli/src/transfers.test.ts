import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import type { AddressInfo } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { buffer } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { Client } from '@majorana/client';
import { TestServer } from '@majorana/control-plane/api/test-server';
import { CuttingProxy, until } from '@majorana/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { download } from './download.ts';
import { uploadFile } from './submit/upload.ts';

const MEBIBYTE = 1024 ** 2;
const CLI = fileURLToPath(new URL('../bin/majorana', import.meta.url));
const folder = mkdtempSync(path.join(os.tmpdir(), 'majorana-transfers-'));
const sha256 = (content: Buffer): string => createHash('sha256').update(content).digest('hex');
let server: TestServer;
let url: string;
let client: Client;
beforeAll(async () => {
  server = await TestServer.start();
  await server.app.listen({ host: '127.0.0.1', port: 0 });
  url = `http://127.0.0.1:${(server.app.server.address() as AddressInfo).port}`;
  client = new Client(url, server.token);
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true });
});

let count = 0;
function newFile(sizeBytes: number): { file: string; content: Buffer; object: string } {
  const file = path.join(folder, `file-${(count += 1)}`);
  const content = randomBytes(sizeBytes);
  writeFileSync(file, content);
  return { file, content, object: sha256(content) };
}
const noCuts = { target: '', seed: 0, bytesMax: 0, cuts: 0 };

test.each([1, 2, 3, 4, 5, 6])(
  'lines that break at random bytes (seed %i) break neither an upload nor a download',
  async (seed) => {
    const { file, content, object } = newFile(24 * MEBIBYTE);
    const options = { target: url, seed, bytesMax: 16 * MEBIBYTE, cuts: 6 };
    await using proxy = await CuttingProxy.start(options);
    const shaky = new Client(proxy.url, server.token, { retryForMs: 3000 });
    expect(await uploadFile(shaky, file)).toBe(object);
    const target = path.join(folder, `copy-${seed}`);
    await download(shaky, { object, sizeBytes: content.length }, target);
    expect(content.equals(readFileSync(target))).toBe(true);
    expect(proxy.cuts).toBeGreaterThan(0);
    // Each cut costs what was on its way, not the whole again.
    expect(proxy.bytes).toBeLessThan(2 * content.length + proxy.cuts * 8 * MEBIBYTE);
  },
);

test('an upload whose command was killed goes on at the next submit of the same file', async () => {
  const { file, content, object } = newFile(256 * MEBIBYTE);
  const run = (to: string): ReturnType<typeof spawn> =>
    spawn(CLI, ['submit', '--input', file, '--', 'true'], {
      env: { ...process.env, MAJORANA_URL: to, MAJORANA_TOKEN: server.token },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
  const first = run(url);
  const begun = (): number => {
    if (!existsSync(server.uploads)) return 0;
    const name = readdirSync(server.uploads).find((one) => one.endsWith(object));
    return name === undefined ? 0 : statSync(path.join(server.uploads, name)).size;
  };
  await until('a part of it to be there', () => begun() > 40 * MEBIBYTE);
  first.kill('SIGKILL');
  await using proxy = await CuttingProxy.start({ ...noCuts, target: url });
  const second = run(proxy.url);
  expect((await buffer(second.stdout!)).toString()).toMatch(/^job_\d+\n$/);
  expect((await server.objects.stat(object)).sizeBytes).toBe(content.length);
  expect(proxy.bytes).toBeLessThan(content.length - 30 * MEBIBYTE);
});

test('what is there already is not sent again, and two who send the same send it once', async () => {
  const { file, content } = newFile(32 * MEBIBYTE);
  await using proxy = await CuttingProxy.start({ ...noCuts, target: url });
  const counted = new Client(proxy.url, server.token);
  await Promise.all([uploadFile(counted, file), uploadFile(counted, file)]);
  await uploadFile(counted, file);
  expect(proxy.bytes).toBeGreaterThan(content.length);
  expect(proxy.bytes).toBeLessThan(1.5 * content.length);
});

test('a download whose command was stopped goes on where it stood', async () => {
  const { file, content, object } = newFile(24 * MEBIBYTE);
  await uploadFile(client, file);
  const target = path.join(folder, 'resumed', 'copy');
  const found = { object, sizeBytes: content.length };
  const stop = (bytes: number): void => {
    if (bytes > 10 * MEBIBYTE) throw new Error('stopped');
  };
  await expect(download(client, found, target, stop)).rejects.toThrow('stopped');
  await using proxy = await CuttingProxy.start({ ...noCuts, target: url });
  await download(new Client(proxy.url, server.token), found, target);
  expect(content.equals(readFileSync(target))).toBe(true);
  expect(proxy.bytes).toBeLessThan(16 * MEBIBYTE);
  expect(readdirSync(path.dirname(target))).toEqual(['copy']);
});

test('a file that changes while it is sent is refused, and what came is not kept as it', async () => {
  const { object } = newFile(1);
  const piece = new Blob([Buffer.from('something else')]).stream();
  const sent = client.appendUpload(object, { offset: 0, size: 14 }, piece);
  await expect(sent).rejects.toMatchObject({ status: 422, code: 'wrong_content' });
  expect(await client.uploadState(object)).toEqual({ offsetBytes: 0, isStored: false });
});

test('a piece that begins elsewhere, or is longer than announced, is refused', async () => {
  const { object } = newFile(1);
  const piece = (): ReadableStream<Uint8Array> => new Blob([Buffer.from('12345')]).stream();
  const moved = client.appendUpload(object, { offset: 3, size: 8 }, piece());
  await expect(moved).rejects.toMatchObject({ status: 409, code: 'upload_moved' });
  const long = client.appendUpload(object, { offset: 0, size: 3 }, piece());
  await expect(long).rejects.toMatchObject({ status: 422, code: 'wrong_content' });
});

test('ranges of an object are those of HTTP', async () => {
  const { object } = await client.putObject(new Blob(['0123456789']));
  const get = async (headers: Record<string, string>): Promise<(string | number | null)[]> => {
    const authorization = `Bearer ${server.token}`;
    const answer = await fetch(`${url}/api/v1/objects/${object}`, {
      headers: { ...headers, authorization },
    });
    return [answer.status, answer.headers.get('content-range'), await answer.text()];
  };
  expect(await get({})).toEqual([200, null, '0123456789']);
  expect(await get({ range: 'bytes=2-4' })).toEqual([206, 'bytes 2-4/10', '234']);
  expect(await get({ range: 'bytes=7-' })).toEqual([206, 'bytes 7-9/10', '789']);
  expect(await get({ range: 'bytes=-2' })).toEqual([206, 'bytes 8-9/10', '89']);
  expect(await get({ range: 'bytes=0-1,4-5' })).toEqual([200, null, '0123456789']);
  expect(await get({ range: 'bytes=10-' })).toContain('bytes */10');
  expect(await get({ 'if-match': `"${object}"` })).toEqual([200, null, '0123456789']);
  expect(await get({ 'if-match': '"other"' })).toContain(412);
});
