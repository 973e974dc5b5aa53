import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { runKubernetesAgent } from './run.ts';
import { readSettings } from './settings.ts';

let folder: string;
const at = (name: string): string => path.join(folder, name);
beforeAll(async () => {
  folder = await mkdtemp(path.join(os.tmpdir(), 'majorana-run-'));
  const config = {
    'current-context': 'c',
    contexts: [{ name: 'c', context: { cluster: 'c', user: 'u' } }],
    clusters: [{ name: 'c', cluster: { server: 'https://127.0.0.1:1' } }],
    users: [{ name: 'u', user: { token: 't' } }],
  };
  await writeFile(at('kubeconfig'), JSON.stringify(config));
  await writeFile(at('empty'), '\n');
});
afterAll(() => rm(folder, { recursive: true, force: true }));

test.each([
  ['missing', 'cannot be read (ENOENT)'],
  ['empty', 'it is empty'],
])('an agent does not start with a token file that is %s', async (name, words) => {
  const given = { name: 'lab', 'token-file': at(name), kubeconfig: at('kubeconfig') };
  const settings = readSettings(given, { MAJORANA_URL: 'http://127.0.0.1:1' });
  const stopped = AbortSignal.timeout(10_000);
  await expect(runKubernetesAgent(settings, stopped, () => undefined)).rejects.toThrow(
    `--token-file ${at(name)}: ${words}`,
  );
});
