import { execFile } from 'node:child_process';
import { readFile, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { ClusterNode, ClusterView } from '@majorana/protocol';
import type { TestKubernetes } from '@majorana/test-servers';
import {
  addKwokNodes,
  KubernetesApi,
  programVersion,
  readKubeconfig,
  requireProgram,
  startKubernetes,
  writeKubeconfig,
} from '@majorana/test-servers';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ClusterAgent } from './cluster.ts';
import { Product, until } from './product.ts';

const GIB = 1024 ** 3;
const run = promisify(execFile);
const deploy = fileURLToPath(new URL('../deploy/kubernetes', import.meta.url));

let kubernetes: TestKubernetes;
let product: Product;
let kubeconfig: string;
let tokenFile: string;
let agent: ClusterAgent;
let other: ClusterAgent;

const kubectl = async (...args: string[]): Promise<string> =>
  (
    await run(requireProgram('kubectl'), [
      `--kubeconfig=${kubernetes.adminKubeconfig}`,
      `--cache-dir=${path.join(kubernetes.folder, 'kubectl-cache')}`,
      ...args,
    ])
  ).stdout;

const show = (): Promise<ClusterView> => product.json<ClusterView>('clusters', 'show', 'lab');

beforeAll(async () => {
  kubernetes = await startKubernetes({ kwok: true });
  await addKwokNodes(kubernetes.admin, { count: 3, cpu: 4, memoryBytes: 16 * GIB });
  await kubectl('apply', '-k', deploy);
  const account = '/api/v1/namespaces/majorana-system/serviceaccounts/majorana-agent/token';
  const { status } = await kubernetes.admin.create<{ status: { token: string } }>(account, {
    apiVersion: 'authentication.k8s.io/v1',
    kind: 'TokenRequest',
    spec: {},
  });
  kubeconfig = await writeKubeconfig(path.join(kubernetes.folder, 'agent.kubeconfig'), {
    server: kubernetes.server,
    caPath: kubernetes.authority.certificatePath,
    user: { token: status.token },
  });
  product = new Product();
  await product.ok('up', '--detach');
  const { url } = await product.json<{ url: string }>('status');
  tokenFile = path.join(product.data, 'lab.token');
  const args = [
    '--name=lab',
    `--kubeconfig=${kubeconfig}`,
    `--token-file=${tokenFile}`,
    '--annotation=majorana.test/run-ms=200',
  ];
  agent = new ClusterAgent(product, url, args);
  other = new ClusterAgent(product, url, args);
});
afterAll(async () => {
  await agent[Symbol.asyncDispose]();
  await other[Symbol.asyncDispose]();
  await product[Symbol.asyncDispose]();
  await kubernetes[Symbol.asyncDispose]();
});

async function runArray(count: number): Promise<void> {
  const id = await product.ok(
    'submit',
    '--image=science:1',
    `--array=0-${count - 1}`,
    '--',
    'true',
  );
  await product.ok('wait', id, '--quiet');
  const job = await product.json<{ counts: object }>('job', id);
  expect(job.counts).toMatchObject({ succeeded: count });
}

