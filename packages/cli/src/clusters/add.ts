import type { FileHandle } from 'node:fs/promises';
import { open, rename, writeFile } from 'node:fs/promises';
import type { Finding } from '@majorana/cluster-agent/kubernetes/cluster-check';
import type { ClusterSettings, ClusterView } from '@majorana/protocol';
import { clusterNameSchema } from '@majorana/protocol';
import { stringify } from 'yaml';
import { connect } from '../connect.ts';
import { CliError } from '../output.ts';
import { noAnswer } from './no-answer.ts';
import type { SettingsOptions } from './settings.ts';

export interface AddOptions extends SettingsOptions {
  readonly kubeconfig: string;
  readonly context?: string;
  readonly namespace: string;
  readonly agentNamespace: string;
  readonly runnerImage: string;
  readonly gpuResource: string;
  readonly createNamespace?: boolean;
  readonly url?: string;
  readonly tokenFile?: string;
  readonly printManifest?: boolean;
}

const MARKS = { good: '✓', notice: '!', missing: '✗' } as const;

/** What is to be done stands once, below all that it mends. */
export const findingsText = (findings: readonly Finding[]): string =>
  findings
    .map(({ verdict, what, todo }, at) => {
      const isSaidBelow = todo === undefined || todo === findings[at + 1]?.todo;
      return `${MARKS[verdict]} ${what}${isSaidBelow ? '' : `\n    ${todo}`}`;
    })
    .join('\n');

/** For a program: the same that a person reads above the error. */
export const issuesOf = (findings: readonly Finding[]): { where: string; what: string }[] =>
  findings
    .filter(({ verdict }) => verdict === 'missing')
    .map(({ what, todo = '' }) => ({ where: what, what: todo }));

/** Before anything is asked of a cluster that could not be added by this name. */
export function checkName(name: string): void {
  const checked = clusterNameSchema.safeParse(name);
  if (!checked.success)
    throw new CliError(
      `the name "${name}" is not one of a cluster: ${checked.error.issues[0]?.message}`,
    );
}

/** Looks at the cluster from this machine, by the account of the kubeconfig. */
export async function check(options: AddOptions): Promise<readonly Finding[]> {
  const { readKubeconfig } = await import('@majorana/cluster-agent/kubernetes/kubeconfig');
  const { ApiServer } = await import('@majorana/cluster-agent/kubernetes/api-server');
  const { checkCluster } = await import('@majorana/cluster-agent/kubernetes/cluster-check');
  const { kubeconfig, context, namespace, runnerImage, gpuResource, createNamespace } = options;
  const access = await readKubeconfig(kubeconfig, context).catch((error: Error) => {
    throw error.name === 'KubeconfigError' ? new CliError(error.message) : error;
  });
  using api = new ApiServer(access);
  const createsNamespace = createNamespace === true;
  const settings = { namespace, runnerImage, gpuResource, createsNamespace };
  const findings = await checkCluster(api, settings).catch(async (error: Error) => {
    throw await noAnswer(error, access, Date.now());
  });
  return access.isUnverified ? [...findings, UNVERIFIED] : findings;
}

const UNVERIFIED: Finding = {
  verdict: 'notice',
  what: 'its certificate is not checked (insecure-skip-tls-verify): who is on the way reads the credentials',
  todo: 'give the kubeconfig certificate-authority-data instead',
};

/** Pods ask the control plane by this address, each from its own network. */
export function urlFindings(options: AddOptions): readonly Finding[] {
  const url = options.url ?? connect().url;
  const isLoopback = /^(localhost|127\..*|\[::1\])$/.test(URL.parse(url)?.hostname ?? '');
  if (!isLoopback) return [];
  const todo =
    'give --url its address as pods see it; "majorana up --host ADDRESS" lets it listen there';
  return [{ verdict: 'notice', what: `${url} is the pod itself to each pod`, todo }];
}

/** Makes the cluster known, as it was set before unless told, and a token that only its agent can use. */
export async function register(
  name: string,
  settings?: ClusterSettings,
): Promise<{ readonly cluster: ClusterView; readonly token: string; readonly url: string }> {
  const client = connect();
  const added = await client.addCluster(name);
  const cluster = settings === undefined ? added : await client.changeCluster(name, settings);
  const { token } = await client.addClusterToken(name);
  return { cluster, token, url: client.url };
}

const cannotWrite =
  (file: string) =>
  (error: NodeJS.ErrnoException): never => {
    const what = `${file} cannot be written: ${error.message}`;
    const isThere = error.code === 'EEXIST';
    throw new CliError(isThere ? `${file} is there already; name another with --token-file` : what);
  };

/**
 * For its owner only, and opened before there is a token to lose. One that is there already may be
 * in use, so it is not written over.
 */
export const openTokenFile = (file: string): Promise<FileHandle> =>
  open(file, 'wx', 0o600).catch(cannotWrite(file));

/** An agent reads its file for each exchange: it finds the old token or the new one, whole. */
export async function replaceToken(file: string, token: string): Promise<void> {
  const part = `${file}.new`;
  await writeFile(part, `${token}\n`, { mode: 0o600 }).catch(cannotWrite(part));
  await rename(part, file).catch(cannotWrite(file));
}

export function agentCommand(name: string, url: string, options: AddOptions, file: string): string {
  const { kubeconfig, context, namespace, runnerImage } = options;
  const words = [
    ['--name', name],
    ['--url', options.url ?? url],
    ['--token-file', file],
    ['--kubeconfig', kubeconfig],
    ...(context === undefined ? [] : [['--context', context]]),
    ['--namespace', namespace],
    ['--runner-image', runnerImage],
  ];
  return ['majorana agent kubernetes', ...words.flat().map(quoted)].join(' ');
}

const quoted = (word: string): string =>
  /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;

/** What the Deployment of deploy/kubernetes lacks: which cluster it is, and its token. */
export function manifestOf(name: string, url: string, options: AddOptions, token: string): string {
  const metadata = { name: 'majorana-agent', namespace: options.agentNamespace };
  const settings = {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata,
    data: {
      MAJORANA_CLUSTER: name,
      MAJORANA_URL: options.url ?? url,
      MAJORANA_NAMESPACE: options.namespace,
      MAJORANA_RUNNER_IMAGE: options.runnerImage,
    },
  };
  return `${stringify(settings)}---\n${secretOf(options.agentNamespace, token)}`;
}

export const secretOf = (namespace: string, token: string): string =>
  stringify({
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: 'majorana-agent', namespace },
    stringData: { token },
  }).trimEnd();
