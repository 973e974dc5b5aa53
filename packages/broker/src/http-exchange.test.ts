import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import net from 'node:net';
import { expect, test } from 'vitest';
import { apiFetch } from './http-exchange.ts';

/** Of a server that has just gone: nobody listens there. */
async function deadUrl(): Promise<string> {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  await once(server.close(), 'close');
  return `http://127.0.0.1:${port}`;
}

test('a control plane that is not there is named, with the reason', async () => {
  const url = await deadUrl();
  await expect(apiFetch(url, async () => 't')('agents/sync', {})).rejects.toThrow(
    `${url} cannot be reached: connect ECONNREFUSED ${url.slice('http://'.length)}`,
  );
});

test('who gives a request up is told his own reason', async () => {
  const signal = AbortSignal.abort('cut');
  const asked = apiFetch(await deadUrl(), async () => 't')('agents/sync', { signal });
  await expect(asked).rejects.toBe('cut');
});
