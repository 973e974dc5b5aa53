import { chmod, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest';
import { stringify } from 'yaml';
import { readKubeconfig } from './kubeconfig.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(path.join(os.tmpdir(), 'majorana-kubeconfig-'));
});
afterEach(() => void vi.useRealTimers());
afterAll(() => rm(folder, { recursive: true, force: true }));

const base64 = (text: string): string => Buffer.from(text).toString('base64');

async function write(user: object, cluster: object = {}): Promise<string> {
  const file = path.join(folder, `${crypto.randomUUID()}.yaml`);
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': 'here',
    contexts: [{ name: 'here', context: { cluster: 'c', user: 'u', namespace: 'n' } }],
    clusters: [{ name: 'c', cluster: { server: 'https://10.0.0.1:6443/', ...cluster } }],
    users: [{ name: 'u', user }],
  };
  await writeFile(file, stringify(config));
  return file;
}

test('a token and an authority in the file are taken as they are', async () => {
  const file = await write({ token: 't' }, { 'certificate-authority-data': base64('CA') });
  const { secrets, ...access } = await readKubeconfig(file);
  expect(access).toEqual({ server: 'https://10.0.0.1:6443', isUnverified: false });
  expect(await secrets()).toEqual({ token: 't', ca: 'CA' });
});

test('a certificate and its key are taken from the file, or from files beside it', async () => {
  const inside = await write({
    'client-certificate-data': base64('CERT'),
    'client-key-data': base64('KEY'),
  });
  expect(await (await readKubeconfig(inside)).secrets()).toEqual({ cert: 'CERT', key: 'KEY' });
  await writeFile(path.join(folder, 'a.crt'), 'CERT2');
  await writeFile(path.join(folder, 'a.key'), 'KEY2');
  const beside = await write({ 'client-certificate': 'a.crt', 'client-key': 'a.key' });
  expect(await (await readKubeconfig(beside)).secrets()).toEqual({
    cert: 'CERT2',
    key: 'KEY2',
  });
});

test('a token in a file is read again each time: it is renewed in place', async () => {
  const token = path.join(folder, 'token');
  await writeFile(token, 'first\n');
  const { secrets } = await readKubeconfig(await write({ tokenFile: token }));
  expect(await secrets()).toEqual({ token: 'first' });
  await writeFile(token, 'second\n');
  expect(await secrets()).toEqual({ token: 'second' });
});

async function program(expiresInMs: number): Promise<string> {
  const file = path.join(folder, `${crypto.randomUUID()}.mjs`);
  const source = `#!${process.execPath}
import { appendFileSync, readFileSync } from 'node:fs';
appendFileSync('${file}.calls', '.');
const { apiVersion, kind } = JSON.parse(process.env.KUBERNETES_EXEC_INFO);
const token = [process.argv[2], process.env.REGION, readFileSync('${file}.calls').length].join('-');
const expirationTimestamp = new Date(Date.now() + ${expiresInMs}).toISOString();
console.info(JSON.stringify({ apiVersion, kind, status: { token, expirationTimestamp } }));
`;
  await writeFile(file, source);
  await chmod(file, 0o700);
  return file;
}

const execOf = (command: string): object => ({
  exec: {
    apiVersion: 'client.authentication.k8s.io/v1',
    command,
    args: ['token'],
    env: [{ name: 'REGION', value: 'de' }],
  },
});

test('a cloud’s own program gives a token, and is asked again only when that is nearly over', async () => {
  const lasting = await readKubeconfig(await write(execOf(await program(3_600_000))));
  expect(await lasting.secrets()).toEqual({ token: 'token-de-1' });
  expect(await lasting.secrets()).toEqual({ token: 'token-de-1' });
  const brief = await readKubeconfig(await write(execOf(await program(30_000))));
  expect(await brief.secrets()).toEqual({ token: 'token-de-1' });
  expect(await brief.secrets()).toEqual({ token: 'token-de-2' });
});

test('a program is asked again when what it gave is refused, and not for each refusal', async () => {
  vi.useFakeTimers({ toFake: ['Date'] });
  const { secrets } = await readKubeconfig(await write(execOf(await program(3_600_000))));
  expect(await secrets()).toEqual({ token: 'token-de-1' });
  expect(await secrets(true)).toEqual({ token: 'token-de-1' });
  vi.setSystemTime(Date.now() + 10_000);
  expect(await secrets()).toEqual({ token: 'token-de-1' });
  expect(await secrets(true)).toEqual({ token: 'token-de-2' });
  expect(await secrets(true)).toEqual({ token: 'token-de-2' });
});

