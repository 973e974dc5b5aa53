import type { Resources } from '@majorana/core';
import { addResources, NO_RESOURCES } from '@majorana/core';
import type { ApiServer } from './api-server.ts';
import { ApiServerError } from './api-server.ts';
import type { KubernetesNode } from './objects.ts';
import { readResources } from './quantities.ts';

/** What an agent may do, and all that it may do: `deploy/kubernetes` grants just this. */
export const AGENT_PERMISSIONS = [
  { verb: 'list', resource: 'nodes', isNamespaced: false },
  { verb: 'watch', resource: 'nodes', isNamespaced: false },
  { verb: 'list', resource: 'pods', isNamespaced: false },
  { verb: 'watch', resource: 'pods', isNamespaced: false },
  { verb: 'create', resource: 'pods', isNamespaced: true },
  { verb: 'delete', resource: 'pods', isNamespaced: true },
  { verb: 'get', resource: 'pods', isNamespaced: true },
  { verb: 'list', resource: 'events', isNamespaced: true },
] as const;

/** With these an account is more than an agent: whoever has its token reads or runs what he likes. */
const TOO_MUCH = [
  { verb: 'get', resource: 'secrets' },
  { verb: 'create', resource: 'clusterrolebindings', group: 'rbac.authorization.k8s.io' },
  { verb: 'patch', resource: 'nodes' },
] as const;

export const NAMESPACE_LABELS = {
  'pod-security.kubernetes.io/enforce': 'baseline',
  'pod-security.kubernetes.io/warn': 'restricted',
} as const;

export interface Finding {
  readonly verdict: 'good' | 'notice' | 'missing';
  readonly what: string;
  /** What to do about it. */
  readonly todo?: string;
}

export interface ClusterCheck {
  readonly namespace: string;
  readonly runnerImage: string;
  readonly gpuResource: string;
  readonly createsNamespace: boolean;
}

const good = (what: string): Finding => ({ verdict: 'good', what });
const notice = (what: string, todo: string): Finding => ({ verdict: 'notice', what, todo });
const missing = (what: string, todo: string): Finding => ({ verdict: 'missing', what, todo });

const isStatus = (error: unknown, status: number): boolean =>
  error instanceof ApiServerError && error.status === status;

async function isAllowed(
  api: ApiServer,
  attributes: { verb: string; resource: string; namespace?: string; group?: string },
): Promise<boolean> {
  const review = await api.request<{ status: { allowed: boolean } }>(
    'POST',
    '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews',
    {
      apiVersion: 'authorization.k8s.io/v1',
      kind: 'SelfSubjectAccessReview',
      spec: { resourceAttributes: attributes },
    },
  );
  return review.status.allowed;
}

async function checkVersion(api: ApiServer): Promise<Finding[]> {
  const { gitVersion = 'unknown' } = await api.request<{ gitVersion?: string }>('GET', '/version');
  return [good(`Kubernetes ${gitVersion} answers`)];
}

async function checkPermissions(api: ApiServer, namespace: string): Promise<Finding[]> {
  const needed = AGENT_PERMISSIONS.map(async ({ verb, resource, isNamespaced }) => {
    const where = isNamespaced ? `in ${namespace}` : 'everywhere';
    const what = `${verb} ${resource} ${where}`;
    const attributes = { verb, resource, ...(isNamespaced && { namespace }) };
    return (await isAllowed(api, attributes))
      ? good(`may ${what}`)
      : missing(
          `may not ${what}`,
          'bind the roles of deploy/kubernetes/roles.yaml to this account',
        );
  });
  const asked = TOO_MUCH.map(async (attributes) => ({
    attributes,
    isAllowed: await isAllowed(api, attributes),
  }));
  const [findings, answers] = await Promise.all([Promise.all(needed), Promise.all(asked)]);
  const more = answers
    .filter((one) => one.isAllowed)
    .map(({ attributes: { verb, resource } }) => `${verb} ${resource}`);
  if (more.length === 0) return findings;
  const what = `this account may do more than an agent needs: ${more.join(', ')}`;
  return [
    ...findings,
    notice(what, 'run the agent by an account of its own, such as deploy/kubernetes makes'),
  ];
}

interface Namespace {
  readonly metadata: { readonly labels?: Readonly<Record<string, string>> };
}

