import { writeFile } from 'node:fs/promises';
import type { Finding } from '@majorana/cluster-agent/kubernetes/cluster-check';
import type { ClusterSettings, ClusterView } from '@majorana/protocol';
import { stringify } from 'yaml';
import { connect } from '../connect.ts';
import { CliError, EXIT } from '../output.ts';

export interface AddOptions {
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
  readonly leaseTtl?: string;
}

const MARKS = { good: '✓', notice: '!', missing: '✗' } as const;

export const findingsText = (findings: readonly Finding[]): string =>
  findings
    .map(
      ({ verdict, what, todo }) =>
        `${MARKS[verdict]} ${what}${todo === undefined ? '' : `\n    ${todo}`}`,
    )
    .join('\n');

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
  return await checkCluster(api, { namespace, runnerImage, gpuResource, createsNamespace }).catch(
    (error: Error & { readonly status?: number }) => {
      const isRefusal = error.name === 'ApiServerError';
      const what = isRefusal ? error.message : `${access.server} does not answer: ${error.message}`;
      throw new CliError(what, isRefusal ? EXIT.refused : EXIT.unreachable);
    },
  );
}

/** Makes the cluster known, as it was set before unless told, and a token that only its agent can use. */
export async function register(
  name: string,
  settings?: ClusterSettings,
): Promise<{ readonly cluster: ClusterView; readonly token: string; readonly url: string }> {
  const client = connect();
  const added = await client.addCluster(name);
  const cluster = settings === undefined ? added : await client.changeCluster(name, settings);
  const { token } = await client.createToken({ user: name, role: 'agent' });
  return { cluster, token, url: client.url };
}

/** For its owner only; one that is there already may be in use, so it is not written over. */
export async function writeToken(file: string, token: string): Promise<void> {
  await writeFile(file, `${token}\n`, { mode: 0o600, flag: 'wx' }).catch(
    (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') throw error;
      throw new CliError(`${file} is there already; name another with --token-file`);
    },
  );
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
  const secret = { apiVersion: 'v1', kind: 'Secret', metadata, stringData: { token } };
  return `${stringify(settings)}---\n${stringify(secret)}`.trimEnd();
}
