import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { connect } from 'node:net';
import { until } from '@majorana/testing';
import { expect, test } from 'vitest';

const program = `
  import { startNats } from ${JSON.stringify(new URL('./index.ts', import.meta.url).href)};
  const { url, caPath } = await startNats({ tls: true });
  process.stdout.write(JSON.stringify({ url, caPath }));
`;

const refuses = (url: string): Promise<boolean> =>
  new Promise((resolve) => {
    const { hostname, port } = new URL(url);
    const socket = connect(Number(port), hostname);
    socket.once('connect', () => resolve(false)).once('error', () => resolve(true));
    socket.once('connect', () => socket.destroy());
  });

test('a test that is killed leaves neither servers nor folders behind', async () => {
  const child = spawn(process.execPath, ['--input-type=module', '--eval', program]);
  const [said] = (await once(child.stdout, 'data')) as [Buffer];
  const { url, caPath } = JSON.parse(said.toString()) as { url: string; caPath: string };
  expect(await refuses(url)).toBe(false);
  child.kill('SIGKILL');
  await until('the server to be gone', () => refuses(url));
  await until('its folder to be gone', () => !existsSync(caPath));
});