async function checkNamespace(api: ApiServer, check: ClusterCheck): Promise<Finding[]> {
  const { namespace: name, createsNamespace } = check;
  try {
    const { metadata } = await api.request<Namespace>('GET', `/api/v1/namespaces/${name}`);
    const level = metadata.labels?.['pod-security.kubernetes.io/enforce'] ?? 'privileged';
    const exists = good(`namespace ${name} is there`);
    if (level !== 'privileged')
      return [exists, good(`pods in it are held to the pod security level ${level}`)];
    const todo = `kubectl label namespace ${name} pod-security.kubernetes.io/enforce=baseline`;
    return [exists, notice('pods in it are held to no pod security level', todo)];
  } catch (error) {
    if (isStatus(error, 403))
      return [
        notice(`namespace ${name} cannot be looked at by this account`, 'see that it is there'),
      ];
    if (!isStatus(error, 404)) throw error;
  }
  if (!createsNamespace)
    return [
      missing(
        `there is no namespace ${name}`,
        'add --create-namespace, or apply deploy/kubernetes',
      ),
    ];
  await api.request('POST', '/api/v1/namespaces', {
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: { name, labels: NAMESPACE_LABELS },
  });
  return [good(`namespace ${name} was made, with the pod security level baseline`)];
}

async function listNodes(api: ApiServer): Promise<KubernetesNode[]> {
  const nodes: KubernetesNode[] = [];
  let next = '';
  do {
    const query = `?limit=500${next && `&continue=${encodeURIComponent(next)}`}`;
    const page: { items: KubernetesNode[]; metadata: { continue?: string } } = await api.request(
      'GET',
      `/api/v1/nodes${query}`,
    );
    nodes.push(...page.items);
    next = page.metadata.continue ?? '';
  } while (next !== '');
  return nodes;
}

const isReady = ({ status }: KubernetesNode): boolean =>
  status?.conditions?.some((one) => one.type === 'Ready' && one.status === 'True') === true;

function describeRoom({ cpuMillis, memoryBytes, gpuCount }: Resources): string {
  const gpus = gpuCount > 0 ? `, ${gpuCount} GPUs` : '';
  return `${cpuMillis / 1000} cores, ${Math.floor(memoryBytes / 2 ** 30)} GiB${gpus}`;
}

async function checkNodes(api: ApiServer, check: ClusterCheck): Promise<Finding[]> {
  const nodes = await listNodes(api).catch((error: unknown) => {
    if (isStatus(error, 403)) return undefined;
    throw error;
  });
  // That it may not list them is told with the permissions.
  if (nodes === undefined) return [];
  const usable = nodes.filter((node) => isReady(node) && node.spec?.unschedulable !== true);
  if (usable.length === 0)
    return [missing(`${nodes.length} nodes, none ready`, 'see "kubectl get nodes"')];
  const names = { gpu: check.gpuResource };
  const room = usable
    .map((node) => readResources(node.status?.allocatable ?? {}, names))
    .reduce(addResources, NO_RESOURCES);
  const nodesFinding = good(
    `${usable.length} of ${nodes.length} nodes are ready: ${describeRoom(room)} for pods`,
  );
  return [nodesFinding, imageFinding(usable, check.runnerImage)];
}

function imageFinding(nodes: readonly KubernetesNode[], image: string): Finding {
  const having = nodes.filter(({ status }) =>
    status?.images?.some(({ names = [] }) => names.some((name) => isImage(name, image))),
  ).length;
  if (having === nodes.length) return good(`all of them have the image ${image}`);
  return notice(
    `${having} of ${nodes.length} nodes have the image ${image}`,
    'the others will pull it: see that they can, or load it on them',
  );
}

/** The runtime may name it in full. */
const isImage = (name: string, image: string): boolean =>
  name === image || name === `docker.io/${image}` || name === `docker.io/library/${image}`;

/** Looks at a cluster as an agent would need it; changes nothing but the namespace it was told to make. */
export async function checkCluster(api: ApiServer, check: ClusterCheck): Promise<Finding[]> {
  const version = await checkVersion(api);
  const namespace = await checkNamespace(api, check);
  const permissions = await checkPermissions(api, check.namespace);
  return [...version, ...namespace, ...permissions, ...(await checkNodes(api, check))];
}
