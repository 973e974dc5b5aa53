import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { TestKubernetes } from '../kubernetes.ts';
import { programVersion } from '../programs.ts';
import type { NodeNamespace } from './node-namespace.ts';

export interface KubeletOptions {
  readonly name?: string;
  readonly labels?: Record<string, string>;
  readonly podsMax?: number;
  /** Runs kube-proxy: pods reach services, and with them the API server. One node has it. */
  readonly services?: boolean;
}

/** What the parts around a kubelet are called. */
export interface KubeletPlace {
  readonly name: string;
  readonly folder: string;
  readonly cgroup: string;
  readonly containerdSocket: string;
  readonly namespace: NodeNamespace;
}

/**
 * Without groups by QoS a kubelet that resizes panics when a pod that runs is deleted at once:
 * kubernetes#137993. From 1.35 on it always resizes, and does not start when told not to.
 */
const hasResizeGate = (): boolean => Number(programVersion('kubelet').split('.')[1]) < 35;

/** Writes its configuration and its kubeconfig, and answers with its arguments. */
export async function prepareKubelet(
  kubernetes: TestKubernetes,
  place: KubeletPlace,
  options: KubeletOptions,
): Promise<string[]> {
  const { name, folder, namespace } = place;
  const server = new URL(kubernetes.server);
  server.hostname = namespace.hostAddress;
  const subject = `/O=system:nodes/CN=system:node:${name}`;
  const kubeconfig = await kubernetes.componentKubeconfig(name, subject, server.origin);
  const configuration = {
    apiVersion: 'kubelet.config.k8s.io/v1beta1',
    kind: 'KubeletConfiguration',
    address: namespace.nodeAddress,
    authentication: {
      anonymous: { enabled: false },
      webhook: { enabled: true },
      x509: { clientCAFile: kubernetes.authority.certificatePath },
    },
    authorization: { mode: 'Webhook' },
    containerRuntimeEndpoint: `unix://${place.containerdSocket}`,
    cgroupDriver: 'cgroupfs',
    cgroupRoot: `/${place.cgroup}`,
    // The machine's own processes stay in whatever groups its owner gave them.
    cgroupsPerQOS: false,
    enforceNodeAllocatable: [],
    ...(hasResizeGate() && { featureGates: { InPlacePodVerticalScaling: false } }),
    failCgroupV1: false,
    failSwapOn: false,
    // The disk is shared with whatever else the machine does; a test is not about its last tenth.
    evictionHard: { 'memory.available': '50Mi', 'nodefs.available': '1%' },
    imageGCHighThresholdPercent: 100,
    maxPods: options.podsMax ?? 110,
    oomScoreAdj: 0,
    podLogsDir: path.join(folder, 'pod-logs'),
    // Names of this machine's network are none of a pod's business.
    resolvConf: '',
  };
  const file = path.join(folder, 'kubelet.json');
  await writeFile(file, JSON.stringify(configuration));
  const labels = Object.entries(options.labels ?? {}).map(([key, value]) => `${key}=${value}`);
  return [
    `--config=${file}`,
    `--kubeconfig=${kubeconfig}`,
    `--hostname-override=${name}`,
    `--node-ip=${namespace.nodeAddress}`,
    `--node-labels=${labels.join(',')}`,
    `--root-dir=${path.join(folder, 'kubelet')}`,
    `--cert-dir=${path.join(folder, 'kubelet-certificates')}`,
  ];
}
