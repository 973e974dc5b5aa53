import { clusterNameSchema } from '@majorana/protocol';
import type { GivenOptions, KubernetesOptionName } from './options.ts';
import type { NatsSettings } from '@majorana/broker/nats';
import { readBroker } from '../broker-options.ts';
import { NODE_PATIENCE_MS } from './pod-host.ts';
import { START_LIMITS } from './pod-start.ts';
import type { StartLimits } from './pod-standing.ts';
import type { PodOptions } from './pod.ts';

export interface KubernetesSettings {
  readonly url: string;
  /** Undefined: `token` is it. */
  readonly tokenFile: string | undefined;
  readonly token: string | undefined;
  /** Undefined: the agent is a pod of the cluster. */
  readonly kubeconfig: string | undefined;
  readonly context: string | undefined;
  readonly corePricePerHour: number | undefined;
  readonly broker: NatsSettings | undefined;
  readonly limits: StartLimits;
  readonly nodePatienceMs: number;
  readonly pods: PodOptions;
}

/** What is wrong with the command line. */
export class SettingsError extends Error {
  override name = 'SettingsError';
}

function refuse(option: KubernetesOptionName, given: string, wanted: string): never {
  throw new SettingsError(`--${option} ${given}: ${wanted}`);
}

/** As Kubernetes has it for namespaces and secrets. */
const OBJECT_NAME = /^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/;
const NAMESPACE = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;
const ANNOTATION_KEY =
  /^([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?\/)?[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$/;

function readUrl(option: 'url' | 'runner-url', text: string): string {
  const { protocol } = URL.parse(text) ?? {};
  if (protocol !== 'http:' && protocol !== 'https:')
    refuse(option, text, 'a URL such as https://majorana.example.org is needed');
  return text.replace(/\/+$/, '');
}

function readNumber(
  option: KubernetesOptionName,
  text: string,
  is: { readonly from: number; readonly to: number; readonly isWhole: boolean },
): number {
  const value = text.trim() === '' ? Number.NaN : Number(text);
  if (value >= is.from && value <= is.to && (!is.isWhole || Number.isInteger(value))) return value;
  return refuse(option, text, `a ${is.isWhole ? 'whole ' : ''}number from ${is.from} is needed`);
}

function readAnnotation(text: string): [string, string] {
  const at = text.indexOf('=');
  const key = text.slice(0, at);
  if (at < 1 || !ANNOTATION_KEY.test(key) || key.startsWith('majorana.dev/'))
    refuse('annotation', text, 'key=value is needed, with a key such as example.org/part');
  return [key, text.slice(at + 1)];
}

function readHostPath(text: string): string {
  const isPath = text.startsWith('/') && !text.split('/').includes('..');
  return isPath ? text : refuse('allow-host-path', text, 'an absolute path is needed');
}

const matching = (option: KubernetesOptionName, text: string, pattern: RegExp): string =>
  pattern.test(text) ? text : refuse(option, text, 'a-z, 0-9 and "-", as Kubernetes has names');

function listOf(given: string | boolean | readonly string[] | undefined): readonly string[] {
  if (typeof given === 'string') return [given];
  return typeof given === 'object' ? given : [];
}

function readPods(given: GivenOptions, agentId: string, url: string): PodOptions {
  const one = (name: KubernetesOptionName): string | undefined => listOf(given[name])[0];
  const user = one('run-as-user') ?? '10001';
  return {
    agentId,
    namespace: matching('namespace', one('namespace') ?? 'majorana', NAMESPACE),
    runnerImage: one('runner-image') ?? 'majorana-runner:0.1.0',
    runnerUrl: readUrl('runner-url', one('runner-url') ?? url),
    gpuResource: matching('gpu-resource', one('gpu-resource') ?? 'nvidia.com/gpu', ANNOTATION_KEY),
    allowsHostNetwork: given['allow-host-network'] === true,
    hostPaths: listOf(given['allow-host-path']).map(readHostPath),
    // 0 would be root, which the pods' own rules refuse.
    runAsUser: readNumber('run-as-user', user, { from: 1, to: 2 ** 31 - 1, isWhole: true }),
    imagePullSecrets: listOf(given['image-pull-secret']).map((name) =>
      matching('image-pull-secret', name, OBJECT_NAME),
    ),
    annotations: Object.fromEntries(listOf(given.annotation).map(readAnnotation)),
  };
}

function readNats(given: GivenOptions): NatsSettings | undefined {
  const one = (name: KubernetesOptionName): string | undefined => listOf(given[name])[0];
  try {
    return readBroker({
      'nats-url': one('nats-url'),
      'nats-credentials': one('nats-credentials'),
      'nats-ca': one('nats-ca'),
    });
  } catch (error) {
    throw new SettingsError((error as Error).message);
  }
}

function readPatience(given: GivenOptions): Pick<KubernetesSettings, 'limits' | 'nodePatienceMs'> {
  const patience = (name: KubernetesOptionName, usual: number): number =>
    readNumber(name, listOf(given[name])[0] ?? String(usual), { from: 0, to: 1e12, isWhole: true });
  return {
    limits: {
      ...START_LIMITS,
      pullPatienceMs: patience('pull-patience-ms', START_LIMITS.pullPatienceMs),
      startPatienceMs: patience('start-patience-ms', START_LIMITS.startPatienceMs),
    },
    nodePatienceMs: patience('node-patience-ms', NODE_PATIENCE_MS),
  };
}

/** Checks the options; what is not given comes from the environment or has its default. */
export function readSettings(given: GivenOptions, env: NodeJS.ProcessEnv): KubernetesSettings {
  const one = (name: KubernetesOptionName): string | undefined => listOf(given[name])[0];
  const name = one('name');
  if (name === undefined) throw new SettingsError('--name is needed: what the cluster is called');
  const checked = clusterNameSchema.safeParse(name);
  if (!checked.success) refuse('name', name, checked.error.issues[0]!.message);
  const address = one('url') ?? env['MAJORANA_URL'];
  if (address === undefined)
    throw new SettingsError('--url or MAJORANA_URL is needed: where the control plane is');
  const url = readUrl('url', address);
  const tokenFile = one('token-file');
  const token = tokenFile === undefined ? env['MAJORANA_TOKEN'] : undefined;
  if (tokenFile === undefined && token === undefined)
    throw new SettingsError(
      `--token-file or MAJORANA_TOKEN is needed: "majorana clusters add ${name}" makes the token`,
    );
  const price = one('core-price-per-hour');
  if (one('context') !== undefined && one('kubeconfig') === undefined)
    refuse('context', one('context')!, 'a context is of a kubeconfig: name that too');
  return {
    url,
    tokenFile,
    token,
    kubeconfig: one('kubeconfig'),
    context: one('context'),
    corePricePerHour:
      price === undefined
        ? undefined
        : readNumber('core-price-per-hour', price, { from: 0, to: 1e6, isWhole: false }),
    broker: readNats(given),
    ...readPatience(given),
    pods: readPods(given, name, url),
  };
}
