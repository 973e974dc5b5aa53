import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { parse } from 'yaml';
import { z } from 'zod';

const run = promisify(execFile);

/** What a connection needs; the token may change, so it is asked for again. */
export interface Access {
  readonly server: string;
  readonly ca?: string;
  readonly serverName?: string;
  readonly isUnverified: boolean;
  /** An HTTP proxy on the way there. */
  readonly proxyUrl?: string;
  readonly credentials: () => Promise<Credentials>;
}

export interface Credentials {
  readonly token?: string;
  readonly cert?: string;
  readonly key?: string;
}

const execSchema = z.object({
  apiVersion: z.string(),
  command: z.string(),
  args: z.array(z.string()).nullish(),
  env: z.array(z.object({ name: z.string(), value: z.string() })).nullish(),
  installHint: z.string().nullish(),
});
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

/** What is wrong with a kubeconfig, and in which file. */
export class KubeconfigError extends Error {
  override name = 'KubeconfigError';
}

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

const credentialSchema = z.object({
  status: z.object({
    token: z.string().optional(),
    clientCertificateData: z.string().optional(),
    clientKeyData: z.string().optional(),
    expirationTimestamp: z.string().optional(),
  }),
});
const EXEC_PATIENCE_MS = 60_000;
/** Asked for again before it is over. */
const EXPIRY_MARGIN_MS = 60_000;

/** Its own words may hold a token: they are not repeated. */
async function output(
  { command, args, installHint }: z.output<typeof execSchema>,
  options: { readonly timeout: number; readonly env: NodeJS.ProcessEnv },
): Promise<string> {
  try {
    return (await run(command, args ?? [], options)).stdout;
  } catch (error) {
    const { code, signal } = error as { code?: string | number; signal?: string };
    if (code === 'ENOENT')
      throw new KubeconfigError(
        `${command}: this credential program of the kubeconfig is not there; install it, or put it in PATH${installHint ? `: ${installHint.trim()}` : ''}`,
      );
    throw new KubeconfigError(
      `${command}: it gave no credentials (${code ?? signal}); run it by hand to see why`,
    );
  }
}

function readCredential(text: string, command: string): z.output<typeof credentialSchema> {
  try {
    return credentialSchema.parse(JSON.parse(text));
  } catch {
    throw new KubeconfigError(`${command}: it printed no ExecCredential with a status`);
  }
}

/** Credentials of a cloud's own program, by the protocol of client-go's credential plugins. */
function fromProgram(exec: z.output<typeof execSchema>): () => Promise<Credentials> {
  let kept: { readonly credentials: Credentials; readonly untilMs: number } | undefined;
  return async () => {
    if (kept !== undefined && Date.now() < kept.untilMs) return kept.credentials;
    const { apiVersion, command, env } = exec;
    const info = { apiVersion, kind: 'ExecCredential', spec: { interactive: false } };
    const stdout = await output(exec, {
      timeout: EXEC_PATIENCE_MS,
      env: {
        ...process.env,
        ...Object.fromEntries((env ?? []).map(({ name, value }) => [name, value])),
        KUBERNETES_EXEC_INFO: JSON.stringify(info),
      },
    });
    const { status } = readCredential(stdout, command);
    const { token, clientCertificateData: cert, clientKeyData: key, expirationTimestamp } = status;
    const credentials = { ...(token && { token }), ...(cert && { cert }), ...(key && { key }) };
    const untilMs = expirationTimestamp
      ? Date.parse(expirationTimestamp) - EXPIRY_MARGIN_MS
      : Infinity;
    kept = { credentials, untilMs };
    return credentials;
  };
}

/** A path is relative to the kubeconfig; a bare name is looked for in PATH. */
const located = (command: string, folder: string): string =>
  command.includes('/') ? path.resolve(folder, command) : command;

async function credentialsOf(user: User, folder: string): Promise<() => Promise<Credentials>> {
  if (user.exec !== undefined)
    return fromProgram({ ...user.exec, command: located(user.exec.command, folder) });
  const { token, tokenFile } = user;
  const cert = await material(user['client-certificate-data'], user['client-certificate'], folder);
  const key = await material(user['client-key-data'], user['client-key'], folder);
  const pair = { ...(cert && { cert }), ...(key && { key }) };
  return async () => {
    // Kubernetes renews a mounted token in place.
    const text = tokenFile === undefined ? token : await readText(path.resolve(folder, tokenFile));
    return { ...pair, ...(text && { token: text.trim() }) };
  };
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

export async function readKubeconfig(file: string, context?: string): Promise<Access> {
  const config = readConfig(parseYaml(await readText(file), file), file);
  const name = context ?? config['current-context'] ?? '';
  const chosen = find<z.output<typeof contextSchema>>(config.contexts, 'context', name, file);
  const cluster = find<z.output<typeof clusterSchema>>(
    config.clusters,
    'cluster',
    chosen.cluster,
    file,
  );
  const user = find<User>(config.users, 'user', chosen.user, file);
  requireWay(cluster, chosen.cluster, file);
  requireLogin(user, chosen.user, file);
  const folder = path.dirname(path.resolve(file));
  const proxyUrl = cluster['proxy-url'];
  const ca = await material(
    cluster['certificate-authority-data'],
    cluster['certificate-authority'],
    folder,
  );
  return {
    server: cluster.server.replace(/\/$/, ''),
    ...(ca !== undefined && { ca }),
    ...(cluster['tls-server-name'] !== undefined && { serverName: cluster['tls-server-name'] }),
    isUnverified: cluster['insecure-skip-tls-verify'] === true,
    ...(proxyUrl && { proxyUrl }),
    credentials: await credentialsOf(user, folder),
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
    ca: await readFile(`${ACCOUNT}/ca.crt`, 'utf8'),
    isUnverified: false,
    credentials: async () => ({ token: (await readFile(`${ACCOUNT}/token`, 'utf8')).trim() }),
  };
}