describe('adding a cluster', () => {
  test('what is missing is said with what to do, and nothing is added', async () => {
    const file = await kubernetes.serviceAccountKubeconfig('stranger', [
      { apiGroups: [''], resources: ['nodes'], verbs: ['list'] },
    ]);
    const { code, stderr } = await product.run('clusters', 'add', 'lab', '--kubeconfig', file);
    expect(code).toBe(5);
    expect(stderr).toContain('✓ may list nodes everywhere');
    expect(stderr).toMatch(
      /✗ may not create pods in majorana\n(✗ may not .*\n)*✗ may not list events in majorana\n    bind the roles/,
    );
    expect(stderr.match(/bind the roles/g)).toHaveLength(1);
    expect(await product.json('clusters')).toEqual({ clusters: [] });
  });

  test('a program is told what is missing too', async () => {
    const file = await kubernetes.serviceAccountKubeconfig('foreigner', []);
    const args = ['clusters', 'add', 'lab', '--json', '--kubeconfig', file];
    const { code, stderr } = await product.run(...args);
    expect(code).toBe(5);
    const { error } = JSON.parse(stderr) as { error: { issues: { where: string }[] } };
    expect(error.issues.map(({ where }) => where)).toContain('may not list nodes everywhere');
  });

  test('an administrator’s kubeconfig is good, and told to be more than an agent needs', async () => {
    const args = ['--kubeconfig', kubernetes.adminKubeconfig, '--print-manifest'];
    const { code, stdout, stderr } = await product.run('clusters', 'add', 'lab', ...args);
    expect(code).toBe(0);
    expect(stderr).toContain('✓ namespace majorana is there');
    expect(stderr).toContain('held to the pod security level baseline');
    expect(stderr).toContain('! this account may do more than an agent needs');
    const manifest = path.join(kubernetes.folder, 'settings.yaml');
    await writeFile(manifest, stdout);
    await kubectl('apply', '-f', manifest);
    const secret = await kubectl('-n', 'majorana-system', 'get', 'secret', 'majorana-agent');
    expect(secret).toContain('majorana-agent');
  });

  test('with the roles of deploy/kubernetes nothing is missing, and its token is its own', async () => {
    const added = await product.json<{ command: string; cluster: ClusterView }>(
      'clusters',
      'add',
      'lab',
      `--kubeconfig=${kubeconfig}`,
      `--token-file=${tokenFile}`,
      '--lease-ttl=2h',
    );
    expect(added.cluster.leaseTtlMs).toBe(7_200_000);
    const token = (await readFile(tokenFile, 'utf8')).trim();
    expect(added.command).not.toContain(token);
    const { url } = await product.json<{ url: string }>('status');
    const asAgent = (method: string, at: string, body?: object): Promise<number> =>
      fetch(`${url}/api/v1${at}`, {
        method,
        headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
        ...(body && { body: JSON.stringify(body) }),
      }).then(({ status }) => status);
    expect(await asAgent('GET', '/jobs')).toBe(403);
    expect(await asAgent('POST', '/jobs', { argv: ['true'] })).toBe(403);
  });
});

test('with exactly the rules of deploy/kubernetes 50 tasks run, and no pod is left', async () => {
  await agent.start();
  await runArray(50);
  const { items } = await kubernetes.admin.get<{ items: object[] }>(
    '/api/v1/namespaces/majorana/pods',
  );
  expect(items).toEqual([]);
});

const POD = { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'x' }, spec: { containers: [] } };
const system = '/api/v1/namespaces/majorana-system';
test.each([
  ['GET', `${system}/secrets/majorana-agent`],
  ['GET', '/api/v1/namespaces/majorana/secrets'],
  ['GET', '/api/v1/namespaces/majorana/configmaps'],
  ['GET', '/api/v1/events'],
  ['GET', '/api/v1/namespaces/majorana-system/events'],
  ['DELETE', '/api/v1/namespaces/majorana/events'],
  ['GET', '/api/v1/namespaces/majorana/events?watch=true'],
  ['GET', '/api/v1/namespaces'],
  ['GET', '/api/v1/nodes/kwok-0'],
  ['PATCH', '/api/v1/nodes/kwok-0'],
  ['DELETE', '/api/v1/nodes/kwok-0'],
  ['GET', '/api/v1/nodes/kwok-0/proxy/logs'],
  ['POST', `${system}/pods`],
  ['POST', '/api/v1/namespaces/default/pods'],
  ['DELETE', '/api/v1/namespaces/default/pods/x'],
  ['GET', '/api/v1/namespaces/default/pods/x'],
  ['DELETE', '/api/v1/namespaces/majorana/pods'],
  ['PATCH', '/api/v1/namespaces/majorana/pods/x'],
  ['PATCH', '/api/v1/namespaces/majorana/pods/x/status'],
  ['POST', '/api/v1/namespaces/majorana/pods/x/exec'],
  ['POST', '/api/v1/namespaces/majorana/pods/x/binding'],
  ['POST', '/api/v1/namespaces/majorana/pods/x/eviction'],
  ['GET', '/api/v1/namespaces/majorana/pods/x/log'],
  ['POST', `${system}/serviceaccounts/majorana-agent/token`],
  ['POST', '/apis/rbac.authorization.k8s.io/v1/clusterrolebindings'],
  ['PATCH', '/apis/rbac.authorization.k8s.io/v1/namespaces/majorana/roles/majorana-agent'],
  ['GET', '/apis/apps/v1/namespaces/majorana-system/deployments'],
  ['PUT', '/api/v1/namespaces/majorana/pods/x'],
  ['PATCH', '/api/v1/namespaces/majorana/pods/x/ephemeralcontainers'],
  ['PATCH', '/api/v1/namespaces/majorana/pods/x/resize'],
  ['POST', '/api/v1/namespaces/majorana/pods/x/attach'],
  ['POST', '/api/v1/namespaces/majorana/pods/x/portforward'],
  ['PUT', '/api/v1/nodes/kwok-0'],
  ['PATCH', '/api/v1/nodes/kwok-0/status'],
  ['DELETE', '/api/v1/nodes'],
  ['POST', '/api/v1/nodes'],
  ['PUT', '/api/v1/namespaces/majorana/secrets/x'],
  ['PATCH', '/api/v1/namespaces/majorana'],
  ['GET', '/metrics'],
])('the agent’s account is refused %s %s', async (method, at) => {
  using api = new KubernetesApi(await readKubeconfig(kubeconfig));
  const body = method === 'GET' || method === 'DELETE' ? undefined : POD;
  await expect(api.request(method, at, body)).rejects.toMatchObject({ status: 403 });
});

