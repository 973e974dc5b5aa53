import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { freePort } from '@majorana/embedded-postgres';
import { AUDIT_POLICY } from './audit-log.ts';
import type { Certificate, CertificateAuthority } from './certificates.ts';
import type { Ground, KubernetesOptions, TestKubernetes } from './kubernetes.ts';
import { KubernetesApi } from './kubernetes-api.ts';
import { requireProgram } from './programs.ts';
import type { ServerCommand } from './server-process.ts';

/** The default of 2 GB is full after some 100,000 pods that were made, changed and removed. */
const ETCD_QUOTA_BYTES = 8 * 1024 ** 3;
/** The default of 100 MB is rotated away; a count needs every line. */
const AUDIT_LOG_MEGABYTES_MAX = 100_000;

/** The API server's own among services: the first of their range. */
export const SERVICE_ADDRESS = '10.0.0.1';

const answersOk = (url: string): Promise<boolean> =>
  fetch(url).then(
    (answer) => answer.ok,
    () => false,
  );

const saysOk = (api: KubernetesApi, url: string): Promise<boolean> =>
  api.text(url).then(
    () => true,
    () => false,
  );

export async function etcdCommand(
  folder: string,
): Promise<{ readonly url: string; readonly command: ServerCommand }> {
  const url = `http://127.0.0.1:${await freePort()}`;
  const peer = `http://127.0.0.1:${await freePort()}`;
  const args = [
    `--data-dir=${path.join(folder, 'etcd')}`,
    `--listen-client-urls=${url}`,
    `--advertise-client-urls=${url}`,
    `--listen-peer-urls=${peer}`,
    `--initial-advertise-peer-urls=${peer}`,
    `--initial-cluster=default=${peer}`,
    `--quota-backend-bytes=${ETCD_QUOTA_BYTES}`,
  ];
  const isReady = () => answersOk(`${url}/health`);
  return { url, command: { name: 'etcd', program: requireProgram('etcd'), args, folder, isReady } };
}

export const issueServing = (authority: CertificateAuthority): Promise<Certificate> =>
  authority.issue({
    name: 'apiserver',
    subject: '/CN=kube-apiserver',
    alternativeNames: [
      'IP:127.0.0.1',
      `IP:${SERVICE_ADDRESS}`,
      'DNS:localhost',
      'DNS:kubernetes.default.svc',
    ],
  });

export async function apiServerCommand(
  ground: Ground,
  etcdUrl: string,
  options: KubernetesOptions,
  admin: KubernetesApi,
): Promise<ServerCommand> {
  const { folder, authority, port } = ground;
  const file = (name: string): string => path.join(folder, name);
  const serving = await issueServing(authority);
  const toKubelet = await authority.issue({
    name: 'apiserver-kubelet-client',
    subject: '/O=system:masters/CN=kube-apiserver-kubelet-client',
  });
  const tokens = await authority.issue({ name: 'service-accounts', subject: '/CN=tokens' });
  await writeFile(file('audit-policy.yaml'), JSON.stringify(AUDIT_POLICY));
  const args = [
    `--etcd-servers=${etcdUrl}`,
    '--bind-address=127.0.0.1',
    `--secure-port=${port}`,
    `--tls-cert-file=${serving.certificatePath}`,
    `--tls-private-key-file=${serving.keyPath}`,
    `--client-ca-file=${authority.certificatePath}`,
    `--token-auth-file=${file('tokens.csv')}`,
    `--kubelet-client-certificate=${toKubelet.certificatePath}`,
    `--kubelet-client-key=${toKubelet.keyPath}`,
    '--kubelet-preferred-address-types=InternalIP',
    '--authorization-mode=Node,RBAC',
    '--service-account-issuer=https://kubernetes.default.svc',
    `--service-account-key-file=${tokens.certificatePath}`,
    `--service-account-signing-key-file=${tokens.keyPath}`,
    '--service-cluster-ip-range=10.0.0.0/24',
    // Pods reach it where a node with kube-proxy says; by itself it would name what it does not listen on.
    '--endpoint-reconciler-type=none',
    '--allow-privileged=true',
    `--audit-policy-file=${file('audit-policy.yaml')}`,
    `--audit-log-path=${file('audit.log')}`,
    `--audit-log-maxsize=${AUDIT_LOG_MEGABYTES_MAX}`,
    ...(options.apiServerArgs ?? []),
  ];
  // Without the controller manager nobody makes the account that this plugin gives to each pod.
  if (options.controllerManager !== true) args.push('--disable-admission-plugins=ServiceAccount');
  const isReady = () => saysOk(admin, '/readyz');
  const program = requireProgram('apiserver');
  return { name: 'kube-apiserver', program, args, folder, isReady };
}

/** kube-controller-manager or kube-scheduler. */
export async function componentCommand(
  kubernetes: TestKubernetes,
  component: 'controller-manager' | 'scheduler',
  more: readonly string[] = [],
): Promise<ServerCommand> {
  const { folder, authority } = kubernetes;
  const name = `kube-${component}`;
  const port = await freePort();
  const serving = await authority.issue({
    name: `${name}-serving`,
    subject: `/CN=${name}`,
    alternativeNames: ['IP:127.0.0.1'],
  });
  const kubeconfig = await kubernetes.componentKubeconfig(name, `/CN=system:${name}`);
  const args = [
    `--kubeconfig=${kubeconfig}`,
    `--authentication-kubeconfig=${kubeconfig}`,
    `--authorization-kubeconfig=${kubeconfig}`,
    '--bind-address=127.0.0.1',
    `--secure-port=${port}`,
    `--tls-cert-file=${serving.certificatePath}`,
    `--tls-private-key-file=${serving.keyPath}`,
    '--leader-elect=false',
    ...more,
  ];
  if (component === 'controller-manager') {
    args.push(
      '--use-service-account-credentials=true',
      `--root-ca-file=${authority.certificatePath}`,
      `--service-account-private-key-file=${path.join(folder, 'service-accounts.key')}`,
    );
  }
  // Health is told to everybody: no token is needed.
  const caPem = await readFile(authority.certificatePath, 'utf8');
  const api = new KubernetesApi({ server: `https://127.0.0.1:${port}`, caPem, token: '' });
  const isReady = () => saysOk(api, '/healthz');
  return { name, program: requireProgram(component), args, folder, isReady };
}
