import { fileURLToPath } from 'node:url';
import type { TestKubernetes } from './kubernetes.ts';
import type { KubernetesApi } from './kubernetes-api.ts';
import { requireProgram } from './programs.ts';
import { ServerProcess } from './server-process.ts';
import { freePort } from '@majorana/embedded-postgres';

const MANAGED = 'majorana.test/kwok';

/** With leases KWOK renews each node's every ten seconds, which the controller manager wants. */
const LEASE_SECONDS = 40;

export async function startKwok(kubernetes: TestKubernetes, withLeases: boolean): Promise<void> {
  const { folder, keeper } = kubernetes;
  const port = await freePort();
  const args = [
    `--kubeconfig=${await kubernetes.componentKubeconfig('kwok', '/O=system:masters/CN=kwok')}`,
    `--config=${fileURLToPath(new URL('./kwok.yaml', import.meta.url))}`,
    '--manage-all-nodes=false',
    `--manage-nodes-with-label-selector=${MANAGED}=true`,
    `--node-lease-duration-seconds=${withLeases ? LEASE_SECONDS : 0}`,
    `--server-address=127.0.0.1:${port}`,
    // Otherwise it writes a line for each patch.
    '--v=warn',
  ];
  const isReady = () =>
    fetch(`http://127.0.0.1:${port}/healthz`).then(
      (answer) => answer.ok,
      () => false,
    );
  await ServerProcess.start(
    { name: 'kwok', program: requireProgram('kwok'), args, folder, isReady },
    keeper,
  );
}

export interface KwokNodes {
  readonly count: number;
  /** Names are <prefix>-0, <prefix>-1, … */
  readonly prefix?: string;
  readonly cpu: number;
  readonly memoryBytes: number;
  readonly podsMax?: number;
  readonly labels?: Record<string, string>;
  readonly annotations?: Record<string, string>;
  readonly taints?: readonly {
    readonly key: string;
    readonly value?: string;
    readonly effect: 'NoSchedule' | 'PreferNoSchedule' | 'NoExecute';
  }[];
  /** Extended resources, such as nvidia.com/gpu. */
  readonly extended?: Record<string, number>;
}

const NODES_AT_ONCE = 32;

/** Makes nodes that KWOK plays, and answers with their names; they become Ready a moment later. */
export async function addKwokNodes(admin: KubernetesApi, nodes: KwokNodes): Promise<string[]> {
  const prefix = nodes.prefix ?? 'kwok';
  const names = Array.from({ length: nodes.count }, (_, at) => `${prefix}-${at}`);
  const left = [...names];
  const work = async (): Promise<void> => {
    for (let name = left.pop(); name !== undefined; name = left.pop()) {
      await admin.create('/api/v1/nodes', nodeObject(name, nodes));
    }
  };
  await Promise.all(Array.from({ length: NODES_AT_ONCE }, work));
  return names;
}

function nodeObject(name: string, nodes: KwokNodes): object {
  const extended = Object.entries(nodes.extended ?? {}).map(([key, count]) => [key, String(count)]);
  const capacity = {
    cpu: String(nodes.cpu),
    memory: String(nodes.memoryBytes),
    pods: String(nodes.podsMax ?? 110),
    ...(Object.fromEntries(extended) as Record<string, string>),
  };
  const labels = { 'kubernetes.io/hostname': name, 'kubernetes.io/os': 'linux', ...nodes.labels };
  return {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: {
      name,
      labels: { 'kubernetes.io/arch': 'amd64', [MANAGED]: 'true', ...labels },
      annotations: nodes.annotations,
    },
    spec: { taints: nodes.taints },
    status: { capacity, allocatable: capacity },
  };
}
