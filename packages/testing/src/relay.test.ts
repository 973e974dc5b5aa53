import { once } from 'node:events';
import type { Server } from 'node:net';
import { connect, createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Relay } from './relay.ts';

let server: Server;
beforeEach(async () => {
  server = createServer((socket) => socket.on('error', () => undefined).pipe(socket));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
});
afterEach(() => server.close());

test('it passes on, its line can be cut and mended, and its end waits for nobody’s', async () => {
  const { port } = server.address() as AddressInfo;
  const relay = await Relay.start(`http://127.0.0.1:${port}`);
  const talk = async () => {
    const socket = connect(relay.port, '127.0.0.1').on('error', () => undefined);
    socket.write('said');
    const said = await Promise.race([once(socket, 'data'), once(socket, 'close')]);
    return { socket, said: String(said[0]) };
  };
  const first = await talk();
  expect(first.said).toBe('said');
  relay.cut();
  await once(first.socket, 'close');
  expect((await talk()).said).toBe('false');
  relay.mend();
  const last = await talk();
  expect(last.said).toBe('said');
  await relay[Symbol.asyncDispose]();
  if (!last.socket.closed) await once(last.socket, 'close');
});
