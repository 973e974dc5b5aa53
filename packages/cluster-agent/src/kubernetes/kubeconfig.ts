import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { parse } from 'yaml';
import { z } from 'zod';
import type { Credentials } from './credential-program.ts';
import { CredentialProgram, execSchema } from './credential-program.ts';
import { KubeconfigError } from './kubeconfig-error.ts';

/** What a connection needs. */
export interface Access {
  readonly server: string;
  readonly serverName?: string;
  readonly isUnverified: boolean;
  /** An HTTP proxy on the way there. */
  readonly proxyUrl?: string;
  /** `isRefused`: the server did not take the last ones. */
  readonly secrets: (isRefused?: boolean) => Promise<Secrets>;
}

/** May change while an agent runs, so they are read again. */
export interface Secrets extends Credentials {
  /** What the server's certificate is signed by; absent: what the system trusts. */
  readonly ca?: string;
}

const named = <T extends z.ZodType>(field: string, schema: T) =>
  z.array(z.object({ name: z.string(), [field]: schema })).default([]);
const clusterSchema = z.object({
  server: z.string(),
  'certificate-authority': z.string().optional(),
  'certificate-authority-data': z.string().optional(),
  'tls-server-name': z.string().optional(),
  'insecure-skip-tls-verify': z.boolean().optional(),
  'proxy-url': z.string().optional(),
});
const userSchema = z.object({
  token: z.string().optional(),
  tokenFile: z.string().optional(),
  'client-certificate': z.string().optional(),
  'client-certificate-data': z.string().optional(),
  'client-key': z.string().optional(),
  'client-key-data': z.string().optional(),
  exec: execSchema.optional(),
});
const contextSchema = z.object({ cluster: z.string(), user: z.string() });
const configSchema = z.object({
  'current-context': z.string().optional(),
  contexts: named('context', contextSchema),
  clusters: named('cluster', clusterSchema),
  users: named('user', userSchema),
});
type User = z.output<typeof userSchema>;
type Cluster = z.output<typeof clusterSchema>;

function find<T>(list: readonly object[], field: string, name: string, where: string): T {
  const found = list.find((one) => (one as { name: string }).name === name);
  if (found !== undefined) return (found as Record<string, T>)[field]!;
  const known = list.map((one) => (one as { name: string }).name).join(', ') || 'none';
  throw new KubeconfigError(`${where}: there is no ${field} "${name}"; it has ${known}`);
}

/** Data stand in the file itself; a path is relative to it. */
async function material(
  data: string | undefined,
  file: string | undefined,
  folder: string,
): Promise<string | undefined> {
  if (data !== undefined) return Buffer.from(data, 'base64').toString();
  return file === undefined ? undefined : readText(path.resolve(folder, file));
}

const readText = (file: string): Promise<string> =>
  readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    throw new KubeconfigError(`${file}: cannot be read (${error.code})`);
  });

function parseYaml(text: string, file: string): unknown {
  try {
    return parse(text);
  } catch (error) {
    throw new KubeconfigError(`${file}: no YAML: ${(error as Error).message.split('\n')[0]}`);
  }
}

/** A path is relative to the kubeconfig; a bare name is looked for in PATH. */
const located = (command: string, folder: string): string =>
  command.includes('/') ? path.resolve(folder, command) : command;

async function pairOf(user: User, folder: string): Promise<Credentials> {
  const cert = await material(user['client-certificate-data'], user['client-certificate'], folder);
  const key = await material(user['client-key-data'], user['client-key'], folder);
  return { ...(cert && { cert }), ...(key && { key }) };
}

async function tokenOf({ token, tokenFile }: User, folder: string): Promise<Credentials> {
  const text = tokenFile === undefined ? token : await readText(path.resolve(folder, tokenFile));
  return text ? { token: text.trim() } : {};
}

async function authorityOf(cluster: Cluster, folder: string): Promise<Pick<Secrets, 'ca'>> {
  const { 'certificate-authority-data': data, 'certificate-authority': file } = cluster;
  const ca = await material(data, file, folder);
  return ca === undefined ? {} : { ca };
}

