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
});
const named = <T extends z.ZodType>(field: string, schema: T) =>
  z.array(z.object({ name: z.string(), [field]: schema })).default([]);
const clusterSchema = z.object({
  server: z.string(),
  'certificate-authority': z.string().optional(),
  'certificate-authority-data': z.string().optional(),
  'tls-server-name': z.string().optional(),
  'insecure-skip-tls-verify': z.boolean().optional(),
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
  command: string,
  args: readonly string[],
  options: { readonly timeout: number; readonly env: NodeJS.ProcessEnv },
): Promise<string> {
  try {
    return (await run(command, args, options)).stdout;
  } catch (error) {
    const { code, signal } = error as { code?: string | number; signal?: string };
    throw new KubeconfigError(`${command}: it gave no credentials (${code ?? signal})`);
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
    const { apiVersion, command, args, env } = exec;
    const info = { apiVersion, kind: 'ExecCredential', spec: { interactive: false } };
    const stdout = await output(command, args ?? [], {
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

async function credentialsOf(user: User, folder: string): Promise<() => Promise<Credentials>> {
  if (user.exec !== undefined) return fromProgram(user.exec);
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

export async function readKubeconfig(file: string, context?: string): Promise<Access> {
  const checked = configSchema.safeParse(parseYaml(await readText(file), file));
  if (!checked.success) {
    const [issue] = checked.error.issues;
    throw new KubeconfigError(
      `${file}: no kubeconfig: ${issue?.path.join('.')}: ${issue?.message}`,
    );
  }
  const config = checked.data;
  const name = context ?? config['current-context'] ?? '';
  const chosen = find<z.output<typeof contextSchema>>(config.contexts, 'context', name, file);
  const cluster = find<z.output<typeof clusterSchema>>(
    config.clusters,
    'cluster',
    chosen.cluster,
    file,
  );
  const user = find<User>(config.users, 'user', chosen.user, file);
  const folder = path.dirname(path.resolve(file));
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