test('a kubeconfig that is written anew is read again', async () => {
  const authority = { 'certificate-authority-data': base64('CA') };
  const file = await write({ token: 'first' }, authority);
  const { secrets } = await readKubeconfig(file);
  expect(await secrets()).toEqual({ token: 'first', ca: 'CA' });
  await rename(await write({ token: 'second' }, { ...authority, server: 'https://lab' }), file);
  expect(await secrets()).toEqual({ token: 'second', ca: 'CA' });
  await rm(file);
  await expect(secrets()).rejects.toThrow(`${file}: cannot be read (ENOENT)`);
});

test('a program that fails or says nothing of use is named', async () => {
  const missing = await readKubeconfig(await write(execOf('/no/such/program')));
  await expect(missing.secrets()).rejects.toThrow('/no/such/program: ');
  const silent = await readKubeconfig(await write(execOf('/bin/true')));
  await expect(silent.secrets()).rejects.toThrow('/bin/true: it printed no ExecCredential');
});

test('a program with a path is looked for beside the kubeconfig', async () => {
  const file = await program(3_600_000);
  const access = await readKubeconfig(await write(execOf(`./${path.basename(file)}`)));
  expect(await access.secrets()).toEqual({ token: 'token-de-1' });
});

test('a program that is not there is named with what its makers say about it', async () => {
  const user = {
    exec: { apiVersion: 'v1', command: 'no-such-login', installHint: 'get it here\n' },
  };
  const { secrets } = await readKubeconfig(await write(user));
  await expect(secrets()).rejects.toThrow(
    'no-such-login: this credential program of the kubeconfig is not there; install it, or put it in PATH: get it here',
  );
});

test('a proxy on the way is kept, unless it is of a kind that does not work', async () => {
  const file = await write({ token: 't' }, { 'proxy-url': 'http://proxy:3128' });
  expect(await readKubeconfig(file)).toMatchObject({ proxyUrl: 'http://proxy:3128' });
  const other = await write({ token: 't' }, { 'proxy-url': 'socks5://proxy:1080' });
  await expect(readKubeconfig(other)).rejects.toThrow(
    'of proxy-url only http:// and https:// work',
  );
});

test.each([
  [{ 'auth-provider': { name: 'oidc' } }, 'other ways to log in do not work'],
  [{ username: 'a', password: 'b' }, 'the user "u" has no token, tokenFile, client-certificate'],
  [{ 'client-certificate-data': 'Q0VSVA==' }, 'a client certificate and no key'],
  [{ 'client-key-data': 'S0VZ' }, 'a client key and no certificate'],
])('a user who could not log in is refused, not sent on as nobody: %j', async (user, words) => {
  await expect(readKubeconfig(await write(user))).rejects.toThrow(words);
});

test('an address without TLS is refused', async () => {
  const file = await write({ token: 't' }, { server: 'http://127.0.0.1:8001' });
  await expect(readKubeconfig(file)).rejects.toThrow('it has to be an https:// address');
});

test('what is wrong with a kubeconfig is said with its file', async () => {
  const file = await write({ token: 't' });
  await expect(readKubeconfig(file, 'there')).rejects.toThrow(
    `${file}: there is no context "there"; it has here`,
  );
  const missing = path.join(folder, 'missing');
  await expect(readKubeconfig(missing)).rejects.toThrow(`${missing}: cannot be read (ENOENT)`);
  await writeFile(path.join(folder, 'list'), '- a\n- b\n');
  await expect(readKubeconfig(path.join(folder, 'list'))).rejects.toThrow('no kubeconfig');
  await writeFile(path.join(folder, 'empty'), '');
  await expect(readKubeconfig(path.join(folder, 'empty'))).rejects.toThrow(
    'empty: no kubeconfig: Invalid input: expected object, received null',
  );
  await writeFile(path.join(folder, 'broken'), 'a: [b');
  await expect(readKubeconfig(path.join(folder, 'broken'))).rejects.toThrow('no YAML');
  const lost = await write({ 'client-certificate': 'lost.crt', 'client-key': 'lost.key' });
  await expect(readKubeconfig(lost)).rejects.toThrow(/lost.crt: cannot be read \(ENOENT\)/);
});