/** Without this the API server would be asked as nobody, and refuse what the user may do. */
function requireLogin(user: User, name: string, file: string): void {
  const { token, tokenFile, exec } = user;
  const hasCertificate =
    user['client-certificate'] !== undefined || user['client-certificate-data'] !== undefined;
  const hasKey = user['client-key'] !== undefined || user['client-key-data'] !== undefined;
  const who = `${file}: the user "${name}"`;
  if (hasCertificate !== hasKey)
    throw new KubeconfigError(
      `${who} has a client ${hasCertificate ? 'certificate and no key' : 'key and no certificate'}`,
    );
  if (hasCertificate || [token, tokenFile, exec].some((one) => one !== undefined)) return;
  throw new KubeconfigError(
    `${who} has no token, tokenFile, client-certificate or exec; other ways to log in do not work`,
  );
}

/** Only of the cluster that is asked for: the file may name others that work with other programs. */
function requireWay(cluster: z.output<typeof clusterSchema>, name: string, file: string): void {
  const protocolOf = (url: string): string | undefined => URL.parse(url)?.protocol;
  const { server, 'proxy-url': proxyUrl = '' } = cluster;
  const who = `${file}: the cluster "${name}"`;
  if (protocolOf(server) !== 'https:')
    throw new KubeconfigError(`${who} has the server ${server}; it has to be an https:// address`);
  if (proxyUrl !== '' && !['http:', 'https:'].includes(protocolOf(proxyUrl) ?? ''))
    throw new KubeconfigError(`${who}: of proxy-url only http:// and https:// work`);
}

function readConfig(content: unknown, file: string): z.output<typeof configSchema> {
  const checked = configSchema.safeParse(content);
  if (checked.success) return checked.data;
  const [issue] = checked.error.issues;
  const where = issue?.path.length ? `${issue.path.join('.')}: ` : '';
  throw new KubeconfigError(`${file}: no kubeconfig: ${where}${issue?.message}`);
}

interface Context {
  readonly cluster: Cluster;
  readonly user: User;
  readonly folder: string;
}

async function readContext(file: string, context: string | undefined): Promise<Context> {
  const config = readConfig(parseYaml(await readText(file), file), file);
  const name = context ?? config['current-context'] ?? '';
  const chosen = find<z.output<typeof contextSchema>>(config.contexts, 'context', name, file);
  const cluster = find<Cluster>(config.clusters, 'cluster', chosen.cluster, file);
  const user = find<User>(config.users, 'user', chosen.user, file);
  requireWay(cluster, chosen.cluster, file);
  requireLogin(user, chosen.user, file);
  return { cluster, user, folder: path.dirname(path.resolve(file)) };
}

/** The file itself may be written anew too: k3s does so when it renews what stands in it. */
export async function readKubeconfig(file: string, context?: string): Promise<Access> {
  const first = await readContext(file, context);
  // What is not there is told now, and not when the agent runs.
  await Promise.all([pairOf(first.user, first.folder), authorityOf(first.cluster, first.folder)]);
  const program = new CredentialProgram();
  const { server, 'tls-server-name': serverName, 'proxy-url': proxyUrl } = first.cluster;
  return {
    server: server.replace(/\/$/, ''),
    ...(serverName !== undefined && { serverName }),
    isUnverified: first.cluster['insecure-skip-tls-verify'] === true,
    ...(proxyUrl && { proxyUrl }),
    secrets: async (isRefused = false) => {
      const { cluster, user, folder } = await readContext(file, context);
      const { exec } = user;
      const ca = await authorityOf(cluster, folder);
      if (exec === undefined)
        return { ...ca, ...(await pairOf(user, folder)), ...(await tokenOf(user, folder)) };
      const command = located(exec.command, folder);
      return { ...ca, ...(await program.ask({ ...exec, command }, isRefused)) };
    },
  };
}

const ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount';

/** Inside a cluster, by what every pod with a service account is given. */
export async function readServiceAccount(env: NodeJS.ProcessEnv = process.env): Promise<Access> {
  const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port = '443' } = env;
  if (host === undefined)
    throw new KubeconfigError('this is no pod of a cluster; name a kubeconfig');
  const address = host.includes(':') ? `[${host}]` : host;
  return {
    server: `https://${address}:${port}`,
    isUnverified: false,
    // The kubelet renews both in place.
    secrets: async () => ({
      ca: await readText(`${ACCOUNT}/ca.crt`),
      token: (await readText(`${ACCOUNT}/token`)).trim(),
    }),
  };
}