interface Rules {
  readonly status: {
    readonly incomplete: boolean;
    readonly resourceRules: readonly {
      readonly verbs: readonly string[];
      readonly apiGroups: readonly string[];
      readonly resources: readonly string[];
      readonly resourceNames?: readonly string[];
    }[];
  };
}

/** `verb group/resource`, as the API server itself lists them for whoever asks. */
async function allowedIn(api: KubernetesApi, namespace: string): Promise<string[]> {
  const { status } = await api.create<Rules>(
    '/apis/authorization.k8s.io/v1/selfsubjectrulesreviews',
    {
      apiVersion: 'authorization.k8s.io/v1',
      kind: 'SelfSubjectRulesReview',
      spec: { namespace },
    },
  );
  expect(status.incomplete).toBe(false);
  const all = status.resourceRules.flatMap(({ verbs, apiGroups, resources }) =>
    verbs.flatMap((verb) =>
      apiGroups.flatMap((group) => resources.map((resource) => `${verb} ${group}/${resource}`)),
    ),
  );
  return [...new Set(all)].toSorted();
}

const EVERYWHERE = ['list /nodes', 'list /pods', 'watch /nodes', 'watch /pods'];
test.each([
  ['majorana', [...EVERYWHERE, 'create /pods', 'delete /pods', 'get /pods', 'list /events']],
  ['majorana-system', EVERYWHERE],
  ['kube-system', EVERYWHERE],
  ['default', EVERYWHERE],
])(
  'in the namespace %s the agent’s account may do just what its roles list',
  async (name, rules) => {
    using api = new KubernetesApi(await readKubeconfig(kubeconfig));
    // What anybody with an account may is Kubernetes' own, and more from 1.35 on.
    const file = await kubernetes.serviceAccountKubeconfig(`nobody-${name}`, []);
    using nobody = new KubernetesApi(await readKubeconfig(file));
    const all = new Set([...rules, ...(await allowedIn(nobody, name))]);
    expect(await allowedIn(api, name)).toEqual([...all].toSorted());
  },
);

