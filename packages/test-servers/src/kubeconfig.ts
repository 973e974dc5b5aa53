import { readFile, writeFile } from 'node:fs/promises';
import type { Certificate } from './certificates.ts';
import type { KubernetesAccess } from './kubernetes-api.ts';

/** A kubeconfig is YAML, and JSON is YAML. */
interface Kubeconfig {
  readonly server: string;
  readonly caPath: string;
  readonly user: { readonly token: string } | { readonly certificate: Certificate };
  /** When the server is reached by an address that its certificate does not name. */
  readonly serverName?: string;
}

export async function writeKubeconfig(file: string, config: Kubeconfig): Promise<string> {
  const ca = await readFile(config.caPath);
  const user =
    'token' in config.user
      ? { token: config.user.token }
      : {
          'client-certificate': config.user.certificate.certificatePath,
          'client-key': config.user.certificate.keyPath,
        };
  const cluster = {
    server: config.server,
    'certificate-authority-data': ca.toString('base64'),
    ...(config.serverName === undefined ? {} : { 'tls-server-name': config.serverName }),
  };
  const content = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'test', cluster }],
    users: [{ name: 'test', user }],
    contexts: [{ name: 'test', context: { cluster: 'test', user: 'test' } }],
    'current-context': 'test',
  };
  await writeFile(file, `${JSON.stringify(content, undefined, 2)}\n`, { mode: 0o600 });
  return file;
}

/** The access that a kubeconfig written here grants; only those with a token. */
export async function readKubeconfig(file: string): Promise<KubernetesAccess> {
  const { clusters, users } = JSON.parse(await readFile(file, 'utf8')) as {
    clusters: [{ cluster: { server: string; 'certificate-authority-data': string } }];
    users: [{ user: { token?: string } }];
  };
  const { token } = users[0].user;
  if (token === undefined) throw new Error(`${file} holds no token`);
  const { server, 'certificate-authority-data': ca } = clusters[0].cluster;
  return { server, caPem: Buffer.from(ca, 'base64').toString(), token };
}
