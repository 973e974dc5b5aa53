import { makePod } from '@majorana/cluster-agent/kubernetes/pod';
import { DEFAULT_RESOURCES } from '@majorana/core';
import type { TestKubernetes } from '@majorana/test-servers';
import { addKwokNodes } from '@majorana/test-servers';
import { until } from '@majorana/testing';
import { findProcess } from './process-costs.ts';

export const GIB = 1024 ** 3;
export const RESOURCES = { ...DEFAULT_RESOURCES, cpuMillis: 1000, memoryBytes: 2 * GIB };
export const CONTAINER = { image: 'registry.example.org/science/nothing:1' };

/** The work that each contender is given: pods of one core on nodes of 24. */
export interface Load {
  readonly nodes: number;
  readonly tasks: number;
  /** How long a pod runs; 0 is one that is never seen running and costs KWOK one patch. */
  readonly runMs: number;
}

export const runAnnotation = ({ runMs }: Load): Record<string, string> => ({
  'majorana.test/run-ms': String(runMs),
});

export const podsOf = (namespace: string): string => `/api/v1/namespaces/${namespace}/pods`;

/** The manifest that the product makes of the same task, so that both move the same bytes. */
export const manifestOf = (namespace: string, at: number, load: Load): object =>
  makePod(
    {
      attemptId: `job_1.${at}.1`,
      jobName: 'bench',
      argv: ['true'],
      env: {},
      inputs: [],
      outputs: [],
      resources: RESOURCES,
      container: {
        ...CONTAINER,
        nodeSelector: {},
        tolerations: [],
        mounts: [],
        hasHostNetwork: false,
        isRootReadOnly: false,
      },
      // As long as a real one.
      runnerToken: 'a'.repeat(51),
      timeLimitMs: 0,
      graceMs: 10_000,
      taskCount: load.tasks,
    },
    `kwok-${at % load.nodes}`,
    {
      agentId: namespace,
      namespace,
      runnerImage: 'majorana-runner:0.1.0',
      runnerUrl: 'http://127.0.0.1:12345',
      gpuResource: 'nvidia.com/gpu',
      hostPaths: [],
      runAsUser: 10_001,
      imagePullSecrets: [],
      annotations: runAnnotation(load),
    },
  );

/** Nodes of 24 cores, all Ready. */
export async function addNodes(kubernetes: TestKubernetes, count: number): Promise<void> {
  await addKwokNodes(kubernetes.admin, { count, cpu: 24, memoryBytes: 48 * GIB });
  await until('the nodes to be ready', async () => {
    const { items } = await kubernetes.admin.get<{
      items: { status?: { conditions?: { type: string; status: string }[] } }[];
    }>('/api/v1/nodes');
    return items.every((node) =>
      node.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True'),
    );
  });
}

/** The servers of a cluster, by the name that the results give them. */
export const serversOf = ({ folder }: TestKubernetes): Record<string, number> => ({
  'API server': findProcess('kube-apiserver', folder),
  etcd: findProcess('etcd', folder),
  KWOK: findProcess('kwok', folder),
});

/** What etcd's file holds of keys and values, without what compaction has freed. */
export async function etcdBytes(kubernetes: TestKubernetes): Promise<number> {
  const text = await kubernetes.admin.text('/metrics');
  return Number(/^apiserver_storage_size_bytes\{[^}]*\} (\S+)$/m.exec(text)?.[1] ?? Number.NaN);
}

export async function podCount(kubernetes: TestKubernetes, namespace: string): Promise<number> {
  const { items, metadata } = await kubernetes.admin.get<{
    items: object[];
    metadata: { remainingItemCount?: number };
  }>(`${podsOf(namespace)}?limit=1`);
  return items.length + (metadata.remainingItemCount ?? 0);
}