test('the platform engineer sees nodes, room, pods, the window and why, latencies and refusals', async () => {
  const cluster = await until('a report of the whole cluster', async () => {
    const seen = await show();
    return (
      seen.report?.api.requestCount !== undefined && seen.report.api.requestCount > 100 && seen
    );
  });
  expect(cluster.report).toMatchObject({
    kubernetesVersion: `v${programVersion('apiserver')}`,
    nodes: { count: 3, ready: 3, cordoned: 0, cooling: 0 },
    allocatable: { cpuMillis: 12_000 },
    groups: [{ name: '4 cores, 16 GiB', nodeCount: 3 }],
    // Of a slow machine it has shrunk, and says so.
    window: {
      why: expect.stringMatching(
        /^containers start$|^it grows again, after |^a creation/,
      ) as string,
    },
  });
  const page = await product.ok('clusters', 'show', 'lab');
  expect(page).toMatch(/dispatch window: 0 pods starting, at most \d+ may \(/);
  const { nodes } = await product.json<{ nodes: ClusterNode[] }>('nodes', 'lab');
  expect(nodes.map(({ name, isReady }) => [name, isReady])).toEqual([
    ['kwok-0', true],
    ['kwok-1', true],
    ['kwok-2', true],
  ]);
});

test('its lease time is set within its bounds, and shown', async () => {
  for (const bad of ['59s', '8d']) {
    const { code, stderr } = await product.run('clusters', 'set', 'lab', '--lease-ttl', bad);
    expect(code).toBe(2);
    expect(stderr).toContain(`--lease-ttl ${bad}: at least 60s and at most 7d`);
  }
  const said = await product.ok('clusters', 'set', 'lab', '--lease-ttl', '6h');
  expect(said).toBe('when its agent is silent for 6 h, its tasks run elsewhere');
  expect(await show()).toMatchObject({ leaseTtlMs: 21_600_000, isConnected: true });
  expect(await product.ok('clusters', 'show', 'lab')).toContain(said);
});

test('a cordoned cluster is given nothing, says so, and goes on when it is not', async () => {
  await product.ok('clusters', 'cordon', 'lab');
  const id = await product.ok('submit', '--image', 'science:1', '--', 'true');
  await until('the reason', async () =>
    (await product.ok('why', `${id}.0`)).includes('lab is cordoned'),
  );
  await product.ok('clusters', 'uncordon', 'lab');
  await product.ok('wait', id, '--quiet');
});

test('a drain sends what runs elsewhere, uncounted, and the cluster can be removed then', async () => {
  const id = await product.ok('submit', '--image', 'science:1', '--array', '0-5', '--', 'true');
  await product.ok('clusters', 'drain', 'lab', '--grace', '0s');
  await until('the drained cluster', async () => (await show()).heldCount === 0);
  const job = await product.json<{ counts: { queued: number; succeeded: number } }>('job', id);
  expect(job.counts.queued + job.counts.succeeded).toBe(6);
  await product.ok('clusters', 'uncordon', 'lab');
  await product.ok('wait', id, '--quiet');
});

test('the agent’s token is rotated while it runs, and a revoked one ends it with what to do', async () => {
  const old = await readFile(tokenFile, 'utf8');
  await product.ok('clusters', 'rotate-token', 'lab', '--token-file', tokenFile);
  expect(await readFile(tokenFile, 'utf8')).not.toBe(old);
  expect((await stat(tokenFile)).mode & 0o777).toBe(0o600);
  await product.ok('clusters', 'revoke-tokens', 'lab');
  await runArray(5);
  expect(agent.exitCode).toBe(null);
  await product.ok('clusters', 'revoke-tokens', 'lab', '--all');
  await until('the agent to end', () => agent.exitCode !== null);
  expect(agent.exitCode).toBe(5);
  expect(agent.log).toContain('this token is not known, or was taken back');
  for (const token of [old.trim(), (await readFile(tokenFile, 'utf8')).trim()])
    expect(agent.log).not.toContain(token);
  await product.ok('clusters', 'rotate-token', 'lab', '--token-file', tokenFile);
  await agent.start();
});

test('of two agents the second acts when the first ends, and when it is killed', async () => {
  other.launch();
  await other.says('standing by');
  expect(await agent.terminate()).toBe(0);
  await other.says('the agent is ready');
  await runArray(5);
  agent.launch();
  await agent.says('standing by');
  await other.kill();
  await agent.says('the agent is ready');
  await runArray(5);
});

test('a removed cluster’s agent is not listened to, and ends', async () => {
  await product.ok('clusters', 'remove', 'lab');
  await until('the agent to end', () => agent.exitCode !== null);
  expect(agent.exitCode).toBe(5);
  expect(await product.json('clusters')).toEqual({ clusters: [] });
});
