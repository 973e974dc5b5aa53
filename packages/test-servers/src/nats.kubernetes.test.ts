import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { connect as connectTls } from 'node:tls';
import { expect, test } from 'vitest';
import { startNats } from './index.ts';

/** What a server says of itself to whoever connects, before TLS begins. */
async function greeting(url: string): Promise<Record<string, unknown>> {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  try {
    for await (const chunk of socket.setEncoding('utf8')) {
      return JSON.parse(String(chunk).replace(/^INFO /, '')) as Record<string, unknown>;
    }
    throw new Error('the server said nothing');
  } finally {
    socket.destroy();
  }
}

test('a server with JetStream says so, and comes back after a kill with its folder', async () => {
  const directory = await mkdtemp(path.join(os.tmpdir(), 'majorana-streams-'));
  {
    await using nats = await startNats({ jetStream: true, directory });
    expect(await greeting(nats.url)).toMatchObject({ version: '2.15.2', jetstream: true });
    await nats.kill();
    await expect(greeting(nats.url)).rejects.toThrow(/ECONNREFUSED/);
    await nats.restart();
    expect(await greeting(nats.url)).toMatchObject({ jetstream: true });
  }
  expect(await readdir(directory)).toContain('jetstream');
  await rm(directory, { recursive: true });
});

test('a server with TLS demands it, and its certificate is of the authority of the test', async () => {
  await using nats = await startNats({
    tls: true,
    accounts: { A: { users: [{ user: 'a', password: 'b' }] } },
  });
  expect(await greeting(nats.url)).toMatchObject({ tls_required: true, auth_required: true });
  const { hostname, port } = new URL(nats.url);
  const plain = connect(Number(port), hostname);
  await new Promise((resolve) => plain.once('data', resolve));
  const secure = connectTls({ socket: plain, host: hostname, ca: await readFile(nats.caPath!) });
  await new Promise((resolve, reject) =>
    secure.once('secureConnect', resolve).once('error', reject),
  );
  expect(secure.authorized).toBe(true);
  secure.destroy();
});

test('a configuration that the server refuses is told with the end of its log', async () => {
  const refused = startNats({ accounts: { A: { users: 'nobody' } } });
  await expect(refused).rejects.toThrow(/nats-server ended with 1; its log ends:\n.*users/s);
});
