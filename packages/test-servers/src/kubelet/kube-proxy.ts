import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { Keeper } from '../keeper.ts';
import { SERVICE_ADDRESS } from '../control-plane-commands.ts';
import type { TestKubernetes } from '../kubernetes.ts';
import { requireProgram } from '../programs.ts';
import { ServerProcess } from '../server-process.ts';
import { POD_SUBNET } from './containerd.ts';
import type { KubeletPlace } from './kubelet-configuration.ts';

/**
 * The API server as a service. It listens on loopback and could only name an address of this
 * machine's own network there, so what it would write itself is written for it.
 */
async function publishApiServer({ admin }: TestKubernetes, server: URL): Promise<void> {
  const metadata = { name: 'kubernetes', labels: { 'kubernetes.io/service-name': 'kubernetes' } };
  await admin.create('/apis/discovery.k8s.io/v1/namespaces/default/endpointslices', {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata,
    addressType: 'IPv4',
    endpoints: [{ addresses: [server.hostname], conditions: { ready: true } }],
    ports: [{ name: 'https', protocol: 'TCP', port: Number(server.port) }],
  });
}

/** Makes addresses of services work on a node, that of the API server first of all. */
export async function startKubeProxy(
  kubernetes: TestKubernetes,
  place: KubeletPlace,
  keeper: Keeper,
): Promise<void> {
  const { name, folder, namespace } = place;
  const server = new URL(kubernetes.server);
  server.hostname = namespace.hostAddress;
  await publishApiServer(kubernetes, server);
  const subject = '/CN=system:kube-proxy';
  const kubeconfig = await kubernetes.componentKubeconfig('kube-proxy', subject, server.origin);
  const configuration = {
    apiVersion: 'kubeproxy.config.k8s.io/v1alpha1',
    kind: 'KubeProxyConfiguration',
    clientConnection: { kubeconfig },
    hostnameOverride: name,
    mode: 'iptables',
    clusterCIDR: POD_SUBNET,
    // Connection tracking of the whole machine is its owner's.
    conntrack: { maxPerCore: 0, min: 0, tcpEstablishedTimeout: '0s', tcpCloseWaitTimeout: '0s' },
    iptables: { localhostNodePorts: false },
    healthzBindAddress: '127.0.0.1:10256',
    metricsBindAddress: '127.0.0.1:10249',
  };
  const file = path.join(folder, 'kube-proxy.json');
  await writeFile(file, JSON.stringify(configuration));
  const [program, args] = namespace.inside(requireProgram('proxy'), [`--config=${file}`]);
  const isReady = () =>
    namespace.run('iptables', ['--table', 'nat', '--list-rules']).then(
      (rules) => rules.includes(`-d ${SERVICE_ADDRESS}/32`),
      () => false,
    );
  await ServerProcess.start({ name: 'kube-proxy', program, args, folder, isReady }, keeper);
}
